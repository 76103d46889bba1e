"""`score_files`: from files to one scored file, or to one for each, chunk by chunk."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import HepvaeError, OptionError
from ..execution.progress import event_bar
from ..inference import Inferer
from ..jets.selection import Cuts, Region, Selection
from ..options import check_names
from ..output.folders import is_folder, open_folder
from ..output.journal import Journal
from ..reading.declarations import JET_COLUMNS
from ..reading.dijets import iterate_sources
from ..reading.layouts import FAT_JETS, JetCollection, SchemaName, known_branches
from ..reading.options import STEP_SIZE, ReadOptions
from ..reading.reports import FileReport
from ..reading.sources import Files, Source, resolve
from ..storage.access import ACCESS, Access
from ..version import __version__
from .chunks import ChunkScorer, scored_chunks
from .form import OF_EVENTS, Rows, ScoredForm, model_name
from .formats import check_format
from .jets import check_inferer
from .options import FORMATS, Format, OutputOptions, ScoredJets, ScoringConfig
from .parts import Parts, PartWriter, share
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
    format: Format | None = None,
    split: str | None = None,
    client: Client | None = None,
    **cuts: Unpack[Cuts],
) -> ScoreReport:
    """Stream files through an inferer into one scored file, or into one for each of them.

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
        metadata. The file appears when it is whole. A folder (``"scored/"``, or one that exists) gets a file for
        each input file, its part, which appears when it is whole, and a record beside it; files of the datasets of
        a fileset are in a folder for each.
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
        not read again. What is kept for this is beside the output until that is whole. In a folder: all files
        that have no part, or none that is as its record says.
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
        ``multiplicity``, ``pt_dispersion``, ``girth``, ``tau21``, ``tau32``, ``tau43``, ``softdrop_mass`` (GeV).
    format : {"root", "parquet"}, optional
        Of the parts in a folder.
    split : str, optional
        ``"3/40"``: score the third of forty shares of the files, into a folder. The shares are about equal in
        bytes, and the same for all processes that score the same files.
    client : distributed.Client, optional
        Read and score on its workers (see `hepvae.cluster.dask.dask_client`), chunk by chunk; the output is that
        of this process. Parts are written by the workers, which need to see the folder.

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
        files,
        inferer,
        output,
        config,
        read,
        OutputOptions(resume, overwrite, friend, format, split),
        client=client,
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
    read = replace(read.of_spec(inferer.spec), all_jets=config.all_jets)
    sources = resolve(files, read.tree, read.access, keep_failures=True)
    _check_carried(config, read, writing)
    for source in sources:
        if source.span is not None and (writing.friend or config.all_jets):
            raise OptionError(
                f"{source.name}: its fileset leaves out entries: expected all of a file, with num_entries, since a"
                " friend and jets 'all' have a row for each"
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
        **{"collection": read.jets.name, "columns": list(read.carried), "observables": config.observables},
    }
    provenance["options"] = {**read.to_dict(), "friend": writing.friend}
    call = _Call(sources, ChunkScorer(inferer, config), read, writing, provenance, depends)
    return (_into_parts if is_folder(output) else _into_file)(call, str(output), client)


@dataclass(frozen=True)
class _Call:
    """What is scored, and how."""

    sources: list[Source]
    scorer: ChunkScorer
    read: ReadOptions
    writing: OutputOptions
    provenance: dict[str, Any]
    depends: dict[str, Any]
    """All that the scores depend on."""

    def form(self, suffix: str) -> ScoredForm:
        """Of the output."""
        inferer, config = self.scorer.inferer, self.scorer.config
        model = config.model_name or re.sub(r"\W", "_", model_name(inferer), flags=re.ASCII)
        of_jets = model, tuple(inferer.card.losses), config.observables
        return ScoredForm(suffix, self.writing.friend, config.all_jets, *of_jets, self.read, self.provenance)

    def report(
        self, output: str, sources: list[Source], known: list[FileReport | None]
    ) -> tuple[ScoreReport, list[int]]:
        """Of some files: that of each that is known, and new ones; and the numbers of those without."""
        files = [old or self.scorer.report(source) for old, source in zip(known, sources)]
        missing = [i for i, one in enumerate(known) if one is None]
        all_jets = self.scorer.config.all_jets
        return ScoreReport(output, files, len(files) - len(missing), all_jets=all_jets), missing

    def scored_here(self, sources: list[Source], reports: list[FileReport]) -> Chunks:
        """Rows chunk by chunk, and None after each file."""
        chunks = iterate_sources(sources, reports, self.read)
        return scored_chunks(chunks, self.scorer.inferer, self.scorer.config)


#: Rows chunk by chunk, and None after each file; or names of files of rows, of workers that write parts.
Chunks = Generator[tuple[FileReport, "Rows | None"], None, None]


def _check_carried(config: ScoringConfig, read: ReadOptions, writing: OutputOptions) -> None:
    """Raise where columns cannot be carried along."""
    carried = list(read.carried)
    if carried and (writing.friend or config.all_jets):
        raise OptionError(
            f"columns are {', '.join(carried)}: expected none in a friend or with jets 'all', since the input has"
            " them"
        )
    of_jets = [
        f"{read.jets.name}_{c.removeprefix(f'{read.jets.name}_')}" for c in (*JET_COLUMNS, *read.jet_columns)
    ]
    for column in carried:
        of_event = column in OF_EVENTS or column not in known_branches()
        if not of_event or any(fnmatchcase(one, column) for one in of_jets):
            raise OptionError(
                f"columns: {column!r} is of jets or constituents: expected those of one number an event"
            )


def _into_file(call: _Call, name: str, client: Client | None) -> ScoreReport:
    """All files into one."""
    sources, writing = call.sources, call.writing
    for source in sources:
        local = os.path.exists(name) and os.path.exists(source.path)
        if os.path.samefile(source.path, name) if local else source.path == name:
            raise OptionError(f"{name}: is an input file, and would be overwritten by its own scores")
    folder, last = writing.check(name, call.read.access)
    form = call.form(Path(last).suffix)
    with Journal(unfinished(name), call.depends, anew=not writing.resume) as journal:
        folder.remove_temporaries([last])
        if writing.resume and journal.changed:
            changed = ", ".join(journal.changed)
            logger.warning("%s: nothing is resumed, since what was kept was scored with other: %s", name, changed)
        scores = UnfinishedScores(journal, sources, form.allowed())
        report, missing = call.report(name, sources, [scores.report(i) for i in range(len(sources))])
        left = [sources[i] for i in missing], [report.files[i] for i in missing]
        if client is None:
            chunks = call.scored_here(*left)
        else:
            from ..cluster.dask import chunks_on_workers

            absolute = [source.absolute for source in left[0]]
            chunks = chunks_on_workers(client, absolute, left[1], call.read, call.scorer)
        with event_bar("scoring", report.files) as look, closing(chunks):
            _keep(chunks, scores, missing, form, look)
        report.written = not report.failed if form.friend or form.all_jets else len(report.failed) < len(sources)
        if report.written:
            with folder.new(last) as temporary:
                form.write(temporary, scores.columns, scores.kept())
        if report.written or len(report.failed) == len(sources):
            journal.forget()
    return report


def _into_parts(call: _Call, output: str, client: Client | None) -> ScoreReport:
    """Each file into a part."""
    writing, suffix = call.writing, f".{call.writing.format or FORMATS[0]}"
    check_format(Path(f"part{suffix}"))
    folder = open_folder(output, call.read.access)
    mine = share(call.sources, *writing.share, call.read) if writing.split else list(range(len(call.sources)))
    options = {name: value for name, value in call.depends.items() if name != "card"}  # the digest has it
    parts = Parts(folder, call.sources, mine, suffix, options, writing)
    writer = PartWriter(call.scorer, call.form(suffix), folder, parts.options)
    report, missing = call.report(folder.address, [call.sources[i] for i in mine], parts.reports)
    left, of_left = [parts.mine[i] for i in missing], [report.files[i] for i in missing]
    done: Generator[tuple[FileReport, Any], None, None]
    if client is None:
        done = writer.written(left, call.scored_here([part.source for part in left], of_left))
    else:
        from ..cluster.dask import chunks_on_workers

        done = chunks_on_workers(client, left, of_left, call.read, writer, most_chunks=PART_CHUNKS, join="join")
    with event_bar("scoring", report.files) as look, closing(done):
        for part, (file, _) in zip(left, done):
            look()
            _log(file)
            if file.failure is not None:
                parts.fail(part, file)
    parts.clean()
    report.written = len(report.failed) < len(mine)
    return report


#: Of a task of a worker that writes parts: its cost in this process is one of so many chunks.
PART_CHUNKS = 16


def _log(file: FileReport) -> None:
    read = f"{file.events_scored} events scored of {file.events_read} read"
    logger.info("%s", file.failure or f"{file.path}: {read}")


def _keep(chunks: Chunks, scores: UnfinishedScores, missing: list[int], form: ScoredForm, look: Any) -> None:
    """Keep the rows of the files that are missing, and of each that it is completed."""
    files = iter(missing)
    i = next(files, -1)
    for file, rows in chunks:
        look()
        if rows is None:
            if file.failure is None:
                scores.finish(i, file)
            _log(file)
            i = next(files, -1)
            continue
        rows = form.as_written(rows, file)
        try:
            scores.check(i, rows)
        except HepvaeError as error:
            file.failure = str(error)
            continue
        scores.add(i, rows)


def _provenance(inferer: Inferer, config: ScoringConfig) -> dict[str, Any]:
    """How the scores are computed."""
    of_model = {
        "model": model_name(inferer),
        "sha256": inferer.sha256,
        "runtime": inferer.runtime,
        "card": inferer.card.to_dict(),
    }
    if config.all_jets:
        return {**of_model, "jets": config.jets, "name": config.model_name}
    cuts = asdict(config.selection)
    region = cuts.pop("region")
    return {**of_model, **config.strategy.to_dict(), "region": region, "selection": cuts}
