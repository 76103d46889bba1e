"""The tables of a study, for a terminal and for the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..conversion.parity import Parity
from ..output.tables import Table, figure
from .cells import KEYS, Record
from .comparisons import Comparison, batch_time, grouped, select
from .intervals import LEVEL, Ratio

__all__ = [
    "delays_table",
    "environment_table",
    "failures_table",
    "inputs_table",
    "memory_table",
    "scenarios_table",
    "summary_table",
    "times_table",
    "trainings_table",
]

MEGABYTE = 1e6
#: What runtimes are compared at.
PLACE = ("model", "training", "source", "rtt_ms", "pipeline", "batch_size")


Column = Callable[[Record], float]
#: Heading of each column of figures, and how a record gives it; tables show the median over runs.
TIMES: dict[str, Column] = {
    "calls": lambda r: r["timed_calls"],
    "call: median ms": lambda r: 1e3 * r["latency_s"]["median"],
    "p90 ms": lambda r: 1e3 * r["latency_s"]["p90"],
    "p99 ms": lambda r: 1e3 * r["latency_s"]["p99"],
    "first ms": lambda r: 1e3 * r["first_call_s"],
}
MEMORY: dict[str, Column] = {
    "load s": lambda r: r["load_s"],
    "model MB": lambda r: r["rss_model_bytes"] / MEGABYTE,
    "peak MB": lambda r: r["rss_peak_bytes"] / MEGABYTE,
    "steady MB": lambda r: r["rss_steady_bytes"] / MEGABYTE,
    "inference MB": lambda r: r["rss_inference_bytes"] / MEGABYTE,
    "left MB": lambda r: r["rss_growth_bytes"] / MEGABYTE,
    "batches": lambda r: r["calls"],
    # NaN of None, where too little was measured
    "growth, MB per 1,000 batches": lambda r: np.float64(r["rss_growth_per_1000_batches_bytes"]) / MEGABYTE,
}


def _median(records: Sequence[Record], get: Column) -> str:
    """Over the runs; nothing where there are none."""
    return figure(float(np.median([get(r) for r in records]))) if records else ""


def source_name(cell: Record) -> str:
    """Where the files of a cell are."""
    return str(cell["source"]) + (f" +{cell['rtt_ms']:g} ms" if cell["rtt_ms"] else "")


#: What is shown of a cell where it is not the same in all of them.
MAY_DIFFER: dict[str, Callable[[Record], str]] = {
    "training": lambda r: str(r["training"]),
    "source": source_name,
    "pipeline": lambda r: str(r["pipeline"]),
}


def _cells(
    records: Sequence[Record], columns: Mapping[str, Column]
) -> tuple[list[str], list[tuple[tuple[Any, ...], list[Record], list[str]]]]:
    """Headings, and for each cell: where it is, its runs, and its row: medians over the runs."""
    shown = {name: get for name, get in MAY_DIFFER.items() if len(set(map(get, records))) > 1}
    rows = [
        (
            key,
            runs,
            [
                runs[0]["model"],
                *(get(runs[0]) for get in shown.values()),
                runs[0]["runtime"],
                str(runs[0]["batch_size"]),
                *(_median(runs, get) for get in columns.values()),
            ],
        )
        for key, runs in grouped(records, *PLACE, "runtime").items()
    ]
    return ["model", *shown, "runtime", "batch", *columns], rows


def summary_table(records: Sequence[Record], comparisons: Sequence[Comparison]) -> Table:
    """A row for each model and batch size: time per jet on each runtime, ratio, and peak memory of the process."""
    runtimes = list(dict.fromkeys(r["runtime"] for r in records))
    ratios = {(c.cell["model"], c.cell["batch_size"], c.side): c.ratio for c in comparisons}
    sides = list(dict.fromkeys(c.side for c in comparisons))
    rows = []
    for model, size in dict.fromkeys((r["model"], r["batch_size"]) for r in records):
        runs = [select(records, model=model, batch_size=size, runtime=runtime) for runtime in runtimes]
        times = [figure(1e6 * batch_time(some) / size) if some else "" for some in runs]
        peaks = [_median(some, MEMORY["peak MB"]) for some in runs]
        found = [ratios.get((model, size, side)) for side in sides]
        rows.append([model, str(size), *times, *(str(ratio or "") for ratio in found), *peaks])
    over = [f"{side} / {comparisons[0].reference}" for side in sides]
    header = ["model", "batch", *(f"{name}, us/jet" for name in runtimes), *over, *(f"{n}, MB" for n in runtimes)]
    return Table(header, rows)


def times_table(records: Sequence[Record], comparisons: Sequence[Comparison]) -> Table:
    """Every cell, the runs of it together: single calls, time and rate (`batch_time`), spread, and the ratio."""
    ratios = {(*(c.cell[name] for name in PLACE), c.side): c.ratio for c in comparisons}
    header, cells = _cells(records, TIMES)
    rows = []
    spread = ["spread"] if any(len(runs) > 1 for _, runs, _ in cells) else []
    for key, runs, row in cells:
        per_jet = batch_time(runs) / runs[0]["batch_size"]
        row += [figure(1e6 * per_jet), figure(1 / per_jet)]
        if spread:
            rates = [1 / batch_time([r]) for r in runs]
            row.append(f"{(max(rates) - min(rates)) / np.median(rates):.0%}" if len(rates) > 1 else "")
        ratio = ratios.get(key)
        if ratio is not None and ratio.has_interval:
            seen = "yes" if ratio.difference_seen else "no"
            row += [f"{ratio.value:.2f}", f"{ratio.low:.2f} - {ratio.high:.2f}", seen]
        elif ratio is not None:
            row += [f"{ratio.value:.2f}", "none", ""]
        elif ratios:
            row += ["", "", ""]
        rows.append(row)
    compared = [f"time / {comparisons[0].reference}", f"{LEVEL:.0%} interval", "difference seen"] if ratios else []
    return Table([*header, "time us/jet", "jets/s", *spread, *compared], rows, left=header.index("batch"))


def memory_table(records: Sequence[Record]) -> Table:
    """Every cell: resident memory of its process, and what stays."""
    header, cells = _cells(records, MEMORY)
    settings = {True: "on", False: "off", None: ""}
    rows = [[*row, settings[runs[0]["arena"]]] for _, runs, row in cells]
    return Table([*header, "arena"], rows, left=header.index("batch"))


def scenarios_table(records: Sequence[Record]) -> Table:
    """The scenarios of MLPerf inference: single stream at batch size 1, offline at the best one."""
    rows = []
    for model, runtime in dict.fromkeys((r["model"], r["runtime"]) for r in records):
        cells = select(records, model=model, runtime=runtime)
        single = select(cells, batch_size=1)
        sizes = sorted({r["batch_size"] for r in cells})
        rate = {size: size / batch_time(select(cells, batch_size=size)) for size in sizes}
        best = max(rate, key=lambda size: rate[size])
        rows.append(
            [
                model,
                runtime,
                _median(single, TIMES["p90 ms"]),
                f"{min(r['timed_calls'] for r in single):,}" if single else "",
                figure(rate[best]),
                str(best),
            ]
        )
    header = ["model", "runtime", "single stream: p90 ms", "queries", "offline: jets/s", "at batch"]
    return Table(header, rows, left=2)


def inputs_table(inputs: Sequence[Record]) -> Table:
    """Reading alone."""
    rows = [
        [
            source_name(part),
            str(part["n_particles"]),
            f"{part['n_jets']:,}",
            figure(part["input_s"]),
            figure(part["n_jets"] / part["input_s"]),
            figure(1e6 * part["input_s"] / part["n_jets"]),
        ]
        for part in inputs
    ]
    return Table(["read from", "particles", "jets", "seconds", "jets/s", "us/jet"], rows)


def delays_table(shares: Sequence[Record], records: Sequence[Record], inputs: Sequence[Record]) -> Table:
    """Share of the local rate at each delay, and from which delay on inference cannot hide reading."""
    delays = sorted({s["rtt_ms"] for s in shares})
    rows = []
    far = [s for s in shares if s["rtt_ms"]]
    for model, runtime, size in dict.fromkeys((s["model"], s["runtime"], s["batch_size"]) for s in far):
        cell = select(shares, model=model, runtime=runtime, batch_size=size)
        of_delay = {s["rtt_ms"]: s["share"] for s in cell}
        cells = select(records, model=model, runtime=runtime, batch_size=size, pipeline="numpy", training="")
        rows.append(
            [
                model,
                runtime,
                str(size),
                *(_share(of_delay[delay]) if delay in of_delay else "" for delay in delays),
                hidden_until(inputs, batch_time(cells) / size) if cells else "",
            ]
        )
    header = ["model", "runtime", "batch", *(f"+{delay:g} ms" for delay in delays), "hidden up to"]
    return Table(header, rows, left=2)


def _share(share: Ratio) -> str:
    interval = f" ({share.low:.0%} to {share.high:.0%})" if share.has_interval else " (no interval)"
    return f"{share.value:.0%}{interval}"


def hidden_until(inputs: Sequence[Record], inference_s: float) -> str:
    """The added round trip at which reading a jet takes as long as inference, between those measured."""
    points = sorted((part["rtt_ms"], part["input_s"] / part["n_jets"]) for part in select(inputs, source="xrootd"))
    if not points:
        return ""
    if points[0][1] >= inference_s:
        return "never"
    for (near, fast), (far, slow) in pairwise(points):
        if slow >= inference_s:
            return f"{near + (far - near) * (inference_s - fast) / (slow - fast):.1f} ms"
    return f"over {points[-1][0]:g} ms"


def trainings_table(
    trainings: Sequence[Record],
    parity: Mapping[str, Mapping[str, Parity]],
    comparisons: Sequence[Comparison],
    *,
    several_runs: bool,
) -> Table:
    """Parity of each training, and how far its times lie from those of the model as it was given.

    Without ``several_runs`` the intervals do not know how fresh processes differ, and no difference is claimed.
    """
    rows = []
    for part in trainings:
        name = f"{part['model']}, {part['training']}"
        ratios = [c.ratio for c in comparisons if (c.cell["model"], c.side) == (part["model"], part["training"])]
        seen = sum(ratio.difference_seen for ratio in ratios)
        rows.append(
            [
                part["model"],
                part["training"],
                figure(part["validation_loss"]),
                ", ".join(f"{p.worst:.1e} ({runtime})" for runtime, p in parity.get(name, {}).items()),
                f"{min(r.value for r in ratios):.2f} to {max(r.value for r in ratios):.2f}" if ratios else "",
                f"{seen} of {len(ratios)}" if several_runs else "",
            ]
        )
    header = ["model", "training", "validation loss", "parity", "time / old training", "differences seen"]
    return Table(header, rows, left=2)


def failures_table(failures: Sequence[Record]) -> Table:
    """Cells that could not be measured, and why."""
    names = (*KEYS, "error")
    return Table(
        [n.replace("_", " ") for n in names], [[str(f[n]) for n in names] for f in failures], left=len(names)
    )


def environment_table(environment: Record) -> Table:
    """Machine and versions."""
    flat = {k: v for k, v in environment.items() if not isinstance(v, dict)}
    flat["memory_bytes"] = f"{environment['memory_bytes'] / 1e9:.1f} GB"
    flat |= environment["packages"] | environment["variables"]
    return Table(["", ""], [[name.replace("_bytes", ""), str(value)] for name, value in flat.items()], left=2)
