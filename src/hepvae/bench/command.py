"""The command ``hepvae bench``, also ``python -m hepvae.bench``."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from ..conversion.parity import TOLERANCE
from ..errors import OptionError
from ..execution.command import Command, built, option
from ..execution.option_types import PATH, Choice, Listed, Number, Whole
from ..execution.session import effective_options
from ..inference import runtime_names
from ..models.bundled import DETECTOR, MODELS
from ..output.journal import forget
from ..output.text import console
from ..reading.sources import resolve
from .cells import PIPELINES, SOURCES, Effort, Matrix, PipelineName, Plan, SourceName, full_matrices, seeds
from .report import print_study, write_study
from .study import run_study, unfinished

__all__ = ["STUDIED", "bench"]

logger = logging.getLogger("hepvae")

#: The models of the study that this one repeats, and the one that tells signals from QCD best.
STUDIED = ("conv", "graph", DETECTOR)
#: The two that were compared there, and LiteRT where it has a wheel.
STUDIED_RUNTIMES = ("tensorflow", "onnxruntime", *(("litert",) if find_spec("ai_edge_litert") else ()))
BATCH_SIZES = (1, 8, 64, 512)
#: Queries at batch size 1 that MLPerf's rules require.
SINGLE_STREAM_CALLS = 1024
#: Of each model, in the full study.
TRAININGS = 2


class _InputOption(click.Option):
    """``--input A B``: every value up to the next option, as well as ``--input A --input B``."""

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        super().add_to_parser(parser, ctx)
        ours = parser._long_opt["--input"]
        plain = ours.process

        def process(value: str, state: Any) -> None:
            plain(value, state)
            while state.rargs and not state.rargs[0].startswith("-"):
                plain(state.rargs.pop(0), state)

        ours.process = process


@dataclass(frozen=True)
class StudyOptions:
    """What a user says of a study: see the help of the command."""

    models: tuple[str, ...] | None
    runtimes: tuple[str, ...]
    batch_sizes: tuple[int, ...] | None
    input: tuple[str, ...]
    sources: tuple[SourceName, ...] | None
    rtt: tuple[float, ...] | None
    pipelines: tuple[PipelineName, ...] | None
    runs: int
    retrain: int | None
    seconds: float
    quick: bool
    full: bool

    def __post_init__(self) -> None:
        if self.full and (self.batch_sizes or self.sources or self.pipelines or self.rtt):
            raise OptionError("--full chooses batch sizes, sources, delays and pipelines itself")
        if self.full and self.quick:
            raise OptionError("--full and --quick: expected one of them")

    def plan(self) -> Plan:
        """What to compare, and how long to measure.

        Raises
        ------
        OptionError
            The files are remote, and something needs them on this disk.
        """
        models = self.models or (tuple(MODELS) if self.full else STUDIED)
        effort = Effort(seconds=self.seconds, single_stream_calls=SINGLE_STREAM_CALLS)
        if self.quick:
            effort = Effort(seconds=0.2, block_s=0.05, rounds=(3, 10), passes=1, pass_s=1.0)
        remote = bool(self.input) and any(source.is_remote for source in resolve(list(self.input)))
        if remote and (self.full or self.rtt):
            raise OptionError("--full and --rtt: the files must be of this disk, from where they can be served")
        runs, trainings = 1 if self.quick else self.runs, self.retrain or (TRAININGS if self.full else 0)
        if self.full:
            matrices = full_matrices(models, self.runtimes, runs=runs, trainings=trainings)
        else:
            matrices = self._matrices(models, runs, trainings, remote)
        return Plan(matrices, effort, self.input or None, trainings)

    def _matrices(self, models: tuple[str, ...], runs: int, trainings: int, remote: bool) -> tuple[Matrix, ...]:
        near: tuple[SourceName, ...] = ("local", "xrootd") if self.rtt else ("local",)
        sources = tuple((source, 0.0) for source in self.sources or (("xrootd",) if remote else near))
        sizes = self.batch_sizes or BATCH_SIZES
        pipelines = self.pipelines or (("numpy", "tf.data") if self.rtt else ("numpy",))
        matrices = [Matrix(models, self.runtimes, sizes, sources, pipelines, runs=runs)]
        far: tuple[tuple[SourceName, float], ...] = tuple(("xrootd", rtt) for rtt in self.rtt or () if rtt)
        if far:  # the delay is for those that wait for it
            streams: tuple[PipelineName, ...] = ("tf.data",) if "tf.data" in pipelines else pipelines
            matrices.append(Matrix(models, self.runtimes, sizes, far, streams, runs=runs))
        if trainings:
            place = (sources[:1], pipelines[:1])
            matrices.append(Matrix(models, self.runtimes, sizes, *place, trainings=seeds(trainings)))
        return tuple(matrices)


@click.command(
    "bench",
    cls=Command,
    epilog="A study that was interrupted goes on where it was when it is started again the same way.",
)
@built(
    "study",
    StudyOptions,
    option(
        "--models",
        type=Listed(click.STRING),
        help=f"bundled names or model directories  [default: {','.join(STUDIED)}; with --full {','.join(MODELS)}]",
    ),
    option(
        "--runtimes",
        type=Listed(Choice(runtime_names())),
        default=",".join(STUDIED_RUNTIMES),
        help="to compare",
    ),
    option("--batch-sizes", type=Listed(Whole()), help="jets  [default: 1,8,64,512]"),
    option(
        "--input",
        cls=_InputOption,
        multiple=True,
        metavar="FILES",
        help="ROOT files  [default: the bundled samples]",
    ),
    option(
        "--sources",
        type=Listed(Choice(SOURCES)),
        help="where the files are read from: local, xrootd, or both; for xrootd, files of this disk are served by"
        " a server on loopback  [default: where they are]",
    ),
    option(
        "--rtt",
        type=Listed(Number(0, 59_999, "milliseconds")),
        metavar="MS",
        help="and xrootd with so much added to the round trip  [default then: both sources, both pipelines]",
    ),
    option(
        "--pipelines",
        type=Listed(Choice(PIPELINES)),
        help="numpy (in memory), tf.data (streamed)  [default: numpy]",
    ),
    option("--runs", type=Whole(), default=2, help="fresh processes of each configuration"),
    option("--retrain", type=Whole(), metavar="N", help="also N shortened trainings of each model"),
    option("--seconds", type=Number(1e-3, 3600), default=1.0, help="of measurement for each configuration"),
    option("--quick", is_flag=True, help="one short run, for a first impression"),
    option(
        "--full",
        is_flag=True,
        help="everything: batch sizes 1 to 4096 from memory; at 1, 64 and 512 both sources, both pipelines and"
        " 2 trainings; streams with 1, 10 and 50 ms added",
    ),
)
@option("--output", type=PATH, default="bench-output", help="folder")
@option(
    "--engine",
    is_flag=True,
    help="instead: hepvae's scoring beside other ways to run the same models, the floor of this machine, and the"
    " way from a file to a scored file",
)
@option(
    "--before",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="with --engine: another checkout of hepvae, to be held against",
)
@option(
    "--adopted",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="with --engine: a folder of models of others (torch_conv_ae, torch_jet_level, torch_score), to be adopted"
    " and held against scripts",
)
@option(
    "--scaling",
    is_flag=True,
    help="instead: scoring on one and two Dask workers of this machine by size of chunk, and a model of it for 10"
    " to 1,000 workers",
)
@option("--single-file", is_flag=True, help="with --scaling: into one file, whose rows come back from the workers")
def bench(
    study: StudyOptions,
    output: Path,
    engine: bool,
    before: Path | None,
    adopted: Path | None,
    scaling: bool,
    single_file: bool,
) -> int:
    """Compare runtimes: time and memory against batch size, parity, anomaly scores."""
    if engine + scaling + study.quick + study.full > 1:
        raise OptionError("--engine, --scaling, --quick and --full: expected one of them")
    for name, folder in (("before", before), ("adopted", adopted)):
        if folder is not None and not engine:
            raise OptionError(f"--{name}: expected --engine beside it")
    if single_file and not scaling:
        raise OptionError("--single-file: expected --scaling beside it")
    if engine:
        from .engine import print_engine, run_engine

        result = run_engine(seconds=study.seconds, before=before, adopted=adopted)
        print_engine(result, console())
        return 1 if result.failures else 0
    if scaling:
        from .scaling import print_scaling, run_scaling

        print_scaling(run_scaling(single_file=single_file), console())
        return 0
    return _bench_study(study.plan(), output)


def _bench_study(plan: Plan, output: Path) -> int:
    study = run_study(plan, output)
    study.settings["options"] = {k: v for k, v in effective_options().items() if k != "output"}
    screen = console()
    print_study(study, screen)
    for path in write_study(study, output):
        screen.print(str(path))
    if not study.failures:  # cells that failed are tried again when the study is started again
        forget(unfinished(output))
    worst = max((p.worst for runtimes in study.parity.values() for p in runtimes.values()), default=0.0)
    if worst > TOLERANCE:
        logger.error("the runtimes differ by %.1e, allowed %g", worst, TOLERANCE)
    if study.failures:
        logger.error("not measured: %d of the configurations", len(study.failures))
    return 1 if study.failures or worst > TOLERANCE else 0
