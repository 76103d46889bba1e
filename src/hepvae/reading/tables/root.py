"""TTree and RNTuple of ROOT files."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import awkward as ak

from ...errors import FileError, LayoutError
from ...extras import require
from ...options import nearest
from ...storage.access import ACCESS, Access, file_error
from ..layouts import known_branches
from ..sources import TREE, Source
from .base import Table

__all__ = ["GENERATED", "RUNS", "open_root"]

#: The tree with one row for each part of a generation, and its column of summed weights, of NanoAOD.
RUNS, GENERATED = "Runs", "genEventSumw"


class RootTable(Table):
    """A table of a ROOT file."""

    directory: Any = None
    """The file, which has other trees, too."""

    def generated_weights(self) -> float | None:
        try:
            if self.directory is None or GENERATED not in self.directory.get(RUNS, ()):
                return None
            return float(ak.sum(self.directory[RUNS][GENERATED].array()))
        except Exception as error:
            raise file_error(self.where, error, f"tree {RUNS!r} cannot be read") from error


class TTreeTable(RootTable):
    """A TTree."""

    def __init__(self, tree: Any, where: str):
        self._tree, self.where = tree, where
        self.names = frozenset(tree.keys(recursive=False))
        self.num_entries = tree.num_entries
        self._check_names()

    def _check_names(self) -> None:
        """Many files have no checksum on the names of branches, and a column that need not be there is not missed.

        A branch with one leaf has the same name twice.
        """
        known = known_branches().difference(self.names)
        for branch in self._tree.branches:
            leaves = branch.member("fLeaves")
            if len(leaves) == 1 and leaves[0].member("fName") in known:
                leaf = leaves[0].member("fName")
                raise FileError(f"{self.where}: branch {branch.name!r} has the leaf {leaf!r}: is damaged")

    def _check_baskets(self, name: str) -> None:
        """What the tree says of the baskets of a branch, before they are read."""
        branch = self._tree[name]
        if branch.num_entries != self.num_entries:
            raise FileError(f"has {self.num_entries} entries, and its branch {name!r} {branch.num_entries}")
        places = branch.member("fBasketSeek")[: branch.num_baskets - len(branch.embedded_baskets)]
        if len(set(places.tolist())) < len(places):  # uproot would wait for the second one for ever
            raise FileError(f"two baskets of branch {name!r} are at the same place")

    def read(self, names: Sequence[str], start: int, stop: int) -> dict[str, ak.Array]:
        for name in names:
            self._check_baskets(name)
        # A mapping of names to interpretations: filter_branch of uproot 5.7 ignores what it is given.
        wanted = {name: _checked(self._tree[name].interpretation) for name in names}
        arrays = self._tree.arrays(wanted, entry_start=start, entry_stop=stop)
        return {name: arrays[name] for name in names}

    def size(self, names: Sequence[str]) -> int:
        # From the header of the tree: num_entries_for() of uproot reads every basket's key for this,
        # over a network one after the other.
        return int(sum(self._tree[name].member("fTotBytes") for name in names))


def _checked(interpretation: Any) -> Any:
    """The same, with each basket held against what the tree says: uproot does that only where all are read."""
    from uproot.interpretation.jagged import AsJagged
    from uproot.interpretation.numerical import AsDtype

    def check(self: Any, *, basket: Any, branch: Any, **_: Any) -> None:
        start, stop = branch.basket_entry_start_stop(basket.basket_num)
        if basket.member("fNevBuf") != stop - start:
            raise FileError(
                f"basket {basket.basket_num} of branch {branch.name!r} has {basket.member('fNevBuf')} entries,"
                f" the tree says {stop - start}"
            )

    if type(interpretation) not in (AsJagged, AsDtype):
        return interpretation
    copied = copy.copy(interpretation)
    copied.hook_after_basket_array = check.__get__(copied)
    return copied


class RNTupleTable(RootTable):
    """An RNTuple.

    A field of a collection that is stored as one, like ``FatJet.pt``, has the name ``FatJet_pt`` here.
    """

    def __init__(self, rntuple: Any, where: str):
        self.where = where
        # Names of fields within fields are listed where there are some: to list all takes 15 s on NanoAOD.
        self._fields: dict[str, Any] = {}
        for field in rntuple.fields:
            if field.name.startswith("_"):
                continue
            self._fields[field.name] = field
            if field.typename == "":
                for inner in field.keys():  # noqa: SIM118 (no dict: it does not iterate over its keys)
                    self._fields[f"{field.name}_{inner}"] = field[inner]
        self.names = self._fields.keys()
        self.num_entries = rntuple.num_entries

    def read(self, names: Sequence[str], start: int, stop: int) -> dict[str, ak.Array]:
        # Not arrays(), which looks at every pair of fields: 15 s on a NanoAOD file (uproot 5.7).
        return {name: self._fields[name].array(entry_start=start, entry_stop=stop) for name in names}

    def size(self, names: Sequence[str]) -> int:
        some = min(self.num_entries, 100)
        bytes_of_some = sum(column.nbytes for column in self.read(names, 0, some).values())
        return int(bytes_of_some) * self.num_entries // max(some, 1)


@contextmanager
def open_root(source: Source, access: Access = ACCESS) -> Iterator[Table]:
    """Open a ROOT file and its tree: the one that is named, ``Events``, or the only one there is.

    Raises
    ------
    FileError
        The file is missing, is not a ROOT file or cannot be read; `TransientError` where it may be read later.
    LayoutError
        The file has no such tree; the message lists what it has.
    """
    import uproot

    if source.path.startswith("root://"):
        require("fsspec_xrootd", source.path)
    try:
        # No caches: uproot would keep the arrays of every chunk alive.
        # A mapping, because a bare string is cut at its last colon.
        file = uproot.open({source.path: None}, object_cache=None, array_cache=None, timeout=access.timeout_s)
    except Exception as error:
        if not source.is_remote and _is_no_root_file(source.path):
            raise FileError(f"{source.path}: not a ROOT file") from error
        raise file_error(source.path, error) from error
    with file:
        name = source.tree or TREE
        try:
            if source.tree is None and name not in file:
                trees = _trees(file, recursive=False)
                name = trees[0] if len(trees) == 1 else name
            tree = file[name]
            if not hasattr(tree, "num_entries"):
                kind = file.classname_of(name)
                raise LayoutError(f"{source.path}: {name!r} is a {kind}, not a TTree or RNTuple")
            where = f"{source.path}: tree {name!r}"
            table: RootTable
            table = TTreeTable(tree, where) if hasattr(tree, "branches") else RNTupleTable(tree, where)
        except LayoutError:
            raise
        except KeyError as error:
            inside = _trees(file, recursive=True) or sorted({key.partition(";")[0] for key in file})
            raise LayoutError(
                f"{source.path}: no tree {name!r}{nearest(name, inside)}; the file holds: {', '.join(inside)}"
                + (f"; name one as the tree, as {inside[0]!r}" if "/" in inside[0] else "")
            ) from error
        except Exception as error:
            raise file_error(source.path, error, f"tree {name!r} cannot be read") from error
        table.directory = file
        yield table


def _trees(file: Any, recursive: bool) -> list[str]:
    """Names of the trees of a file, with their directories."""
    kinds = file.classnames(recursive=recursive, cycle=False)
    return [name for name, kind in kinds.items() if kind == "TTree" or kind.endswith("RNTuple")]


def _is_no_root_file(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(4) != b"root"
    except OSError:
        return False
