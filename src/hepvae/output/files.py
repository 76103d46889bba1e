"""Outputs that appear whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from ..errors import FileError

__all__ = [
    "already_there",
    "check_output",
    "faults_of",
    "make_folder",
    "new_run",
    "temporary_name",
    "temporary_of",
    "whole_file",
    "whole_folder",
]

#: Names of files that are being written: hidden, unlike those of any other process; the suffix stays, as it tells
#: some writers what to write.
TEMPORARY = re.compile(r"(?P<folder>.*/)?\.[0-9a-f]{16}\.(?P<name>[^/]+)")


def new_run() -> str:
    """What the names of temporary files of one piece of work begin with."""
    return uuid4().hex[:8]


def temporary_name(name: str, run: str = "") -> str:
    """Of a file while it is written, in the same folder; ``run`` is one of `new_run`."""
    return f".{(run + uuid4().hex)[:16]}.{name}"


def temporary_of(name: str) -> str | None:
    """The file that a temporary one is to become; None of other files. Both may be in a folder."""
    match = TEMPORARY.fullmatch(name)
    return f"{match['folder'] or ''}{match['name']}" if match else None


def make_folder(path: str | Path) -> Path:
    """A folder, made where it is not there."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{path}: no folder, and none can be made there: {error.strerror}") from error
    return Path(path)


def already_there(path: str | Path) -> FileError:
    """The error to raise for an output that exists."""
    return FileError(f"{path}: exists already: expected a new name, or --overwrite (overwrite=True)")


def check_output(path: Path, *, overwrite: bool = True) -> None:
    """Raise `FileError` where no file of this name can be written: before the work, not after it.

    Parameters
    ----------
    overwrite : bool
        Whether one that exists may be replaced.
    """
    if not path.parent.is_dir():
        raise FileError(f"{path}: no such folder: {path.parent}")
    if path.is_dir():
        raise FileError(f"{path}: cannot be written: is a folder")
    if path.exists() and not overwrite:
        raise already_there(path)


def _followed(path: Path) -> Path:
    """Where a link leads, as to a disk with more space: it stays, and what is there is replaced."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


@contextmanager
def whole_file(path: str | Path, run: str = "") -> Iterator[Path]:
    """A file beside ``path`` to write to, which takes its place when the block ends well.

    A block that leaves no file there leaves ``path`` as it was.
    """
    path = _followed(Path(path))
    check_output(path)
    temporary = path.with_name(temporary_name(path.name, run))
    with _written(path, temporary):
        yield temporary
        if temporary.exists():
            os.replace(temporary, path)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder beside ``path`` to write to, which takes its place when the block ends well."""
    path = _followed(path)
    make_folder(path.parent)
    if path.exists() and not path.is_dir():
        raise FileError(f"{path}: cannot be written: is a file, expected the name of a folder")
    temporary, old = (path.with_name(temporary_name(path.name)) for _ in range(2))
    with _written(path, temporary):
        temporary.mkdir()
        yield temporary
        try:
            if path.exists():
                os.replace(path, old)
            os.replace(temporary, path)
        finally:
            if old.exists() and not path.exists():  # the new one could not be put there
                os.replace(old, path)
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def faults_of(path: object, doing: str, *, missing_ok: bool = False) -> Iterator[None]:
    """Raise faults of the system in the block as `FileError`: the path cannot be read, written, removed.

    Parameters
    ----------
    missing_ok : bool
        End the block, and raise nothing, where there is no such file.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, FileError):
            raise
        if not (missing_ok and isinstance(error, FileNotFoundError)):
            raise FileError(f"{path}: cannot be {doing}: {error.strerror or error}") from error


@contextmanager
def _written(path: Path, temporary: Path) -> Iterator[None]:
    """Faults of the system as those of an output, whose temporary form is removed."""
    try:
        with faults_of(path, "written"):
            yield
    finally:
        with suppress(OSError):  # of a disk that is read-only now
            shutil.rmtree(temporary) if temporary.is_dir() else temporary.unlink(missing_ok=True)
