#!/usr/bin/env python3
"""Whether the intervals of python -m hepvae.bench can be believed.

python analysis/check_intervals.py --trials 20

Two runtimes are added the way a third party adds them, by entry points of a package that is written for this: ONNX
Runtime under another name (A/A validation), and one that waits after each call for a share of its median (A/B).
Each trial is a study of its own, fresh processes and all. An interval for the identical runtime should contain 1
nineteen times of twenty; one for the slowed runtime should never.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from importlib import invalidate_caches
from pathlib import Path

import numpy as np
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

import hepvae
from hepvae.bench.cells import Effort, Matrix, Plan
from hepvae.bench.comparisons import compare
from hepvae.bench.study import run_study

REFERENCE, IDENTICAL, SLOWED = "onnxruntime", "identical", "slowed"

PLUGIN = """
import os
import time
import numpy as np
from hepvae.inference.onnxruntime import OnnxRuntime

class Identical(OnnxRuntime):
    name = "identical"

class Slowed(OnnxRuntime):
    name = "slowed"
    calls_to_know = 10

    def run(self, batch, outputs):
        start = time.perf_counter()
        found = super().run(batch, outputs)
        known = self.__dict__.setdefault("known", [])
        if len(known) < self.calls_to_know:
            known.append(time.perf_counter() - start)
        else:
            # not time.sleep: it takes a tenth of a millisecond whatever it is asked for
            until = time.perf_counter() + float(os.environ["PLANTED_SLOWDOWN"]) * float(np.median(known))
            while time.perf_counter() < until:
                pass
        return found
"""


def install(folder: Path) -> None:
    """Make the package with the two runtimes, for this process and those it starts."""
    (folder / "planted.py").write_text(PLUGIN)
    about = folder / "planted-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: planted\nVersion: 1\n")
    (about / "entry_points.txt").write_text(
        f"[hepvae.inferers]\n{IDENTICAL} = planted:Identical\n{SLOWED} = planted:Slowed\n"
    )
    sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    invalidate_caches()


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20, help="studies (default %(default)s)")
    parser.add_argument("--batch-sizes", default="1,8,64,256", help="default %(default)s")
    parser.add_argument("--runs", type=int, default=2, help="of each study (default %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="of measurement for each configuration (default %(default)s)"
    )
    parser.add_argument("--slowdown", type=float, default=0.2, help="share of the median (default %(default)s)")
    options = parser.parse_args(arguments)
    sizes = tuple(int(size) for size in options.batch_sizes.split(","))
    os.environ["PLANTED_SLOWDOWN"] = str(options.slowdown)
    found: dict[tuple[str, int], list] = {}
    with tempfile.TemporaryDirectory(prefix="hepvae-intervals-") as scratch:
        model = str(hepvae.model_path("conv").absolute())
        package = Path(scratch, "package")
        package.mkdir()
        install(package)
        matrix = Matrix((model,), (REFERENCE, IDENTICAL, SLOWED), sizes, runs=options.runs)
        for trial in range(options.trials):
            study = run_study(Plan((matrix,), Effort(seconds=options.seconds)), Path(scratch, str(trial)))
            if study.failures:
                raise hepvae.ModelError(study.failures[0]["error"])
            for side in (IDENTICAL, SLOWED):
                pair = [r for r in study.records if r["runtime"] in (REFERENCE, side)]
                for c in compare(pair, "runtime", REFERENCE):
                    found.setdefault((side, c.cell["batch_size"]), []).append(c.ratio)
    table = Table(title=f"{options.trials} studies of {options.runs} runs", box=MARKDOWN)
    for name in ("runtime", "batch", "ratio", "width of the interval", "difference seen"):
        table.add_column(name, justify="left" if name == "runtime" else "right")
    for (side, size), ratios in found.items():
        table.add_row(
            side,
            str(size),
            f"{np.median([r.value for r in ratios]):.3f}",
            f"{np.median([r.high - r.low for r in ratios]):.3f}",
            f"{sum(r.difference_seen for r in ratios)} of {len(ratios)}",
        )
    console = Console() if sys.stdout.isatty() else Console(width=140)
    console.print(table)
    for side, text in ((IDENTICAL, "missed 1"), (SLOWED, "missed the slowdown")):
        ratios = [r for (name, _), of_size in found.items() if name == side for r in of_size]
        missed = sum(r.difference_seen if side == IDENTICAL else r.low <= 1 for r in ratios)
        console.print(f"{side}: {missed} of {len(ratios)} intervals {text} ({missed / len(ratios):.0%})")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except hepvae.HepvaeError as error:
        sys.exit(f"check_intervals: {error}")
