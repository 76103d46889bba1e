"""The command line, ``hepvae COMMAND``."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path

from ..errors import OptionError
from ..inference import load_inferer, named_model, runtime_names
from ..jets.selection import REGIONS
from ..models import ARCHITECTURES
from ..models.bundled import MODELS
from ..models.losses import DISTANCES
from ..reading.access import ACCESS, Access
from ..reading.layouts import SCHEMAS
from ..reading.sources import distinct_names
from ..scoring.strategy import CONVENTIONS, STRATEGIES
from ..version import __version__
from .command import run_command

__all__ = ["main"]


def _score(options) -> int:
    from ..scoring.files import score_files

    inferer = load_inferer(
        named_model(options.model, runtime=options.runtime),
        runtime=options.runtime,
        threads=options.threads,
        block_size=options.block_size,
    )
    with _client(options.dask) as client:
        report = score_files(
            options.files,
            inferer,
            options.output,
            client=client,
            strategy=options.strategy,
            kl_weight=options.kl_weight,
            convention=options.convention,
            region=options.region,
            tree=options.tree,
            pt_min=options.pt_min,
            eta_max=options.eta_max,
            mjj_min=options.mjj_min,
            deta_cut=options.deta_cut,
            access=Access(timeout_s=options.timeout, attempts=options.attempts),
            resume=options.resume,
            overwrite=options.overwrite,
            friend=options.friend,
            schema=options.schema,
        )
    if report.files_resumed:
        print(f"{report.files_resumed} of {len(report.files)} files were scored already", file=sys.stderr)
    failed = report.failed
    if report.written:
        print(report)
    for file in failed:
        print(f"hepvae: {file.failure}", file=sys.stderr)
    if not report.written and len(failed) < len(report.files):
        print(
            f"hepvae: {report.output}: not written: a friend needs a row for each entry of all"
            f" {len(report.files)} files; started again with --resume, only those that failed are read",
            file=sys.stderr,
        )
    return 1 if len(failed) > options.allow_failed or not report.written else 0


def _client(where: str | None):
    """The Dask client that is asked for."""
    if where is None:
        return nullcontext()
    from ..cluster.dask import dask_client

    return dask_client(where)


def _inspect(options) -> int:
    from rich.console import Console
    from rich.table import Table

    from ..scoring.inspection import inspect_files

    access = Access(timeout_s=options.timeout, attempts=options.attempts)
    reports = inspect_files(
        options.files,
        n_particles=options.n_particles,
        tree=options.tree,
        schema=options.schema,
        access=access,
    )
    good = [report for report in reports if report.failure is None]
    table = Table(box=None, pad_edge=False)
    columns = ("file", "layout", "events", "dijets", "jets", "not scorable", f"> {options.n_particles}", "pt kept")
    for name in (*columns, "sum pt / jet pt"):
        table.add_column(name, justify="left" if name in ("file", "layout") else "right", overflow="fold")
    for report in good:
        health = report.health
        mean, deviation = health.pt_ratio
        measured = (f"{health.truncated_share:.1%}", f"{health.pt_kept:.2%}", f"{mean:.3f} +- {deviation:.3f}")
        table.add_row(
            report.path,
            report.schema or "",
            *("", "") if report.single_jets else (str(report.events_read), str(report.events_kept)),
            str(health.jets),
            str(health.jets - health.good),
            *(measured if health.good else ("", "", "")),
        )
    if good:
        (Console() if sys.stdout.isatty() else Console(width=200)).print(table, highlight=False)
    for report in good:
        for reason, number in report.health.unscorable.items():
            print(f"{report.path}: {number} jets {reason}")
        if report.events_not_finite:
            print(f"{report.path}: {report.events_not_finite} events have a jet whose momentum is not finite")
    for report in reports:
        if report.failure is not None:
            print(f"hepvae: {report.failure}", file=sys.stderr)
    failed = len(reports) - len(good)
    return 1 if failed > options.allow_failed or not good else 0


def _train(options) -> int:
    from ..conversion.training import train
    from ..plots import plot_history

    trained = train(
        options.files,
        options.model,
        options.output,
        hyperparameters=dict(options.hyperparameters),
        region=None if options.region == "all" else options.region,
        max_events=options.max_events,
        epochs=options.epochs,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        beta=options.beta,
        distance=options.distance,
        validation_split=options.validation_split,
        seed=options.seed,
    )
    plot_history(trained.history, figure_path=options.output / "history.png", title=options.model)
    provenance = trained.model.card.provenance
    print(
        f"{options.output}: {options.model} trained on {provenance['training_jets']} jets,"
        f" best epoch {provenance['best_epoch']} of {provenance['epochs']},"
        f" validation loss {provenance['validation_loss']:.4g}"
    )
    print(f"TensorFlow against ONNX Runtime, {trained.parity}")
    return 0


def _rescore(options) -> int:
    from ..scoring.rescoring import rescore_file

    made = rescore_file(
        options.scored,
        options.output,
        strategy=options.strategy,
        kl_weight=options.kl_weight,
        convention=options.convention,
        overwrite=options.overwrite,
    )
    weighted = f"{made.strategy} of reco_loss + {made.kl_weight:g} kl_loss ({made.convention}s)"
    print(f"{options.output}: score is {weighted}")
    return 0


def _export(options) -> int:
    from ..conversion.export import export_onnx

    model = options.model
    output = options.output or (model / "model.onnx" if model.is_dir() else model.with_suffix(".onnx"))
    print(f"{output}: TensorFlow against ONNX Runtime, {export_onnx(model, output)}")
    return 0


def _plot(options) -> int:
    from ..plots import plot_scores
    from ..plots.histograms import score_histogram
    from ..scoring.formats import read_scores

    samples = {name: read_scores(path) for name, path in zip(distinct_names(options.scored), options.scored)}
    histogram = score_histogram(samples, bins=options.bins)
    plot_scores(histogram, figure_path=options.output, label=options.label, energy=options.energy)
    print(options.output)
    return 0


def _serve_local(options) -> int:
    from ..bench.delay_proxy import delay_proxy
    from ..bench.xrootd_server import root_address, xrootd_server

    if not 0 <= options.rtt < 60000:
        raise OptionError(f"--rtt is {options.rtt}: expected milliseconds from 0 to 60000")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C, from the first line of output on
    with suppress(KeyboardInterrupt), ExitStack() as running:
        port = running.enter_context(xrootd_server(options.folder, port=None if options.rtt else options.port))
        if options.rtt:
            port = running.enter_context(delay_proxy(port, options.rtt, options.port or 0))
        files = sorted(options.folder.glob("*.root"))
        for file in files or [options.folder / "*.root"]:
            print(f"{root_address(port)}{file.name}")
        print(f"serving {len(files)} ROOT files of {options.folder}; Ctrl-C ends it", file=sys.stderr, flush=True)
        sys.stdout.flush()
        signal.pause()
    return 0


def _tune(options) -> int:
    from ..inference.tune import tune

    path = named_model(options.model, runtime=options.runtime)
    tuned = tune(path, runtime=options.runtime, threads=options.threads)
    print(f"{'block size':>10}  {'threads on':<10}  us/jet")
    for tuning, seconds in sorted(tuned.seconds.items(), key=lambda both: both[1]):
        chosen = "  chosen" if tuning == tuned.chosen else ""
        print(f"{tuning.block_size:>10}  {tuning.parallel:<10}  {1e6 * seconds:6.1f}{chosen}")
    if tuned.table is not None:
        print(f"{tuned.table}: what {tuned.runtime} uses for such a model on this machine from now on")
    return 0


def _bench_compare(options) -> int:
    from ..bench.compare import compare_results

    return compare_results(options.first, options.second)


def _hyperparameter(text: str) -> tuple[str, object]:
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected NAME=VALUE, like width=64 or units=[256,64]"
        ) from error


FILES = "ROOT files, or HDF5 files of the study: paths, folders, patterns, root:// addresses, @list.txt"


def _add_layout(command) -> None:
    """Where jets are in a file."""
    command.add_argument("--tree", help="name of the tree (default: Events, or the only one)")
    command.add_argument(
        "--schema",
        choices=["auto", *SCHEMAS],
        default="auto",
        help="file layout (default: seen from the branches)",
    )


def _add_strategy(command) -> None:
    """How the score is made of the losses of two jets."""
    command.add_argument("--strategy", choices=STRATEGIES, default="min", help="two jets to a score (default min)")
    command.add_argument(
        "--kl-weight", type=float, help="score = reco_loss + W kl_loss (default: the model's beta)"
    )
    command.add_argument(
        "--convention",
        choices=CONVENTIONS,
        default="mean",
        help="of the losses in the score: means, or sums over particles and the latent axis (default %(default)s)",
    )


def _add_access(command) -> None:
    """How patiently files are read."""
    command.add_argument(
        "--timeout",
        type=int,
        default=ACCESS.timeout_s,
        help="seconds, of a network request (default %(default)s)",
    )
    command.add_argument(
        "--attempts",
        type=int,
        default=ACCESS.attempts,
        help="at a file that cannot be read for a reason that may pass (default %(default)s)",
    )
    command.add_argument(
        "--allow-failed", type=int, default=0, metavar="N", help="exit status 0 with so many failed files"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hepvae", description="Anomaly scores of dijet events from VAEs.")
    parser.add_argument("--version", action="version", version=f"hepvae {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    score = commands.add_parser("score", help="score the events of ROOT files")
    score.add_argument("files", nargs="+", help=FILES)
    score.add_argument("--model", required=True, help=f"a bundled name ({', '.join(MODELS)}) or a path")
    score.add_argument("--output", required=True, type=Path, help="the scored file, .root or .parquet")
    score.add_argument("--runtime", choices=runtime_names(), help="default: by the kind of the model file")
    _add_strategy(score)
    score.add_argument(
        "--dask",
        metavar="ADDRESS",
        help="score on Dask workers: a scheduler's address, or local[:N] for N workers of this machine",
    )
    score.add_argument("--region", choices=REGIONS, help="only events of this region of deta")
    _add_layout(score)
    score.add_argument("--pt-min", type=float, default=200.0, help="GeV, both jets (default %(default)s)")
    score.add_argument("--eta-max", type=float, default=2.4, help="both jets (default %(default)s)")
    score.add_argument("--mjj-min", type=float, default=1200.0, help="GeV (default %(default)s)")
    score.add_argument("--deta-cut", type=float, default=1.4, help="border of the regions (default %(default)s)")
    score.add_argument("--threads", type=int, help="default: HEPVAE_NUM_THREADS, else the cores at hand")
    score.add_argument(
        "--block-size", type=int, help="jets the runtime is given at once (default: what hepvae tune found)"
    )
    score.add_argument("--resume", action="store_true", help="go on where a killed run of this command was")
    score.add_argument("--overwrite", action="store_true", help="replace an output that exists")
    score.add_argument(
        "--friend", action="store_true", help="one row for each entry of the input, with the mask 'scored'"
    )
    _add_access(score)
    score.set_defaults(run=_score)

    rescore = commands.add_parser("rescore", help="another score of the losses in a scored file, without a model")
    rescore.add_argument("scored", type=Path, help="a file of hepvae score")
    rescore.add_argument("--output", required=True, type=Path, help="the scored file, .root or .parquet")
    _add_strategy(rescore)
    rescore.add_argument("--overwrite", action="store_true", help="replace an output that exists")
    rescore.set_defaults(run=_rescore)

    inspect = commands.add_parser("inspect", help="what ROOT files hold, and what a model would see of it")
    inspect.add_argument("files", nargs="+", help=FILES)
    _add_layout(inspect)
    inspect.add_argument("--n-particles", type=int, default=100, help="taken of a jet (default %(default)s)")
    _add_access(inspect)
    inspect.set_defaults(run=_inspect)

    train = commands.add_parser("train", help="train a model on dijets")
    train.add_argument("files", nargs="+", help=FILES)
    train.add_argument("--model", required=True, choices=ARCHITECTURES)
    train.add_argument("--output", required=True, type=Path, help="the model directory")
    train.add_argument(
        "--region",
        choices=[*REGIONS, "all"],
        default="sideband",
        help="events to train on (default %(default)s); all of files with single jets",
    )
    train.add_argument("--max-events", type=int, help="use the first so many")
    train.add_argument("--epochs", type=int, default=40, help="at most (default %(default)s)")
    train.add_argument("--batch-size", type=int, default=256, help="default %(default)s")
    train.add_argument("--learning-rate", type=float, default=1e-3, help="default %(default)s")
    train.add_argument("--beta", type=float, default=0.01, help="weight of the KL term (default %(default)s)")
    train.add_argument(
        "--distance",
        choices=DISTANCES,
        default="features",
        help="between two particles: in eta, phi and pt, or of the momenta transverse to the jet axis"
        " (default %(default)s)",
    )
    train.add_argument("--validation-split", type=float, default=0.1, help="share of events (default %(default)s)")
    train.add_argument(
        "--hyperparameter",
        dest="hyperparameters",
        action="append",
        default=[],
        type=_hyperparameter,
        metavar="NAME=VALUE",
        help="of the model, like neighbours=12 or units=[256,64]; more than once (default: those of its table)",
    )
    train.add_argument("--seed", type=int, default=1, help="default %(default)s")
    train.set_defaults(run=_train)

    export = commands.add_parser("export", help="write model.onnx of a model directory")
    export.add_argument("model", type=Path, metavar="MODEL_DIR", help="a model directory or a .keras file")
    export.add_argument("--output", type=Path, help="default: model.onnx in the directory, or beside the file")
    export.set_defaults(run=_export)

    tune = commands.add_parser("tune", help="measure how a model is run fastest on this machine, and keep it")
    tune.add_argument("--model", required=True, help=f"a bundled name ({', '.join(MODELS)}) or a path")
    tune.add_argument("--runtime", choices=runtime_names(), help="default: by the kind of the model file")
    tune.add_argument("--threads", type=int, help="default: HEPVAE_NUM_THREADS, else the cores at hand")
    tune.set_defaults(run=_tune)

    plot = commands.add_parser("plot", help="anomaly-score histograms of scored files")
    plot.add_argument("scored", nargs="+", type=Path, help="files of hepvae score; each is a sample")
    plot.add_argument("--output", type=Path, default=Path("anomaly_score.png"))
    plot.add_argument("--bins", type=int, default=40)
    plot.add_argument("--label", default="Simulation", help="text above the axes (default %(default)s)")
    plot.add_argument("--energy", type=float, default=13, help="TeV (default %(default)s)")
    plot.set_defaults(run=_plot)

    serve = commands.add_parser("serve-local", help="serve a folder through root:// on this machine, until Ctrl-C")
    serve.add_argument("folder", type=Path, metavar="DIR")
    serve.add_argument("--port", type=int, help="default: one that is free")
    serve.add_argument("--rtt", type=float, default=0, metavar="MS", help="milliseconds added to the round trip")
    serve.set_defaults(run=_serve_local)

    compare = commands.add_parser("bench-compare", help="two studies of python -m hepvae.bench, as ratios")
    compare.add_argument("first", type=Path, metavar="A.json", help="results.json of the first")
    compare.add_argument("second", type=Path, metavar="B.json", help="of the second; ratios are second / first")
    compare.set_defaults(run=_bench_compare)
    return parser


def main(argv=None) -> int:
    """Entry point of ``hepvae``; gives the exit status."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # quiet: our own errors say what went wrong
    options = _parser().parse_args(argv)
    return run_command(options.run, options)
