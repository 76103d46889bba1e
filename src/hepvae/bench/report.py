"""What a study prints and writes: tables, results.json, results.csv, figures, and the report of them all."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..jets.selection import Selection
from ..output.files import whole_file
from ..output.html_page import html_page
from ..output.tables import Table
from ..output.text import csv_cell, markdown_text
from ..plots import PlotOptions, plot_scores
from ..plots.histograms import score_histogram, score_label
from . import figures, printing
from .cells import PASS_S, Record
from .comparisons import Comparison, compare, delay_shares, deviations_of_runs, findings, select
from .study import Study

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["print_study", "write_study"]

#: Times are given over those of this runtime, where it took part.
REFERENCE = "onnxruntime"


@dataclass
class _View:
    """The records of a study by the questions they answer."""

    study: Study

    @cached_property
    def reference(self) -> str:
        runtimes = list(dict.fromkeys(r["runtime"] for r in self.study.records))
        return REFERENCE if REFERENCE in runtimes else runtimes[0]

    @cached_property
    def given(self) -> list[Record]:
        """Cells of the models as they were given."""
        return select(self.study.records, training="")

    @cached_property
    def plain(self) -> list[Record]:
        """Those of one source and pipeline: from memory and from this disk, where that was measured."""
        places = dict.fromkeys((r["pipeline"], r["source"], r["rtt_ms"]) for r in self.given)
        if not places:
            return []
        order = [("numpy", "local", 0.0), ("numpy", "xrootd", 0.0), *places]
        pipeline, source, rtt_ms = next(place for place in order if place in places)
        return select(self.given, pipeline=pipeline, source=source, rtt_ms=rtt_ms)

    @cached_property
    def findings(self) -> list[str]:
        """What the plain cells show, and which cells are not among them."""
        if not self.plain:
            return []
        first = self.plain[0]
        how = "in memory" if first["pipeline"] == "numpy" else "streamed"
        origin = "this disk" if first["source"] == "local" else printing.source_name(first)
        place = f"jets {how}, read from {origin}"
        others = [r for r in self.study.records if r not in self.plain]
        kinds = dict.fromkeys(r["training"] or f"{r['pipeline']} from {printing.source_name(r)}" for r in others)
        left_out = f"{len(others)} other configurations ({', '.join(kinds)})" if others else ""
        return findings(self.plain, self.runtimes, place, left_out)

    @cached_property
    def deviations(self) -> npt.NDArray[np.float64]:
        return deviations_of_runs(self.given, "runtime", self.reference)

    @cached_property
    def runtimes(self) -> list[Comparison]:
        """Runtimes beside each other, in the plain cells."""
        return compare(self.plain, "runtime", self.reference, self.deviations)

    @cached_property
    def all_runtimes(self) -> list[Comparison]:
        """Runtimes beside each other, in all cells."""
        return compare(self.study.records, "runtime", self.reference, self.deviations)

    @cached_property
    def trainings(self) -> list[Comparison]:
        """New trainings beside the one that was given."""
        return compare(self.study.records, "training", "", self.deviations)

    @cached_property
    def one_size(self) -> list[Record]:
        """Cells of several sources or pipelines, without delay, at the largest size that all have."""
        near = select(self.given, rtt_ms=0.0)
        sizes = [
            {r["batch_size"] for r in select(near, source=source, pipeline=pipeline)}
            for source, pipeline in dict.fromkeys((r["source"], r["pipeline"]) for r in near)
        ]
        common = set.intersection(*sizes) if len(sizes) > 1 else set()
        return select(near, batch_size=max(common)) if common else []

    @cached_property
    def shares(self) -> list[Record]:
        """Rates through XRootD over those from this disk, at the batch sizes that were delayed."""
        shares = delay_shares(self.given)
        delayed = {share["batch_size"] for share in shares if share["rtt_ms"]}
        return [share for share in shares if share["batch_size"] in delayed]

    @property
    def machine(self) -> str:
        threads = self.study.environment["threads"]
        return f"{self.study.environment['processor']}, {threads} thread{'s' * (threads != 1)}"

    @property
    def options(self) -> PlotOptions:
        """Of every figure of times and memory."""
        return {"label": "CPU inference", "right": self.machine}

    @property
    def runs(self) -> int:
        return max((r["run"] for r in self.plain), default=1)

    @property
    def varied(self) -> str:
        """What the intervals know of."""
        return "rounds and fresh processes" if len(self.deviations) else "the rounds of these very processes"

    @property
    def of_runs(self) -> str:
        return "one run" if self.runs == 1 else f"{self.runs} runs"


@dataclass
class _Section:
    """A part of the report."""

    title: str
    text: str = ""
    table: Table | None = None
    figures: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    """What draws each figure, by the name of its file."""


def _sections(view: _View) -> list[_Section]:
    study = view.study
    sections = _measured(view) if view.plain else []
    scores = {model: samples for model, samples in study.scores.items() if samples}
    if scores:
        drawn = {}
        for model, samples in scores.items():
            # Named by model where there are several, so that scripts know the name of one; none needs quoting.
            of_model = "" if len(scores) == 1 else "_" + re.sub(r"[^A-Za-z0-9.-]+", "_", model)
            drawn[f"anomaly_score{of_model}.png"] = partial(
                _plot_scores, samples, f"{model}, {study.strategies[model]}"
            )
        sections.append(_Section("Anomaly scores", "Events of the signal region.", None, drawn))
    if study.failures:
        sections.append(_Section("Failed configurations", "", printing.failures_table(study.failures)))
    sections.append(_Section("Machine and software", "", printing.environment_table(study.environment)))
    return sections


def _plot_scores(samples: Mapping[str, Any], of: str, **options: Any) -> None:
    histogram = score_histogram(samples, label=score_label(of))
    plot_scores(histogram, title=rf"$|\Delta\eta| < {Selection.deta_cut:g}$", **options)


def _measured(view: _View) -> list[_Section]:
    study, options = view.study, view.options
    parity = [
        f"- {markdown_text(f'{model}, {runtime}: {parity}')}"
        for model, runtimes in study.parity.items()
        for runtime, parity in runtimes.items()
    ]
    sections = [
        _Section(
            "Summary",
            "Time per jet, its ratio with the 95 % interval, and the peak memory of the process, by batch size. A"
            " configuration is a model on a runtime at a batch size, measured in processes of its own.",
            printing.summary_table(view.plain, view.runtimes),
        ),
        _Section(
            "Time",
            f"Whole calls of an inferer, after warm-up, {view.of_runs} in fresh processes, runtimes timed in"
            " turns. Latencies are those of single calls. Time per jet, rate, ratio and every figure are of one"
            " quantity: the mean time of a call in each round, averaged over the middle half of the rounds. Spread"
            f" is that of the rate over the runs. Intervals are bootstrapped over {view.varied}; there is none"
            " where too few were measured.",
            printing.times_table(view.plain, view.runtimes),
            {"timing.png": partial(figures.plot_timing, view.plain, view.runtimes, **options)}
            | (
                {"difference.png": partial(figures.plot_saved, view.plain, view.runtimes, **options)}
                if view.runtimes
                else {}
            ),
        ),
        _Section(
            "Scenarios of MLPerf inference",
            "Single stream: the 90th percentile of queries of one jet, of which MLPerf requires 1,024. Offline:"
            " the highest rate.",
            printing.scenarios_table(view.plain),
        ),
        _Section(
            "Memory",
            "Resident, each configuration in a process of its own: of the loaded model, the peak and the middle of"
            " the process, the peak over what was there before the first call, and what was left of it. Growth is"
            " the slope over the second half of the calls, where there were 500.",
            printing.memory_table(view.plain),
            {"memory.png": partial(figures.plot_memory, view.plain, **options)},
        ),
    ]
    if parity:
        sections.append(_Section("Parity", "\n".join(["Losses against the first runtime:\n", *parity])))
    if view.runs > 1:
        drawn = {"runs.png": partial(figures.plot_runs, view.plain, **options)}
        sections.append(_Section("Run beside run", "The same configurations in fresh processes.", None, drawn))
    if study.inputs:
        text = "From files to padded jets, without inference, the second of two times."
        sections.append(_Section("Input", text, printing.inputs_table(study.inputs)))
    if view.one_size:
        drawn = {"sources.png": partial(figures.plot_sources, view.one_size, **options)}
        others = [r for r in view.given if r not in view.plain and not r["rtt_ms"]]
        table = printing.times_table(others, compare(others, "runtime", view.reference, view.deviations))
        text = (
            "Rates of `numpy` are those of jets in memory, of `tf.data` those of passes from opening the files on,"
            f" each to their end or for {PASS_S:g} s. The disk is that of a second reading: its cache."
        )
        sections.append(_Section("XRootD beside disk, streams beside memory", text, table, drawn))
    if view.shares:
        drawn = {"delays.png": partial(figures.plot_delays, view.shares, **options)}
        table = printing.delays_table(view.shares, view.given, study.inputs)
        text = (
            "Rate of streams through XRootD over the same from this disk, with its interval, by what is added to"
            " the round trip; and the delay at which reading a jet takes as long as its inference."
        )
        sections.append(_Section("Far from the files", text, table, drawn))
    if study.trainings:
        drawn = {}
        if view.trainings:
            drawn["trainings.png"] = partial(figures.plot_trainings, view.trainings, **options)
        table = printing.trainings_table(
            study.trainings, study.parity, view.trainings, several_runs=len(view.deviations) > 0
        )
        text = "Shortened trainings from other seeds, timed in turns with the model as it was given."
        sections.append(_Section("New training beside old", text, table, drawn))
    return sections


def _markdown(view: _View, sections: Sequence[_Section]) -> str:
    date = view.study.environment["date"]
    parts = ["# Inference of VAEs on this machine", markdown_text(f"{view.machine}, {date}")]
    parts.append("\n".join(f"- {markdown_text(sentence)}" for sentence in view.findings))
    for section in sections:
        parts += [f"## {section.title}", section.text]
        if section.table:
            parts.append(section.table.to_markdown())
        parts.append(" ".join(f"![{name}]({name})" for name in section.figures))
    return "\n\n".join(part for part in parts if part) + "\n"


def write_study(study: Study, folder: Path) -> list[Path]:
    """Write results.json, results.csv, the figures, report.md and report.html.

    Each file appears when it is whole; figures of an earlier study that this one has not are removed.
    """
    view = _View(study)
    measured: dict[str, Callable[[Path], object]] = {"results.json": lambda path: path.write_text(_json(view))}
    if study.records:
        measured["results.csv"] = partial(_write_csv, study.records)
    else:
        (folder / "results.csv").unlink(missing_ok=True)
    _write(measured, folder)  # before anything can go wrong with a figure
    sections = _sections(view)
    drawn = {name: draw for section in sections for name, draw in section.figures.items()}
    for old in FIGURES:
        for path in folder.glob(old):
            if path.name not in drawn:
                path.unlink()
    writers: dict[str, Callable[[Path], object]] = {name: partial(_draw, draw) for name, draw in drawn.items()}
    markdown = _markdown(view, sections)
    writers["report.md"] = lambda path: path.write_text(markdown)
    writers["report.html"] = lambda path: path.write_text(html_page(markdown, folder, "hepvae bench", drawn))
    _write(writers, folder)
    return [folder / name for name in (*measured, *writers)]


def _write(writers: Mapping[str, Callable[[Path], object]], folder: Path) -> None:
    for name, write in writers.items():
        with whole_file(folder / name) as temporary:
            write(temporary)


def _json(view: _View) -> str:
    """results.json, with what follows from the records."""
    content = view.study.to_dict()
    if view.plain:
        content["comparisons"] = [
            {**c.cell, "runtime": c.side, "reference": c.reference, "time_ratio": c.ratio.to_dict()}
            for c in view.all_runtimes
        ]
        content["findings"] = view.findings
    return json.dumps(content, indent=1) + "\n"


#: What a study may leave as figures.
FIGURES = (
    *("timing.png", "difference.png", "memory.png", "runs.png", "sources.png", "delays.png", "trainings.png"),
    "anomaly_score*.png",
)


def _draw(draw: Callable[..., Any], path: Path) -> None:
    draw(figure_path=path)


def flattened(record: Record) -> Record:
    """A record with its latencies as columns of their own, and without the single rounds."""
    flat = {k: v for k, v in record.items() if k not in ("latency_s", "blocks_s")}
    return {**flat, **{f"latency_{k}_s": v for k, v in record["latency_s"].items()}}


def _write_csv(records: Sequence[Record], path: Path) -> None:
    rows = [{name: csv_cell(value) for name, value in flattened(record).items()} for record in records]
    with open(path, "w", newline="") as file:
        table = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        table.writeheader()
        table.writerows(rows)


def print_study(study: Study, console: Console) -> None:
    """Print parity, the table of all cells (median over the runs), the findings, and the failures."""
    view = _View(study)
    for model, runtimes in study.parity.items():
        for runtime, parity in runtimes.items():
            console.print(f"parity of {model} on {runtime}: {parity}")
    if view.plain:
        title = f"{view.machine}, {view.of_runs}"
        console.print(printing.times_table(study.records, view.all_runtimes).to_rich(title))
        console.print(printing.memory_table(study.records).to_rich("Resident memory"))
        for sentence in view.findings:
            console.print(sentence)
    for failure in study.failures:
        console.print(f"failed: {', '.join(str(v) for v in failure.values() if v not in ('', 0.0))}")
