"""From what people type to files: paths, folders, patterns, lists, ``{path: tree}``, local or ``root://``."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import FileError, OptionError, one_line
from .access import ACCESS, Access
from .remote import eos_address, has_magic, match

__all__ = ["HDF5_SUFFIXES", "Files", "Source", "distinct_names", "resolve", "stamp"]

HDF5_SUFFIXES = (".h5", ".hdf5")
#: Of the files that are taken from folders.
SUFFIXES = (".root", *HDF5_SUFFIXES)


@dataclass(frozen=True)
class Source:
    """One file, and the tree in it where the user named one."""

    path: str
    tree: str | None = None

    @property
    def is_remote(self) -> bool:
        return "://" in self.path


#: What a user may give as files.
Files = str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | Mapping[str, str | None]


def resolve(files: Files, tree: str | None = None, access: Access = ACCESS) -> list[Source]:
    """The files that ``files`` names, without doubles.

    Parameters
    ----------
    files : str, path, list of them, or mapping of them to tree names
        Each a file, a folder (every ``.root``, ``.h5`` and ``.hdf5`` file below it) or a pattern with ``*``,
        ``[...]``, ``**`` and (on this machine) ``?``: on this machine, on a server (``root://host//path``), or
        of CERN's EOS (``/eos/...``, through its server where it is not mounted). Or ``@files.txt``, a text
        file of such names, one a line. What a folder or a pattern gives comes sorted.
    tree : str, optional
        The tree of files that come without one.
    access : Access
        How long a server may take to say what a folder holds.

    Raises
    ------
    FileError
        A pattern or a folder gives no file, or nothing is named.
    """
    if isinstance(files, (str, os.PathLike)):
        named = [(files, tree)]
    elif isinstance(files, Mapping):
        named = [(path, name or tree) for path, name in files.items()]
    elif isinstance(files, Iterable):
        named = [(path, tree) for path in files]
    else:
        named = [(files, tree)]

    sources: dict[tuple, Source] = {}
    for path, name in named:
        if not isinstance(path, (str, os.PathLike)):
            raise OptionError(f"files: expected a path, a list of paths or {{path: tree}}, not {path!r}")
        for found in _named_by(os.fspath(path), access):
            sources.setdefault((_same(found), name), Source(found, name))
    if not sources:
        raise FileError("no input files named")
    return list(sources.values())


def _same(path: str) -> str:
    """What two ways to write the path of a file have in common."""
    if "://" not in path:
        return os.path.abspath(path)
    server, _, rest = path.partition("://")[2].partition("/")
    return f"{server}/{os.path.normpath('/' + rest.lstrip('/'))}"


def _named_by(name: str, access: Access) -> list[str]:
    """The files that one name stands for."""
    if name.startswith("@") and not os.path.exists(name):
        return [path for line in _lines(name[1:]) for path in _named_by(line, access)]
    if name.startswith("/eos/") and not os.path.exists(name) and not glob.glob(name, recursive=True):
        name = eos_address(name) or name
    if "://" in name:
        return _on_server(name, access)
    if os.path.isdir(name):
        inside = glob.glob(os.path.join(glob.escape(name), "**", "*.*"), recursive=True)
        found = sorted(path for path in inside if path.endswith(SUFFIXES))
        if not found:
            raise FileError(f"{name}: no {' or '.join(SUFFIXES)} file in this folder")
        return found
    if glob.has_magic(name) and not os.path.exists(name):
        found = sorted(path for path in glob.glob(name, recursive=True) if not os.path.isdir(path))
        if not found:
            raise FileError(f"{name}: no file matches")
        return found
    return [name]


def _lines(path: str) -> list[str]:
    """The names in a text file; empty lines and those that begin with # are left out."""
    try:
        lines = [line.strip() for line in Path(path).read_text().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: no list of files can be read from it: {one_line(error)}") from error
    names = [line for line in lines if line and not line.startswith("#")]
    nested = next((line for line in names if line.startswith("@")), None)
    if nested or not names:
        raise FileError(f"{path}: expected one file a line, found {nested or 'none'}")
    return names


def _on_server(address: str, access: Access) -> list[str]:
    """The files that an address stands for; one that ends like a file is not asked for."""
    if not address.startswith("root://"):
        return [address]
    if has_magic(address):
        found = match(address, access.timeout_s)
        if not found:
            raise FileError(f"{address}: no file matches")
        return found
    if address.endswith(SUFFIXES):
        return [address]
    found = [file for file in match(f"{address.rstrip('/')}/**", access.timeout_s) if file.endswith(SUFFIXES)]
    if not found:
        raise FileError(f"{address}: no {' or '.join(SUFFIXES)} file in this folder")
    return found


def stamp(path: str) -> list:
    """What tells a file from an earlier one of its name; of a file on a server, only where it is."""
    try:
        status = os.stat(path)
    except OSError:
        return [path]
    return [os.path.abspath(path), status.st_size, status.st_mtime_ns]


def distinct_names(paths) -> list[str]:
    """A short name for each file: its stem, with as many of its folders as tell it from the others."""
    parts = [[*Path(path).parts[:-1], _without_suffix(Path(path))] for path in paths]
    for depth in range(1, max(map(len, parts), default=1) + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    raise OptionError(f"{paths[0]} and others: the same file is named twice")


def _without_suffix(path: Path) -> str:
    """What a reader calls a file; other names keep what follows their dots."""
    return path.stem if path.suffix in (*SUFFIXES, ".parquet", ".keras", ".onnx") else path.name
