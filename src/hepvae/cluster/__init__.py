"""Work on the processes of a cluster."""
