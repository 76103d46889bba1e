"""Folders in which many outputs appear, each whole or not at all; of this machine, or of a server."""

from __future__ import annotations

import os
import tempfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import FileError, OptionError
from ..storage import servers
from ..storage.access import ACCESS, Access
from .files import (
    already_there,
    check_output,
    faults_of,
    make_folder,
    new_run,
    temporary_name,
    temporary_of,
    whole_file,
)

__all__ = ["Checksum", "LocalFolder", "OutputFolder", "RemoteFolder", "is_folder", "open_folder", "open_output"]

#: Read at once for a checksum.
BLOCK_BYTES = 1 << 22


@dataclass(frozen=True)
class Checksum:
    """What tells a file from a damaged one: servers of XRootD know it of their files."""

    size: int
    """Bytes."""
    adler32: str
    """Eight hexadecimal digits."""

    @classmethod
    def of(cls, path: str | Path) -> Checksum:
        """Of a file of this machine."""
        with open(path, "rb") as file:
            size, value = 0, 1
            while block := file.read(BLOCK_BYTES):
                size, value = size + len(block), zlib.adler32(block, value)
        return cls(size, f"{value:08x}")


class OutputFolder(ABC):
    """A folder of outputs. It travels to workers; names of files in it may have folders: ``ttbar/1.root``."""

    address: str
    """As the user names it."""
    run: str
    """Of the work that writes to it, see `temporary_name`: the same on all workers."""

    @abstractmethod
    def names(self) -> list[str]:
        """All files in it and in its folders, sorted; none where there is no such folder."""

    @abstractmethod
    def names_in(self, folder: str) -> list[str]:
        """The files directly in one of its folders, by their names in that; none where there is no such folder."""

    @abstractmethod
    def check(self, name: str, *, overwrite: bool = True) -> None:
        """Raise `FileError` where no file of this name can be written: before the work, not after it.

        Parameters
        ----------
        overwrite : bool
            Whether one that exists may be replaced.
        """

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

    def temporary(self, name: str) -> str:
        """A name for something that a file is made of, which `remove_temporaries` removes."""
        folder, slash, last = name.rpartition("/")
        return folder + slash + temporary_name(last, self.run)

    def remove_temporaries(self, names: Iterable[str], before: Collection[str] | None = None) -> None:
        """Remove what killed processes have left of some files.

        Parameters
        ----------
        before : collection of str, optional
            Files that were there before this work began. Of later ones only its own are removed: another process
            may write to the folder at the same time.
        """
        wanted = set(names)
        for folder in {os.path.dirname(name) for name in wanted}:
            for name in (os.path.join(folder, last) for last in self.names_in(folder)):
                of = name
                while (outer := temporary_of(of)) is not None:  # what is made of a temporary file, too
                    of = outer
                ours = os.path.basename(name).startswith(f".{self.run}")
                if of != name and of in wanted and (ours or before is None or name in before):
                    self.remove(name)


@dataclass(frozen=True)
class LocalFolder(OutputFolder):
    """A folder of this machine, made where it is not there."""

    address: str
    run: str = field(default_factory=new_run, compare=False)

    def __post_init__(self) -> None:
        # Of workers, which have other working directories.
        object.__setattr__(self, "address", os.path.abspath(os.path.expanduser(self.address)))

    def names(self) -> list[str]:
        found = []
        for folder, _, files in os.walk(self.address):
            found += [os.path.relpath(os.path.join(folder, name), self.address) for name in files]
        return sorted(found)

    def names_in(self, folder: str) -> list[str]:
        path = Path(self.address, folder)
        return sorted(one.name for one in path.iterdir() if not one.is_dir()) if path.is_dir() else []

    def check(self, name: str, *, overwrite: bool = True) -> None:
        check_output(Path(self.path(name)), overwrite=overwrite)

    def new(self, name: str) -> AbstractContextManager[Path]:
        path = Path(self.path(name))
        make_folder(path.parent)
        return whole_file(path, self.run)

    def read(self, name: str) -> bytes | None:
        with faults_of(self.path(name), "read", missing_ok=True):
            return Path(self.path(name)).read_bytes()
        return None

    def checksum(self, name: str) -> Checksum | None:
        with faults_of(self.path(name), "read", missing_ok=True):
            return Checksum.of(self.path(name))
        return None

    def remove(self, name: str) -> None:
        with faults_of(self.path(name), "removed", missing_ok=True):
            os.unlink(self.path(name))


@dataclass(frozen=True)
class RemoteFolder(OutputFolder):
    """A folder of an XRootD server, made where it is not there: files are written here, then copied to it."""

    address: str
    access: Access = ACCESS
    run: str = field(default_factory=new_run, compare=False)

    def names(self) -> list[str]:
        return servers.files_below(self.address, self.access)

    def names_in(self, folder: str) -> list[str]:
        return servers.files_in(self.path(folder), self.access)

    def check(self, name: str, *, overwrite: bool = True) -> None:
        if not overwrite and self.checksum(name) is not None:
            raise already_there(self.path(name))
        trial = self.temporary(name)
        with self.new(trial) as path:
            path.write_text("to see whether a file can be written here\n")
        self.remove(trial)

    @contextmanager
    def new(self, name: str) -> Iterator[Path]:
        address = self.path(name)
        with tempfile.TemporaryDirectory(prefix="hepvae-") as here:
            path = Path(here, os.path.basename(name))
            try:
                yield path
            except OSError as error:
                if isinstance(error, FileError):
                    raise
                why = f"its copy in {here} cannot be written: {error.strerror or error}: another folder: TMPDIR"
                raise FileError(f"{address}: {why}") from error
            if path.exists():
                servers.upload(path, address, lambda: self.path(self.temporary(name)), self.access)

    def read(self, name: str) -> bytes | None:
        return servers.content(self.path(name), self.access)

    def checksum(self, name: str) -> Checksum | None:
        found = servers.checksum(self.path(name), self.access)
        return found and Checksum(*found)

    def remove(self, name: str) -> None:
        servers.remove(self.path(name), self.access)

    def path(self, name: str) -> str:
        if servers.NOT_IN_AN_ADDRESS.search(name):
            raise FileError(
                f"{self.address}: no file on a server can be called {name!r}: it has ?, # or control characters"
            )
        server, folder, query = servers.address_parts(self.address)
        return f"{server}/{folder.rstrip('/')}/{name}{query}"


def is_folder(output: str | Path) -> bool:
    """Whether an output that a user names is a folder: it ends in ``/``, or is one of this machine."""
    name = str(output)
    path = servers.address_parts(name)[1] if "://" in name else name
    return path.endswith("/") or os.path.isdir(name)


def _address(output: str | Path) -> str:
    """Of an output that a user names: of a server, or a path."""
    name = servers.eos_address(str(output)) or str(output)
    if "://" in name and not name.startswith("root://"):
        raise OptionError(f"{name}: cannot be written: expected a path, or an address as root://host//path/")
    return name


def open_folder(address: str | Path, access: Access = ACCESS) -> OutputFolder:
    """The folder that a user names: a path, an address of an XRootD server, or a folder of CERN's EOS.

    EOS is written through its servers also where it is mounted: there, files appear late to other machines.
    """
    name = _address(address)
    return RemoteFolder(name, access) if "://" in name else LocalFolder(name)


def open_output(output: str | Path, access: Access = ACCESS) -> tuple[OutputFolder, str]:
    """The folder of a file that a user names, and the name of the file in it."""
    name = _address(output)
    if "://" not in name:
        path = Path(os.path.expanduser(name))
        return LocalFolder(str(path.parent)), path.name
    server, path_there, query = servers.address_parts(name)
    folder, _, last = path_there.rpartition("/")
    return open_folder(f"{server}/{folder}/{query}", access), last
