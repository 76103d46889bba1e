"""Folders in which many outputs appear, each whole or not at all; of this machine, or of a server."""

from __future__ import annotations

import os
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from ..errors import FileError
from .files import make_folder, temporary_of, whole_file

__all__ = ["Checksum", "LocalFolder", "OutputFolder", "is_folder", "open_folder"]

#: Read at once for a checksum.
BLOCK_BYTES = 1 << 22


@dataclass(frozen=True)
class Checksum:
    """What tells a file from a damaged one: servers of XRootD know it of their files."""

    size: int
    """Bytes."""
    adler32: str
    """Eight hexadecimal digits."""


class OutputFolder(ABC):
    """A folder of outputs. It travels to workers; names of files in it may have folders: ``ttbar/1.root``."""

    address: str
    """As the user names it."""

    @abstractmethod
    def names(self) -> list[str]:
        """All files in it and in its folders, sorted; none where there is no such folder."""

    @abstractmethod
    def new(self, name: str) -> AbstractContextManager[Path]:
        """A path on this machine, of the same suffix, to write to; the file appears when the block ends well.

        It replaces one of its name. A block that leaves no file there leaves the folder as it was.
        """

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """Content of a file; None where there is none."""

    @abstractmethod
    def checksum(self, name: str) -> Checksum | None:
        """Of a file; None where there is none."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

    def path(self, name: str) -> str:
        """Address of a file."""
        return f"{self.address.rstrip('/')}/{name}"

    def remove_temporaries(self, names: Iterable[str]) -> None:
        """Remove what killed processes have left of some files."""
        wanted = set(names)
        for name in self.names():
            if temporary_of(name) in wanted:
                self.remove(name)


@dataclass(frozen=True)
class LocalFolder(OutputFolder):
    """A folder of this machine, made where it is not there."""

    address: str

    def __post_init__(self) -> None:
        # Of workers, which have other working directories.
        object.__setattr__(self, "address", os.path.abspath(os.path.expanduser(self.address)))

    def names(self) -> list[str]:
        found = []
        for folder, _, files in os.walk(self.address):
            found += [os.path.relpath(os.path.join(folder, name), self.address) for name in files]
        return sorted(found)

    def new(self, name: str) -> AbstractContextManager[Path]:
        path = Path(self.path(name))
        make_folder(path.parent)
        return whole_file(path)

    def read(self, name: str) -> bytes | None:
        try:
            return Path(self.path(name)).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise FileError(f"{self.path(name)}: cannot be read: {error.strerror}") from error

    def checksum(self, name: str) -> Checksum | None:
        try:
            with open(self.path(name), "rb") as file:
                size, value = 0, 1
                while block := file.read(BLOCK_BYTES):
                    size, value = size + len(block), zlib.adler32(block, value)
                return Checksum(size, f"{value:08x}")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise FileError(f"{self.path(name)}: cannot be read: {error.strerror}") from error

    def remove(self, name: str) -> None:
        try:
            os.unlink(self.path(name))
        except FileNotFoundError:
            pass
        except OSError as error:
            raise FileError(f"{self.path(name)}: cannot be removed: {error.strerror}") from error


def is_folder(output: str | Path) -> bool:
    """Whether an output that a user names is a folder: it ends in ``/``, or is one."""
    return str(output).endswith("/") or os.path.isdir(output)


def open_folder(address: str | Path) -> OutputFolder:
    """The folder that a user names."""
    return LocalFolder(str(address))
