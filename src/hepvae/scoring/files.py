"""The pipe from dijets to scores: `score_dijets` in memory, `score_files` from files to a file."""

from __future__ import annotations

import os
import warnings
from contextlib import closing
from functools import partial
from pathlib import Path

import awkward as ak
from numpy.lib.recfunctions import drop_fields

from ..errors import HepvaeError, OptionError, UnscoredJetsWarning
from ..execution.progress import event_bar
from ..jets.health import Health
from ..jets.quality import examine_jets
from ..jets.selection import Selection
from ..models.losses import LOSSES
from ..output.files import check_output
from ..output.journal import Journal, forget
from ..reading.access import ACCESS, Access
from ..reading.dijets import iterate_sources
from ..reading.layouts import EVENT_COLUMNS
from ..reading.lazy import is_lazy, map_lazily
from ..reading.nanoevents import aligned, dijets_of, is_nanoevents
from ..reading.options import ReadOptions
from ..reading.reports import FileReport, ScoreReport
from ..reading.sources import resolve, stamp
from ..version import __version__
from .chunks import Question, flat_pairs, score_jets, scored_chunks
from .formats import check_format
from .strategy import ScoreStrategy
from .unfinished import UnfinishedScores, unfinished

__all__ = ["score_dijets", "score_files"]


def score_dijets(events, inferer, *, strategy="min", kl_weight=None, convention="mean"):
    """Score dijet events in memory.

    Parameters
    ----------
    events : awkward array
        As `read_dijets` gives them; or NanoEvents of coffea, eager, virtual or lazy (dask-awkward), with the
        collections of NanoAODv15 or PFNano, of which only the columns that are needed are read.
    inferer : Inferer
        As `load_inferer` gives it.
    strategy : {"min", "max", "sum", "j1", "j2"}
        How the two jets' ``reco_loss + kl_weight * kl_loss`` become the score of the event.
    kl_weight : float, optional
        By default the beta that the model was trained with.
    convention : {"mean", "sum"}
        The losses are means over particles and over the latent axis; of a model without masks (``conv``) the
        score can be made of sums, as the study does it.

    Returns
    -------
    awkward array
        The events, in their order, with ``j1_loss``, ``j1_reco_loss``, ``j1_kl_loss``, the same for
        ``j2``, and ``score``, all float32. Of NanoEvents their dijets, one for each event in its place, and
        None for an event with fewer than two jets.

    Warns
    -----
    UnscoredJetsWarning
        Jets have no constituents, values that are not finite or a negative pt: their losses are NaN.
    """
    made = ScoreStrategy(strategy, kl_weight, convention).of(inferer.card)
    if is_lazy(events):
        asked = {"inferer": inferer, **made.to_dict()}
        return map_lazily(partial(score_dijets, **asked), events)
    if is_nanoevents(events):
        return aligned(_with_scores(dijets_of(events), inferer, made), len(events))
    return _with_scores(events, inferer, made)


def _with_scores(events, inferer, strategy: ScoreStrategy):
    losses, score, problems = score_jets(examine_jets(flat_pairs(events)), inferer, strategy)
    for jet in (0, 1):
        for name in LOSSES:
            events = ak.with_field(events, losses[name][:, jet], f"j{jet + 1}_{name}")
    if problems:
        warnings.warn(
            f"{sum(problems.values())} of {2 * len(events)} jets not scored, their losses are NaN: {problems}",
            UnscoredJetsWarning,
            stacklevel=3,
        )
    return ak.with_field(events, score, "score")


def score_files(
    files,
    inferer,
    output,
    *,
    strategy="min",
    kl_weight=None,
    convention="mean",
    region=None,
    tree=None,
    schema="auto",
    step_size="100 MB",
    access: Access = ACCESS,
    resume: bool = False,
    overwrite: bool = False,
    friend: bool = False,
    client=None,
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
    strategy, kl_weight, convention
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
    client : distributed.Client, optional
        Read and score on its workers (see `hepvae.dask_scoring.dask_client`), chunk by chunk; the output is that
        of this process.

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
    made = ScoreStrategy(strategy, kl_weight, convention).of(inferer.card)
    chosen = Selection(region=region, **selection)
    reading = ReadOptions(tree, schema, step_size, access)
    sources = resolve(files, tree, access, keep_failures=True)
    output = Path(output)
    for source in sources:
        if output.exists() and os.path.exists(source.path) and os.path.samefile(source.path, output):
            raise OptionError(f"{output}: is an input file, and would be overwritten by its own scores")
    check_format(output)
    check_output(output, overwrite=overwrite)
    provenance = _provenance(inferer, made, chosen)
    asked = {
        "version": __version__,
        "provenance": provenance,
        "inputs": [[*stamp(source.path), source.tree] for source in sources],
        "tuning": repr(inferer.tuning),
        "friend": friend,
        "step_size": reading.step_size,
        "schema": reading.schema,
    }
    with Journal(unfinished(output), asked, anew=not resume) as journal:
        scores = UnfinishedScores(journal, sources)
        report = ScoreReport(str(output))
        for i, source in enumerate(sources):
            fresh = FileReport(source.path, health=Health(inferer.spec.n_particles))
            report.files.append(scores.report(i) or fresh)
        missing = [i for i in range(len(sources)) if scores.report(i) is None]
        report.files_resumed = len(sources) - len(missing)
        question = Question(made, chosen)
        left = [sources[i] for i in missing], [report.files[i] for i in missing]
        if client is None:
            parts = scored_chunks(iterate_sources(*left, reading), inferer, question)
        else:
            from ..cluster.dask import scored_on_workers

            parts = scored_on_workers(client, *left, inferer, question, reading)
        files = iter(missing)
        with event_bar("scoring", report.files) as look, closing(parts):
            i = next(files, None)
            for file, rows in parts:
                look()
                if rows is None:
                    if file.failure is None:
                        scores.finish(i, file)
                    i = next(files, None)
                    continue
                if friend:
                    rows = drop_fields(rows, EVENT_COLUMNS)
                try:
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


def _provenance(inferer, strategy: ScoreStrategy, selection: Selection) -> dict:
    """How the scores were made."""
    cuts = selection.to_dict()
    region = cuts.pop("region")
    return {
        "model": inferer.path.name,
        "sha256": inferer.sha256,
        "runtime": inferer.runtime,
        "card": inferer.card.to_dict(),
        **strategy.to_dict(),
        "region": region,
        "selection": cuts,
    }
