"""From what people type to open trees: paths, folders, patterns, lists, ``{path: tree}``, local or ``root://``."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .errors import FileError, LayoutError, OptionError, one_line
from .extras import load_xrootd
from .faults import ACCESS, Access, file_error
from .remote import eos_address, has_magic, match
from .schemas import nearest

__all__ = ["Source", "distinct_names", "open_tree", "resolve", "stamp"]


@dataclass(frozen=True)
class Source:
    """One file, and the tree in it where the user named one."""

    path: str
    tree: str | None = None

    @property
    def is_remote(self) -> bool:
        return "://" in self.path


def resolve(files, tree: str | None = None) -> list[Source]:
    """The files that ``files`` names, without doubles.

    Parameters
    ----------
    files : str, path, list of them, or mapping of them to tree names
        Each a file, a folder (every ``.root`` file below it) or a pattern with ``*``, ``[...]``, ``**`` and (on
        this machine) ``?``: on this machine, on a server (``root://host//path``), or of CERN's EOS
        (``/eos/...``, through its server where it is not mounted). Or ``@files.txt``, a text file of such
        names, one a line. What a folder or a pattern gives comes sorted.
    tree : str, optional
        The tree of files that come without one.

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
        for found in _named_by(os.fspath(path)):
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


def _named_by(name: str) -> list[str]:
    """The files that one name stands for."""
    if name.startswith("@") and not os.path.exists(name):
        return [path for line in _lines(name[1:]) for path in _named_by(line)]
    if name.startswith("/eos/") and not os.path.exists(name) and not glob.glob(name, recursive=True):
        name = eos_address(name) or name
    if "://" in name:
        return _on_server(name)
    if os.path.isdir(name):
        found = sorted(glob.glob(os.path.join(glob.escape(name), "**", "*.root"), recursive=True))
        if not found:
            raise FileError(f"{name}: no .root file in this folder")
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


def _on_server(address: str) -> list[str]:
    """The files that an address stands for; one that ends in .root is not asked for."""
    if not address.startswith("root://"):
        return [address]
    if has_magic(address):
        found = match(address)
        if not found:
            raise FileError(f"{address}: no file matches")
        return found
    if address.endswith(".root"):
        return [address]
    found = [file for file in match(f"{address.rstrip('/')}/**") if file.endswith(".root")]
    if not found:
        raise FileError(f"{address}: no .root file in this folder")
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
    return path.stem if path.suffix in (".root", ".keras", ".onnx") else path.name


@contextmanager
def open_tree(source: Source, default_tree: str, access: Access = ACCESS) -> Iterator:
    """Open a file and its TTree or RNTuple.

    Raises
    ------
    FileError
        The file is missing, is not a ROOT file or cannot be read; `TransientError` where it may be read later.
    LayoutError
        The file has no such tree; the message lists those it has.
    """
    import uproot

    if source.path.startswith("root://"):
        load_xrootd(source.path)
    name = source.tree or default_tree
    try:
        # No caches: uproot would keep the arrays of every chunk alive.
        # A mapping, because a bare string is cut at its last colon.
        file = uproot.open({source.path: None}, object_cache=None, array_cache=None, timeout=access.timeout_s)
    except Exception as error:
        if not source.is_remote and _is_no_root_file(source.path):
            raise FileError(f"{source.path}: not a ROOT file") from error
        raise file_error(source.path, error) from error
    with file:
        try:
            tree = file[name]
        except KeyError as error:
            trees = sorted({key.partition(";")[0] for key in file.keys(recursive=False)})
            raise LayoutError(
                f"{source.path}: no tree {name!r}{nearest(name, trees)}; the file holds: {', '.join(trees)}"
            ) from error
        except Exception as error:
            raise file_error(source.path, error, f"tree {name!r} cannot be read") from error
        if not hasattr(tree, "num_entries"):
            raise LayoutError(f"{source.path}: {name!r} is a {file.classname_of(name)}, not a TTree or RNTuple")
        yield tree


def _is_no_root_file(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(4) != b"root"
    except OSError:
        return False
