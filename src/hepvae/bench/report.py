"""What a study prints and writes: the table, results.json, results.csv and the plots."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np

from ..histograms import score_histogram
from ..plotting import plot_scores, plot_timing
from .study import Study

__all__ = ["print_study", "write_study"]

MEGABYTE = 1e6


def flattened(record: dict) -> dict:
    """A record with its latencies as columns of their own."""
    flat = {k: v for k, v in record.items() if k != "latency_s"}
    return {**flat, **{f"latency_{k}_s": v for k, v in record["latency_s"].items()}}


def write_study(study: Study, folder: Path) -> list[Path]:
    """Write results.json, results.csv, timing.png and an anomaly-score plot for each model.

    Each file appears when it is whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []

    def whole(name, write):
        path = folder / name
        temporary = folder / f".{os.getpid()}.{name}"
        try:
            write(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        written.append(path)

    def write_csv(path):
        rows = [flattened(record) for record in study.records]
        with open(path, "w", newline="") as file:
            table = csv.DictWriter(file, rows[0])
            table.writeheader()
            table.writerows(rows)

    whole("results.json", lambda path: path.write_text(study.to_json()))
    if study.records:
        whole("results.csv", write_csv)
        whole("timing.png", lambda path: plot_timing(study.records, figure_path=path, machine=_machine(study)))
    for model, samples in study.scores.items():
        if not samples:
            continue
        histogram = score_histogram(samples)
        name = "anomaly_score.png" if len(study.scores) == 1 else f"anomaly_score_{Path(model).name}.png"
        whole(name, lambda path: plot_scores(histogram, figure_path=path, title=rf"{Path(model).name} VAE, $|\Delta\eta| < 1.4$"))
    return written


def _machine(study: Study) -> str:
    return f"{study.environment['processor']}, {study.environment['threads']} threads"


def print_study(study: Study, console) -> None:
    """Print parity, the table of all cells (median over the runs), and the failures."""
    from rich.table import Table

    for model, runtimes in study.parity.items():
        for runtime, parity in runtimes.items():
            console.print(f"parity of {model} on {runtime}: {parity}", highlight=False)

    table = Table(
        title=(
            f"{_machine(study)}, {len({r['run'] for r in study.records})} runs"
        ),
        box=None,
        pad_edge=False,
    )
    for name in ("model", "batch", "runtime"):
        table.add_column(name, justify="right" if name == "batch" else "left")
    for name in ("median ms", "p90 ms", "p99 ms", "us/jet", "jets/s", "spread", "first ms", "peak MB", "growth MB"):
        table.add_column(name, justify="right")
    table.add_column("time / fastest", justify="right")
    cells: dict[tuple, list[dict]] = {}
    for record in study.records:
        cells.setdefault((record["model"], record["batch_size"], record["runtime"]), []).append(record)
    medians = {key: np.median([r["latency_s"]["median"] for r in runs]) for key, runs in cells.items()}
    previous = None
    for (model, batch, runtime), runs in sorted(cells.items(), key=lambda item: (item[0][0], item[0][1])):
        if previous not in (None, (model, batch)):
            table.add_row()
        previous = (model, batch)

        def median(get):
            return float(np.median([get(r) for r in runs]))

        rates = [r["jets_per_s"] for r in runs]
        fastest = min(m for key, m in medians.items() if key[:2] == (model, batch))
        table.add_row(
            model,
            str(batch),
            runtime,
            *(f"{1e3 * median(lambda r: r['latency_s'][q]):.3f}" for q in ("median", "p90", "p99")),
            f"{1e6 * medians[model, batch, runtime] / batch:.1f}",
            f"{median(lambda r: r['jets_per_s']):,.0f}",
            f"{(max(rates) - min(rates)) / np.median(rates):.0%}",
            f"{1e3 * median(lambda r: r['first_call_s']):.1f}",
            f"{median(lambda r: r['rss_peak_bytes']) / MEGABYTE:.0f}",
            f"{median(lambda r: r['rss_growth_bytes']) / MEGABYTE:.0f}",
            f"{medians[model, batch, runtime] / fastest:.2f}",
        )
    console.print(table)
    for failure in study.failures:
        console.print(f"failed: {failure}", highlight=False)
