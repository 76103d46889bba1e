"""Anomaly scores of samples, and the losses of jets that they are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..models.bundled import SAMPLES
from .style import ENERGY_TEV, LABEL, cms_figure, cms_label, legend_above

__all__ = ["plot_jet_against_jet", "plot_losses", "plot_score_against_mjj", "plot_scores"]

#: Shares of a sample that its contours hold, and how they are drawn.
CONTOURS = {0.5: "solid", 0.9: "dashed"}


def plot_scores(histogram, *, figure_path: str | Path | None = None, label=LABEL, energy=ENERGY_TEV, title=None):
    """Anomaly scores of each sample, normalised to one.

    Parameters
    ----------
    histogram : hist.Hist
        As `hepvae.histograms.score_histogram` gives it. QCD samples are drawn filled.
    figure_path : path, optional
        Where to save the figure.
    label : str
        Text above the axes.
    energy : float or str
        Centre-of-mass energy in TeV.
    title : str, optional
        Heading of the legend.

    Returns
    -------
    matplotlib Figure
    """
    with cms_figure(figure_path) as figure:
        axes = figure.subplots()
        _draw_normalised(axes, histogram, "Fraction of events")
        axes.legend(loc="upper right", title=title, fontsize="small", title_fontsize="small")
        cms_label(axes, label=label, energy=energy)
    return figure


def plot_losses(
    histograms: Sequence, *, figure_path: str | Path | None = None, label=LABEL, energy=ENERGY_TEV, title=None
):
    """Losses of the jets of each sample, normalised to one: a panel for each loss.

    Parameters
    ----------
    histograms : hist.Hist objects
        As `hepvae.histograms.loss_histogram` gives them. QCD samples are drawn filled.
    figure_path, label, energy, title : as for `plot_scores`

    Returns
    -------
    matplotlib Figure
    """
    with cms_figure(figure_path) as figure:
        figure.set_size_inches(10 * len(histograms), 10)
        figure.subplots_adjust(wspace=0.22)
        panels = figure.subplots(1, len(histograms), squeeze=False)[0]
        for axes, histogram in zip(panels, histograms):
            _draw_normalised(axes, histogram, "Fraction of jets")
            axes.legend(loc="upper right", title=title, fontsize="small", title_fontsize="small")
            cms_label(axes, label=label, energy=energy)
    return figure


def _draw_normalised(axes, histogram, ylabel: str) -> None:
    """The datasets of a histogram over its second axis, both scales logarithmic."""
    import mplhep

    axis = histogram.axes[1]
    smallest, filled_bins = 1.0, np.zeros(len(axis), bool)
    for name in histogram.axes["dataset"]:
        one = histogram[{"dataset": name}]
        one = one / one.values(flow=True).sum()
        filled = name.startswith("qcd")
        style = {"histtype": "fill", "alpha": 0.3} if filled else {"histtype": "step", "linewidth": 2.5}
        (artist, *_) = mplhep.histplot(
            one, ax=axes, label=SAMPLES.get(name, name), yerr=False, flow="none", **style
        )
        patch = artist.stairs
        color = patch.get_facecolor()[:3] if filled else patch.get_edgecolor()
        mplhep.histplot(
            one,
            ax=axes,
            histtype="errorbar",
            yerr=np.sqrt(one.variances()),
            color=color,
            markersize=0,
            linewidth=1.5,
            capsize=0,
            flow="none",
        )
        smallest = min([smallest, *one.values()[one.values() > 0]])
        filled_bins |= one.values() > 0
    axes.set_xscale("log")
    axes.set_yscale("log")
    if filled_bins.any():  # an axis that was made before its values were known is mostly empty
        where = np.flatnonzero(filled_bins)
        axes.set_xlim(axis.edges[where[0]], axis.edges[where[-1] + 1])
    axes.set_ylim(10.0 ** np.floor(np.log10(smallest)), 30)
    axes.set_xlabel(axis.label)
    axes.set_ylabel(ylabel)


def plot_score_against_mjj(
    histogram,
    thresholds: Mapping[str, tuple] | None = None,
    *,
    figure_path: str | Path | None = None,
    label=LABEL,
    energy=ENERGY_TEV,
    title=None,
):
    """The score against mjj, and cuts that follow mjj.

    Parameters
    ----------
    histogram : hist.Hist
        Axes ``mjj`` and ``score``, as `hepvae.histograms.mjj_score_histogram` gives it.
    thresholds : mapping of name to (mjj, threshold)
        Arrays (points,) of each cut, mjj rising.
    figure_path, label, energy, title : as for `plot_scores`

    Returns
    -------
    matplotlib Figure
    """
    with cms_figure(figure_path) as figure:
        figure.set_size_inches(11.5, 10)
        axes = figure.subplots()
        mjj, score = histogram.axes["mjj"], histogram.axes["score"]
        filled = _colour_map(
            figure, axes, mjj.edges, score.edges, histogram.project("mjj", "score").values(), "Sum of weights"
        )
        for i, (name, (at, threshold)) in enumerate((thresholds or {}).items()):
            axes.plot(at, threshold, color="white", linewidth=5)
            axes.plot(at, threshold, color=f"C{i}", linewidth=2.5, label=name)
        axes.set_yscale("log")
        axes.set_xlim(mjj.edges[0], mjj.edges[-1])
        axes.set_ylim(score.edges[0], score.edges[-1])
        axes.set_xlabel(mjj.label)
        axes.set_ylabel(score.label)
        if thresholds or title:
            legend_above(axes, points=filled, title=title)
        cms_label(axes, label=label, energy=energy)
    return figure


def plot_jet_against_jet(
    histogram, *, figure_path: str | Path | None = None, label=LABEL, energy=ENERGY_TEV, title=None
):
    """A loss of jet 1 against that of jet 2: the first sample in colours, the others as contours.

    Parameters
    ----------
    histogram : hist.Hist
        As `hepvae.histograms.jets_histogram` gives it. The contours hold the shares `CONTOURS` of the others,
        after smoothing over neighbouring bins.
    figure_path, label, energy, title : as for `plot_scores`

    Returns
    -------
    matplotlib Figure
    """
    from matplotlib.lines import Line2D

    with cms_figure(figure_path) as figure:
        figure.set_size_inches(11.5, 10)
        axes = figure.subplots()
        first, *others = histogram.axes["dataset"]
        edges = histogram.axes["jet1"].edges
        counts = histogram[{"dataset": first}].values()
        name = f"{SAMPLES.get(first, first)}: fraction of events"
        filled = _colour_map(figure, axes, edges, histogram.axes["jet2"].edges, counts / counts.sum(), name)
        centres = histogram.axes["jet1"].centers, histogram.axes["jet2"].centers
        lines = []
        for i, other in enumerate(others):
            density = _smoothed(histogram[{"dataset": other}].values())
            for share, style in CONTOURS.items():
                level = _level(density, share)
                axes.contour(*centres, density.T, [level], colors=f"C{i + 1}", linestyles=style, linewidths=2.5)
                named = f"{SAMPLES.get(other, other)}, {share:.0%}"
                lines.append(Line2D([], [], color=f"C{i + 1}", linestyle=style, linewidth=2.5, label=named))
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel(histogram.axes["jet1"].label)
        axes.set_ylabel(histogram.axes["jet2"].label)
        if lines or title:
            legend_above(axes, points=filled, title=title, handles=lines)
        cms_label(axes, label=label, energy=energy)
    return figure


def _colour_map(figure, axes, x, y, values, name: str) -> np.ndarray:
    """Bins in colours on a logarithmic scale; those of nothing stay white. Returns the corners of the others."""
    from matplotlib.colors import LogNorm

    if not (values > 0).any():
        raise DataError("no events between the ends of both axes")
    norm = LogNorm(values[values > 0].min(), values.max())
    mesh = axes.pcolormesh(x, y, np.ma.masked_less_equal(values, 0).T, norm=norm, cmap="Blues", rasterized=True)
    figure.colorbar(mesh, ax=axes, pad=0.02, label=name)
    axes.tick_params(axis="x", pad=10)  # the first numbers of both axes stand in one corner
    column, row = np.nonzero(values > 0)
    return np.stack([np.append(x[column], x[column + 1]), np.tile(y[row + 1], 2)], axis=1)


def _smoothed(values: np.ndarray) -> np.ndarray:
    """Values of bins mixed with those of their neighbours, binomially, along both axes."""
    kernel = np.array([1, 4, 6, 4, 1]) / 16
    for axis in (0, 1):
        values = np.apply_along_axis(np.convolve, axis, values, kernel, mode="same")
    return values


def _level(density: np.ndarray, share: float) -> float:
    """The height above which the bins hold some share of all."""
    falling = np.sort(density, axis=None)[::-1]
    held = np.cumsum(falling)
    return float(falling[np.searchsorted(held, share * held[-1])])
