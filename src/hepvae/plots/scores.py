"""Anomaly scores and other variables of samples, and the losses of jets."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from .style import Canvas, Floats, PlotOptions, drawing, legend_above, ticks_that_fit

if TYPE_CHECKING:
    from hist import Hist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

__all__ = ["plot_jet_against_jet", "plot_losses", "plot_score_against_mjj", "plot_scores"]

#: Shares of a sample that its contours hold, and how they are drawn.
CONTOURS = {0.5: "solid", 0.9: "dashed"}
#: Ratios that differ by more than this factor are on a logarithmic axis.
FAR_APART = 10


class _Sample:
    """A dataset of a histogram over one axis, in events or normalised to one."""

    def __init__(self, histogram: Hist[Any], name: str, *, normalise: bool, counted: bool = False):
        one: Any = histogram[{"dataset": name}]
        every, inside = one.values(flow=True).sum(), one.values().sum()
        scale = 1 / every if normalise else 1.0
        self.name = name
        self.values: Floats = one.values() * scale
        self.variances: Floats = one.variances() * scale**2
        self.errors: Floats = np.stack([np.sqrt(self.variances)] * 2)
        """(2, bins): error bars below and above; of events that are counted, central 68 % intervals of Poisson."""
        if counted:
            from hist.intervals import poisson_interval

            self.errors = np.abs(poisson_interval(self.values, self.variances) - self.values)
        self.outside = float(1 - inside / every) if every > 0 else 0.0

    @property
    def label(self) -> str:
        """For the legend, with the share that lies beyond the axis."""
        return self.name if self.outside < 1e-9 else f"{self.name} ({self.outside:.1%} outside)"


def plot_scores(
    histogram: Hist[Any],
    *,
    data: str | None = None,
    stack: Collection[str] = (),
    normalise: bool | None = None,
    **options: Unpack[PlotOptions],
) -> Figure:
    """Scores, or another variable, of samples; below, what the samples are over the first.

    Parameters
    ----------
    histogram : hist.Hist
        Axes ``dataset`` and another, as `hepvae.plots.histograms` gives them.
    data : str, optional
        The dataset that is drawn as points, with central 68 % intervals of Poisson (Garwood, Biometrika 28 (1936)
        437).
    stack : collection of str
        Datasets that are filled and drawn on top of each other; with ``data``, the ratio is that to their sum,
        without, the panel has S / sqrt(B) of the other datasets.
    normalise : bool, optional
        Whether each dataset is normalised to one; by default where nothing is stacked and none is data.
    **options : PlotOptions
        Datasets whose names begin with QCD, in any case, are filled. The legend says which share of a dataset lies
        beyond the axis.
    """
    if normalise is None:
        normalise = data is None and not stack
    names = list(histogram.axes[0])
    samples = {name: _Sample(histogram, name, normalise=normalise, counted=name == data) for name in names}
    with drawing(options) as canvas:
        two = len(samples) > 1
        upper, lower = canvas.with_lower_panel() if two else (canvas.figure.subplots(), None)
        colors = _draw_samples(upper, histogram, samples, data, stack)
        upper.set_ylabel("Fraction of events" if normalise else "Events")
        if lower is not None:
            axis = histogram.axes[1]
            background = [samples[name] for name in stack]
            others = [sample for name, sample in samples.items() if name not in stack]
            if not background:
                reference = next((s for s in others if s.name != data and _is_filled(s.name)), others[0])
                background = [reference]
                others = [sample for sample in others if sample is not reference]
            if stack and data is None:
                _draw_significance(lower, axis, others, background, colors)
            else:
                compared = [sample for sample in others if not stack or sample.name == data]
                _draw_ratios(lower, axis, compared, background, colors, data)
            upper.set_xlabel("")
            lower.set_xlabel(axis.label)
            canvas.figure.align_ylabels()
        legend_above(upper, title=canvas.title)
        canvas.write_label(upper)
    return canvas.figure


def plot_losses(histograms: Sequence[Hist[Any]], **options: Unpack[PlotOptions]) -> Figure:
    """Losses of the jets of each sample, normalised to one: a panel for each loss.

    Parameters
    ----------
    histograms : hist.Hist objects
        As `hepvae.plots.histograms.loss_histogram` gives them. QCD samples are drawn filled.
    **options : PlotOptions
    """
    with drawing(options) as canvas:
        for axes, histogram in zip(canvas.panels(len(histograms)), histograms):
            samples = {name: _Sample(histogram, name, normalise=True) for name in histogram.axes[0]}
            _draw_samples(axes, histogram, samples, None, ())
            axes.set_ylabel("Fraction of jets")
            legend_above(axes, title=canvas.title)
            canvas.write_label(axes)
    return canvas.figure


def _is_filled(name: str) -> bool:
    return name.casefold().startswith("qcd")


def _draw_samples(
    axes: Axes, histogram: Hist[Any], samples: Mapping[str, _Sample], data: str | None, stack: Collection[str]
) -> dict[str, str]:
    """Samples over the second axis of a histogram, on a logarithmic scale; gives their colours."""
    axis = histogram.axes[1]
    edges, centres = axis.edges, axis.centers
    colors = {name: "black" if name == data else f"C{i}" for i, name in enumerate(n for n in samples if n != data)}
    colors |= {data: "black"} if data is not None else {}
    below, spread = np.zeros(len(centres)), np.zeros(len(centres))
    filled_bins, smallest = np.zeros(len(centres), bool), np.inf
    for name, sample in samples.items():
        color, values = colors[name], sample.values
        seen = values > 0
        errors = sample.errors[:, seen]
        if name in stack:
            axes.stairs(below + values, edges, baseline=below, fill=True, color=color, label=sample.label)
            below, spread = below + values, spread + sample.variances
        elif name == data:
            axes.errorbar(centres[seen], values[seen], errors, fmt="ko", label=sample.label, zorder=3)
        else:
            style: dict[str, Any] = {"fill": True, "alpha": 0.3} if _is_filled(name) else {"linewidth": 2.5}
            axes.stairs(values, edges, color=color, label=sample.label, **style)
            axes.errorbar(centres[seen], values[seen], errors, fmt="none", color=color, linewidth=1.5)
        if seen.any():
            smallest = min(smallest, values[seen].min())
        filled_bins |= seen
    if stack:
        high, low = below + np.sqrt(spread), np.maximum(below - np.sqrt(spread), 0)
        band: dict[str, Any] = {"fill": True, "facecolor": "none", "edgecolor": "gray", "hatch": "///"}
        axes.stairs(high, edges, baseline=low, linewidth=0, label="Uncertainty", **band)
    if axis.transform is not None:
        axes.set_xscale("log")
    axes.set_yscale("log")
    if filled_bins.any():  # an axis that was made before its values were known is mostly empty
        first, *_, last = np.append(np.flatnonzero(filled_bins), np.flatnonzero(filled_bins)[-1])
        axes.set_xlim(float(edges[first]), float(edges[last + 1]))
        ticks_that_fit(axes.xaxis)
        highest = max(below.max(), *(sample.values.max() for sample in samples.values()))
        axes.set_ylim(smallest / 2, 2 * highest)
    axes.set_xlabel(axis.label)
    return colors


def _sum(samples: Sequence[_Sample]) -> tuple[Floats, Floats]:
    """Values and their uncertainties, of samples on top of each other."""
    values = np.sum([sample.values for sample in samples], axis=0)
    return values, np.sqrt(np.sum([sample.variances for sample in samples], axis=0))


def _draw_ratios(
    axes: Axes,
    axis: Any,
    samples: Sequence[_Sample],
    background: Sequence[_Sample],
    colors: Mapping[str, str],
    data: str | None,
) -> None:
    """Samples over a background, whose own uncertainty is a band around one."""
    edges, centres, (expected, uncertainty) = axis.edges, axis.centers, _sum(background)
    known = expected > 0
    spread = np.divide(uncertainty, expected, where=known, out=np.zeros_like(expected))
    axes.stairs(1 + spread, edges, baseline=1 - spread, fill=True, color="gray", alpha=0.35)
    axes.axhline(1, color="gray", linewidth=1)
    shown = [1.0]
    for sample in samples:
        seen = known & (sample.values > 0)
        ratio = sample.values[seen] / expected[seen]
        error = sample.errors[:, seen] / expected[seen]
        axes.errorbar(centres[seen], ratio, error, fmt="o", markersize=5, linewidth=1.5, color=colors[sample.name])
        shown.extend(ratio)
    low, high = min(shown), max(shown)
    if high > FAR_APART * low:
        axes.set_yscale("log")
        axes.set_ylim(low / 2, 2 * high)
    else:
        reach = max(1 - low, high - 1, float(np.median(spread[known])) if known.any() else 0)
        axes.set_ylim(max(0.0, 0.9 - 1.2 * reach), 1.1 + 1.2 * reach)
    named = "background" if len(background) > 1 else background[0].name
    axes.set_ylabel(f"Ratio to\n{named}" if data is None else f"{data} /\n{named}", fontsize="small", loc="center")


def _draw_significance(
    axes: Axes,
    axis: Any,
    signals: Sequence[_Sample],
    background: Sequence[_Sample],
    colors: Mapping[str, str],
) -> None:
    """S / sqrt(B) of each bin, with the statistical uncertainty of both."""
    edges, centres, (expected, uncertainty) = axis.edges, axis.centers, _sum(background)
    known = expected > 0
    for sample in signals:
        values = np.divide(sample.values, np.sqrt(expected), where=known, out=np.full_like(expected, np.nan))
        axes.stairs(values, edges, baseline=None, color=colors[sample.name], linewidth=2.5)
        seen = known & (sample.values > 0)
        relative = np.hypot(sample.errors[0, seen] / sample.values[seen], uncertainty[seen] / expected[seen] / 2)
        bars = centres[seen], values[seen], values[seen] * relative
        axes.errorbar(*bars, fmt="none", color=colors[sample.name], linewidth=1.5)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("S / √B", fontsize="small", loc="center")


def plot_score_against_mjj(
    histogram: Hist[Any],
    thresholds: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]] | None = None,
    **options: Unpack[PlotOptions],
) -> Figure:
    """The score against mjj, and mass-decorrelated cuts.

    Parameters
    ----------
    histogram : hist.Hist
        Axes ``mjj`` and ``score``, as `hepvae.plots.histograms.mjj_score_histogram` gives it.
    thresholds : mapping of name to (mjj, threshold)
        Arrays (points,) of each cut, mjj rising.
    **options : PlotOptions

    Raises
    ------
    DataError
        No events are between the ends of both axes.
    """
    with drawing(options) as canvas:
        projected: Any = histogram.project("mjj", "score")
        axes, filled = _colour_map(canvas, projected, values := projected.values(), "Sum of weights", values > 0)
        for i, (name, (at, threshold)) in enumerate((thresholds or {}).items()):
            at, threshold = np.asarray(at), np.asarray(threshold)
            axes.plot(at, threshold, color="white", linewidth=5)
            axes.plot(at, threshold, color=f"C{i}", linewidth=2.5, label=name)
        axes.xaxis.set_major_formatter(lambda gev, _: f"{gev / 1000:g}")
        axes.set_xlabel(r"$m_{jj}$ (TeV)")
        if thresholds or canvas.title:
            legend_above(axes, points=filled, title=canvas.title)
        canvas.write_label(axes)
    return canvas.figure


def plot_jet_against_jet(histogram: Hist[Any], **options: Unpack[PlotOptions]) -> Figure:
    """A variable against another, like the losses of both jets: the first sample in colours, others as contours.

    Parameters
    ----------
    histogram : hist.Hist
        Axes ``dataset`` and two others, as `hepvae.plots.histograms.jets_histogram` gives it. The contours hold
        the shares `CONTOURS` of the other samples, after smoothing over neighbouring bins.
    **options : PlotOptions

    Raises
    ------
    DataError
        No events of the first sample are between the ends of both axes.
    """
    with drawing(options) as canvas:
        from matplotlib.lines import Line2D
        from scipy.ndimage import binary_dilation

        first, *others = histogram.axes[0]
        one: Any = histogram[{"dataset": first}]
        fractions = one.values() / one.values(flow=True).sum()
        each: list[Any] = [histogram[{"dataset": other}] for other in others]
        densities = [_smoothed(other.values()) for other in each]
        above = [(density > 0) & (density >= _level(density, max(CONTOURS))) for density in densities]
        # A contour runs between the centres of bins above its level and of their neighbours.
        around = [binary_dilation(bins, np.ones((3, 3), bool)) for bins in above]
        name = f"{first}: fraction of events"
        axes, filled = _colour_map(canvas, one, fractions, name, np.any([fractions > 0, *around], axis=0))
        lines = []
        for i, (other, density) in enumerate(zip(others, densities)):
            for share, style in CONTOURS.items():
                level = _level(density, share)
                centres = one.axes[0].centers, one.axes[1].centers
                axes.contour(*centres, density.T, [level], colors=f"C{i + 1}", linestyles=style, linewidths=2.5)
                named = f"{other}, {share:.0%}"
                look: dict[str, Any] = {"color": f"C{i + 1}", "linestyle": style, "linewidth": 2.5}
                lines.append(Line2D([], [], label=named, **look))
        if lines or canvas.title:
            legend_above(axes, points=filled, title=canvas.title, handles=lines)
        canvas.write_label(axes)
    return canvas.figure


def _colour_map(
    canvas: Canvas, histogram: Any, values: Floats, name: str, seen: npt.NDArray[np.bool_]
) -> tuple[Axes, Floats]:
    """Axes with bins in colours on a logarithmic scale; empty ones stay white.

    They end where the bins do that are ``seen``, whose corners are given, too.
    """
    from matplotlib.colors import LogNorm

    canvas.figure.set_size_inches(11.5, 10)  # with room for a colour bar
    axes = canvas.figure.subplots()
    if not (values > 0).any():
        raise DataError("no events between the ends of both axes")
    x, y = histogram.axes
    norm = LogNorm(values[values > 0].min(), values.max())
    colours: dict[str, Any] = {"norm": norm, "cmap": "Blues", "rasterized": True}
    mesh = axes.pcolormesh(x.edges, y.edges, np.ma.masked_less_equal(values, 0).T, **colours)
    axes.figure.colorbar(mesh, ax=axes, pad=0.02, label=name)
    column, row = np.nonzero(seen)
    axes.set_xscale("log" if x.transform is not None else "linear")
    axes.set_yscale("log" if y.transform is not None else "linear")
    axes.set_xlim(x.edges[column.min()], x.edges[column.max() + 1])
    axes.set_ylim(y.edges[row.min()], y.edges[row.max() + 1])
    for axis in (axes.xaxis, axes.yaxis):
        ticks_that_fit(axis)
    axes.set_xlabel(x.label)
    axes.set_ylabel(y.label)
    axes.tick_params(axis="x", pad=10)  # the first numbers of both axes stand in one corner
    return axes, np.stack([np.append(x.edges[column], x.edges[column + 1]), np.tile(y.edges[row + 1], 2)], axis=1)


def _smoothed(values: Floats) -> Floats:
    """Values of bins mixed with those of their neighbours, binomially, along both axes."""
    kernel = np.array([1, 4, 6, 4, 1]) / 16
    for axis in (0, 1):
        values = np.apply_along_axis(np.convolve, axis, values, kernel, mode="same")
    return values


def _level(density: Floats, share: float) -> float:
    """The height above which the bins hold some share of all."""
    falling = np.sort(density, axis=None)[::-1]
    held = np.cumsum(falling)
    return float(falling[np.searchsorted(held, share * held[-1])])
