"""``python -m hepvae.bench --engine``: scoring with hepvae beside other ways to run the same models."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import HepvaeError
from ..execution.progress import progress_bar
from ..execution.threads import default_threads
from ..inference import model_path
from ..jets.spec import InputSpec
from ..models.bundled import SAMPLES, sample_path
from ..output.tables import Table
from .cells import Cell, Effort
from .floor import Work, floor_s, work
from .intervals import Ratio, rounds_ratio
from .processes import Answer, run_module
from .timing import BEFORE, open_cells, time_in_turns

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Engine", "print_engine", "run_engine"]

#: What was to be reached, against what, the result, the target, and whether it is reached.
Target = tuple[str, str, str, str, bool]

#: Other ways but LiteRT as it comes, which is beside them; without any, a unit is for another checkout only.
OTHERS = ("tf.function", "tf.function, product", "plain export", "XLA", "OpenVINO")
ALL = (*OTHERS, "plain LiteRT", "hepvae, ONNX Runtime")


@dataclass(frozen=True)
class Unit:
    """What is timed together."""

    model: str
    batch_size: int
    others: tuple[str, ...] = field(default=(), compare=False)
    """What hepvae is held against, besides another checkout of it."""
    on_dask: bool = False
    """In a worker of Dask, which has one thread."""

    def __str__(self) -> str:
        return f"{self.model}{' in a Dask worker' if self.on_dask else ''}, batch {self.batch_size}"


UNITS = (
    Unit("conv", 1, (*ALL, "Keras predict")),
    *(Unit("conv", size, ALL) for size in (2, 8, 64, 512, 4096)),
    Unit("conv", 512, on_dask=True),
    *(Unit("graph", size, () if size == 8 else ALL) for size in (1, 8, 64, 512, 4096)),
    *(Unit("edge", size) for size in (1, 64, 512)),
    *(Unit("edge-dense", size, () if size == 1 else ALL) for size in (1, 64, 512, 4096)),
)


@dataclass
class Engine:
    """What came out."""

    threads: int
    rates: dict[Unit, dict[str, float]] = field(default_factory=dict)
    """Of this machine: `floor.measure`, the mean of before and after a unit was timed."""
    times: dict[Unit, dict[str, list[float]]] = field(default_factory=dict)
    """Seconds of a jet in each round, by contender."""
    work: dict[str, Work] = field(default_factory=dict)
    """By model: `floor.Work`."""
    pipeline: Answer = field(default_factory=dict)
    adopted: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """Seconds of a model of others and of its script in each round."""
    failures: list[str] = field(default_factory=list)

    def ratio(self, unit: Unit, other: str) -> Ratio | None:
        """How many times longer another way takes."""
        rounds = self.times.get(unit, {})
        if other not in rounds or "hepvae" not in rounds:
            return None
        return rounds_ratio(rounds[other], rounds["hepvae"])

    def floor_share(self, unit: Unit) -> float | None:
        """The floor over hepvae's time; None where one of them was not measured."""
        rounds = self.times.get(unit, {})
        if "hepvae" not in rounds or unit not in self.rates:
            return None
        return self.floor_s(unit) / float(np.median(rounds["hepvae"]))

    def floor_s(self, unit: Unit) -> float:
        """Seconds of a jet, below which no program gets."""
        return floor_s(self.work[unit.model], self.rates[unit], unit.batch_size)


def run_engine(*, seconds: float = 1.0, before: Path | None = None, adopted: Path | None = None) -> Engine:
    """Measure everything; each way to run a model in a process of its own, in turns.

    Parameters
    ----------
    seconds : float
        For each way.
    before : path, optional
        Another checkout of hepvae, to be held against.
    adopted : path, optional
        A folder of models of others: see `adopted.MODELS`.
    """
    units = [unit for unit in UNITS if before or unit.others]
    engine = Engine(default_threads())
    effort = Effort(seconds=seconds)
    spec = InputSpec()
    with (
        tempfile.TemporaryDirectory(prefix="hepvae-bench-") as folder,
        progress_bar("engine", len(units) + 2) as bar,
    ):
        jets = Path(folder, "jets.npy")
        files = [str(sample_path(name)) for name in SAMPLES]
        run_module("reader", {"files": files, "spec": spec.to_dict(), "to": str(jets)})
        rates = run_module("floor", {"threads": engine.threads})
        for unit in units:
            bar(description=str(unit))
            path = model_path(unit.model).parent
            if unit.model not in engine.work:
                engine.work[unit.model] = work(path / "model.onnx", spec.n_particles)
            sides = ("hepvae", *unit.others, *([BEFORE] if before else []))
            cells = [Cell(unit.model, "", n, "local", 0.0, "numpy", unit.batch_size, 1) for n in sides]
            opened = open_cells(
                [(cell, str(path)) for cell in cells],
                threads=1 if unit.on_dask else engine.threads,
                at_once=len(os.sched_getaffinity(0)),
                before=before,
                on_dask=unit.on_dask,
            )
            try:
                for record in time_in_turns(opened, effort, jets=str(jets), files=[]):
                    times = engine.times.setdefault(unit, {})
                    times[record["runtime"]] = [s / unit.batch_size for s in record["blocks_s"]]
            finally:
                for one in opened:
                    one.end()
            engine.failures += [f"{one.cell}: {one.failure}" for one in opened if one.failure]
            if not unit.on_dask:
                after = run_module("floor", {"threads": engine.threads})
                engine.rates[unit] = {name: (rates[name] + after[name]) / 2 for name in rates}
                rates = after
            bar(1)

        def measured(module: str, **request: str | int | None) -> Answer:
            try:
                return run_module(module, {**request, "threads": engine.threads})
            except HepvaeError as error:
                engine.failures.append(f"{module}: {error}")
                return {}

        bar(description="from files to scored files")
        folder = str(model_path("conv").parent)
        engine.pipeline = measured("pipeline", folder=folder, before=str(before) if before else None)
        bar(1)
        if adopted is not None:
            bar(description="models of others")
            engine.adopted = measured("adopted", folder=str(adopted))
    return engine


def print_engine(engine: Engine, console: Console) -> None:
    """Tables of times and floors, then the targets with what was found."""
    flop, copied = (
        [rates[name] / 1e9 for rates in engine.rates.values()] for name in ("matrix_flop_per_s", "bytes_per_s")
    )
    console.print(
        f"This machine, {engine.threads} thread{'s' * (engine.threads != 1)}, from measurement to measurement:"
        f" {min(flop):.0f} to {max(flop):.0f} GFLOP/s in float32 matrix products, {min(copied):.0f} to"
        f" {max(copied):.0f} GB/s of memory copies (read and written)"
    )
    header = ("model", "matrix MFLOP", "other Mop", "weights kB", "in and out kB", "between operators kB")
    rows = [
        [model, f"{w.matrix_flop / 1e6:.2f}", f"{w.other_flop / 1e6:.2f}"]
        + [f"{b / 1e3:.1f}" for b in (w.weight_bytes, w.jet_bytes, w.between_bytes)]
        for model, w in engine.work.items()
    ]
    console.print(Table(header, rows).to_rich("Work of a jet, by its graph, padded to its full length"))

    names = list(dict.fromkeys(name for times in engine.times.values() for name in times))
    rows = []
    for unit, times in engine.times.items():
        share = engine.floor_share(unit)
        floor = 0 if share is None else engine.floor_s(unit)
        rows.append(
            [*str(unit).split(", batch ")]
            + [f"{1e6 * np.median(times[n]):.4g}" if n in times else "" for n in names]
            + (["", ""] if share is None else [f"{1e6 * floor:.3g}", f"{100 * share:.0f} %"])
        )
    table = Table(["model", "batch", *names, "floor", "share"], rows)
    console.print(table.to_rich("Microseconds of a jet, the median of rounds in turns; the floor over hepvae's"))

    if engine.pipeline:
        n_jets, cpu = engine.pipeline["files"]["n_jets"], engine.pipeline["cpu"]
        used = ", ".join(f"{name} {1e6 * np.median(seconds) / n_jets:.3g}" for name, seconds in cpu.items())
        console.print(f"Microseconds of CPU time of a jet, from file to scored file: {used}")
    rows = [[*target, "met" if met else "missed"] for *target, met in _targets(engine)]
    console.print(Table(("what", "against", "result", "target", ""), rows, left=5).to_rich("Targets"))
    for failure in engine.failures:
        console.print(f"failed: {failure}")


def _targets(engine: Engine) -> Iterator[Target]:
    """What was to be reached, and what was."""

    def target(
        what: object, against: str, result: Ratio | float | None, limit: float, word: str = "least", unit: str = ""
    ) -> Target:
        value = result.value if isinstance(result, Ratio) else result
        digits = ".0f" if unit else ".3g"
        text = "not measured" if value is None else f"{value:{digits}}{unit}"
        if isinstance(result, Ratio):
            text += f" ({result.low:.3g} to {result.high:.3g})"
        met = value is not None and (value >= limit if word == "least" else value <= limit)
        return str(what), against, text, f"at {word} {limit:g}{unit}", met

    def better(unit: Unit) -> Ratio | None:
        ratios = [engine.ratio(unit, other) for other in OTHERS]
        return min((ratio for ratio in ratios if ratio), key=lambda ratio: ratio.value, default=None)

    one = Unit("conv", 1)
    yield target(one, "tf.function", engine.ratio(one, "tf.function"), 12)
    yield target(one, "Keras predict", engine.ratio(one, "Keras predict"), 800)
    here = [unit for unit in engine.times if not unit.on_dask]
    conv = [unit for unit in here if unit.model == "conv"]
    for unit in conv:
        yield target(unit, "the best other way but LiteRT", better(unit), 1.5 if unit == one else 2)
    for unit in (unit for unit in conv if unit.batch_size >= 512):
        yield target(unit, "tf.function", engine.ratio(unit, "tf.function"), 8)
    for unit in here:
        if unit.model in ("conv", "graph") and unit.batch_size >= 512:
            share = engine.floor_share(unit)
            percent = None if share is None else 100 * share
            yield target(unit, "matrix-rate floor", percent, 60 if unit.model == "conv" else 45, unit=" %")
    for unit, times in engine.times.items():
        if unit not in conv and BEFORE in times:
            least = 3 if unit.batch_size == 1 else 2 if unit.batch_size <= 64 else 1.5
            yield target(unit, BEFORE, engine.ratio(unit, BEFORE), least)
    for unit, times in engine.times.items():
        if unit.model == "edge-dense" and "tf.function" in times:
            yield target(unit, "tf.function", engine.ratio(unit, "tf.function"), 2)
    for unit in conv:
        yield target(unit, "hepvae on ONNX Runtime", engine.ratio(unit, "hepvae, ONNX Runtime"), 1.2)
    for model, sides in engine.adopted.items():
        ratio = rounds_ratio(sides["script"], sides["hepvae"])
        yield target(f"{model}, from ragged jets", "NumPy around ONNX Runtime", ratio, 1.2)
    if not engine.pipeline:
        return

    def over(sides: Answer, other: str) -> float:
        """The median ratio of hepvae's time to another's."""
        return float(np.median(np.divide(sides["hepvae"], sides[other])))

    padding, files, cpu = engine.pipeline["padding"]["falling"], engine.pipeline["files"], engine.pipeline["cpu"]
    ratio = rounds_ratio(padding["awkward"], padding["hepvae"])
    yield target("pad_particles, falling pt", "ak.pad_none, fill_none", ratio, 15)
    yield target("conv, file to scored file", "plain script", rounds_ratio(files["script"], files["hepvae"]), 5)
    if BEFORE in files:
        yield target("conv, file to scored file, CPU time", BEFORE, over(cpu, BEFORE), 0.7, "most")
        yield target("conv, file to scored file", BEFORE, over(files, BEFORE), 0.65, "most")
    slowest = max(("reading", "padding", "inference"), key=lambda name: np.median(files[name]))
    yield target("conv, file to scored file", f"{slowest} alone", over(files, slowest), 1.25, "most")
    uproot = over(engine.pipeline["import"], "uproot")
    yield target("imports of a script that scores", "import uproot", uproot, 1.2, "most")
