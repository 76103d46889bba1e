"""From what people type to files: paths, folders, patterns, lists, ``{path: tree}``, local or ``root://``."""

from __future__ import annotations

import glob
import logging
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ..errors import FileError, LayoutError, OptionError, TransientError, one_line, without_tokens
from ..storage.access import ACCESS, Access
from ..storage.servers import address_parts, eos_address, has_magic, is_folder, match, size_of
from .filesets import Dataset, FilesetEntry, Span, entries_of, is_fileset, read_fileset

__all__ = [
    "HDF5_SUFFIXES",
    "TREE",
    "Files",
    "Source",
    "check_regular",
    "distinct_names",
    "file_size",
    "resolve",
    "stamp",
    "without_suffix",
]

log = logging.getLogger(__name__)

HDF5_SUFFIXES = (".h5", ".hdf5")
#: The tree that is read where none is named, if it is there.
TREE = "Events"
#: Of the files that are taken from folders.
SUFFIXES = (".root", *HDF5_SUFFIXES)

#: Of addresses of files on this machine.
FILE_SCHEME = re.compile(r"file:(//(localhost)?)?(?=/)", re.IGNORECASE)

#: Protocols of storage that nothing here reads, and the one by which the same storage is read.
INSTEAD = {"davs": "https", "dav": "http", "srm": "root", "gsiftp": "root", "xroot": "root", "xrootd": "root"}

#: What a user may give as files.
Files = str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | Mapping[str, Any]


@dataclass(frozen=True)
class Source:
    """One file, and the tree in it where the user named one."""

    path: str
    tree: str | None = None
    failure: str | None = None
    """Why a name stands for no file, in one line: this is then no file, but the name."""
    also: tuple[str, ...] = field(default=(), compare=False)
    """Other names of the same file that were given; it is read once."""
    dataset: Dataset | None = None
    """That a fileset has it in."""
    entries: int | None = field(default=None, compare=False)
    """How many a fileset says there are."""
    span: Span | None = None
    """The entries that are read, where a fileset leaves out others."""

    @property
    def is_remote(self) -> bool:
        return "://" in self.path

    @property
    def name(self) -> str:
        """What reports and records call it: its path without a token, and its span."""
        return without_tokens(self.path) + (f"[{self.span[0]}:{self.span[1]}]" if self.span else "")

    @property
    def stamp(self) -> list[str | int]:
        """What tells it from an earlier file of its name, and from other entries of the file; see `stamp`."""
        return [self.absolute.name, *stamp(self.path)[1:]]

    @property
    def absolute(self) -> Source:
        """The same for a process that works in another folder."""
        return self if self.is_remote or self.failure else replace(self, path=os.path.abspath(self.path))


def resolve(
    files: Files, tree: str | None = None, access: Access = ACCESS, *, keep_failures: bool = False
) -> list[Source]:
    """The files that ``files`` names, each once, whatever names it has.

    Parameters
    ----------
    files : str, path, list of them, or mapping of them to tree names
        Each a file, a folder (every ``.root``, ``.h5`` and ``.hdf5`` file below it) or a pattern with ``*``,
        ``[...]``, ``**`` and (on this machine) ``?``: on this machine, on a server (``root://host//path``), or
        of CERN's EOS (``/eos/...``, through its server where it is not mounted). Or ``@files.txt``, a text
        file of such names, one a line; or ``fileset.json``, a fileset of coffea, or one in memory. What a folder
        or a pattern gives comes sorted.
    tree : str, optional
        The tree of files that come without one.
    access : Access
        Time-out and attempts of listing a folder on a server.
    keep_failures : bool
        A name that gives no file becomes a source with a ``failure``, if any other gives one.

    Raises
    ------
    FileError
        A pattern or a folder gives no file (unless kept), or nothing is named.
    OptionError
        Something else than names is given.
    LayoutError
        Filesets name entries of a file twice.
    """
    sources: dict[tuple[object, str, Dataset | None, Span | None], Source] = {}
    failures: list[FileError] = []
    for given in _given(files, tree):
        for source, error in _expanded(given, access):
            if error is not None:
                if not keep_failures:
                    raise error
                failures.append(error)
                source = replace(source, failure=str(error))
            path = source.path
            key = path if error else _same(path), source.tree or TREE, source.dataset, source.span
            known = sources.setdefault(key, source)
            if known.path != path and path not in known.also:
                log.info("%s: is the same file as %s, read once", path, known.path)
                sources[key] = replace(known, also=(*known.also, path))
    if len(failures) >= len(sources):
        raise failures[0] if failures else FileError("no input files named")
    _check_spans(sources)
    return list(sources.values())


def _check_spans(sources: Mapping[Any, Source]) -> None:
    """Raise `LayoutError` where filesets name entries of a file twice."""
    of_files: dict[tuple[object, ...], list[Source]] = {}
    for key, source in sources.items():
        of_files.setdefault(key[:-1], []).append(source)
    for same in of_files.values():
        same.sort(key=lambda source: source.span or (0, 0))
        for first, second in pairwise(same):
            if first.span is None or second.span is None or second.span[0] < first.span[1]:
                raise LayoutError(f"{first.name} and {second.name}: expected each entry of a dataset once")


def _given(files: Files, tree: str | None) -> Iterator[Source]:
    """What the user names, each with its tree."""
    if hasattr(files, "read") or type(files).__module__.partition(".")[0] in ("uproot", "h5py"):
        file = getattr(files, "file", files)
        name = getattr(file, "file_path", None) or getattr(file, "filename", None) or getattr(files, "name", None)
        raise OptionError(f"files is an open file ({type(files).__name__}): give its path{name and f', {name!r}'}")
    named: Iterable[tuple[object, str | None]] = [(files, tree)]
    if isinstance(files, Mapping):
        if is_fileset(files):
            yield from _of_fileset(entries_of(files, "files"), tree)
            return
        named = [(path, name or tree) for path, name in files.items()]
    elif isinstance(files, Iterable) and not isinstance(files, (str, bytes)):
        named = [(path, tree) for path in files]
    for path, name in named:
        if not isinstance(path, (str, os.PathLike)):
            raise OptionError(f"files: expected a path, a list of paths or {{path: tree}}, not {path!r}")
        yield Source(os.fspath(path), name)


def _of_fileset(entries: Iterable[FilesetEntry], tree: str | None) -> Iterator[Source]:
    for one in entries:
        yield Source(one.path, one.tree or tree, dataset=one.dataset, entries=one.entries, span=one.span)


def _expanded(given: Source, access: Access) -> Iterator[tuple[Source, FileError | None]]:
    """The files that a name stands for; a name that stands for none with why."""
    name = given.path
    named: Iterable[Source] = [given]
    try:
        if name.endswith(".json") and os.path.isfile(os.path.expanduser(name)):
            named = _of_fileset(read_fileset(os.path.expanduser(name)), given.tree)
        elif name.startswith("@") and not os.path.exists(name):
            named = [replace(given, path=line) for line in _lines(name[1:])]
    except FileError as error:
        yield given, error
        return
    for one in named:
        try:
            yield from ((replace(one, path=path), None) for path in _named_by(one.path, access))
        except FileError as error:
            yield one, error


def _same(path: str) -> object:
    """What all names of a file have in common."""
    if "://" in path:
        server, inside, _ = address_parts(path)
        return server + os.path.normpath(inside)
    try:
        status = os.stat(path)
    except OSError:
        return os.path.abspath(path)
    return status.st_dev, status.st_ino


def check_regular(path: str) -> None:
    """Raise `FileError` for what is no file on this disk: a pipe or a device would be waited for without end."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe" if stat.S_ISFIFO(mode) else "a device or socket"
        raise FileError(f"{path}: is {kind}: expected a file")


def _named_by(name: str, access: Access) -> list[str]:
    """The files that one name stands for."""
    if "\0" in name:
        raise FileError(f"{name!r}: no name of a file has a NUL in it")
    of_file = FILE_SCHEME.match(name)
    name = os.path.expanduser(name if of_file is None else unquote(name[of_file.end() :]))
    if name.startswith("/eos/") and not os.path.exists(name) and not glob.glob(name, recursive=True):
        name = eos_address(name) or name
    if "://" in name:
        return _on_server(name, access)
    if os.path.isdir(name):
        inside = glob.glob(os.path.join(glob.escape(name), "**", "*.*"), recursive=True)
        return _matches(name, (path for path in inside if not os.path.isdir(path)), IN_FOLDER, SUFFIXES)
    if glob.has_magic(name) and not os.path.exists(name):
        matching = glob.glob(name, recursive=True)
        return _matches(name, (path for path in matching if not os.path.isdir(path)), "no file matches")
    return [name]


#: Of a folder without files.
IN_FOLDER = f"no {' or '.join(SUFFIXES)} file in this folder"


def _matches(name: str, paths: Iterable[str], none: str, suffixes: tuple[str, ...] = ("",)) -> list[str]:
    """The paths with a suffix, sorted; `FileError` where there is none."""
    matching = sorted(path for path in paths if path.partition("?")[0].endswith(suffixes))
    if not matching:
        raise FileError(f"{name}: {none}")
    return matching


def _lines(path: str) -> list[str]:
    """The names in a text file; empty lines and those that begin with # are left out."""
    path = os.path.expanduser(path)
    try:
        check_regular(path)
        lines = [line.strip() for line in Path(path).read_text(encoding="utf-8-sig").split("\n")]
    except (OSError, ValueError) as error:
        reason = str(error) if isinstance(error, FileError) else one_line(error)
        raise FileError(f"{path}: no list of files can be read from it: {reason}") from error
    names = [line for line in lines if line and not line.startswith("#")]
    odd = [line for line in names if line.startswith("@") or "\0" in line]
    if odd or not names:
        raise FileError(f"{path}: expected one file a line, found {repr(odd[0]) if odd else 'none'}")
    return names


def _on_server(address: str, access: Access) -> list[str]:
    """The files that an address stands for; one that ends like a file is not listed."""
    scheme = address.partition("://")[0]
    if scheme in INSTEAD:
        better = INSTEAD[scheme] + address[len(scheme) :]
        raise FileError(f"{address}: {scheme}:// cannot be read: try {better}")
    server, path, query = address_parts(address)
    if scheme != "root":
        return [address]
    if has_magic(address):
        return _matches(address, match(address, access), "no file matches")
    if path.endswith(SUFFIXES) or not is_folder(address, access):
        return [address]
    return _matches(address, match(f"{server}/{path.rstrip('/')}/**{query}", access), IN_FOLDER, SUFFIXES)


def stamp(path: str) -> list[str | int]:
    """What tells a file from an earlier one of its name; of a file on a server, only where it is (no token)."""
    try:
        status = os.stat(path)
    except OSError:
        return [without_tokens(path)]
    return [os.path.abspath(path), status.st_size, status.st_mtime_ns]


def file_size(source: Source, access: Access) -> int:
    """Bytes of a file, or of its span; 0 of one that is not there, or whose server has no sizes (``https://``).

    Raises
    ------
    TransientError
        A server does not say.
    """
    try:
        if source.path.startswith("root://"):
            size = size_of(source.path, access)
        else:
            size = 0 if source.is_remote else os.path.getsize(source.path)
        if source.span and source.entries:
            size = size * (source.span[1] - source.span[0]) // source.entries
        return size
    except TransientError:
        raise
    except (FileError, OSError):
        return 0


def distinct_names(paths: Sequence[str | os.PathLike[str]]) -> list[str]:
    """A short name for each file: its stem, with as many of its folders as tell it from the others."""
    parts = [[*Path(path).parts[:-1], without_suffix(Path(path).name)] for path in paths]
    for depth in range(1, max(map(len, parts), default=1) + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    raise OptionError(f"{paths[0]} and others: the same file is named twice")


def without_suffix(name: str) -> str:
    """What a reader calls a file; other names keep what follows their dots."""
    path = Path(name)
    return path.stem if path.suffix in (*SUFFIXES, ".parquet", ".keras", ".onnx") else path.name
