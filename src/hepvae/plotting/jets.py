"""Jets as they are, and as models make them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .style import ENERGY_TEV, LABEL, cms_figure, cms_label

__all__ = ["plot_reconstruction"]


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
