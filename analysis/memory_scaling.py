#!/usr/bin/env python3
"""How the memory of Graph-VAE inference grows with batch size, particles and width.

python analysis/memory_scaling.py --output build/memory

Untrained models of the forms (memory does not know weights) run on jets of the bundled samples, each cell in
a process of its own, whose peak of resident memory during inference over what it was before is fitted by

    constant + batch * 4 bytes * (a * n_particles^2 + b * n_particles * width)

for each form and runtime, by least squares of relative deviations: a counts the n x n arrays that are alive at
once, b the arrays of nodes; with k nearest neighbours there are k times the width of numbers at each node.
From the batch size where the part that grows reaches a tenth of the process's memory at batch 1, "memory does
not depend on the batch" is no longer true. A second table has the time of a jet. Blocks of hepvae are off:
each batch goes to the runtime as it is.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

import hepvae
from hepvae.bench.cells import Cell, Effort
from hepvae.bench.environment import environment
from hepvae.bench.figures import plot_memory
from hepvae.bench.timing import open_cells, time_in_turns
from hepvae.conversion.export import export_litert, export_onnx
from hepvae.execution.progress import progress_bar
from hepvae.execution.threads import default_threads
from hepvae.extras import require
from hepvae.jets.quality import pad_scorable
from hepvae.models import hyperparameters
from hepvae.models.bundled import SAMPLES
from hepvae.models.card import ModelCard
from hepvae.output.files import make_folder, whole_file

FORMS = ("graph", "edge", "edge-dense", "graph-slots")
SUFFIXES = {"tensorflow": ".keras", "onnxruntime": ".onnx", "litert": ".tflite"}
#: Multiples of a form's own width, and constituents; only one of them is varied at a time.
WIDTHS, PARTICLES = (1, 2), (100, 50, 200)
#: Hyperparameters that are widths of nodes; those that a form has.
NODE_WIDTHS = ("width", "decoder_width", "hidden", "head_width")
SHARE = 0.1


@dataclass(frozen=True)
class Variant:
    """A form at a size."""

    form: str
    n_particles: int
    widening: int

    @property
    def changed(self) -> dict:
        own = hyperparameters(self.form)
        return {name: self.widening * own[name] for name in NODE_WIDTHS if name in own}

    @property
    def node_width(self) -> int:
        """Numbers at a node, of all its edges."""
        values = hyperparameters(self.form, self.changed)
        wide = (values[name] for name in NODE_WIDTHS if name in values)
        return max(values["width"] * max(values.get("neighbours", 1), 1), *wide)

    @property
    def terms(self) -> np.ndarray:
        """Bytes that one array of each kind takes for a jet."""
        return 4 * np.array([self.n_particles**2, self.n_particles * self.node_width])


def write_models(variant: Variant, jets: np.ndarray, folder: Path) -> None:
    from hepvae.models.vae import VAE

    spec = hepvae.InputSpec(n_particles=variant.n_particles)
    card = ModelCard(variant.form, spec, (0, 0, 11), (0.25, 0.25, 29), hyperparameters=variant.changed)
    model = VAE(card)
    folder.mkdir()
    model.save(folder / "model.keras")
    export_onnx(model, folder / "model.onnx", jets=jets[:8])
    export_litert(model, folder / "model.tflite", jets=jets[:8])
    np.save(folder / "jets.npy", jets)


def measured(variants, batch_sizes) -> list[dict]:
    """A record of each cell."""
    samples = [hepvae.read_dijets(hepvae.sample_path(name), entry_stop=500) for name in SAMPLES]
    records = []
    cells = len(variants) * len(SUFFIXES) * len(batch_sizes)
    with tempfile.TemporaryDirectory(prefix="hepvae-memory-") as scratch, progress_bar("memory", cells) as advance:
        for i, variant in enumerate(variants):
            advance(description=f"{variant.form}, {variant.n_particles} particles, width x{variant.widening}")
            folder = Path(scratch, str(i))
            spec = hepvae.InputSpec(n_particles=variant.n_particles)
            write_models(variant, np.concatenate([pad_scorable(events, spec) for events in samples]), folder)
            for batch_size in batch_sizes:
                for record in measured_together(variant, batch_size, folder):
                    records.append({**record, "n_particles": variant.n_particles, "widening": variant.widening})
                    advance(1)
    return records


def measured_together(variant: Variant, batch_size: int, folder: Path) -> list[dict]:
    """A record for each runtime, in a process of its own."""
    cells = [Cell(variant.form, "", runtime, "local", 0.0, "numpy", batch_size, run=1) for runtime in SUFFIXES]
    files = [(cell, str(folder / f"model{SUFFIXES[cell.runtime]}")) for cell in cells]
    opened = open_cells(files, threads=default_threads(), at_once=len(files))
    try:
        records = time_in_turns(opened, Effort(seconds=0, rounds=(3, 3)), jets=str(folder / "jets.npy"), files=[])
    finally:
        for one in opened:
            one.end()
    for one in opened:
        if one.failure:
            raise hepvae.ModelError(f"{one.cell}: {one.failure}")
    return records


@dataclass(frozen=True)
class Fit:
    """What was fitted to the cells of a form on a runtime."""

    constant: float
    """Bytes."""
    arrays: np.ndarray
    """a and b of the docstring."""
    deviation: float
    """Median relative deviation of the cells."""
    start: float
    """Bytes of the process at batch 1."""

    def growing(self, terms, batch_size):
        """Bytes that grow with the batch."""
        return (terms @ self.arrays) * np.asarray(batch_size)

    def turning_point(self, terms) -> float:
        """Batch size where the growing part reaches `SHARE` of the process at batch 1."""
        return SHARE * self.start / (terms @ self.arrays)


def fit(records) -> Fit:
    """Least squares of relative deviations; a term that would be negative is left out."""
    variants = [Variant(r["model"], r["n_particles"], r["widening"]) for r in records]
    found = np.array([r["rss_inference_bytes"] for r in records], np.float64)
    matrix = np.array([[1e6, *(r["batch_size"] * v.terms)] for r, v in zip(records, variants)])
    used = [0, 1, 2]
    while True:
        solution, *_ = np.linalg.lstsq(matrix[:, used] / found[:, None], np.ones(len(found)), rcond=None)
        if (solution >= 0).all() or len(used) == 1:
            break
        used.pop(int(np.argmin(solution)))
    values = np.zeros(3)
    values[used] = np.maximum(solution, 0)
    deviation = np.median(np.abs(matrix @ values / found - 1))
    first = [r["rss_peak_bytes"] for r in records if r["batch_size"] == 1]
    return Fit(values[0] * 1e6, values[1:], float(deviation), float(np.median(first)))


def report(records, fits, n_particles: int) -> Table:
    table = Table(title=f"Peak memory of inference, {n_particles} particles", box=MARKDOWN)
    for name in ("form", "runtime"):
        table.add_column(name)
    for name in (
        "constant MB",
        "n x n arrays",
        "node arrays",
        "kB/jet",
        "deviation",
        "at batch 1, MB",
        "depends from batch",
    ):
        table.add_column(name, justify="right")
    for (form, runtime), found in fits.items():
        terms = Variant(form, n_particles, 1).terms
        table.add_row(
            form,
            runtime,
            f"{found.constant / 1e6:.0f}",
            *(f"{value:.1f}" for value in found.arrays),
            f"{found.growing(terms, 1) / 1e3:.0f}",
            f"{found.deviation:.0%}",
            f"{found.start / 1e6:.0f}",
            f"{found.turning_point(terms):.0f}",
        )
    return table


def times(records) -> Table:
    sizes = sorted({r["batch_size"] for r in records})
    table = Table(title="Microseconds a jet, by batch size", box=MARKDOWN)
    for name in ("form", "runtime"):
        table.add_column(name)
    for size in sizes:
        table.add_column(str(size), justify="right")
    for form, runtime in dict.fromkeys((r["model"], r["runtime"]) for r in records):
        rates = {
            r["batch_size"]: r["jets_per_s"] for r in records if (r["model"], r["runtime"]) == (form, runtime)
        }
        table.add_row(form, runtime, *(f"{1e6 / rates[size]:.0f}" for size in sizes))
    return table


def main(arguments=None) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--forms", default=",".join(FORMS), help="default %(default)s")
    parser.add_argument("--batch-sizes", default="1,16,64,256,1024", help="default %(default)s")
    parser.add_argument(
        "--particles",
        default=",".join(map(str, PARTICLES)),
        help="of a jet, the first at all widths (default %(default)s)",
    )
    parser.add_argument(
        "--widths", default=",".join(map(str, WIDTHS)), help="times the form's (default %(default)s)"
    )
    parser.add_argument("--output", type=Path, default=Path("build/memory"), help="folder (default %(default)s)")
    options = parser.parse_args(arguments)
    require("tensorflow", parser.prog)
    make_folder(options.output)
    batch_sizes = [int(size) for size in options.batch_sizes.split(",")]
    particles, widths = ([int(n) for n in text.split(",")] for text in (options.particles, options.widths))
    variants = [Variant(form, n, 1) for form in options.forms.split(",") for n in particles]
    variants += [Variant(form, particles[0], w) for form in options.forms.split(",") for w in widths if w != 1]
    records = measured(variants, batch_sizes)
    keys = dict.fromkeys((r["model"], r["runtime"]) for r in records)
    fits = {key: fit([r for r in records if (r["model"], r["runtime"]) == key]) for key in keys}

    console = Console() if sys.stdout.isatty() else Console(width=140)
    usual = [r for r in records if (r["n_particles"], r["widening"]) == (particles[0], 1)]
    console.print(report(records, fits, particles[0]))
    console.print()
    console.print(times(usual))
    with whole_file(options.output / "memory.json") as file:
        file.write_text(json.dumps({"environment": environment(), "records": records}, indent=1) + "\n")
    plot_memory(
        usual,
        {
            (form, runtime): lambda size, f=f, form=form: (
                f.constant + f.growing(Variant(form, particles[0], 1).terms, size)
            )
            for (form, runtime), f in fits.items()
        },
        figure_path=options.output / "memory.png",
        label="CPU inference",
        right=f"{environment()['processor']}, {default_threads()} threads",
    )
    console.print(f"{options.output / 'memory.json'}\n{options.output / 'memory.png'}", highlight=False)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except hepvae.HepvaeError as error:
        sys.exit(f"memory_scaling: {error}")
