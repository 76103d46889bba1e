"""The pipe from dijets to scores: `score_dijets` in memory, `score_files` from files to a file."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import awkward as ak
import numpy as np

from . import __version__
from .ahead import read_ahead
from .dijets import iterate_sources
from .errors import FileError, HepvaeError, OptionError, SpecError, UnscoredJetsWarning
from .faults import ACCESS, Access
from .health import Health
from .journal import Journal, forget
from .outputs import check_output
from .padding import FlatJets, flatten_jets
from .progress import event_bar
from .quality import scorable, unscorable
from .reports import FileReport, ScoreReport
from .schemas import EVENT_COLUMNS, JET_COLUMNS
from .scored_file import UnfinishedScores, unfinished
from .scored_formats import check_format
from .scores import LOSSES, check_strategy, event_score
from .selection import check_selection, select_dijets
from .sources import resolve, stamp

__all__ = ["score_dijets", "score_files"]


def score_dijets(events, inferer, *, strategy="min", kl_weight=None):
    """Score dijet events in memory.

    Parameters
    ----------
    events : awkward array
        As `read_dijets` gives them.
    inferer : Inferer
        As `load_inferer` gives it.
    strategy : {"min", "max", "sum", "j1", "j2"}
        How the two jets' ``reco_loss + kl_weight * kl_loss`` become the score of the event.
    kl_weight : float, optional
        By default the beta that the model was trained with.

    Returns
    -------
    awkward array
        The events, in their order, with ``j1_loss``, ``j1_reco_loss``, ``j1_kl_loss``, the same for
        ``j2``, and ``score``, all float32.

    Warns
    -----
    UnscoredJetsWarning
        Jets have no constituents, values that are not finite or a negative pt: their losses are NaN.
    """
    check_strategy(strategy, kl_weight)
    flat = _flat_pairs(events)
    masks = unscorable(flat)
    losses, score, problems = _score(flat, masks, inferer, strategy, kl_weight)
    for jet in (0, 1):
        for name in LOSSES:
            events = ak.with_field(events, losses[name][:, jet], f"j{jet + 1}_{name}")
    if problems:
        counts = ", ".join(f"{number} {reason}" for reason, number in problems.items())
        warnings.warn(
            f"{sum(problems.values())} of {2 * len(events)} jets not scored, their losses are NaN: {counts}",
            UnscoredJetsWarning,
            stacklevel=2,
        )
    return ak.with_field(events, score, "score")


def _flat_pairs(events) -> FlatJets:
    """The jets of dijet events, taken apart."""
    if "jets" not in ak.fields(events):
        raise SpecError("no field 'jets': expected dijet events, as read_dijets gives them")
    flat = flatten_jets(events)
    if flat.shape != (len(events), 2):
        raise SpecError(f"jets have shape {flat.shape}: expected two jets for each of {len(events)} events")
    return flat


def _score(flat: FlatJets, masks: dict[str, np.ndarray], inferer, strategy, kl_weight):
    """Losses (events, 2) by name, scores (events,), and the jets that could not be scored, counted by reason."""
    masks = dict(masks)
    losses = {name: np.full(len(flat.counts), np.nan, np.float32) for name in LOSSES}
    good = scorable(flat, masks)
    chosen = np.flatnonzero(good)
    for name, values in inferer.losses_of(flat, chosen).items():
        losses[name][chosen] = values
    # Finite values can be so large that their squares are not.
    overflown = good & ~np.all([np.isfinite(values) for values in losses.values()], axis=0)
    if overflown.any():
        masks["with a loss that is not finite"] = overflown

    for name in LOSSES:
        losses[name][overflown] = np.nan
        losses[name] = losses[name].reshape(-1, 2)
    weight = inferer.card.beta if kl_weight is None else kl_weight
    score = event_score(losses["reco_loss"], losses["kl_loss"], strategy=strategy, kl_weight=weight)
    return losses, score, {r: int(m.sum()) for r, m in masks.items()}


def score_files(
    files,
    inferer,
    output,
    *,
    strategy="min",
    kl_weight=None,
    region=None,
    tree=None,
    schema="auto",
    step_size="100 MB",
    access: Access = ACCESS,
    resume: bool = False,
    overwrite: bool = False,
    friend: bool = False,
    **selection,
) -> ScoreReport:
    """Stream files through an inferer into one scored file.

    Parameters
    ----------
    files : as for `read_dijets`
    inferer : Inferer
    output : path
        A TTree ``Events`` is written, one entry per scored event: the identifiers and ``genWeight``
        that the input has, ``j1_pt``, ``j1_eta``, ``j1_phi``, ``j1_mass``, ``j1_loss``,
        ``j1_reco_loss``, ``j1_kl_loss``, the same for ``j2``, ``mjj``, ``deta``, ``score``; and how
        they were made, as the string ``hepvae``. With the suffix ``.parquet`` the same columns are written
        as Parquet, and the string is in its metadata. The file appears when it is whole.
    strategy, kl_weight
        As for `score_dijets`.
    region, **selection
        As for `select_dijets`, which decides on the events to score.
    tree, schema, step_size
        As for `iterate_dijets`. The next chunk is read while one is scored.
    access : Access
        How patiently files are read.
    resume : bool
        Go on where a call with the same arguments was killed: input files that were through are not read
        again. What is kept for this lies beside the output until that is whole.
    overwrite : bool
        Replace an output that exists.
    friend : bool
        Write one row for each entry of the input, in its order, so that the tree can be a friend of the input's:
        without identifiers and weight, which the input has, and with ``scored``, false where an entry has no
        score; all else is NaN there. If any file failed, no file is written; ``resume`` keeps the others.

    Returns
    -------
    ScoreReport
        Events read, kept and scored, jets that could not be scored, and files that failed. A failed
        file does not end the work, and nothing of it is written. If all failed, no file is written.

    Raises
    ------
    FileError
        No input file matches, or the output exists or cannot be written.
    OptionError
        The strategy or the region is unknown, a number is none, or the output is one of the inputs.
    """
    check_strategy(strategy, kl_weight)
    check_selection(region, **selection)
    sources = resolve(files, tree, access)
    output = Path(output)
    for source in sources:
        if output.exists() and os.path.exists(source.path) and os.path.samefile(source.path, output):
            raise OptionError(f"{output}: is an input file, and would be overwritten by its own scores")
    check_format(output)
    check_output(output)
    if output.exists() and not overwrite:
        raise FileError(f"{output}: exists already: expected a new name, or --overwrite (overwrite=True)")
    provenance = _provenance(inferer, strategy, kl_weight, region, selection)
    reading = {"step_size": step_size, "schema": schema}
    question = {
        "version": __version__,
        "provenance": provenance,
        "inputs": [[*stamp(source.path), source.tree] for source in sources],
        "tuning": repr(inferer.tuning),
        "friend": friend,
        **reading,
    }
    with Journal(unfinished(output), question, anew=not resume) as journal:
        scores = UnfinishedScores(journal, sources)
        report = ScoreReport(str(output))
        for i, source in enumerate(sources):
            fresh = FileReport(source.path, health=Health(inferer.spec.n_particles))
            report.files.append(scores.report(i) or fresh)
        missing = [i for i in range(len(sources)) if scores.report(i) is None]
        report.files_resumed = len(sources) - len(missing)
        reports = [report.files[i] for i in missing]
        chunks = iterate_sources([sources[i] for i in missing], reports, access=access, **reading)
        chunks = _prepared(chunks, region, selection)
        files = iter(missing)
        with event_bar("scoring", report.files) as look, closing(read_ahead(chunks)) as ahead:
            i = next(files, None)
            for file, jets in ahead:
                look()
                if jets is None:
                    if file.failure is None:
                        scores.finish(i, file)
                    i = next(files, None)
                elif file.failure is None:
                    try:
                        rows = _scored_rows(jets, file, inferer, strategy, kl_weight)
                        if friend:
                            rows = {name: column for name, column in rows.items() if name not in EVENT_COLUMNS}
                        scores.check(i, rows)
                    except HepvaeError as error:
                        file.failure = str(error)
                        continue
                    scores.add(i, rows)
        report.written = not report.failed if friend else len(report.failed) < len(sources)
        if report.written:
            scores.write(output, provenance, friend=friend)
    if report.written or len(report.failed) == len(sources):
        forget(unfinished(output))
    return report


@dataclass(frozen=True)
class _Prepared:
    """The selected events of a chunk, ready for a model."""

    flat: FlatJets
    masks: dict[str, np.ndarray]
    """Of the jets that cannot be scored."""
    pt: np.ndarray
    """float32 (jets,)."""
    columns: dict[str, np.ndarray]
    """Of the events, without losses and scores."""


def _prepared(chunks, region, selection) -> Iterator[tuple[FileReport, _Prepared | None]]:
    """Select events and take their jets apart: done by the thread that reads ahead, while a model runs."""
    for file, events in chunks:
        if events is None:
            yield file, None
            continue
        if file.failure is not None:
            continue
        try:
            events = select_dijets(events, region=region, **selection)
            flat = _flat_pairs(events)
            yield file, _Prepared(flat, unscorable(flat), ak.to_numpy(events.jets.pt).ravel(), _columns(events))
        except HepvaeError as error:
            file.failure = str(error)


def _scored_rows(jets: _Prepared, report, inferer, strategy, kl_weight) -> dict[str, np.ndarray]:
    """The columns of the scored file for one chunk, counted in the report of its file."""
    losses, score, problems = _score(jets.flat, jets.masks, inferer, strategy, kl_weight)
    for reason, number in problems.items():
        report.unscored_jets[reason] = report.unscored_jets.get(reason, 0) + number
    scored = np.isfinite(score)
    report.events_kept += len(score)
    report.health.add_flat(jets.flat, jets.masks, jets.pt)
    report.events_scored += int(scored.sum())
    columns = dict(jets.columns)
    for jet in (1, 2):
        columns |= {f"j{jet}_{name}": losses[name][:, jet - 1] for name in LOSSES}
    columns["score"] = score
    return {name: columns[name][scored] for name in _ordered(columns)}


def _provenance(inferer, strategy, kl_weight, region, selection) -> dict:
    """How the scores were made."""
    return {
        "model": inferer.path.name,
        "sha256": hashlib.sha256(inferer.path.read_bytes()).hexdigest(),
        "runtime": inferer.runtime,
        "card": inferer.card.to_dict(),
        "strategy": strategy,
        "kl_weight": inferer.card.beta if kl_weight is None else kl_weight,
        "region": region,
        "selection": selection,
    }


def _columns(events) -> dict[str, np.ndarray]:
    """The columns of the scored file that are known before the scores."""
    columns = {c: events[c] for c in ("entry", *EVENT_COLUMNS) if c in events.fields}
    for jet in (1, 2):
        columns |= {f"j{jet}_{c}": events.jets[:, jet - 1][c] for c in JET_COLUMNS}
    columns |= {c: events[c] for c in ("mjj", "deta")}
    return {name: ak.to_numpy(column) for name, column in columns.items()}


def _ordered(columns) -> list[str]:
    """Names of columns in the order of the scored file."""
    of_jets = [f"j{jet}_{name}" for jet in (1, 2) for name in (*JET_COLUMNS, *LOSSES)]
    last = [*of_jets, "mjj", "deta", "score"]
    return [*(name for name in columns if name not in last), *last]
