"""How work is run on this machine: threads, read-ahead, compiled loops, progress."""
