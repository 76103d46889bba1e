"""``python -m hepvae.bench``: TensorFlow beside ONNX Runtime, in one command."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

import click

from ..conversion.parity import TOLERANCE
from ..errors import OptionError
from ..execution.command import run
from ..inference import runtime_names
from ..models.bundled import MODELS
from ..reading.sources import resolve
from .cells import PIPELINES, SOURCES, Matrix
from .plan import Plan, full_matrices, seeds
from .timing import Effort

__all__ = ["main"]

#: The models of the study that this one repeats.
STUDIED = ("conv", "graph")
STUDIED_RUNTIMES = ("tensorflow", "onnxruntime")
#: Queries at batch size 1 that MLPerf's rules ask for.
SINGLE_STREAM_CALLS = 1024
#: Of each model, in the full study.
TRAININGS = 2


def _names(allowed=None):
    def parse(text: str) -> tuple[str, ...]:
        names = tuple(name.strip() for name in text.split(",") if name.strip())
        wrong = [name for name in names if allowed is not None and name not in allowed]
        if wrong or not names:
            raise argparse.ArgumentTypeError(
                f"{wrong[0] if wrong else text!r} is unknown: expected some of {','.join(allowed or ())}"
            )
        return names

    return parse


def _sizes(text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(size) for size in text.split(","))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected positive whole numbers like 1,8,64")
    return sizes


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a positive whole number")
    return int(text)


def _delays(text: str) -> tuple[float, ...]:
    try:
        delays = tuple(float(delay) for delay in text.split(","))
    except ValueError:
        delays = ()
    if not delays or not all(0 <= delay < 60000 for delay in delays):
        raise argparse.ArgumentTypeError(f"{text!r}: expected milliseconds like 1,10,50")
    return delays


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hepvae.bench",
        description="Compare runtimes: time and memory against batch size, parity, anomaly scores.",
        epilog="A study that was interrupted goes on where it was when it is started again the same way.",
    )
    parser.add_argument(
        "--models",
        type=_names(),
        help=f"bundled names or model directories (default: {','.join(STUDIED)}, those of the study;"
        f" with --full {','.join(MODELS)})",
    )
    parser.add_argument(
        "--runtimes",
        type=_names(runtime_names()),
        default=STUDIED_RUNTIMES,
        help="default: tensorflow,onnxruntime",
    )
    parser.add_argument("--batch-sizes", type=_sizes, help="jets (default: 1,8,64,512)")
    parser.add_argument("--input", nargs="+", metavar="FILES", help="ROOT files (default: the bundled samples)")
    parser.add_argument(
        "--sources",
        type=_names(SOURCES),
        help="where the files are read from: local, xrootd, or both; for xrootd, files of this disk are served"
        " by a server on loopback (default: where they are)",
    )
    parser.add_argument(
        "--rtt",
        type=_delays,
        default=(),
        metavar="MS",
        help="and xrootd with so much added to the round trip (default then: both sources, both pipelines)",
    )
    parser.add_argument(
        "--pipelines", type=_names(PIPELINES), help="numpy (in memory, default), tf.data (streamed)"
    )
    parser.add_argument("--runs", type=_count, default=2, help="fresh processes per cell (default 2)")
    parser.add_argument("--retrain", type=_count, metavar="N", help="also N shortened trainings of each model")
    parser.add_argument("--seconds", type=float, default=1.0, help="per cell (default %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("bench-output"), help="folder (default bench-output)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--engine",
        action="store_true",
        help="instead: hepvae's scoring beside other ways to run the same models, the floor of this machine, and"
        " the way from a file to a scored file",
    )
    how.add_argument(
        "--scaling",
        action="store_true",
        help="instead: scoring on one and two Dask workers of this machine by size of chunk, and a model of it for"
        " 10 to 1,000 workers",
    )
    how.add_argument("--quick", action="store_true", help="one short run: a look, not a measurement")
    how.add_argument(
        "--full",
        action="store_true",
        help="everything: batch sizes 1 to 4096 from memory; at 1, 64 and 512 both sources, both pipelines and"
        " 2 trainings; streams with 1, 10 and 50 ms added",
    )
    return parser


def _plan(options) -> Plan:
    """The plan that the options ask for."""
    models = options.models or (MODELS if options.full else STUDIED)
    effort = Effort(seconds=options.seconds, single_stream_calls=SINGLE_STREAM_CALLS)
    if options.quick:
        effort = Effort(seconds=0.2, block_s=0.05, rounds=(3, 10), passes=1, pass_s=1.0)
    remote = options.input is not None and any(source.is_remote for source in resolve(options.input))
    if remote and (options.full or options.rtt):
        raise OptionError("--full and --rtt: the files must be of this disk, from where they can be served")
    if not 0 < options.seconds < 3600:
        raise OptionError(f"--seconds is {options.seconds}: expected up to an hour")
    runs, trainings = 1 if options.quick else options.runs, options.retrain or 0
    if options.full:
        if options.batch_sizes or options.sources or options.pipelines or options.rtt:
            raise OptionError("--full chooses batch sizes, sources, delays and pipelines itself")
        trainings = options.retrain or TRAININGS
        matrices = full_matrices(models, options.runtimes, runs=runs, trainings=trainings)
    else:
        near = ("local", "xrootd") if options.rtt else ("local",)
        sources = [(source, 0.0) for source in options.sources or (("xrootd",) if remote else near)]
        sizes = options.batch_sizes or (1, 8, 64, 512)
        pipelines = options.pipelines or (("numpy", "tf.data") if options.rtt else ("numpy",))
        far = tuple(("xrootd", rtt) for rtt in options.rtt if rtt)
        streams = ("tf.data",) if "tf.data" in pipelines else pipelines  # the delay is for those that wait for it
        matrices = [Matrix(models, options.runtimes, sizes, tuple(sources), pipelines, runs=runs)]
        if far:
            matrices.append(Matrix(models, options.runtimes, sizes, far, streams, runs=runs))
        if trainings:
            place = ((sources[0],), pipelines[:1])
            matrices.append(Matrix(models, options.runtimes, sizes, *place, trainings=seeds(trainings)))
    return Plan(tuple(matrices), effort, tuple(options.input) if options.input else None, trainings)


def _console():
    from rich.console import Console

    console = Console(markup=False)
    return console if console.is_terminal else Console(width=200, markup=False)


def _bench_engine(options) -> int:
    from .engine import print_engine, run_engine

    found = run_engine(seconds=options.seconds)
    print_engine(found, _console())
    return 1 if found.failures else 0


def _bench_scaling() -> int:
    from .scaling import print_scaling, run_scaling

    print_scaling(run_scaling(), _console())
    return 0


def _bench(options) -> int:
    from ..output.journal import forget
    from .report import print_study, write_study
    from .study import run_study, unfinished

    if options.engine:
        return _bench_engine(options)
    if options.scaling:
        return _bench_scaling()
    study = run_study(_plan(options), options.output)
    console = _console()
    print_study(study, console)
    for path in write_study(study, options.output):
        console.print(str(path), highlight=False)
    if not study.failures:  # cells that failed are tried again when the study is started again
        forget(unfinished(options.output))
    worst = max((p.worst for runtimes in study.parity.values() for p in runtimes.values()), default=0.0)
    if worst > TOLERANCE:
        print(f"hepvae: the runtimes differ by {worst:.1e}, allowed {TOLERANCE:g}", file=sys.stderr)
    if study.failures:
        print(f"hepvae: {len(study.failures)} cells could not be measured", file=sys.stderr)
    return 1 if study.failures or worst > TOLERANCE else 0


def main(argv=None) -> int:
    """Run the bench; gives the exit status."""
    options = _parser().parse_args(argv)
    return run(click.Command("bench", callback=partial(_bench, options)), [], "python -m hepvae.bench")


if __name__ == "__main__":
    sys.exit(main())
