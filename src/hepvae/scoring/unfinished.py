"""The rows of one scored file: kept input by input until all are completed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import LayoutError
from ..output.folders import LocalFolder, open_output
from ..output.journal import Journal
from ..reading.dijets import check_columns
from ..reading.reports import FileReport
from ..reading.sources import Source
from .form import Columns, Rows

__all__ = ["UnfinishedScores", "unfinished"]

#: Read at once to check rows that were kept.
BLOCK_BYTES = 1 << 22


def unfinished(output: str | Path) -> Path:
    """Where the rows of a scored file are kept until it is whole: beside it; of one on a server, where we are."""
    folder, name = open_output(output)
    if isinstance(folder, LocalFolder):
        return Path(folder.path(f".{name}.unfinished"))
    where = hashlib.sha256(folder.address.partition("?")[0].encode()).hexdigest()[:8]
    return Path(f".{name}.{where}.unfinished")


class UnfinishedScores:
    """Rows of a scored file while it is written; those that a killed process had completed are there again.

    A part belongs to one input file as it was: by its place, size, time of change and tree.

    Parameters
    ----------
    journal : Journal
        In `unfinished`.
    sources : list of Source
        The input files, in the order of the output.
    allowed : sequence of str
        Names and patterns of the columns that rows may have.
    """

    def __init__(self, journal: Journal, sources: list[Source], allowed: Sequence[str]):
        self._journal, self._sources, self._allowed = journal, sources, allowed
        self._keys = [json.dumps([*source.stamp, source.tree]) for source in sources]
        self._files = [f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.rows" for key in self._keys]
        self._parts: dict[int, _Part] = {}
        for i, (key, name) in enumerate(zip(self._keys, self._files)):
            part = _Part.of(journal.parts.get(key), self._allowed)
            if part is not None and part.digest == _digest(journal, name, part.size):
                self._parts[i] = part
        for name in {*journal.names()} - {self._files[i] for i in self._parts}:
            journal.unlink(name)
        # Files without a row that is kept do not decide, but where there are no others.
        kept = sorted(self._parts.values(), key=lambda part: part.size == 0)
        self.columns: Columns = kept[0].columns if kept else []
        self._first: int | None = None
        self._running: dict[int, Any] = {}
        """Digests of the rows of files that are not completed."""

    def report(self, i: int) -> FileReport | None:
        """Of an input file that is completed, else None."""
        return self._parts[i].report if i in self._parts else None

    def check(self, i: int, rows: Rows) -> None:
        """Raise `LayoutError` where an input file has other columns than those completed before it."""
        described = [(name, rows.dtype[name].str) for name in rows.dtype.names or ()]
        if i != self._first and not any(part.size for part in self._parts.values()):
            self.columns, self._first = described, i
        if len(rows):
            ours, others = ([f"{name} ({kind})" for name, kind in which] for which in (described, self.columns))
            check_columns(self._sources[i].path, others, ours)
        if not all(_is_column(name, kind, self._allowed) for name, kind in described):
            raise LayoutError(f"{self._sources[i].path}: expected columns of numbers, not {rows.dtype}")

    def add(self, i: int, rows: Rows) -> None:
        """Keep the rows of a chunk; those of the first chunk replace what there was of the file."""
        first = i not in self._running
        content = rows.tobytes()
        flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if first else os.O_APPEND)
        with self._journal.open(self._files[i], flags) as file:
            file.write(content)
        if first:
            self._running[i] = hashlib.sha256()
        self._running[i].update(content)

    def finish(self, i: int, report: FileReport) -> None:
        """An input file is completed: its rows are on the disk before the journal names them."""
        digest = self._running.pop(i, None) or hashlib.sha256()
        with self._journal.open(self._files[i], os.O_RDWR | os.O_CREAT | os.O_APPEND) as file:
            os.fsync(file.fileno())
            size = os.fstat(file.fileno()).st_size
        part = _Part(report, self.columns, size, digest.hexdigest())
        self._journal.add(self._keys[i], part.to_dict())
        self._parts[i] = part

    def kept(self) -> Iterator[tuple[FileReport, Rows]]:
        """Rows of the input files that are completed, in their order, each with its report."""
        dtype = np.dtype(self.columns)
        for i, part in sorted(self._parts.items()):
            with self._journal.open(self._files[i]) as file:
                yield part.report, np.memmap(file, dtype, "r") if part.size else np.empty(0, dtype)


@dataclass(frozen=True)
class _Part:
    """What the journal has of one input file."""

    report: FileReport
    columns: Columns
    size: int
    digest: str

    def to_dict(self) -> dict[str, Any]:
        """For the journal."""
        names = {"columns": self.columns, "bytes": self.size, "sha256": self.digest}
        return {"report": self.report.to_dict(), **names}

    def _is_consistent(self) -> bool:
        """Whether there are as many rows as the report has events with a score, or jets."""
        dtype, report = np.dtype(self.columns), self.report
        rows = report.events_scored if "score" in (dtype.names or ()) else report.health.jets
        return self.size == rows * dtype.itemsize and report.events_scored <= report.entries

    @classmethod
    def of(cls, content: Any, allowed: Sequence[str]) -> _Part | None:
        """From what `to_dict` gave; None where it is not what this version writes."""
        try:
            columns = [(name, kind) for name, kind in content["columns"]]
            report = FileReport.from_dict(content["report"])
            part = cls(report, columns, content["bytes"], content["sha256"])
            plain = all(_is_column(*column, allowed) for column in columns)
            return part if plain and part._is_consistent() and report.failure is None else None
        except (TypeError, KeyError, ValueError, AttributeError):
            return None


def _is_column(name: Any, kind: Any, allowed: Sequence[str]) -> bool:
    """Whether it is a column that scored files have, of plain numbers of this machine."""
    return (
        isinstance(name, str)
        and (name in allowed or any(fnmatchcase(name, pattern) for pattern in allowed))
        and isinstance(kind, str)
        and kind[:1] in "<>|="
        and kind[1:2] in "biuf"
        and kind[2:].isdigit()
    )


def _digest(journal: Journal, name: str, size: int) -> str | None:
    """Of the rows in a file of so many bytes; None where there are others."""
    if name not in journal.names():
        return None
    with journal.open(name) as file:
        if os.fstat(file.fileno()).st_size != size:
            return None
        digest = hashlib.sha256()
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
