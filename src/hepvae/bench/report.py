"""What a study prints and writes: the table, results.json, results.csv and the plots."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path

import numpy as np

from ..histograms import score_histogram
from ..outputs import whole_file
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
    writers = {"results.json": lambda path: path.write_text(study.to_json())}
    if study.records:
        writers["results.csv"] = partial(_write_csv, study.records)
        writers["timing.png"] = partial(_plot_timing, study)
    for model, samples in study.scores.items():
        if samples:
            name = (
                "anomaly_score.png" if len(study.scores) == 1 else f"anomaly_score_{model.replace('/', '_')}.png"
            )
            writers[name] = partial(_plot_scores, model, samples)
    for name, write in writers.items():
        with whole_file(folder / name) as temporary:
            write(temporary)
    return [folder / name for name in writers]


def _write_csv(records, path: Path) -> None:
    rows = [flattened(record) for record in records]
    with open(path, "w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)


def _plot_timing(study: Study, path: Path) -> None:
    plot_timing(study.records, figure_path=path, machine=_machine(study))


def _plot_scores(model: str, samples, path: Path) -> None:
    plot_scores(score_histogram(samples), figure_path=path, title=rf"{model} VAE, $|\Delta\eta| < 1.4$")


def _machine(study: Study) -> str:
    return f"{study.environment['processor']}, {study.environment['threads']} threads"


#: Heading of each column of figures, and how a record gives it; the table shows the median over runs.
COLUMNS = {
    "median ms": lambda r: 1e3 * r["latency_s"]["median"],
    "p90 ms": lambda r: 1e3 * r["latency_s"]["p90"],
    "p99 ms": lambda r: 1e3 * r["latency_s"]["p99"],
    "us/jet": lambda r: 1e6 * r["latency_s"]["median"] / r["batch_size"],
    "jets/s": lambda r: r["jets_per_s"],
    "first ms": lambda r: 1e3 * r["first_call_s"],
    "peak MB": lambda r: r["rss_peak_bytes"] / MEGABYTE,
    "inference MB": lambda r: r["rss_inference_bytes"] / MEGABYTE,
    "growth MB": lambda r: r["rss_growth_bytes"] / MEGABYTE,
}


def print_study(study: Study, console) -> None:
    """Print parity, the table of all cells (median over the runs), and the failures."""
    for model, runtimes in study.parity.items():
        for runtime, parity in runtimes.items():
            console.print(f"parity of {model} on {runtime}: {parity}", highlight=False)
    if study.records:
        console.print(_table(study))
    for failure in study.failures:
        console.print(f"failed: {failure}", highlight=False)


def _table(study: Study):
    from rich.table import Table

    cells: dict[tuple, dict[str, list[dict]]] = {}
    for record in study.records:
        cell = cells.setdefault((record["model"], record["batch_size"]), {})
        cell.setdefault(record["runtime"], []).append(record)

    runs = len({record["run"] for record in study.records})
    table = Table(title=f"{_machine(study)}, {runs} runs", box=None, pad_edge=False)
    for name in ("model", "batch", "runtime", *COLUMNS, "spread", "time / fastest"):
        table.add_column(name, justify="left" if name in ("model", "runtime") else "right")
    for i, ((model, batch), runtimes) in enumerate(cells.items()):
        if i:
            table.add_row()
        medians = {
            runtime: {name: float(np.median([get(r) for r in records])) for name, get in COLUMNS.items()}
            for runtime, records in runtimes.items()
        }
        fastest = min(columns["median ms"] for columns in medians.values())
        for runtime, columns in medians.items():
            rates = [record["jets_per_s"] for record in runtimes[runtime]]
            table.add_row(
                model,
                str(batch),
                runtime,
                *(_figure(value) for value in columns.values()),
                f"{(max(rates) - min(rates)) / np.median(rates):.0%}",
                f"{columns['median ms'] / fastest:.2f}",
            )
    return table


def _figure(value: float) -> str:
    """Three digits, or a whole number with thousands set apart."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
