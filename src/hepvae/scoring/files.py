"""`score_files`: from files to one scored file, chunk by chunk."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.lib.recfunctions import drop_fields, rename_fields

from ..errors import HepvaeError, OptionError
from ..execution.progress import event_bar
from ..inference import Inferer
from ..jets.health import Health
from ..jets.selection import Cuts, Region, Selection
from ..options import check_names
from ..output.journal import Journal
from ..reading.dijets import iterate_sources
from ..reading.layouts import FAT_JETS, JET_COLUMNS, SCHEMAS, JetCollection, SchemaName, known_branches
from ..reading.options import STEP_SIZE, ReadOptions
from ..reading.reports import FileReport
from ..reading.sources import Files, Source, resolve
from ..storage.access import ACCESS, Access
from ..version import __version__
from .chunks import ChunkScorer, Rows, scored_chunks
from .jets import check_inferer
from .options import OutputOptions, ScoredJets, ScoringConfig
from .report import ScoreReport
from .strategy import Convention, ScoreStrategy, Strategy
from .unfinished import UnfinishedScores, columns_of, unfinished

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
    strategy: Strategy | None = None,
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
    jets: ScoredJets = "dijets",
    collection: str = FAT_JETS.name,
    name: str | None = None,
    columns: Iterable[str] = (),
    observables: Iterable[str] = (),
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
        that the input has, ``j1_pt``, ``j1_eta``, ``j1_phi``, ``j1_mass``, ``j1_loss``, ``j1_reco_loss``,
        ``j1_kl_loss`` (or what the card of the model names), the same for ``j2``, ``mjj``, ``deta``, ``score``,
        the ``columns``, and ``label`` of files of the LHC Olympics; and how they were computed, as the string
        ``hepvae``. With the suffix ``.parquet`` the same columns are written as Parquet, and the string is in its
        metadata. The file appears when it is whole.
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
    jets : {"dijets", "all"}
        ``all``: score all jets without any cut, and write one entry for each entry of the input, with the number
        of its jets, ``nFatJet``, and jagged columns in their order, ``FatJet_<model>_loss``,
        ``FatJet_<model>_reco_loss``, ``FatJet_<model>_kl_loss``, or what the model's card names; NaN for a jet
        that cannot be scored. As of a friend, no file is written if any file failed.
    collection : str
        The jets, of NanoAOD: ``FatJet``, ``Jet``, ``FatJetPuppi``, ...
    name : str, optional
        What <model> is in the names of the columns of all jets; by default the name of the model's file, or of its
        folder. Friends of one input need different ones.
    columns : list of str
        Further branches to carry into the scored file, by name or pattern (``"HLT_*"``): of one number an event.
        Not of a friend and of all jets, whose input has them.
    observables : list of str
        Of each jet of an event, computed from all its constituents, beside its losses, as ``j1_tau21``:
        ``multiplicity``, ``pt_dispersion``, ``girth``, ``tau21``, ``tau32``, ``softdrop_mass`` (GeV).
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
    strategies, selection = ScoreStrategy(strategy, kl_weight, convention), Selection(region=region, **cuts)
    config = ScoringConfig(strategies, selection, jets, name, tuple(observables))
    read = ReadOptions(tree, schema, step_size, access, carried=columns, jets=JetCollection(collection))
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
    check_inferer(inferer)
    if not config.all_jets:
        config = replace(config, strategy=config.strategy.of(inferer.card))
    read = read.of_spec(inferer.spec)
    sources = resolve(files, read.tree, read.access, keep_failures=True)
    output = Path(output)
    for source in sources:
        if output.exists() and os.path.exists(source.path) and os.path.samefile(source.path, output):
            raise OptionError(f"{output}: is an input file, and would be overwritten by its own scores")
    writing.check(output)
    aligned = writing.friend or config.all_jets  # an entry for each of the input
    carried = list(read.carried)
    if aligned and carried:
        raise OptionError(
            f"columns are {', '.join(carried)}: expected none in a friend or with jets 'all', since the input has"
            " them"
        )
    of_jets = [
        f"{read.jets.name}_{c.removeprefix(f'{read.jets.name}_')}" for c in (*JET_COLUMNS, *read.jet_columns)
    ]
    for column in carried:
        of_event = column in _OF_EVENTS or column not in known_branches()
        if not of_event or any(fnmatchcase(one, column) for one in of_jets):
            raise OptionError(
                f"columns: {column!r} is of jets or constituents: expected those of one number an event"
            )
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
        **{"collection": read.jets.name, "columns": carried, "observables": config.observables},
    }
    with Journal(unfinished(output), depends, anew=not writing.resume) as journal:
        if writing.resume and journal.changed:
            changed = ", ".join(journal.changed)
            logger.warning(
                "%s: nothing is resumed, since what was kept was scored with other: %s", output, changed
            )
        scores = UnfinishedScores(journal, sources, _allowed(inferer, config, read))
        report = ScoreReport(str(output), all_jets=config.all_jets)
        for i, source in enumerate(sources):
            fresh = FileReport(source.path, health=Health.of(inferer.spec))
            report.files.append(scores.report(i) or fresh)
        missing = [i for i in range(len(sources)) if scores.report(i) is None]
        report.files_resumed = len(sources) - len(missing)
        left = [sources[i] for i in missing], [report.files[i] for i in missing]
        with (
            event_bar("scoring", report.files) as look,
            closing(_parts(*left, inferer, config, read, client)) as parts,
        ):
            as_written = _jets_named(inferer, config, read) if config.all_jets else _without_those_of_input
            _keep(parts, scores, missing, as_written if aligned else None, look)
        report.written = not report.failed if aligned else len(report.failed) < len(sources)
        if report.written:
            provenance["options"] = {**read.to_dict(), "friend": writing.friend}
            if config.all_jets:
                collection = next((_collection(one, read) for one in report.files if one.schema), read.jets.name)
                scores.write_jets(output, collection, provenance)
            else:
                scores.write(output, provenance, friend=writing.friend)
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
        return scored_chunks(iterate_sources(sources, reports, read, all_jets=config.all_jets), inferer, config)
    from ..cluster.dask import chunks_on_workers

    return chunks_on_workers(client, sources, reports, read, ChunkScorer(inferer, config))


#: Takes rows of a file and its report; gives them with the columns of the output.
AsWritten = Callable[[Rows, FileReport], Rows]


def _without_those_of_input(rows: Rows, file: FileReport) -> Rows:
    """The rows of a friend: its input has identifiers, weights and labels."""
    return drop_fields(rows, _OF_EVENTS)


#: Columns of the input that a scored file has.
_OF_EVENTS = tuple(dict.fromkeys(name for schema in SCHEMAS.values() for name in schema.event_columns))


def _jets_named(inferer: Inferer, config: ScoringConfig, read: ReadOptions) -> AsWritten:
    """Losses of jets by collection and model, as ``FatJet_conv_loss``."""

    def named(rows: Rows, file: FileReport) -> Rows:
        return rename_fields(rows, _names(inferer, config, _collection(file, read)))

    return named


def _names(inferer: Inferer, config: ScoringConfig, collection: str) -> dict[str, str]:
    """Names of the columns of all jets, by what the model gives."""
    model = config.model_name or re.sub(r"\W", "_", _model_name(inferer), flags=re.ASCII)
    return {loss: f"{collection}_{model}_{loss}" for loss in inferer.card.losses}


def _model_name(inferer: Inferer) -> str:
    """Of its file, or of the folder of a model directory."""
    path = inferer.path
    return path.parent.name if path.stem == "model" else path.stem


def _collection(file: FileReport, read: ReadOptions) -> str:
    """What the jets of a file are called: of layouts without collections, ``Jet``."""
    if read.jets != FAT_JETS or file.schema is None:
        return read.jets.name
    return (SCHEMAS[file.schema].layout.jet_prefix or "Jet_").rstrip("_")


def _allowed(inferer: Inferer, config: ScoringConfig, read: ReadOptions) -> tuple[str, ...]:
    """Names and patterns of the columns that rows may have."""
    if not config.all_jets:
        return (*columns_of((*inferer.card.losses, *config.observables)), *_OF_EVENTS, *read.carried)
    collections = {_collection(FileReport("", schema=schema), read) for schema in (None, *SCHEMAS)}
    return ("entry", *(name for one in sorted(collections) for name in _names(inferer, config, one).values()))


def _keep(
    parts: Parts, scores: UnfinishedScores, missing: list[int], as_written: AsWritten | None, look: Any
) -> None:
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
        if as_written is not None:
            rows = as_written(rows, file)
        try:
            scores.check(i, rows)
        except HepvaeError as error:
            file.failure = str(error)
            continue
        scores.add(i, rows)


def _provenance(inferer: Inferer, config: ScoringConfig) -> dict[str, Any]:
    """How the scores are computed."""
    of_model = {
        "model": _model_name(inferer),
        "sha256": inferer.sha256,
        "runtime": inferer.runtime,
        "card": inferer.card.to_dict(),
    }
    if config.all_jets:
        return {**of_model, "jets": config.jets, "name": config.model_name}
    cuts = config.selection.to_dict()
    region = cuts.pop("region")
    return {**of_model, **config.strategy.to_dict(), "region": region, "selection": cuts}
