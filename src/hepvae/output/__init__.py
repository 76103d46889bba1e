"""What is written: whole files, journals of unfinished work, reports as one page."""
