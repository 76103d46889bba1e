"""The rows of a scored file: kept input by input until all are through, then written whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..errors import FileError
from ..output.files import whole_file
from ..output.journal import Journal
from ..reading.dijets import check_columns
from ..reading.reports import FileReport
from ..reading.sources import Source
from .formats import MASK, ROWS_AT_ONCE, write_scores

__all__ = ["UnfinishedScores", "unfinished"]


def unfinished(output: Path) -> Path:
    """Where the rows of a scored file are kept until it is whole."""
    return output.with_name(f".{output.name}.unfinished")


class UnfinishedScores:
    """Rows of a scored file while it is made; what a killed process had finished is there again.

    Parameters
    ----------
    journal : Journal
        In `unfinished`.
    sources : list of Source
        The input files, in the order of the output.
    """

    def __init__(self, journal: Journal, sources: list[Source]):
        self._journal, self._sources = journal, sources
        self._names = [f"{i} {source.path} {source.tree or ''}" for i, source in enumerate(sources)]
        # Files without a row that is kept do not decide, but where there are no others.
        parts = sorted(journal.parts.values(), key=lambda part: part["bytes"] == 0)
        self._columns: list | None = parts[0]["columns"] if parts else None
        self._first: int | None = None
        for i in range(len(sources)):
            if self.report(i) is None:  # what a file gave that did not come through
                self._rows(i).unlink(missing_ok=True)

    def _rows(self, i: int) -> Path:
        return self._journal.folder / f"{i}.rows"

    def report(self, i: int) -> FileReport | None:
        """Of an input file that is through, else None."""
        part = self._journal.parts.get(self._names[i])
        rows = self._rows(i)
        whole = part and rows.exists() and rows.stat().st_size == part["bytes"]
        return FileReport.from_dict(part["report"]) if whole else None

    def check(self, i: int, rows: np.ndarray) -> None:
        """Raise `LayoutError` where an input file has other columns than those before it that came through."""
        described = [[name, rows.dtype[name].str] for name in rows.dtype.names]
        if i != self._first and not any(part["bytes"] for part in self._journal.parts.values()):
            self._columns, self._first = described, i
        if len(rows) == 0:
            return
        ours, others = ([f"{name} ({kind})" for name, kind in found] for found in (described, self._columns))
        check_columns(self._sources[i].path, others, ours)

    def add(self, i: int, rows: np.ndarray) -> None:
        """Keep the rows of a chunk."""
        try:
            with open(self._rows(i), "ab") as file:
                file.write(rows.tobytes())
        except OSError as error:
            raise FileError(f"{self._rows(i)}: cannot be written: {error.strerror}") from error

    @property
    def _dtype(self) -> np.dtype:
        return np.dtype([tuple(column) for column in self._columns])

    def finish(self, i: int, report: FileReport) -> None:
        """An input file is through."""
        size = self._rows(i).stat().st_size
        self._journal.add(self._names[i], {"report": report.to_dict(), "columns": self._columns, "bytes": size})

    def _blocks(self, friend: bool) -> Iterator[np.ndarray]:
        """All rows, in order, `ROWS_AT_ONCE` at a time; of a friend one for each entry."""
        waiting, room = [], ROWS_AT_ONCE
        for i in range(len(self._sources)):
            report = self.report(i)
            if report is None:
                continue
            kept = np.memmap(self._rows(i), self._dtype, "r") if self._rows(i).stat().st_size else self._no_rows
            first, last = 0, report.entries if friend else len(kept)
            while first < last:
                stop = min(first + room, last)
                waiting.append(self._friend(kept, first, stop) if friend else kept[first:stop])
                room -= stop - first
                first = stop
                if room == 0:
                    yield np.concatenate(waiting)
                    waiting, room = [], ROWS_AT_ONCE
        if waiting:
            yield np.concatenate(waiting)

    @property
    def _no_rows(self) -> np.ndarray:
        return np.empty(0, self._dtype)

    def _friend(self, kept: np.ndarray, first: int, stop: int) -> np.ndarray:
        """A row for each of some entries: NaN where there is no score."""
        rows = np.zeros(stop - first, list(self._kinds(friend=True).items()))
        for name in rows.dtype.names:
            if rows.dtype[name].kind == "f":
                rows[name] = np.nan
        begin, end = np.searchsorted(kept["entry"], [first, stop])
        place = kept["entry"][begin:end] - first
        for name in rows.dtype.names:
            rows[name][place] = True if name == MASK else kept[name][begin:end]
        return rows

    def _kinds(self, friend: bool) -> dict[str, np.dtype]:
        """The columns of the scored file."""
        kinds = {name: np.dtype(kind) for name, kind in self._columns if name != "entry"}
        return {**kinds, MASK: np.dtype(bool)} if friend else kinds

    def write(self, output: Path, provenance: dict, *, friend: bool = False) -> None:
        """Write the rows of all input files that are through."""
        with whole_file(output) as temporary:
            write_scores(temporary, output.suffix, self._kinds(friend), self._blocks(friend), provenance)
