"""From chunks of events to the rows of a scored file, in the process that reads them."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from ..errors import HepvaeError, LayoutError, SpecError
from ..execution.threads import read_ahead
from ..inference import Inferer
from ..jets.features import FEATURES
from ..jets.health import Health
from ..jets.padding import FlatJets, flatten_jets
from ..jets.quality import ExaminedJets, examine_jets
from ..jets.reasons import Counts
from ..jets.spec import InputSpec
from ..reading.declarations import JET_COLUMNS
from ..reading.dijets import iterate_source
from ..reading.options import ReadOptions
from ..reading.reports import FileReport
from ..reading.sources import Source
from .form import Rows, columns_of
from .jets import JetScorer, Losses, jet_losses
from .options import ScoringConfig
from .strategy import ScoreStrategy

__all__ = ["ChunkScorer", "flat_pairs", "score_pairs", "scored_chunks"]

Chunk = tuple[FileReport, "ak.Array | None"]


def flat_pairs(events: ak.Array) -> FlatJets:
    """The jets of dijet events, flattened: jets 1 and 2 of an event next to each other."""
    if "jets" not in ak.fields(events):
        raise SpecError("no field 'jets': expected dijet events, as read_dijets gives them")
    flat = flatten_jets(events)
    if flat.shape != (len(events), 2):
        raise SpecError(f"jets have shape {flat.shape}: expected two jets for each of {len(events)} events")
    return flat


def score_pairs(
    jets: ExaminedJets, inferer: JetScorer, strategy: ScoreStrategy
) -> tuple[Losses, npt.NDArray[np.floating[Any]], Counts]:
    """Losses (events, 2) by name, scores (events,), and the jets that could not be scored, counted by reason."""
    losses, problems = jet_losses(jets, inferer)
    losses = {name: values.reshape(-1, 2) for name, values in losses.items()}
    return losses, strategy.score_of(losses, inferer.card), problems


@dataclass(frozen=True)
class _Prepared:
    """The jets of a chunk that are scored, ready for a model."""

    jets: ExaminedJets
    pt: npt.NDArray[np.float32]
    """float32 (jets,)."""
    columns: dict[str, npt.NDArray[Any]]
    """Of the events, or of all jets, without losses and scores."""

    @classmethod
    def of(cls, chunk: ak.Array, path: str, config: ScoringConfig, spec: InputSpec) -> _Prepared:
        """From a chunk of a file as it was read."""
        if config.all_jets:
            number = ak.to_numpy(ak.num(chunk.jets))
            flat = ak.flatten(chunk.jets)
            return cls(
                examine_jets(flat), ak.to_numpy(flat.pt), {"entry": np.repeat(ak.to_numpy(chunk.entry), number)}
            )
        events = config.selection.select(chunk)
        flat = flat_pairs(events)
        columns = _columns(events, path, spec)
        for name in config.observables:
            both = flat.computed(FEATURES["jet"][name]).reshape(-1, 2)
            columns = _joined(columns, {f"j{jet}_{name}": both[:, jet - 1] for jet in (1, 2)}, path)
        return cls(examine_jets(flat), ak.to_numpy(events.jets.pt).ravel(), columns)


def scored_chunks(
    chunks: Iterator[Chunk], inferer: Inferer, config: ScoringConfig
) -> Generator[tuple[FileReport, Rows | None], None, None]:
    """Rows of the scored file, chunk by chunk, counted in the report of their file.

    The next chunk is read while one is scored.

    Parameters
    ----------
    chunks : iterator
        As `iterate_sources` gives them.

    Yields
    ------
    FileReport, structured numpy array (rows,) or None
        The rows of a chunk; None after the last of a file, also of one that failed.
    """
    with closing(read_ahead(_prepared(chunks, config, inferer.spec))) as ahead:
        for file, jets in ahead:
            if jets is None:
                yield file, None
            elif file.failure is None:
                try:
                    rows = _scored_rows(jets, file, inferer, config)
                except HepvaeError as error:
                    file.failure = str(error)
                    continue
                yield file, rows


def _prepared(
    chunks: Iterator[Chunk], config: ScoringConfig, spec: InputSpec
) -> Generator[tuple[FileReport, _Prepared | None], None, None]:
    """Select events and flatten their jets: done by the thread that reads ahead, while a model runs."""
    for file, events in chunks:
        if events is None:
            yield file, None
            continue
        if file.failure is not None:
            continue
        try:
            yield file, _Prepared.of(events, file.path, config, spec)
        except HepvaeError as error:
            file.failure = str(error)


def _scored_rows(prepared: _Prepared, report: FileReport, inferer: Inferer, config: ScoringConfig) -> Rows:
    """The rows of the scored file for one chunk, counted in the report of its file."""
    report.health.add_examined(prepared.jets, prepared.pt)
    if config.all_jets:
        return _rows_of_jets(prepared, report, inferer)
    losses, score, problems = score_pairs(prepared.jets, inferer, config.strategy)
    report.unscored_jets.add(problems)
    scored = np.isfinite(score)
    report.events_kept += len(score)
    report.events_scored += int(scored.sum())
    of_jets = {f"j{jet}_{name}": losses[name][:, jet - 1] for jet in (1, 2) for name in losses}
    columns = _joined(prepared.columns, {**of_jets, "score": score}, report.path)
    names = (*(name for name in columns_of(losses) if name in columns), *columns)  # what was carried along is last
    return _rows({name: columns[name][scored] for name in dict.fromkeys(names)})


def _rows_of_jets(prepared: _Prepared, report: FileReport, inferer: Inferer) -> Rows:
    """A row for each jet, also for one that cannot be scored: NaN."""
    losses, problems = jet_losses(prepared.jets, inferer)
    report.unscored_jets.add(problems)
    report.events_kept = report.events_read
    entry = prepared.columns["entry"]
    report.events_scored += len(np.unique(entry[np.isfinite(losses[inferer.card.losses[0]])]))
    return _rows({"entry": entry, **losses})


def _rows(columns: dict[str, npt.NDArray[Any]]) -> Rows:
    """Columns in one block of memory: it is sent from a worker, and written, as it is."""
    rows = np.empty(len(next(iter(columns.values()))), [(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        rows[name] = column
    return rows


def _columns(events: ak.Array, path: str, spec: InputSpec) -> dict[str, npt.NDArray[Any]]:
    """The columns of the scored file that are known before the scores."""
    columns = {name: _one_an_event(name, events[name], path) for name in events.fields if name != "jets"}
    of_model = {name.partition("_")[2] or name for name in spec.jet_columns} | {*spec.jet_columns}
    for name in sorted({*events.jets.fields} - {*JET_COLUMNS, "constituents"} - of_model):
        raise LayoutError(
            f"{path}: {name!r} is a column of the jets: expected branches of one number an event, to be columns of"
            " the scored file"
        )
    of_both = {c: ak.to_numpy(events["jets", c]) for c in JET_COLUMNS}
    of_jets = {f"j{jet}_{c}": both[:, jet - 1] for jet in (1, 2) for c, both in of_both.items()}
    return _joined(columns, of_jets, path)


def _joined(
    columns: dict[str, npt.NDArray[Any]], others: dict[str, npt.NDArray[Any]], path: str
) -> dict[str, npt.NDArray[Any]]:
    """Both; `LayoutError` where one of a name was carried along."""
    for name in sorted(columns.keys() & others.keys()):
        raise LayoutError(
            f"{path}: branch {name!r} cannot be carried along: the scored file has a column of this name"
        )
    return columns | others


def _one_an_event(name: str, column: ak.Array, path: str) -> npt.NDArray[Any]:
    """A column as numpy array (events,); `LayoutError` where it is not one number an event."""
    values: npt.NDArray[Any] | None = ak.to_numpy(column) if column.ndim == 1 else None
    if values is None or isinstance(values, np.ma.MaskedArray) or values.dtype.kind not in "biuf":
        raise LayoutError(
            f"{path}: branch {name!r} has {column.type.content} for each entry: expected one number, to be a"
            " column of the scored file"
        )
    return values


@dataclass(frozen=True)
class ChunkScorer:
    """Reads and scores chunks of files on a worker; it travels with its inferer."""

    inferer: Inferer
    config: ScoringConfig

    def report(self, source: Source) -> FileReport:
        """Of a file of which nothing is scored yet."""
        return FileReport(source.name, health=Health.of(self.inferer.spec))

    def rows(
        self, source: Source, report: FileReport, read: ReadOptions, entries: tuple[int, float], chunks: int
    ) -> Generator[Rows, None, None]:
        """Rows of at most so many chunks of some entries, counted in the report of their file."""
        with closing(iterate_source(source, report, read, entries=entries)) as of_file:
            some = ((report, events) for events in islice(of_file, chunks))
            with closing(scored_chunks(some, self.inferer, self.config)) as scored:
                yield from (rows for _, rows in scored if rows is not None)

    def __call__(
        self, source: Source, read: ReadOptions, entries: tuple[int, float], chunks: int = 1
    ) -> tuple[FileReport, Rows | None]:
        """The report and the rows of the first chunk of some entries; None where the file failed."""
        report = self.report(source)
        try:
            with closing(self.rows(source, report, read, entries, 1)) as rows:
                return report, next(rows, None)
        except HepvaeError as error:
            report.failure = str(error)
            return report, None
