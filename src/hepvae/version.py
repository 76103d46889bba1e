"""The version: read by the build, written into every output."""

__all__ = ["__version__"]

__version__ = "0.1.0"
