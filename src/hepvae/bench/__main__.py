"""``python -m hepvae.bench``: TensorFlow beside ONNX Runtime, in one command."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ..bundled import MODELS
from ..cli import run_command
from ..inferers import RUNTIMES, runtime_names
from ..parity import TOLERANCE

__all__ = ["main"]


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hepvae.bench",
        description="Compare runtimes: time and memory against batch size, parity, anomaly scores.",
    )
    parser.add_argument("--models", type=_names(), default=MODELS, help="bundled names or model directories")
    parser.add_argument(
        "--runtimes",
        type=_names(runtime_names()),
        default=tuple(sorted(RUNTIMES, reverse=True)),
        help="default: tensorflow,onnxruntime",
    )
    parser.add_argument("--batch-sizes", type=_sizes, default=(1, 8, 64, 512), help="default: 1,8,64,512")
    parser.add_argument("--input", nargs="+", metavar="FILES", help="ROOT files (default: the bundled samples)")
    parser.add_argument("--runs", type=_count, default=2, help="fresh processes per cell (default 2)")
    parser.add_argument("--output", type=Path, default=Path("bench-output"), help="folder (default bench-output)")
    parser.add_argument("--quick", action="store_true", help="one short run: a look, not a measurement")
    return parser


def _bench(options) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from rich.console import Console

    from ..outputs import make_folder
    from .report import print_study, write_study
    from .study import Plan, run_study

    make_folder(options.output)
    study = run_study(
        Plan(
            models=options.models,
            runtimes=options.runtimes,
            batch_sizes=options.batch_sizes,
            runs=1 if options.quick else options.runs,
            seconds=0.2 if options.quick else 1.0,
            input=options.input,
        )
    )
    console = Console()
    if not console.is_terminal:
        console = Console(width=140)
    print_study(study, console)
    for path in write_study(study, options.output):
        console.print(str(path), highlight=False)
    worst = max((p.worst for runtimes in study.parity.values() for p in runtimes.values()), default=0.0)
    if worst > TOLERANCE:
        print(f"hepvae: the runtimes differ by {worst:.1e}, allowed {TOLERANCE:g}", file=sys.stderr)
    return 1 if study.failures or worst > TOLERANCE else 0


def main(argv=None) -> int:
    """Run the bench; gives the exit status."""
    return run_command(_bench, _parser().parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
