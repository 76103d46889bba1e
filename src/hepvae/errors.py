"""The errors that a user can cause: each message is one line naming what is wrong and where."""

from __future__ import annotations

__all__ = [
    "DataError",
    "FileError",
    "HepvaeError",
    "LayoutError",
    "MissingPackageError",
    "ModelError",
    "OptionError",
    "SpecError",
    "TransientError",
    "UnscoredJetsWarning",
    "one_line",
]


class HepvaeError(Exception):
    """Base of every error that a user can cause."""


class FileError(HepvaeError, OSError):
    """A file is missing, cannot be read, or cannot be written."""


class TransientError(FileError):
    """A file cannot be read now, for a reason that may pass: another attempt may succeed."""


class LayoutError(HepvaeError, KeyError):
    """A file has no such tree or branch, or its layout is none that hepvae knows."""

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return str(self.args[0])


class DataError(HepvaeError, ValueError):
    """Values that are no physics: not finite, negative pt, an index out of range."""


class SpecError(HepvaeError, ValueError):
    """An input specification is wrong, or an array does not fit the one of the model."""


class ModelError(HepvaeError, ValueError):
    """A model file is none that hepvae can score with, or an export does not hold."""


class OptionError(HepvaeError, ValueError):
    """A value or a combination of values that no function of hepvae takes."""


class MissingPackageError(HepvaeError, ImportError):
    """An optional package is needed and not installed."""


class UnscoredJetsWarning(UserWarning):
    """Some jets could not be scored; their losses are NaN."""


def one_line(error: BaseException) -> str:
    """The message of an error of another library on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
