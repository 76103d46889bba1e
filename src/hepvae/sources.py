"""From what people type to open trees: paths, globs, lists, ``{path: tree}``, local or ``root://``."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .errors import FileError, LayoutError, OptionError, one_line
from .extras import load_xrootd
from .schemas import nearest

__all__ = ["Source", "distinct_names", "open_tree", "resolve"]

TIMEOUT_S = 60  # of one network request; XRootD's own default is to wait for ever


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
        A local name may hold ``*``, ``?`` and ``[...]``; what it matches comes sorted.
    tree : str, optional
        The tree of files that come without one.

    Raises
    ------
    FileError
        A glob matches nothing, or nothing is named.
    """
    if isinstance(files, (str, os.PathLike)):
        named = [(files, tree)]
    elif isinstance(files, Mapping):
        named = [(path, name or tree) for path, name in files.items()]
    elif isinstance(files, Iterable):
        named = [(path, tree) for path in files]
    else:
        named = [(files, tree)]

    sources: dict[Source, None] = {}
    for path, name in named:
        if not isinstance(path, (str, os.PathLike)):
            raise OptionError(f"files: expected a path, a list of paths or {{path: tree}}, not {path!r}")
        source = Source(os.fspath(path), name)
        if source.is_remote or not glob.has_magic(source.path) or os.path.exists(source.path):
            sources[source] = None
            continue
        matches = sorted(glob.glob(source.path, recursive=True))
        if not matches:
            raise FileError(f"{source.path}: no file matches")
        sources.update((Source(match, name), None) for match in matches)
    if not sources:
        raise FileError("no input files named")
    return list(sources)


def distinct_names(paths) -> list[str]:
    """A short name for each file: its stem, with as many of its folders as tell it from the others."""
    parts = [[*Path(path).parts[:-1], Path(path).stem] for path in paths]
    for depth in range(1, max(map(len, parts), default=1) + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    raise OptionError(f"{paths[0]} and others: the same file is named twice")


@contextmanager
def open_tree(source: Source, default_tree: str) -> Iterator:
    """Open a file and its TTree or RNTuple.

    Raises
    ------
    FileError
        The file is missing, is not a ROOT file or cannot be read.
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
        file = uproot.open({source.path: None}, object_cache=None, array_cache=None, timeout=TIMEOUT_S)
    except Exception as error:
        raise FileError(f"{source.path}: {_why_not_opened(source, error)}") from error
    with file:
        try:
            tree = file[name]
        except KeyError as error:
            trees = sorted({key.partition(";")[0] for key in file.keys(recursive=False)})
            raise LayoutError(
                f"{source.path}: no tree {name!r}{nearest(name, trees)}; the file holds: {', '.join(trees)}"
            ) from error
        except Exception as error:
            raise FileError(f"{source.path}: tree {name!r} cannot be read: {one_line(error)}") from error
        if not hasattr(tree, "num_entries"):
            raise LayoutError(f"{source.path}: {name!r} is a {file.classname_of(name)}, not a TTree or RNTuple")
        yield tree


def _why_not_opened(source: Source, error: Exception) -> str:
    """One line on why a file did not open; fsspec-xrootd raises OSError for everything."""
    text = str(error)
    if isinstance(error, FileNotFoundError) or "No such file" in text or "[3011]" in text:
        return "no such file"
    if isinstance(error, IsADirectoryError):
        return "is a directory, not a ROOT file"
    if isinstance(error, PermissionError):
        return "permission denied"
    if os.path.isfile(source.path):
        with open(source.path, "rb") as file:
            if file.read(4) != b"root":
                return "not a ROOT file"
    return f"cannot be read: {one_line(error)}"
