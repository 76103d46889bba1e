"""Scored files as TTrees and as Parquet: written block by block, and read again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from ..errors import FileError, LayoutError, OptionError, one_line
from ..extras import require
from ..options import nearest
from ..reading.sources import Source
from ..reading.tables import open_table

__all__ = [
    "MASK",
    "PROVENANCE",
    "ROWS_AT_ONCE",
    "TREE",
    "ScoredFile",
    "check_format",
    "jets_kinds",
    "open_scored",
    "provenance_of",
    "read_columns",
    "write_jets",
    "write_scores",
]

#: Columns by name.
Block = dict[str, npt.NDArray[Any]]
Kinds = Mapping[str, np.dtype[Any]]
#: Rows, as a structured array or as columns by name.
AnyBlock = npt.NDArray[np.void] | Block

TREE = "Events"
PROVENANCE = "hepvae"
#: The column of a friend that says which entries have a score.
MASK = "scored"
#: Rows written and read at once: the baskets do not depend on how the input was cut into files and chunks.
ROWS_AT_ONCE = 100_000


@contextmanager
def _root(path: Path, kinds: Mapping[str, Any], provenance: Mapping[str, Any]) -> Iterator[Callable[[Any], Any]]:
    import uproot

    with uproot.recreate(path) as file:
        yield file.mktree(TREE, kinds).extend
        file[PROVENANCE] = json.dumps(provenance)


@contextmanager
def _parquet(
    path: Path, kinds: Mapping[str, Any], provenance: Mapping[str, Any]
) -> Iterator[Callable[[Any], Any]]:
    pyarrow = require("pyarrow", str(path))
    from pyarrow.parquet import ParquetWriter

    fields = [
        pyarrow.field(name, pyarrow.from_numpy_dtype(kind)) if isinstance(kind, np.dtype) else kind
        for name, kind in kinds.items()
    ]
    schema = pyarrow.schema(fields, metadata={PROVENANCE: json.dumps(provenance)})
    with ParquetWriter(path, schema, write_page_checksum=True) as file:
        yield lambda columns: file.write_table(pyarrow.table(columns, schema=schema))


#: How a scored file is written, by its suffix.
WRITERS = {".root": _root, ".parquet": _parquet}


def check_format(path: Path) -> None:
    """Raise where a scored file of this name cannot be written for its kind: before the work, not after it."""
    if path.suffix not in WRITERS:
        raise OptionError(f"{path}: expected a name that ends in {' or '.join(WRITERS)}")
    if path.suffix == ".parquet":
        require("pyarrow", str(path))


def write_scores(
    path: Path, suffix: str, kinds: Kinds, blocks: Iterable[AnyBlock], provenance: Mapping[str, Any]
) -> None:
    """Write blocks of rows.

    Parameters
    ----------
    suffix : str
        Of `WRITERS`; that of ``path`` does not count.
    kinds : dict of str to dtype
        The columns.
    blocks : iterable of structured arrays or dicts of columns
    """
    with WRITERS[suffix](path, kinds, provenance) as write:
        for rows in blocks:
            write({name: np.ascontiguousarray(rows[name]) for name in kinds})


def write_jets(
    path: Path,
    suffix: str,
    collection: str,
    names: Sequence[str],
    blocks: Iterable[tuple[npt.NDArray[np.int64], npt.NDArray[np.void]]],
    provenance: Mapping[str, Any],
) -> None:
    """Write losses of jets, jagged, entry by entry.

    Parameters
    ----------
    suffix : str
        Of `WRITERS`; that of ``path`` does not count.
    collection : str
        Of the jets, as ``FatJet``: how many jets an entry has is the column ``nFatJet``.
    names : list of str
        Of the columns of float32, as ``FatJet_conv_loss``.
    blocks : iterable of int arrays (entries,) and structured arrays (jets,)
        How many jets each entry has, and their columns.
    """
    if suffix == ".parquet":
        pyarrow = require("pyarrow", str(path))
        lists = pyarrow.list_(pyarrow.field("item", pyarrow.float32(), nullable=False))
        kinds = {f"n{collection}": pyarrow.int32(), **dict.fromkeys(names, lists)}
        fields = {name: pyarrow.field(name, kind, nullable=False) for name, kind in kinds.items()}
        with _parquet(path, fields, provenance) as write:
            for counts, rows in blocks:
                ends = pyarrow.array(np.cumsum([0, *counts]), pyarrow.int32())
                columns = (np.ascontiguousarray(rows[name]) for name in names)
                arrays = (pyarrow.ListArray.from_arrays(ends, column, lists) for column in columns)
                write({f"n{collection}": counts.astype(np.int32), **dict(zip(names, arrays))})
        return
    inner = [name.removeprefix(f"{collection}_") for name in names]
    with _root(path, jets_kinds(collection, names), provenance) as write:
        for counts, rows in blocks:
            jets = ak.zip({field: np.ascontiguousarray(rows[name]) for field, name in zip(inner, names)})
            write({collection: ak.unflatten(jets, counts)})


def jets_kinds(collection: str, names: Sequence[str]) -> dict[str, str]:
    """Branches of uproot for columns of jets, as ``FatJet_conv_loss``, and their number, ``nFatJet``."""
    kind = ", ".join(f"{name.removeprefix(f'{collection}_')}: float32" for name in names)
    return {collection: f"var * {{{kind}}}"}


@dataclass(frozen=True)
class ScoredFile:
    """A scored file that is open."""

    path: str
    """As the user named it."""
    kinds: dict[str, np.dtype[Any]]
    """Its columns."""
    provenance: dict[str, Any]
    """How the scores were made."""
    blocks: Callable[[Iterable[str], int], Iterator[Block]]
    """Takes names of columns and a number of rows, and gives the columns in blocks of so many rows."""

    def column(self, name: str) -> npt.NDArray[Any]:
        """A whole column, (events,)."""
        if name not in self.kinds:
            raise LayoutError(f"{self.path}: no branch {name!r}: expected a file of hepvae score")
        parts = [block[name] for block in self.blocks([name], ROWS_AT_ONCE)]
        return np.concatenate([np.empty(0, self.kinds[name]), *parts])


@contextmanager
def open_scored(path: str | Path) -> Iterator[ScoredFile]:
    """A scored file, to be read.

    Raises
    ------
    FileError, LayoutError
        The file cannot be read, or is none of `score_files`.
    """
    reader = _open_parquet if Path(path).suffix == ".parquet" else _open_root
    with reader(path) as scored:
        if "score" not in scored.kinds:
            of_jets = " without --jets all" if scored.provenance.get("jets") == "all" else ""
            raise LayoutError(f"{path}: no branch 'score': expected a file of hepvae score{of_jets}")
        yield scored


def provenance_of(source: Source) -> dict[str, Any]:
    """How a file of hepvae was scored; nothing where it is another file.

    Raises
    ------
    FileError, LayoutError
        The file cannot be read.
    """
    import uproot

    if source.path.endswith(".parquet"):
        with _open_parquet(source.path) as scored:
            return scored.provenance
    if not source.path.endswith(".root") or source.tree not in (None, TREE):
        return {}
    # where it cannot be opened, the first says why
    with open_table(source), uproot.open(source.path) as file:
        return _provenance(source.path, file.get(PROVENANCE))


def read_columns(
    path: str | Path, names: Sequence[str]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], dict[str, Any]]:
    """Columns, weights and provenance of a scored file.

    Returns
    -------
    values : array (events, names)
    weight : array (events,)
        ``genWeight``, or ones where the file has none.
    provenance : dict
        How the scores were made.

    Raises
    ------
    FileError, LayoutError
        The file cannot be read, is none of `score_files`, is a friend, which has no weights, or has no such
        column.
    """
    with open_scored(path) as scored:
        if MASK in scored.kinds:
            raise LayoutError(f"{path}: is a friend of its input, which has the weights: expected a file without")
        scored.column("score")
        for name in names:
            if name not in scored.kinds:
                raise LayoutError(f"{path}: no column {name!r}{nearest(name, scored.kinds)}")
        values = np.stack([scored.column(name) for name in names], axis=1)
        weight = scored.column("genWeight") if "genWeight" in scored.kinds else np.ones(len(values))
        return values, weight, scored.provenance


@contextmanager
def _open_root(path: str | Path) -> Iterator[ScoredFile]:
    import uproot

    with open_table(Source(str(path), TREE)) as table:
        with uproot.open(path) as file:
            provenance = _provenance(path, file.get(PROVENANCE))
            kinds = {branch.name: branch.interpretation for branch in file[TREE].branches}

        def blocks(names: Iterable[str], rows: int) -> Iterator[Block]:
            for first in range(0, table.num_entries, rows):
                columns = table.read(list(names), first, min(first + rows, table.num_entries))
                yield {name: ak.to_numpy(column) for name, column in columns.items()}

        flat = {n: kind.to_dtype for n, kind in kinds.items() if isinstance(kind, uproot.AsDtype)}
        yield ScoredFile(str(path), {n: np.dtype(kind) for n, kind in flat.items()}, provenance, blocks)


@contextmanager
def _open_parquet(path: str | Path) -> Iterator[ScoredFile]:
    require("pyarrow", str(path))
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            schema = file.schema_arrow

            def blocks(names: Iterable[str], rows: int) -> Iterator[Block]:
                for batch in file.iter_batches(rows, columns=list(names)):
                    yield {name: batch[name].to_numpy(zero_copy_only=False) for name in names}

            kinds = {field.name: np.dtype(field.type.to_pandas_dtype()) for field in schema}
            provenance = _provenance(path, (schema.metadata or {}).get(PROVENANCE.encode()))
            yield ScoredFile(str(path), kinds, provenance, blocks)
    except (OSError, ArrowException) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"{path}: cannot be read: {one_line(error)}") from error


def _provenance(path: str | Path, text: str | bytes | None) -> dict[str, Any]:
    """What a scored file says of how it was written; nothing where it is another file."""
    try:
        return dict(json.loads(text)) if text else {}
    except (TypeError, ValueError, RecursionError) as error:
        raise LayoutError(f"{path}: what it says of its scores cannot be read: {one_line(error)}") from error
