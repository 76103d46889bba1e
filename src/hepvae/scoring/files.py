"""`score_files`: from files to one scored file, chunk by chunk."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.lib.recfunctions import drop_fields

from ..errors import HepvaeError, OptionError
from ..execution.progress import event_bar
from ..inference import Inferer
from ..jets.health import Health
from ..jets.selection import Cuts, Region, Selection
from ..options import check_names
from ..output.journal import Journal
from ..reading.access import ACCESS, Access
from ..reading.dijets import iterate_sources
from ..reading.layouts import EVENT_COLUMNS, SchemaName
from ..reading.options import STEP_SIZE, ReadOptions
from ..reading.reports import FileReport
from ..reading.sources import Files, Source, resolve
from ..version import __version__
from .chunks import ChunkScorer, Rows, scored_chunks
from .jets import check_inferer
from .options import OutputOptions, ScoringConfig
from .report import ScoreReport
from .strategy import Convention, ScoreStrategy, Strategy
from .unfinished import UnfinishedScores, unfinished

if TYPE_CHECKING:
    from distributed import Client
    from typing_extensions import Unpack

__all__ = ["score_files", "stream_scores"]

logger = logging.getLogger(__name__)


def score_files(
    files: Files,
    inferer: Inferer,
    output: str | Path,
    *,
    strategy: Strategy = "min",
    kl_weight: float | None = None,
    convention: Convention = "mean",
    region: Region | None = None,
    tree: str | None = None,
    schema: SchemaName = "auto",
    step_size: str | int | None = STEP_SIZE,
    access: Access = ACCESS,
    resume: bool = False,
    overwrite: bool = False,
    friend: bool = False,
    client: Client | None = None,
    **cuts: Unpack[Cuts],
) -> ScoreReport:
    """Stream files through an inferer into one scored file.

    Parameters
    ----------
    files : as for `read_dijets`
    inferer : Inferer
    output : path
        A TTree ``Events`` is written, one entry per scored event: the identifiers and ``genWeight``
        that the input has, ``j1_pt``, ``j1_eta``, ``j1_phi``, ``j1_mass``, ``j1_loss``,
        ``j1_reco_loss``, ``j1_kl_loss`` (or what the card of the model names), the same for ``j2``, ``mjj``,
        ``deta``, ``score``; and how they were computed, as the string ``hepvae``. With the suffix ``.parquet`` the
        same columns are written as Parquet, and the string is in its metadata. The file appears when it is whole.
    strategy, kl_weight, convention
        As for `score_dijets`.
    region, **cuts
        As for `select_dijets`, which decides on the events to score.
    tree, schema, step_size
        As for `iterate_dijets`. The next chunk is read while one is scored.
    access : Access
        How patiently files are read.
    resume : bool
        Continue a call with the same arguments that was killed: completed input files that have not changed are
        not read again. What is kept for this is beside the output until that is whole.
    overwrite : bool
        Replace an output that exists.
    friend : bool
        Write one row for each entry of the input, in its order, so that the tree can be a friend of the input's:
        without identifiers and weight, which the input has, and with ``scored``, false where an entry has no
        score; all else is NaN there. If any file failed, no file is written; ``resume`` keeps the others.
    client : distributed.Client, optional
        Read and score on its workers (see `hepvae.cluster.dask.dask_client`), chunk by chunk; the output is that
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
        A name is unknown, a number is none or out of range, or the output is one of the inputs.

    Examples
    --------
    >>> inferer = hepvae.load_inferer("conv")
    >>> report = hepvae.score_files(hepvae.sample_path("GtoWW15na"), inferer, "scores.root", region="signal")
    >>> report.events_read, report.events_kept, report.events_scored
    (2061, 1131, 1131)
    """
    check_names("score_files", cuts, KEYWORDS)
    config = ScoringConfig(ScoreStrategy(strategy, kl_weight, convention), Selection(region=region, **cuts))
    read = ReadOptions(tree, schema, step_size, access)
    return stream_scores(
        files, inferer, output, config, read, OutputOptions(resume, overwrite, friend), client=client
    )


#: What `score_files` takes by name.
KEYWORDS = (*(score_files.__kwdefaults__ or ()), *Cuts.__annotations__)


def stream_scores(
    files: Files,
    inferer: Inferer,
    output: str | Path,
    config: ScoringConfig,
    read: ReadOptions,
    writing: OutputOptions,
    *,
    client: Client | None = None,
) -> ScoreReport:
    """As `score_files`, with options that are there."""
    config = ScoringConfig(config.strategy.of(check_inferer(inferer).card), config.selection)
    read = read.of_spec(inferer.spec)
    sources = resolve(files, read.tree, read.access, keep_failures=True)
    output = Path(output)
    for source in sources:
        if output.exists() and os.path.exists(source.path) and os.path.samefile(source.path, output):
            raise OptionError(f"{output}: is an input file, and would be overwritten by its own scores")
    writing.check(output)
    if writing.resume and callable(config.strategy.strategy):
        raise OptionError(
            f"resume: whether {config.strategy.name!r} is the function of the killed call cannot be told: expected"
            " a named strategy, or resume=False"
        )
    provenance = _provenance(inferer, config)
    depends = {
        "version": __version__,
        **provenance,
        "tuning": repr(inferer.tuning),
        **{"friend": writing.friend, "step_size": read.step_size, "schema": read.schema},
    }
    with Journal(unfinished(output), depends, anew=not writing.resume) as journal:
        if writing.resume and journal.changed:
            changed = ", ".join(journal.changed)
            logger.warning(
                "%s: nothing is resumed, since what was kept was scored with other: %s", output, changed
            )
        scores = UnfinishedScores(journal, sources, inferer.card.losses)
        report = ScoreReport(str(output))
        for i, source in enumerate(sources):
            fresh = FileReport(source.path, health=Health(inferer.spec.n_particles))
            report.files.append(scores.report(i) or fresh)
        missing = [i for i in range(len(sources)) if scores.report(i) is None]
        report.files_resumed = len(sources) - len(missing)
        left = [sources[i] for i in missing], [report.files[i] for i in missing]
        with (
            event_bar("scoring", report.files) as look,
            closing(_parts(*left, inferer, config, read, client)) as parts,
        ):
            _keep(parts, scores, missing, writing.friend, look)
        report.written = not report.failed if writing.friend else len(report.failed) < len(sources)
        if report.written:
            options = {**read.to_dict(), "friend": writing.friend}
            scores.write(output, {**provenance, "options": options}, friend=writing.friend)
        if report.written or len(report.failed) == len(sources):
            journal.forget()
    return report


Parts = Generator[tuple[FileReport, "Rows | None"], None, None]


def _parts(
    sources: list[Source],
    reports: list[FileReport],
    inferer: Inferer,
    config: ScoringConfig,
    read: ReadOptions,
    client: Client | None,
) -> Parts:
    """Rows chunk by chunk, and None after each file; of this process, or of the workers of a client."""
    if client is None:
        return scored_chunks(iterate_sources(sources, reports, read), inferer, config)
    from ..cluster.dask import chunks_on_workers

    return chunks_on_workers(client, sources, reports, read, ChunkScorer(inferer, config))


def _keep(parts: Parts, scores: UnfinishedScores, missing: list[int], friend: bool, look: Any) -> None:
    """Keep the rows of the files that are missing, and of each that it is completed."""
    files = iter(missing)
    i = next(files, -1)
    for file, rows in parts:
        look()
        if rows is None:
            if file.failure is None:
                scores.finish(i, file)
            read = f"{file.events_scored} events scored of {file.events_read} read"
            logger.info("%s", file.failure or f"{file.path}: {read}")
            i = next(files, -1)
            continue
        if friend:
            rows = drop_fields(rows, EVENT_COLUMNS)
        try:
            scores.check(i, rows)
        except HepvaeError as error:
            file.failure = str(error)
            continue
        scores.add(i, rows)


def _provenance(inferer: Inferer, config: ScoringConfig) -> dict[str, Any]:
    """How the scores are computed."""
    cuts = config.selection.to_dict()
    region = cuts.pop("region")
    return {
        "model": inferer.path.name,
        "sha256": inferer.sha256,
        "runtime": inferer.runtime,
        "card": inferer.card.to_dict(),
        **config.strategy.to_dict(),
        "region": region,
        "selection": cuts,
    }
