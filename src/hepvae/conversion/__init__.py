"""Models from one framework to another: training and export, rewrites, parity."""
