"""``python -m hepvae.bench --engine``: scoring with hepvae beside other ways to run the same models."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import HepvaeError
from ..execution.progress import progress_bar
from ..execution.threads import default_threads
from ..inference import model_path
from ..jets.spec import InputSpec
from ..models.bundled import SAMPLES, sample_path
from .cells import Cell
from .floor import floor_s, work
from .intervals import Ratio, log_ratios, time_ratio
from .processes import run_module
from .timing import Effort, open_cells, time_in_turns

__all__ = ["Engine", "print_engine", "run_engine"]

OTHERS = ("tf.function", "tf.function, product", "plain export")
#: What is timed together: model, batch size, and what hepvae is held against.
UNITS = (
    ("conv", 1, (*OTHERS, "Keras predict", "session.run")),
    ("conv", 8, OTHERS),
    ("conv", 64, OTHERS),
    ("conv", 512, OTHERS),
    ("conv", 4096, OTHERS),
    ("graph", 1, OTHERS),
    ("graph", 64, OTHERS),
    ("graph", 512, OTHERS),
    ("graph", 4096, OTHERS),
    ("edge-dense", 64, OTHERS),
    ("edge-dense", 512, OTHERS),
    ("edge-dense", 4096, OTHERS),
)


@dataclass
class Engine:
    """What came out."""

    threads: int
    rates: dict = field(default_factory=dict)
    """Of this machine, by model and batch size: `floor.rates`, the mean of before and after these were timed."""
    times: dict = field(default_factory=dict)
    """Seconds of a jet in each round, by model, batch size and contender."""
    work: dict = field(default_factory=dict)
    """By model: `floor.Work`."""
    pipeline: dict = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def ratio(self, model: str, batch_size: int, other: str) -> Ratio | None:
        """How many times longer another way takes."""
        found = self.times.get((model, batch_size), {})
        if other not in found or "hepvae" not in found:
            return None
        return time_ratio([log_ratios(found[other], found["hepvae"])], np.zeros(0))

    def floor_share(self, model: str, batch_size: int) -> float | None:
        """The floor over hepvae's time."""
        found = self.times.get((model, batch_size), {})
        if "hepvae" not in found:
            return None
        return self.floor_s(model, batch_size) / float(np.median(found["hepvae"]))

    def floor_s(self, model: str, batch_size: int) -> float:
        """Seconds of a jet, below which no program gets."""
        return floor_s(self.work[model], self.rates[model, batch_size], batch_size)


def run_engine(*, seconds: float = 1.0) -> Engine:
    """Measure everything; each way to run a model in a process of its own, in turns."""
    engine = Engine(default_threads())
    effort = Effort(seconds=seconds)
    spec = InputSpec()
    with (
        tempfile.TemporaryDirectory(prefix="hepvae-bench-") as folder,
        progress_bar("engine", len(UNITS) + 2) as bar,
    ):
        jets = Path(folder, "jets.npy")
        files = [str(sample_path(name)) for name in SAMPLES]
        run_module("reader", {"files": files, "spec": spec.to_dict(), "to": str(jets)})
        before = run_module("floor", {"threads": engine.threads})
        for model, batch_size, others in UNITS:
            bar(description=f"{model}, batch {batch_size}")
            path = model_path(model).parent
            engine.work.setdefault(model, work(path / "model.onnx", spec.n_particles))
            cells = [Cell(model, "", n, "local", 0.0, "numpy", batch_size, 1) for n in ("hepvae", *others)]
            opened = open_cells(
                [(cell, str(path)) for cell in cells], threads=engine.threads, at_once=len(os.sched_getaffinity(0))
            )
            try:
                for record in time_in_turns(opened, effort, jets=str(jets), files=[]):
                    times = engine.times.setdefault((model, batch_size), {})
                    times[record["runtime"]] = [s / batch_size for s in record["blocks_s"]]
            finally:
                for one in opened:
                    one.end()
            engine.failures += [f"{one.cell}: {one.failure}" for one in opened if one.failure]
            after = run_module("floor", {"threads": engine.threads})
            engine.rates[model, batch_size] = {name: (before[name] + after[name]) / 2 for name in before}
            before = after
            bar(1)
        bar(description="from files to scored files")
        try:
            request = {"folder": str(model_path("conv").parent), "threads": engine.threads}
            engine.pipeline = run_module("pipeline", request)
        except HepvaeError as error:
            engine.failures.append(f"pipeline: {error}")
    return engine


def print_engine(engine: Engine, console) -> None:
    """Tables of times and floors, then the targets with what was found."""
    from rich.table import Table

    flop, copied = (
        [found[name] / 1e9 for found in engine.rates.values()] for name in ("matrix_flop_per_s", "bytes_per_s")
    )
    console.print(
        f"This machine, {engine.threads} threads, from measurement to measurement: {min(flop):.0f} to"
        f" {max(flop):.0f} GFLOP/s in float32 matrix products, {min(copied):.0f} to {max(copied):.0f} GB/s"
        " of memory copies (read and written)",
        highlight=False,
    )
    table = Table(title="What a jet takes, by its graph, padded to its full length")
    for name in ("model", "matrix MFLOP", "other Mop", "weights kB", "in and out kB", "between operators kB"):
        table.add_column(name, justify="left" if name == "model" else "right")
    for model, w in engine.work.items():
        sizes = (f"{b / 1e3:.1f}" for b in (w.weight_bytes, w.jet_bytes, w.between_bytes))
        table.add_row(model, f"{w.matrix_flop / 1e6:.2f}", f"{w.other_flop / 1e6:.2f}", *sizes)
    console.print(table)

    names = list(dict.fromkeys(name for found in engine.times.values() for name in found))
    table = Table(title="Microseconds of a jet, the median of rounds in turns; and the floor over hepvae's")
    for name in ("model", "batch", *names, "floor", "share"):
        table.add_column(name, justify="left" if name == "model" else "right")
    for (model, batch_size), found in engine.times.items():
        cells = [f"{1e6 * np.median(found[n]):.4g}" if n in found else "" for n in names]
        floor = 1e6 * engine.floor_s(model, batch_size)
        share = engine.floor_share(model, batch_size)
        table.add_row(
            model, str(batch_size), *cells, f"{floor:.3g}", "" if share is None else f"{100 * share:.0f} %"
        )
    console.print(table)

    table = Table(title="Targets")
    for name in ("what", "against", "found", "target", ""):
        table.add_column(name)
    for what, against, found, target, met in _targets(engine):
        table.add_row(what, against, found, target, "met" if met else "missed")
    console.print(table)
    for failure in engine.failures:
        console.print(f"failed: {failure}", highlight=False)


def _targets(engine: Engine):
    """What was to be reached, and was: rows of (what, against, found, target, whether)."""

    def at_least(what, against, ratio: Ratio | None, target: float):
        if ratio is None:
            return what, against, "not measured", f"{target:g}", False
        found = f"{ratio.value:.3g} ({ratio.low:.3g} to {ratio.high:.3g})"
        return what, against, found, f"at least {target:g}", ratio.value >= target

    def at_most(what, against, value: float | None, target: float):
        found = "not measured" if value is None else f"{value:.3g}"
        return what, against, found, f"at most {target:g}", value is not None and value <= target

    def better(model, batch_size):
        found = [engine.ratio(model, batch_size, other) for other in OTHERS]
        return min((ratio for ratio in found if ratio), key=lambda ratio: ratio.value, default=None)

    def share(model, batch_size):
        found = engine.floor_share(model, batch_size)
        text = "not measured" if found is None else f"{100 * found:.0f} %"
        return f"{model}, batch {batch_size}", "matrix-rate floor", text, "at least 40 %", (found or 0) >= 0.4

    yield at_least("conv, batch 1", "tf.function", engine.ratio("conv", 1, "tf.function"), 10)
    yield at_least("conv, batch 1", "Keras predict", engine.ratio("conv", 1, "Keras predict"), 300)
    conv = [size for model, size in engine.times if model == "conv"]
    for size in conv:
        yield at_least(f"conv, batch {size}", "the best other way", better("conv", size), 1.5)
    for size in (size for size in conv if size >= 512):
        yield at_least(f"conv, batch {size}", "tf.function", engine.ratio("conv", size, "tf.function"), 5)
    for model, size in engine.times:
        if model in ("conv", "graph") and size >= 512:
            yield share(model, size)
    for model, size in engine.times:
        if model == "edge-dense":
            yield at_least(f"{model}, batch {size}", "tf.function", engine.ratio(model, size, "tf.function"), 2)
    call = engine.ratio("conv", 1, "session.run")
    yield at_most("conv, batch 1", "session.run", None if call is None else 1 / call.value, 1.15)
    if not engine.pipeline:
        return
    for order in ("falling", "any order"):
        found = engine.pipeline["padding"][order]
        ratio = time_ratio([log_ratios(found["awkward"], found["hepvae"])], np.zeros(0))
        yield at_least(f"pad_particles, pt in {order}", "ak.pad_none, fill_none", ratio, 15)
        yield at_most(f"pad_particles, pt in {order}", "copy", _median(found["hepvae"], found["copy"]), 4)
    files = engine.pipeline["files"]
    ratio = time_ratio([log_ratios(files["script"], files["hepvae"])], np.zeros(0))
    yield at_least("conv, file to scored file", "plain script", ratio, 4)
    slowest = max(("reading", "padding", "inference"), key=lambda name: np.median(files[name]))
    yield at_most("conv, file to scored file", f"{slowest} alone", _median(files["hepvae"], files[slowest]), 1.25)
    imports = engine.pipeline["import"]
    yield at_most("import hepvae", "import uproot", _median(imports["hepvae"], imports["uproot"]), 1.2)


def _median(first, second) -> float:
    """Ratio of the times of two sides, the median over rounds."""
    return float(np.median(np.divide(first, second)))
