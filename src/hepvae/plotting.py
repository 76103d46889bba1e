"""Plots in CMS style, by mplhep. Each function returns its figure, and saves it where a path is given.

The label is the user's: by default a plot says "Simulation" and names no experiment.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import numpy as np

from .bundled import SAMPLES
from .errors import FileError
from .outputs import whole_file

__all__ = ["cms_figure", "cms_label", "plain_ticks", "plot_history", "plot_reconstruction", "plot_scores"]

LABEL, ENERGY_TEV = "Simulation", 13


@contextmanager
def cms_figure(figure_path):
    """A figure in CMS style, drawn without a display, saved and closed at the end."""
    import matplotlib
    import mplhep
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.style.context(mplhep.style.CMS):
        figure = Figure(figsize=(10, 10))
        FigureCanvasAgg(figure)
        yield figure
        if figure_path is not None:
            with whole_file(figure_path) as temporary:
                try:
                    figure.savefig(temporary, bbox_inches="tight", dpi=100)
                except ValueError as error:  # of a suffix that matplotlib does not know
                    raise FileError(f"{figure_path}: cannot be written: {error}") from error


def cms_label(axes, *, label=LABEL, energy=ENERGY_TEV, right=None):
    """What stands above the axes: by default no experiment, "Simulation" and the energy."""
    import mplhep

    mplhep.label.exp_label(exp="", text=label, data=True, com=energy, rlabel=right, loc=0, ax=axes)


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
    import mplhep

    with cms_figure(figure_path) as figure:
        axes = figure.subplots()
        smallest = 1.0
        names = list(histogram.axes["dataset"])
        for name in names:
            one = histogram[{"dataset": name}]
            total = one.values(flow=True).sum()
            one = one / total
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
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(histogram.axes["score"].edges[0], histogram.axes["score"].edges[-1])
        axes.set_ylim(10.0 ** np.floor(np.log10(smallest)), 30)
        axes.set_xlabel(histogram.axes["score"].label)
        axes.set_ylabel("Fraction of events")
        axes.legend(loc="upper right", title=title, fontsize="small", title_fontsize="small")
        cms_label(axes, label=label, energy=energy)
    return figure


def plain_ticks(axis):
    """1, 2, 5, 10, ... on a logarithmic axis, instead of powers."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def plot_history(history, *, figure_path: str | Path | None = None, title=None):
    """Loss curve of a training.

    Parameters
    ----------
    history : dict of str to list of float
        ``loss`` and ``val_loss`` of each epoch, as in ``history.json``.
    figure_path : path, optional
        Where to save the figure.

    Returns
    -------
    matplotlib Figure
    """
    with cms_figure(figure_path) as figure:
        axes = figure.subplots()
        epochs = np.arange(1, len(history["loss"]) + 1)
        axes.plot(epochs, history["loss"], "-o", label="Training (latent sampled)", fillstyle="none")
        axes.plot(epochs, history["val_loss"], "-s", label="Validation (latent mean)", fillstyle="none")
        best = int(np.argmin(history["val_loss"]))
        axes.axvline(epochs[best], color="gray", linestyle=":", label=f"Best epoch ({epochs[best]})")
        axes.set_yscale("log")
        plain_ticks(axes.yaxis)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlabel("Epoch")
        axes.set_ylabel(r"Loss (GeV$^2$)")
        axes.legend(title=title, fontsize="small", title_fontsize="small")
        cms_label(axes)
    return figure


def plot_reconstruction(
    histogram, *, figure_path: str | Path | None = None, label=LABEL, energy=ENERGY_TEV, title=None
):
    """An observable of jets as they are, and as models reconstruct them, with the ratios.

    Parameters
    ----------
    histogram : hist.Hist
        As `hepvae.histograms.observable_histogram` gives it: the first dataset is the input, the others
        are what models make of it.
    figure_path : path, optional
        Where to save the figure.
    title : str, optional
        Heading of the legend.

    Returns
    -------
    matplotlib Figure
    """
    import mplhep

    with cms_figure(figure_path) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2.5, 1))
        figure.subplots_adjust(hspace=0.06)
        first, *others = histogram.axes["dataset"]
        truth = histogram[{"dataset": first}]
        axis = histogram.axes["value"]
        # without w2method, mplhep works out Poisson intervals, for which it wants SciPy, and drops them
        plain = {"yerr": False, "w2method": "sqrt", "flow": "none"}
        mplhep.histplot(truth, ax=upper, label=first, histtype="fill", color="gray", alpha=0.35, **plain)
        expected = truth.values()
        known = expected > 0
        spread = np.divide(np.sqrt(truth.variances()), expected, where=known, out=np.zeros_like(expected))
        lower.stairs(1 + spread, axis.edges, baseline=1 - spread, fill=True, color="gray", alpha=0.35)
        for i, name in enumerate(others):
            one, style = histogram[{"dataset": name}], {"color": f"C{i}", "linewidth": 2.5}
            mplhep.histplot(one, ax=upper, label=name, histtype="step", **plain, **style)
            ratio = np.divide(one.values(), expected, where=known, out=np.full_like(expected, np.nan))
            lower.stairs(ratio, axis.edges, baseline=None, **style)
        upper.set_yscale("log")
        upper.set_ylim(0.5, 100 * max(histogram.values().max(), 1))
        upper.set_xlabel("")  # histplot wrote it: it belongs below the ratios
        upper.set_ylabel("Jets")
        upper.legend(loc="upper right", title=title, fontsize="small", title_fontsize="small", ncols=2)
        lower.set_ylim(0, 2)
        lower.set_xlim(axis.edges[0], axis.edges[-1])
        lower.set_ylabel("Output /\ninput", fontsize="small")
        lower.axhline(1, color="gray", linewidth=1)
        lower.set_xlabel(axis.label)
        cms_label(upper, label=label, energy=energy)
    return figure
