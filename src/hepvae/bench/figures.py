"""Figures of a study, in the style of `hepvae.plots`: models by colour, runtimes by line and marker.

Records are those of ``results.json``; comparisons are of runtimes, but for `plot_trainings`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..plots import PlotOptions, drawing, legend_above, plain_ticks
from .cells import Record
from .comparisons import Comparison, batch_time, select
from .intervals import Ratio

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

    from ..plots.style import Canvas

__all__ = [
    "plot_delays",
    "plot_memory",
    "plot_runs",
    "plot_saved",
    "plot_sources",
    "plot_timing",
    "plot_trainings",
]

MARKERS = ("o", "s", "^", "D", "v", "P")
LINES = ("-", "--", ":", "-.")


class _Styles:
    """One look for each model and runtime in all panels of a figure."""

    def __init__(self, records: Sequence[Record]):
        self.models = list(dict.fromkeys(r["model"] for r in records))
        self.runtimes = list(dict.fromkeys(r["runtime"] for r in records))
        self.sizes = sorted({r["batch_size"] for r in records})

    def pairs(self) -> list[tuple[str, str]]:
        return [(model, runtime) for model in self.models for runtime in self.runtimes]

    def line(self, model: str, runtime: str) -> dict[str, Any]:
        """Points, and the line through them."""
        return {**self.points(model, runtime), "linestyle": LINES[self.runtimes.index(runtime) % len(LINES)]}

    def points(self, model: str, runtime: str) -> dict[str, Any]:
        j = self.runtimes.index(runtime)
        color, marker = f"C{self.models.index(model)}", MARKERS[j % len(MARKERS)]
        look = {"marker": marker, "markersize": 9, "fillstyle": "full" if j == 0 else "none"}
        return {"color": color, "linestyle": "none", **look}

    def legend(self, axes: Axes, **legend: Any) -> None:
        many = len(self.models) * len(self.runtimes) > 3
        size = "x-small" if many else "small"
        legend_above(axes, fontsize=size, title_fontsize=size, ncols=2 if many else 1, **legend)

    def size_axis(self, axes: Axes) -> None:
        axes.set_xscale("log", base=2)
        step = -(-len(self.sizes) // 8)  # labels that would run into each other are left out
        labels = [str(size) if i % step == 0 else "" for i, size in enumerate(self.sizes)]
        axes.set_xticks(self.sizes, labels)
        axes.set_xticks([], minor=True)
        axes.set_xlabel("Batch size (jets)")


def _aside(values: Sequence[float], i: int, number: int) -> npt.NDArray[np.float64]:
    """The i-th of some sets of points beside the others, whose error bars it would hide."""
    return np.asarray(values, np.float64) * float(1.05 ** (i - (number - 1) / 2))


def _with_interval(
    axes: Axes, x: npt.ArrayLike, ratios: Sequence[Ratio], scale: npt.ArrayLike = 1.0, **style: Any
) -> None:
    """Ratios with their confidence intervals, where they have one."""
    values = np.array([ratio.value for ratio in ratios]) * scale
    ends = np.array([[ratio.low, ratio.high] for ratio in ratios]).T * scale
    axes.errorbar(x, values, yerr=np.nan_to_num(np.abs(ends - values)), capsize=3, elinewidth=1.5, **style)


@contextmanager
def _one_panel(options: PlotOptions) -> Iterator[tuple[Canvas, Axes]]:
    """A figure of one panel, with its label at the end."""
    with drawing(options) as canvas:
        axes = canvas.figure.subplots()
        yield canvas, axes
        canvas.write_label(axes)


def plot_timing(
    records: Sequence[Record], comparisons: Sequence[Comparison] = (), **options: Unpack[PlotOptions]
) -> Figure:
    """Time per jet against batch size for each model and runtime, and the ratios with their intervals.

    The runs of a cell are points, `batch_time` of all of them the line. No lower panel without comparisons.
    """
    styles = _Styles(records)
    with drawing(options) as canvas:
        upper, lower = canvas.with_lower_panel(2) if comparisons else (canvas.figure.subplots(), None)
        for model, runtime in styles.pairs():
            cells = select(records, model=model, runtime=runtime)
            sizes = sorted({r["batch_size"] for r in cells})
            times = [1e6 / size * batch_time(select(cells, batch_size=size)) for size in sizes]
            line = {**styles.line(model, runtime), "markevery": []}  # the legend has the marker, too
            upper.plot(sizes, times, **line, label=f"{model}, {runtime}")
            runs = [1e6 / r["batch_size"] * batch_time([r]) for r in cells]
            upper.plot([r["batch_size"] for r in cells], runs, **styles.points(model, runtime))
        upper.set_yscale("log")
        upper.set_ylabel(r"Time per jet ($\mu$s)")
        if lower is not None:
            _ratio_panel(lower, comparisons, styles, varied="runtime")
            sides = {c.side for c in comparisons}
            side = next(iter(sides)) if len(sides) == 1 else "other"
            lower.set_ylabel(f"{side} /\n{comparisons[0].reference}", fontsize="small", loc="center")
        styles.size_axis(lower or upper)
        styles.legend(upper)
        canvas.write_label(upper)
    return canvas.figure


def _ratio_panel(axes: Axes, comparisons: Sequence[Comparison], styles: _Styles, *, varied: str) -> None:
    from matplotlib.ticker import MaxNLocator

    groups: dict[tuple[str, str, str], list[Comparison]] = {}
    for c in comparisons:
        runtime = c.side if varied == "runtime" else c.cell["runtime"]
        groups.setdefault((c.cell["model"], runtime, c.side), []).append(c)
    for i, ((model, runtime, _), part) in enumerate(groups.items()):
        sizes = _aside([c.cell["batch_size"] for c in part], i, len(groups))
        style = styles.line(model, runtime) if varied == "runtime" else styles.points(model, runtime)
        _with_interval(axes, sizes, [c.ratio for c in part], **style)
    axes.set_yscale("log")
    axes.axhline(1, color="gray", linewidth=1)
    plain_ticks(axes.yaxis)
    axes.tick_params(axis="y", which="both", labelsize="x-small")
    ends = np.array([[c.ratio.value, c.ratio.low, c.ratio.high] for c in comparisons])
    low, high = min(0.9 * float(np.nanmin(ends)), 0.8), max(1.1 * float(np.nanmax(ends)), 1.25)
    axes.set_ylim(low, high)
    if high < 4 * low:  # 1, 2, 5 would be one number
        axes.yaxis.set_major_locator(MaxNLocator(4))


def plot_saved(
    records: Sequence[Record], comparisons: Sequence[Comparison], **options: Unpack[PlotOptions]
) -> Figure:
    """Time that a runtime needs more than another for a jet, against batch size.

    A runtime looks as in `plot_timing` of the records; intervals are those of the ratios.
    """
    styles = _Styles(records)
    reference = comparisons[0].reference
    pairs = [(model, runtime) for model, runtime in styles.pairs() if runtime != reference]
    with _one_panel(options) as (canvas, axes):
        for i, (model, runtime) in enumerate(pairs):
            part = [c for c in comparisons if (c.cell["model"], c.side) == (model, runtime)]
            less_one = [Ratio(c.ratio.value - 1, c.ratio.low - 1, c.ratio.high - 1) for c in part]
            per_jet = np.array([1e6 * c.reference_s / c.cell["batch_size"] for c in part])
            sizes = _aside([c.cell["batch_size"] for c in part], i, len(pairs))
            label = f"{model}, {runtime} - {reference}"
            _with_interval(axes, sizes, less_one, per_jet, **styles.line(model, runtime), label=label)
        axes.set_yscale("symlog", linthresh=1)
        axes.axhline(0, color="gray", linewidth=1)
        axes.set_ylabel(r"Difference of time per jet ($\mu$s)")
        styles.size_axis(axes)
        legend_above(axes)
    return canvas.figure


def plot_memory(
    records: Sequence[Record],
    fits: Mapping[tuple[str, str], Callable[[Any], Any]] | None = None,
    **options: Unpack[PlotOptions],
) -> Figure:
    """Memory against batch size for each model and runtime: of the process, and of its inference alone.

    Points are medians over the runs, bars reach from the least to the most.

    Parameters
    ----------
    fits : mapping of (model, runtime) to function, optional
        Bytes of inference for an array of batch sizes.
    """
    fits = fits or {}
    styles = _Styles(records)
    with drawing(options) as canvas:
        upper, lower = canvas.with_lower_panel(1)
        for model, runtime in styles.pairs():
            cells = select(records, model=model, runtime=runtime)
            sizes = sorted({r["batch_size"] for r in cells})
            for axes, key in ((upper, "rss_peak_bytes"), (lower, "rss_inference_bytes")):
                of_size = [np.array([r[key] for r in select(cells, batch_size=s)]) / 1e6 for s in sizes]
                medians = np.array([np.median(runs) for runs in of_size])
                reach = np.abs(np.array([[runs.min(), runs.max()] for runs in of_size]).T - medians)
                fitted = (model, runtime) in fits and axes is lower
                style = styles.points(model, runtime) if fitted else styles.line(model, runtime)
                axes.errorbar(sizes, medians, yerr=reach, capsize=3, **style, label=f"{model}, {runtime}")
            if (model, runtime) in fits:
                smooth = np.geomspace(sizes[0], sizes[-1], 100)
                line = {**styles.line(model, runtime), "marker": ""}
                lower.plot(smooth, fits[model, runtime](smooth) / 1e6, **line)
        for axes in (upper, lower):
            axes.set_yscale("log")
            plain_ticks(axes.yaxis)
        upper.set_ylabel("Process, peak (MB)")
        lower.set_ylabel("Inference, peak (MB)")
        styles.size_axis(lower)
        styles.legend(upper)
        canvas.write_label(upper)
    return canvas.figure


def plot_runs(records: Sequence[Record], **options: Unpack[PlotOptions]) -> Figure:
    """Time of each further run over that of the first, in fresh processes."""
    styles = _Styles(records)
    first = {(r["model"], r["runtime"], r["batch_size"]): r for r in select(records, run=1)}
    with _one_panel(options) as (canvas, axes):
        pairs = styles.pairs()
        for i, (model, runtime) in enumerate(pairs):
            later = [r for r in select(records, model=model, runtime=runtime) if r["run"] > 1]
            later = [r for r in later if (model, runtime, r["batch_size"]) in first]
            axes.plot(
                _aside([r["batch_size"] for r in later], i, len(pairs)),
                [batch_time([r]) / batch_time([first[model, runtime, r["batch_size"]]]) for r in later],
                **styles.points(model, runtime),
                label=f"{model}, {runtime}",
            )
        axes.axhline(1, color="gray", linewidth=1)
        low, high = axes.get_ylim()
        far = 1.1 * max(1 - low, high - 1, 0.1)
        axes.set_ylim(max(0, 1 - far), 1 + far)
        axes.set_ylabel("Time, later run / run 1")
        styles.size_axis(axes)
        styles.legend(axes)
    return canvas.figure


def plot_sources(records: Sequence[Record], **options: Unpack[PlotOptions]) -> Figure:
    """Rate of jets by where they come from, of records of one batch size, without added delay.

    Bars reach from the slowest to the fastest round.
    """
    styles = _Styles(records)
    places = list(dict.fromkeys((r["source"], r["pipeline"]) for r in records))
    with _one_panel(options) as (canvas, axes):
        pairs = styles.pairs()
        for i, (model, runtime) in enumerate(pairs):
            at, rates, reach = [], [], []
            for j, (source, pipeline) in enumerate(places):
                cells = select(records, model=model, runtime=runtime, source=source, pipeline=pipeline)
                if cells:
                    size = cells[0]["batch_size"]
                    rounds = size / np.concatenate([r["blocks_s"] for r in cells])
                    at.append(j + 0.05 * (i - (len(pairs) - 1) / 2))
                    rates.append(size / batch_time(cells))
                    reach.append([max(rates[-1] - rounds.min(), 0), max(rounds.max() - rates[-1], 0)])
            style = styles.line(model, runtime)
            axes.errorbar(at, rates, yerr=np.array(reach).T, capsize=3, **style, label=f"{model}, {runtime}")
        axes.set_yscale("log")
        plain_ticks(axes.yaxis)
        axes.set_xticks(
            range(len(places)),
            [f"{source},\n{'in memory' if pipeline == 'numpy' else pipeline}" for source, pipeline in places],
            fontsize="small",
        )
        axes.set_xticks([], minor=True)
        axes.set_xlim(-0.4, len(places) - 0.6)
        axes.set_ylabel("Jets per second")
        styles.legend(axes, title=f"Batches of {styles.sizes[0]} jets")
    return canvas.figure


def plot_delays(shares: Sequence[Record], **options: Unpack[PlotOptions]) -> Figure:
    """Share of the rate from disk that is left with a longer round trip to the server.

    Shares are those of `hepvae.bench.comparisons.delay_shares`; the largest batch size is drawn.
    """
    shares = select(shares, batch_size=max(s["batch_size"] for s in shares))
    styles = _Styles(shares)
    with _one_panel(options) as (canvas, axes):
        for model, runtime in styles.pairs():
            part = sorted(select(shares, model=model, runtime=runtime), key=lambda s: float(s["rtt_ms"]))
            delays = [s["rtt_ms"] for s in part]
            style = styles.line(model, runtime)
            _with_interval(axes, delays, [s["share"] for s in part], **style, label=f"{model}, {runtime}")
        delays = sorted({s["rtt_ms"] for s in shares})
        axes.set_xscale("symlog", linthresh=1)
        axes.set_xticks(delays, [f"{delay:g}" for delay in delays])
        axes.set_xticks([], minor=True)
        axes.set_ylim(0, 1.1 * max(1, axes.get_ylim()[1]))
        axes.axhline(1, color="gray", linewidth=1)
        axes.set_xlabel("Added round-trip time to the server (ms)")
        axes.set_ylabel("Rate / rate from local disk, streamed")
        styles.legend(axes, title=f"Batches of {styles.sizes[0]} jets")
    return canvas.figure


def plot_trainings(comparisons: Sequence[Comparison], **options: Unpack[PlotOptions]) -> Figure:
    """Time with another training of a model over the time with the one that was given."""
    styles = _Styles([c.cell for c in comparisons])
    with _one_panel(options) as (canvas, axes):
        _ratio_panel(axes, comparisons, styles, varied="training")
        for model, runtime in styles.pairs():
            axes.plot([], [], **styles.points(model, runtime), label=f"{model}, {runtime}")
        axes.set_ylabel("Time, new training / old")
        styles.size_axis(axes)
        styles.legend(axes)
    return canvas.figure
