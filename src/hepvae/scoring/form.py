"""From rows of input files to scored files: which columns they have, and how they are written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.recfunctions import drop_fields, rename_fields

from ..inference import Inferer
from ..reading.declarations import EVENT_COLUMNS, JET_COLUMNS
from ..reading.layouts import FAT_JETS, SCHEMAS
from ..reading.options import ReadOptions
from ..reading.reports import FileReport
from .formats import MASK, ROWS_AT_ONCE, write_jets, write_scores

__all__ = ["OF_EVENTS", "Columns", "Rows", "ScoredForm", "columns_of", "model_name"]

Rows = npt.NDArray[np.void]
#: Names and kinds, as in ``numpy.dtype``.
Columns = list[tuple[str, str]]
#: The rows of an input file, and what became of it.
Kept = tuple[FileReport, Rows]

#: Columns of the input that a scored file has.
OF_EVENTS = tuple(dict.fromkeys(name for schema in SCHEMAS.values() for name in schema.event_columns))


def columns_of(losses: Iterable[str]) -> tuple[str, ...]:
    """All columns that rows may have, in the order of the scored file, for what a model gives each jet."""
    return (
        *("entry", *EVENT_COLUMNS),
        *(f"j{jet}_{name}" for jet in (1, 2) for name in (*JET_COLUMNS, *losses)),
        *("mjj", "deta", "score"),
    )


def model_name(inferer: Inferer) -> str:
    """Of its file, or of the folder of a model directory."""
    path = inferer.path
    return path.parent.name if path.stem == "model" else path.stem


@dataclass(frozen=True)
class ScoredForm:
    """Which columns a scored file has, and how it is written; it travels to workers."""

    suffix: str
    """``.root`` or ``.parquet``."""
    friend: bool
    """One row for each entry of the input."""
    all_jets: bool
    """All jets of each entry, and no events."""
    model: str
    """In the names of the columns of all jets."""
    losses: tuple[str, ...]
    """What the model gives each jet."""
    observables: tuple[str, ...]
    """Of each jet, beside its losses."""
    read: ReadOptions
    provenance: dict[str, Any]
    """How the scores are computed."""

    def as_written(self, rows: Rows, file: FileReport) -> Rows:
        """Rows of a file with the columns of the output."""
        if self.all_jets:  # losses of jets by collection and model, as FatJet_conv_loss
            return rename_fields(rows, self._names(self._collection(file)))
        # The input of a friend has identifiers, weights and labels.
        return drop_fields(rows, OF_EVENTS) if self.friend else rows

    def allowed(self) -> tuple[str, ...]:
        """Names and patterns of the columns that rows may have."""
        if not self.all_jets:
            return (*columns_of((*self.losses, *self.observables)), *OF_EVENTS, *self.read.carried)
        collections = {self._collection(FileReport("", schema=schema)) for schema in (None, *SCHEMAS)}
        return ("entry", *(name for one in sorted(collections) for name in self._names(one).values()))

    def _names(self, collection: str) -> dict[str, str]:
        """Names of the columns of all jets, by what the model gives."""
        return {loss: f"{collection}_{self.model}_{loss}" for loss in self.losses}

    def _collection(self, file: FileReport) -> str:
        """What the jets of a file are called: of layouts without collections, ``Jet``."""
        jets = self.read.jets
        if jets != FAT_JETS or file.schema is None:
            return jets.name
        return (SCHEMAS[file.schema].layout.jet_prefix or "Jet_").rstrip("_")

    def write(self, path: Path, columns: Columns, kept: Iterable[Kept]) -> None:
        """Write the rows of some files, in their order."""
        if self.all_jets:
            names = [name for name, _ in columns if name != "entry"]
            collection = names[0].removesuffix(f"_{self.model}_{self.losses[0]}")
            write_jets(path, self.suffix, collection, names, _entries(kept), self.provenance)
            return
        kinds = {name: np.dtype(kind) for name, kind in columns if name != "entry"}
        if self.friend:
            kinds[MASK] = np.dtype(bool)
        write_scores(path, self.suffix, kinds, self._blocks(kinds, kept), self.provenance)

    def _blocks(self, kinds: dict[str, np.dtype[Any]], kept: Iterable[Kept]) -> Iterator[Rows]:
        """All rows, in order, `ROWS_AT_ONCE` at a time; of a friend one for each entry."""
        waiting: list[Rows] = []
        room = ROWS_AT_ONCE
        for file, rows in kept:
            first, last = 0, file.entries if self.friend else len(rows)
            while first < last:
                stop = min(first + room, last)
                waiting.append(_friend(kinds, rows, first, stop) if self.friend else rows[first:stop])
                room -= stop - first
                first = stop
                if room == 0:
                    yield np.concatenate(waiting)
                    waiting, room = [], ROWS_AT_ONCE
        if waiting:
            yield np.concatenate(waiting)


def _friend(kinds: dict[str, np.dtype[Any]], kept: Rows, first: int, stop: int) -> Rows:
    """A row for each of some entries: NaN where there is no score."""
    rows = np.zeros(stop - first, list(kinds.items()))
    begin, end = np.searchsorted(kept["entry"], [first, stop])
    place = kept["entry"][begin:end] - first
    for name in rows.dtype.names or ():
        if rows.dtype[name].kind == "f":
            rows[name] = np.nan
        rows[name][place] = True if name == MASK else kept[name][begin:end]
    return rows


def _entries(kept: Iterable[Kept]) -> Iterator[tuple[npt.NDArray[np.int64], Rows]]:
    """How many jets each of `ROWS_AT_ONCE` entries of a file has, and their rows."""
    for file, rows in kept:
        for first in range(0, file.entries, ROWS_AT_ONCE):
            stop = min(first + ROWS_AT_ONCE, file.entries)
            begin, end = np.searchsorted(rows["entry"], [first, stop])
            yield np.bincount(rows["entry"][begin:end] - first, minlength=stop - first), rows[begin:end]
