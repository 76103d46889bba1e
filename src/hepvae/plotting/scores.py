"""Anomaly scores of samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..bundled import SAMPLES
from .style import ENERGY_TEV, LABEL, cms_figure, cms_label

__all__ = ["plot_scores"]


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
