"""The scored file: kept input by input until all are through, then written whole; and read again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .dijets import check_columns
from .errors import FileError, LayoutError
from .journal import Journal
from .outputs import whole_file
from .reports import FileReport
from .sources import Source, open_tree

__all__ = ["PROVENANCE", "TREE", "UnfinishedScores", "read_scores", "unfinished"]

TREE = "Events"
PROVENANCE = "hepvae"

#: Rows written at once: the baskets do not depend on how the input was cut into files and chunks.
ROWS_AT_ONCE = 100_000


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
        self._columns: list | None = next((part["columns"] for part in journal.parts.values()), None)
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

    def check(self, i: int, columns: dict[str, np.ndarray]) -> None:
        """Raise `LayoutError` where an input file has other columns than those before it that came through."""
        described = [[name, column.dtype.str] for name, column in columns.items()]
        if not self._journal.parts and i != self._first:
            self._columns, self._first = described, i
        ours, others = ([f"{name} ({kind})" for name, kind in found] for found in (described, self._columns))
        check_columns(self._sources[i].path, others, ours)

    def add(self, i: int, columns: dict[str, np.ndarray]) -> None:
        """Keep the rows of a chunk."""
        rows = np.empty(len(columns["score"]), self._dtype)
        for name, column in columns.items():
            rows[name] = column
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

    def _pieces(self) -> Iterator[np.ndarray]:
        """All rows, in order."""
        waiting, number = [], 0
        for i in range(len(self._sources)):
            if self.report(i) is None:
                continue
            with open(self._rows(i), "rb") as file:
                while len(rows := np.fromfile(file, self._dtype, ROWS_AT_ONCE - number)):
                    waiting.append(rows)
                    number += len(rows)
                    if number == ROWS_AT_ONCE:
                        yield np.concatenate(waiting)
                        waiting, number = [], 0
        if waiting:
            yield np.concatenate(waiting)

    def write(self, output: Path, provenance: dict) -> None:
        """Write the rows of all input files that are through."""
        import uproot

        with whole_file(output) as temporary, uproot.recreate(temporary) as file:
            tree = file.mktree(TREE, {name: np.dtype(kind) for name, kind in self._columns})
            for rows in self._pieces():
                tree.extend({name: np.ascontiguousarray(rows[name]) for name in rows.dtype.names})
            file[PROVENANCE] = json.dumps(provenance)


def read_scores(path):
    """Scores and weights of a scored file.

    Returns
    -------
    score, weight : numpy arrays, (events,)
        ``genWeight``, or ones where the file has none.
    """
    with open_tree(Source(str(path)), TREE) as tree:
        if "score" not in tree:
            raise LayoutError(f"{path}: tree {TREE!r}: no branch 'score': expected a file of hepvae score")
        score = tree["score"].array(library="np")
        weight = tree["genWeight"].array(library="np") if "genWeight" in tree else np.ones_like(score)
    return score, weight
