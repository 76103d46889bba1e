"""Scored files as TTrees and as Parquet: written block by block, and read again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import awkward as ak
import numpy as np

from .errors import FileError, LayoutError, OptionError, one_line
from .extras import load_pyarrow
from .sources import Source
from .tables import open_table

__all__ = ["MASK", "PROVENANCE", "TREE", "check_format", "read_scores", "write_scores"]

TREE = "Events"
PROVENANCE = "hepvae"
#: The column of a friend that says which entries have a score.
MASK = "scored"


@contextmanager
def _root(path: Path, kinds: dict[str, np.dtype], provenance: str) -> Iterator:
    import uproot

    with uproot.recreate(path) as file:
        tree = file.mktree(TREE, kinds)
        yield lambda rows: tree.extend({name: np.ascontiguousarray(rows[name]) for name in kinds})
        file[PROVENANCE] = provenance


@contextmanager
def _parquet(path: Path, kinds: dict[str, np.dtype], provenance: str) -> Iterator:
    pyarrow = load_pyarrow(str(path))
    from pyarrow.parquet import ParquetWriter

    fields = [(name, pyarrow.from_numpy_dtype(kind)) for name, kind in kinds.items()]
    schema = pyarrow.schema(fields, metadata={PROVENANCE: provenance})
    with ParquetWriter(path, schema, write_page_checksum=True) as file:
        yield lambda rows: file.write_table(pyarrow.table([rows[name] for name in kinds], schema=schema))


#: How a scored file is written, by its suffix.
WRITERS = {".root": _root, ".parquet": _parquet}


def check_format(path: Path) -> None:
    """Raise where a scored file of this name cannot be written for its kind: before the work, not after it."""
    if path.suffix not in WRITERS:
        raise OptionError(f"{path}: expected a name that ends in {' or '.join(WRITERS)}")
    if path.suffix == ".parquet":
        load_pyarrow(str(path))


def write_scores(path: Path, suffix: str, kinds: dict[str, np.dtype], blocks: Iterable, provenance: dict) -> None:
    """Write blocks of rows.

    Parameters
    ----------
    suffix : str
        Of `WRITERS`; that of ``path`` does not count.
    kinds : dict of str to dtype
        The columns.
    blocks : iterable of structured arrays
    """
    with WRITERS[suffix](path, kinds, json.dumps(provenance)) as write:
        for rows in blocks:
            write(rows)


def read_scores(path) -> tuple[np.ndarray, np.ndarray]:
    """Scores and weights of a scored file.

    Returns
    -------
    score, weight : numpy arrays, (events,)
        ``genWeight``, or ones where the file has none.

    Raises
    ------
    FileError, LayoutError
        The file cannot be read, is none of `score_files`, or is a friend, which has no weights.
    """
    read = _read_parquet if Path(path).suffix == ".parquet" else _read_root
    names, columns = read(path, ("score", "genWeight"))
    if MASK in names:
        raise LayoutError(f"{path}: is a friend of its input, which has the weights: expected a file without")
    if "score" not in columns:
        raise LayoutError(f"{path}: no branch 'score': expected a file of hepvae score")
    return columns["score"], columns.get("genWeight", np.ones_like(columns["score"]))


def _read_root(path, wanted) -> tuple[list[str], dict[str, np.ndarray]]:
    with open_table(Source(str(path), TREE)) as table:
        columns = table.read([name for name in wanted if name in table.names], 0, table.num_entries)
        return list(table.names), {name: ak.to_numpy(column) for name, column in columns.items()}


def _read_parquet(path, wanted) -> tuple[list[str], dict[str, np.ndarray]]:
    load_pyarrow(str(path))
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            names = file.schema_arrow.names
            columns = file.read([name for name in wanted if name in names])
    except (OSError, ArrowException) as error:
        raise FileError(f"{path}: cannot be read: {one_line(error)}") from error
    return names, {name: columns[name].to_numpy() for name in columns.column_names}
