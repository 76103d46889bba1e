"""The errors that a user can cause: each message is one line naming what is wrong and where."""

from __future__ import annotations

import re

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
    "without_tokens",
]


class HepvaeError(Exception):
    """Base of every error that a user can cause; no message of it has the token of an address."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(without_tokens(one) if isinstance(one, str) else one for one in args))


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
    # A sentence that goes on: "expected ... bytes," "received ..."
    words = " ".join(lines[: 2 if lines[0].endswith((",", ":")) else 1]) if lines else ""
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


#: What grants access to a file of an XRootD server, in the query of its address.
_TOKEN = re.compile(r"(authz=(?:Bearer(?:%20|\+| ))?)[^&\s,;:'\")\]]+", re.IGNORECASE)


def without_tokens(text: str) -> str:
    """Text in which the token of an address (``?authz=...``) is replaced: logs and outputs are read by others."""
    return _TOKEN.sub(r"\1***", text)
