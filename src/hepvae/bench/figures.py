"""Figures of a study, in the style of `hepvae.plotting`: models by colour, runtimes by line and marker."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..plots import cms_figure, cms_label, plain_ticks
from .comparisons import median_time, select

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
LABEL = "CPU inference"


class _Styles:
    """One look for each model and runtime in all panels of a figure."""

    def __init__(self, records):
        self.models = list(dict.fromkeys(r["model"] for r in records))
        self.runtimes = list(dict.fromkeys(r["runtime"] for r in records))
        self.sizes = sorted({r["batch_size"] for r in records})

    def pairs(self):
        return [(model, runtime) for model in self.models for runtime in self.runtimes]

    def line(self, model, runtime) -> dict:
        style = LINES[self.runtimes.index(runtime) % len(LINES)]
        return {"color": f"C{self.models.index(model)}", "linestyle": style}

    def points(self, model, runtime) -> dict:
        j = self.runtimes.index(runtime)
        color, marker = f"C{self.models.index(model)}", MARKERS[j % len(MARKERS)]
        return {"color": color, "marker": marker, "markersize": 9, "fillstyle": "full" if j == 0 else "none"}

    def legend(self, axes) -> None:
        many = len(self.models) * len(self.runtimes) > 3
        axes.legend(fontsize="x-small" if many else "small", ncols=2 if many else 1)

    def size_axis(self, axes) -> None:
        axes.set_xscale("log", base=2)
        step = -(-len(self.sizes) // 8)  # labels that would run into each other are left out
        labels = [str(size) if i % step == 0 else "" for i, size in enumerate(self.sizes)]
        axes.set_xticks(self.sizes, labels)
        axes.set_xticks([], minor=True)
        axes.set_xlabel("Batch size (jets)")


def _two_panels(figure, *, upper_height=2):
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(upper_height, 1))
    figure.subplots_adjust(hspace=0.06)
    return upper, lower


def _room_above(axes, factor: float) -> None:
    """Room for a legend, on a logarithmic axis."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, high * factor)


def _with_interval(axes, x, ratios, **style) -> None:
    """Ratios with their confidence intervals."""
    values = np.array([ratio.value for ratio in ratios])
    sides = np.abs([[ratio.low, ratio.high] for ratio in ratios] - values[:, None]).T
    axes.errorbar(x, values, yerr=sides, capsize=3, elinewidth=1.5, **style)


def plot_timing(records, comparisons=(), *, figure_path: str | Path | None = None, machine=""):
    """Time per jet against batch size for each model and runtime, and the ratios with their intervals.

    Parameters
    ----------
    records : list of dict
        As in ``results.json``: the runs of a cell are drawn as points, their median as a line.
    comparisons : list of Comparison
        Of runtimes; without any, there is no lower panel.
    figure_path : path, optional
        Where to save the figure.
    machine : str
        Named above the axes.

    Returns
    -------
    matplotlib Figure
    """
    styles = _Styles(records)
    with cms_figure(figure_path) as figure:
        upper, lower = _two_panels(figure) if comparisons else (figure.subplots(), None)
        for model, runtime in styles.pairs():
            found = select(records, model=model, runtime=runtime)
            sizes = sorted({r["batch_size"] for r in found})
            times = [1e6 / size * median_time(select(found, batch_size=size)) for size in sizes]
            upper.plot(sizes, times, **styles.line(model, runtime), label=f"{model}, {runtime}")
            for r in found:
                upper.plot(
                    r["batch_size"],
                    1e6 / r["batch_size"] * np.median(r["blocks_s"]),
                    **styles.points(model, runtime),
                )
        upper.set_yscale("log")
        upper.set_ylabel(r"Time per jet ($\mu$s)")
        _room_above(upper, 3.0 ** len(styles.models) / 2)
        styles.legend(upper)
        if lower:
            _ratio_panel(lower, comparisons, styles, varied="runtime")
            names = dict.fromkeys((c.side, c.reference) for c in comparisons)
            side, reference = next(iter(names)) if len(names) == 1 else ("other", comparisons[0].reference)
            lower.set_ylabel(f"{side} /\n{reference}", fontsize="small")
        styles.size_axis(lower or upper)
        cms_label(upper, label=LABEL, right=machine)
    return figure


def _ratio_panel(axes, comparisons, styles: _Styles, *, varied: str) -> None:
    groups: dict[tuple, list] = {}
    for c in comparisons:
        runtime = c.side if varied == "runtime" else c.cell["runtime"]
        groups.setdefault((c.cell["model"], runtime, c.side), []).append(c)
    for i, ((model, runtime, _), found) in enumerate(groups.items()):
        aside = 1.05 ** (i - (len(groups) - 1) / 2)  # intervals of equal size would hide each other
        sizes = np.array([c.cell["batch_size"] for c in found]) * aside
        style = styles.points(model, runtime)
        line = styles.line(model, runtime) if varied == "runtime" else {"linestyle": "none"}
        _with_interval(axes, sizes, [c.ratio for c in found], **{**style, **line})
    axes.set_yscale("log")
    axes.axhline(1, color="gray", linewidth=1)
    plain_ticks(axes.yaxis)
    axes.tick_params(axis="y", which="both", labelsize="x-small")
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 0.8), max(high * 1.1, 1.25))


def plot_saved(comparisons, *, figure_path: str | Path | None = None, machine=""):
    """Time that one runtime needs more than another for a jet, against batch size.

    Parameters
    ----------
    comparisons : list of Comparison
        Of runtimes.
    """
    records = [{**c.cell, "runtime": c.side} for c in comparisons]
    styles = _Styles(records)
    reference = comparisons[0].reference
    with cms_figure(figure_path) as figure:
        axes = figure.subplots()
        for model, runtime in styles.pairs():
            found = [c for c in comparisons if (c.cell["model"], c.side) == (model, runtime)]
            sizes = np.array([c.cell["batch_size"] for c in found])
            saved = np.array([1e6 * c.saved_s for c in found]) / sizes
            style = {**styles.points(model, runtime), **styles.line(model, runtime)}
            axes.plot(sizes, saved, **style, label=f"{model}, {runtime} - {reference}")
        axes.set_yscale("symlog", linthresh=1)
        axes.axhline(0, color="gray", linewidth=1)
        axes.set_ylabel(r"Difference of time per jet ($\mu$s)")
        low, high = axes.get_ylim()
        axes.set_ylim(low, max(high, 1) * 10.0 ** len(styles.models))
        axes.legend(loc="upper right", fontsize="small")
        styles.size_axis(axes)
        cms_label(axes, label=LABEL, right=machine)
    return figure


def plot_memory(records, fits=None, *, figure_path: str | Path | None = None, machine=""):
    """Memory against batch size for each model and runtime: of the process, and of its inference alone.

    Parameters
    ----------
    records : list of dict
        As in ``results.json``.
    fits : mapping of (model, runtime) to function, optional
        Bytes of inference for an array of batch sizes.
    figure_path : path, optional
        Where to save the figure.
    machine : str
        Named above the axes.

    Returns
    -------
    matplotlib Figure
    """
    fits = fits or {}
    styles = _Styles(records)
    with cms_figure(figure_path) as figure:
        upper, lower = _two_panels(figure, upper_height=1)
        for model, runtime in styles.pairs():
            found = select(records, model=model, runtime=runtime)
            sizes = sorted({r["batch_size"] for r in found})
            style = styles.points(model, runtime)
            for axes, key in ((upper, "rss_peak_bytes"), (lower, "rss_inference_bytes")):
                medians = [np.median([r[key] for r in select(found, batch_size=s)]) / 1e6 for s in sizes]
                fitted = (model, runtime) in fits and axes is lower
                line = {"linestyle": "none"} if fitted else styles.line(model, runtime)
                axes.plot(sizes, medians, **{**style, **line}, label=f"{model}, {runtime}")
            if (model, runtime) in fits:
                smooth = np.geomspace(sizes[0], sizes[-1], 100)
                lower.plot(smooth, fits[model, runtime](smooth) / 1e6, **styles.line(model, runtime))
        for axes in (upper, lower):
            axes.set_yscale("log")
            plain_ticks(axes.yaxis)
        upper.set_ylabel("Process, peak (MB)")
        lower.set_ylabel("Inference, peak (MB)")
        _room_above(upper, 3.0 ** len(styles.models))
        styles.legend(upper)
        styles.size_axis(lower)
        cms_label(upper, label=LABEL, right=machine)
    return figure


def plot_runs(records, *, figure_path: str | Path | None = None, machine=""):
    """Time of each further run over that of the first, in fresh processes.

    Parameters
    ----------
    records : list of dict
        As in ``results.json``, of several runs.
    """
    styles = _Styles(records)
    first = {(r["model"], r["runtime"], r["batch_size"]): r for r in select(records, run=1)}
    with cms_figure(figure_path) as figure:
        axes = figure.subplots()
        pairs = styles.pairs()
        for i, (model, runtime) in enumerate(pairs):
            later = [r for r in select(records, model=model, runtime=runtime) if r["run"] > 1]
            later = [r for r in later if (model, runtime, r["batch_size"]) in first]
            aside = 1.05 ** (i - (len(pairs) - 1) / 2)
            axes.plot(
                [r["batch_size"] * aside for r in later],
                [
                    np.median(r["blocks_s"]) / np.median(first[model, runtime, r["batch_size"]]["blocks_s"])
                    for r in later
                ],
                **{**styles.points(model, runtime), "linestyle": "none"},
                label=f"{model}, {runtime}",
            )
        axes.axhline(1, color="gray", linewidth=1)
        low, high = axes.get_ylim()
        far = max(1 - low, high - 1, 0.1)
        axes.set_ylim(max(0, 1 - 1.1 * far), 1 + 2 * far)
        axes.set_ylabel("Time, later run / run 1")
        styles.legend(axes)
        styles.size_axis(axes)
        cms_label(axes, label=LABEL, right=machine)
    return figure


def plot_sources(records, *, figure_path: str | Path | None = None, machine=""):
    """Rate of jets by where they come from, at one batch size.

    Parameters
    ----------
    records : list of dict
        As in ``results.json``, of one batch size, without added delay.
    """
    styles = _Styles(records)
    places = list(dict.fromkeys((r["source"], r["pipeline"]) for r in records))
    with cms_figure(figure_path) as figure:
        axes = figure.subplots()
        for model, runtime in styles.pairs():
            rates = []
            for source, pipeline in places:
                found = select(records, model=model, runtime=runtime, source=source, pipeline=pipeline)
                rates.append(np.median([r["jets_per_s"] for r in found]) if found else np.nan)
            style = {**styles.points(model, runtime), **styles.line(model, runtime)}
            axes.plot(range(len(places)), rates, **style, label=f"{model}, {runtime}")
        axes.set_yscale("log")
        plain_ticks(axes.yaxis)
        _room_above(axes, 4)
        axes.set_xticks(
            range(len(places)),
            [f"{source},\n{'in memory' if pipeline == 'numpy' else pipeline}" for source, pipeline in places],
            fontsize="small",
        )
        axes.set_xticks([], minor=True)
        axes.set_xlim(-0.4, len(places) - 0.6)
        axes.set_ylabel("Jets per second")
        axes.legend(
            title=f"Batches of {styles.sizes[0]} jets", fontsize="x-small", title_fontsize="small", ncols=2
        )
        cms_label(axes, label=LABEL, right=machine)
    return figure


def plot_delays(shares, *, figure_path: str | Path | None = None, machine=""):
    """What is left of the rate from disk when the server is far away.

    Parameters
    ----------
    shares : list of dict
        ``model``, ``runtime``, ``batch_size``, ``rtt_ms`` and ``share``, the rate over that from this disk; the
        largest batch size is drawn.
    """
    shares = select(shares, batch_size=max(s["batch_size"] for s in shares))
    styles = _Styles(shares)
    with cms_figure(figure_path) as figure:
        axes = figure.subplots()
        for model, runtime in styles.pairs():
            found = sorted(select(shares, model=model, runtime=runtime), key=lambda s: s["rtt_ms"])
            style = {**styles.points(model, runtime), **styles.line(model, runtime)}
            axes.plot(
                [s["rtt_ms"] for s in found], [s["share"] for s in found], **style, label=f"{model}, {runtime}"
            )
        delays = sorted({s["rtt_ms"] for s in shares})
        axes.set_xscale("symlog", linthresh=1)
        axes.set_xticks(delays, [f"{delay:g}" for delay in delays])
        axes.set_xticks([], minor=True)
        axes.set_ylim(0, 1.5 * max(1, *(s["share"] for s in shares)))
        axes.axhline(1, color="gray", linewidth=1)
        axes.set_xlabel("Added round-trip time to the server (ms)")
        axes.set_ylabel("Rate / rate from local disk")
        styles.legend(axes)
        axes.get_legend().set_title(f"Batches of {styles.sizes[0]} jets", {"size": "small"})
        cms_label(axes, label=f"{LABEL}, streamed", right=machine)
    return figure


def plot_trainings(comparisons, *, figure_path: str | Path | None = None, machine=""):
    """Time with another training of a model over the time with the one that was given.

    Parameters
    ----------
    comparisons : list of Comparison
        Of trainings.
    """
    styles = _Styles([c.cell for c in comparisons])
    with cms_figure(figure_path) as figure:
        axes = figure.subplots()
        _ratio_panel(axes, comparisons, styles, varied="training")
        for model, runtime in styles.pairs():
            axes.plot(
                [], [], **{**styles.points(model, runtime), "linestyle": "none"}, label=f"{model}, {runtime}"
            )
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, 0.7), max(high * 1.5, 1.6))
        axes.set_ylabel("Time, new training / old")
        styles.legend(axes)
        styles.size_axis(axes)
        cms_label(axes, label=LABEL, right=machine)
    return figure
