"""From chunks of events to the rows of a scored file: what a process does with what it reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

import awkward as ak
import numpy as np

from ..errors import HepvaeError, SpecError
from ..execution.ahead import read_ahead
from ..jets.padding import FlatJets, flatten_jets
from ..jets.quality import LOSS_NOT_FINITE, Counts, ExaminedJets, examine_jets
from ..jets.selection import Selection
from ..models.losses import LOSSES
from ..reading.layouts import EVENT_COLUMNS, JET_COLUMNS
from ..reading.reports import FileReport
from .strategy import ScoreStrategy

__all__ = ["Question", "flat_pairs", "score_jets", "scored_chunks"]


@dataclass(frozen=True)
class Question:
    """Which events are scored, and how."""

    strategy: ScoreStrategy
    selection: Selection = field(default_factory=Selection)


def flat_pairs(events) -> FlatJets:
    """The jets of dijet events, taken apart."""
    if "jets" not in ak.fields(events):
        raise SpecError("no field 'jets': expected dijet events, as read_dijets gives them")
    flat = flatten_jets(events)
    if flat.shape != (len(events), 2):
        raise SpecError(f"jets have shape {flat.shape}: expected two jets for each of {len(events)} events")
    return flat


def score_jets(
    jets: ExaminedJets, inferer, strategy: ScoreStrategy
) -> tuple[dict[str, np.ndarray], np.ndarray, Counts]:
    """Losses (events, 2) by name, scores (events,), and the jets that could not be scored, counted by reason."""
    losses = {name: np.full(len(jets.reason), np.nan, np.float32) for name in LOSSES}
    if len(jets.chosen):
        for name, values in inferer.losses_of(jets.flat, jets.chosen).items():
            losses[name][jets.chosen] = values
    finite = np.all([np.isfinite(values) for values in losses.values()], axis=0)
    for name in LOSSES:
        losses[name][~finite] = np.nan
        losses[name] = losses[name].reshape(-1, 2)
    score = strategy.score(losses["reco_loss"], losses["kl_loss"], inferer.card)
    return losses, score, jets.marked(~finite, LOSS_NOT_FINITE).counts


@dataclass(frozen=True)
class _Prepared:
    """The selected events of a chunk, ready for a model."""

    jets: ExaminedJets
    pt: np.ndarray
    """float32 (jets,)."""
    columns: dict[str, np.ndarray]
    """Of the events, without losses and scores."""


def scored_chunks(chunks, inferer, question: Question) -> Iterator[tuple[FileReport, np.ndarray | None]]:
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
    with closing(read_ahead(_prepared(chunks, question))) as ahead:
        for file, jets in ahead:
            if jets is None:
                yield file, None
            elif file.failure is None:
                try:
                    rows = _scored_rows(jets, file, inferer, question)
                except HepvaeError as error:
                    file.failure = str(error)
                    continue
                yield file, rows


def _prepared(chunks, question: Question) -> Iterator[tuple[FileReport, _Prepared | None]]:
    """Select events and take their jets apart: done by the thread that reads ahead, while a model runs."""
    for file, events in chunks:
        if events is None:
            yield file, None
            continue
        if file.failure is not None:
            continue
        try:
            events = question.selection.select(events)
            jets = examine_jets(flat_pairs(events))
            yield file, _Prepared(jets, ak.to_numpy(events.jets.pt).ravel(), _columns(events))
        except HepvaeError as error:
            file.failure = str(error)


def _scored_rows(prepared: _Prepared, report, inferer, question: Question) -> np.ndarray:
    """The rows of the scored file for one chunk, counted in the report of its file."""
    losses, score, problems = score_jets(prepared.jets, inferer, question.strategy)
    report.unscored_jets.add(problems)
    scored = np.isfinite(score)
    report.events_kept += len(score)
    report.health.add_examined(prepared.jets, prepared.pt)
    report.events_scored += int(scored.sum())
    columns = dict(prepared.columns)
    for jet in (1, 2):
        columns |= {f"j{jet}_{name}": losses[name][:, jet - 1] for name in LOSSES}
    columns["score"] = score
    # One block of memory: it is sent from a worker, and written, as it is.
    rows = np.empty(int(scored.sum()), [(name, columns[name].dtype) for name in _ordered(columns)])
    for name in rows.dtype.names:
        rows[name] = columns[name][scored]
    return rows


def _columns(events) -> dict[str, np.ndarray]:
    """The columns of the scored file that are known before the scores."""
    names = ("entry", *EVENT_COLUMNS, "mjj", "deta")
    columns = {c: ak.to_numpy(events[c]) for c in names if c in events.fields}
    of_both = {c: ak.to_numpy(events["jets", c]) for c in JET_COLUMNS}
    return columns | {f"j{jet}_{c}": both[:, jet - 1] for jet in (1, 2) for c, both in of_both.items()}


def _ordered(columns) -> list[str]:
    """Names of columns in the order of the scored file."""
    of_jets = [f"j{jet}_{name}" for jet in (1, 2) for name in (*JET_COLUMNS, *LOSSES)]
    last = [*of_jets, "mjj", "deta", "score"]
    return [*(name for name in columns if name not in last), *last]
