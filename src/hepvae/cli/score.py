"""``hepvae score``."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import click

from ..execution.command import Command, built, option, say
from ..execution.option_types import Choice, Whole
from ..inference import load_inferer, named_model, runtime_names
from ..jets.selection import Selection
from ..output.folders import is_folder, open_folder
from ..output.journal import recorded
from ..reading.options import ReadOptions
from ..scoring.options import FORMATS, OBSERVABLES, SCORED_JETS, OutputOptions, ScoredJets, ScoringConfig
from ..scoring.parts import recorded_runtime
from ..scoring.strategy import ScoreStrategy
from ..scoring.unfinished import unfinished
from . import options

logger = logging.getLogger(__name__)

output_options = built(
    "writing",
    OutputOptions,
    option("--resume", is_flag=True, help="go on where a killed run of this command was"),
    options.overwrite_option,
    option("--friend", is_flag=True, help="one row for each entry of the input, with the mask 'scored'"),
    option("--format", type=Choice(FORMATS), help="of the files in a folder  [default: root]"),
    option("--split", metavar="I/N", help="score only share I of N of the files, into a folder"),
)


@click.command("score", cls=Command)
@options.files_argument
@options.model_option
@option(
    "--output",
    required=True,
    metavar="FILE|DIR/",
    help="the scored file, .root or .parquet; or a folder, for one of each input",
)
@options.runtime_option
@options.strategy_options
@option(
    "--dask",
    metavar="ADDRESS",
    help="score on Dask workers: a scheduler's address, or local[:N] for N workers of this machine",
)
@options.selection_options
@options.threads_option
@option(
    "--block-size",
    type=Whole(),
    help="jets the runtime is given at once  [default: as measured by hepvae tune]",
)
@option(
    "--jets",
    type=Choice(SCORED_JETS),
    default=ScoringConfig.jets,
    help="all: every jet without cuts, jagged, one entry for each of the input",
)
@option("--name", metavar="MODEL", help="with --jets all: of the columns  [default: of the model's file]")
@option(
    "--columns",
    metavar="NAME,PATTERN",
    help="further branches to carry into the scored file, of one number an event: as HLT_PFJet500,PV_*",
)
@option(
    "--observables",
    metavar="NAME,NAME",
    help=f"of each jet, beside its losses: some of {', '.join(OBSERVABLES)}",
)
@output_options
@options.read_options
@options.allow_failed_option
def score(
    files: tuple[str, ...],
    model: str,
    output: str,
    runtime: str | None,
    strategy: ScoreStrategy,
    dask: str | None,
    selection: Selection,
    threads: int | None,
    block_size: int | None,
    jets: ScoredJets,
    name: str | None,
    columns: str | None,
    observables: str | None,
    writing: OutputOptions,
    read: ReadOptions,
    allow_failed: int,
) -> int:
    """Score the events of ROOT files, or of HDF5 files of the study.

    FILES are paths, folders, patterns, root:// addresses, @list.txt, or fileset.json of coffea.
    """
    from ..scoring.files import stream_scores

    named = () if observables is None else tuple(observables.split(","))
    config = ScoringConfig(strategy, selection, jets, name, named)
    if columns is not None:
        read = replace(read, carried=columns.split(","))
    if runtime is None:  # that of the killed run or of other shares, whatever was measured since
        before = None
        if is_folder(output):
            kept = writing.resume or not writing.overwrite
            before = recorded_runtime(open_folder(output, read.access)) if kept else None
        elif writing.resume:
            before = recorded(unfinished(output)).get("runtime")
        runtime = before if before in runtime_names() else None
    inferer = load_inferer(
        named_model(model, runtime=runtime), runtime=runtime, threads=threads, block_size=block_size
    )
    client: AbstractContextManager[Any] = nullcontext()
    if dask is not None:
        from ..cluster.dask import dask_client

        client = dask_client(dask)
    with client as connected:
        report = stream_scores(files, inferer, output, config, read, writing, client=connected)
    if report.files_resumed:
        logger.warning("%d of %d files were scored already", report.files_resumed, len(report.files))
    if report.written:
        say(str(report), keep="\n")
    status = options.failed_status(report.files, allow_failed)
    if not report.files:
        logger.warning("%s: this share has no files: there are fewer than shares", output)
        return 0
    if not report.written and len(report.failed) < len(report.files):
        logger.error(
            "%s: not written: a friend needs a row for each entry of all %d files; with --resume only those that"
            " failed are read again",
            *(report.output, len(report.files)),
        )
        return 1
    return status
