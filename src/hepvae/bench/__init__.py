"""The runtime comparison: ``python -m hepvae.bench``."""
