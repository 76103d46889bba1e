"""What a score is worth in a search: separation, decorrelated cuts, the bump in mjj."""
