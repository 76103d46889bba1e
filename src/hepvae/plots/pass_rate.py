"""How flat cuts are in mjj."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..errors import OptionError
from ..search.pass_rates import PassRate
from ..search.working_points import working_point_efficiency
from .style import ENERGY_TEV, LABEL, cms_figure, cms_label, plain_ticks

__all__ = ["plot_pass_rate"]

MARKERS = "osD^vP"


def plot_pass_rate(
    rates: Mapping[str, PassRate],
    *,
    before: Mapping[str, PassRate] | None = None,
    figure_path: str | Path | None = None,
    label=LABEL,
    energy=ENERGY_TEV,
    title=None,
):
    """Share of the background that passes working points, against mjj.

    Parameters
    ----------
    rates : mapping of working point (``eff10``) to PassRate
        Of cuts that follow mjj. Dotted lines show the efficiencies of their names; the legend has the chi-square
        of each against a constant.
    before : mapping of working point to PassRate, optional
        Of cuts at one value of the score, drawn with open markers; their chi-squares stand before the arrow.
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

    Raises
    ------
    OptionError
        There is no working point to draw, or a name is none of a working point.
    """
    before = before or {}
    names = sorted({*rates, *before}, key=working_point_efficiency, reverse=True)
    if not names:
        raise OptionError("pass rates of no working point: expected some to draw")
    with cms_figure(figure_path) as figure:
        axes = figure.subplots()
        shown, arrow = [], r" $\rightarrow$ "
        for i, name in enumerate(names):
            efficiency, flatness = working_point_efficiency(name), []
            style = {"color": f"C{i % 10}", "marker": MARKERS[i % len(MARKERS)]}
            axes.axhline(efficiency, color=style["color"], linestyle=":", linewidth=2)
            for some, fill in ((before, {"fillstyle": "none", "alpha": 0.5}), (rates, {})):
                if name in some:
                    _draw(axes, some[name], {**style, **fill})
                    rate, least = some[name].rate, some[name].rate - some[name].uncertainty
                    shown.extend(np.concatenate([rate, np.maximum(least, rate / 3)])[np.tile(rate > 0, 2)])
                    flatness.append("{0.value:.0f}/{0.ndf}".format(some[name].chi_square()))
            axes.plot([], [], **style, linestyle="none", label=rf"{name}: $\chi^2$/ndf = {arrow.join(flatness)}")
            shown.append(efficiency)
        if before:
            for text, fill in (("One cut", "none"), ("Cut follows $m_{jj}$", "full")):
                axes.plot([], [], "o", color="gray", fillstyle=fill, label=text)
        # the upper part is the legend's
        rows = (len(axes.get_legend_handles_labels()[1]) + 1) // 2 + (title is not None)
        room = 0.06 * rows + 0.04
        if len(names) > 1:
            lowest, highest = min(shown) / 1.5, max(shown) * 1.2
            axes.set_yscale("log")
            axes.set_ylim(lowest, lowest * (highest / lowest) ** (1 / (1 - room)))
            plain_ticks(axes.yaxis)
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}" if value <= 1 else "")
        else:
            axes.set_ylim(0, 1.2 * max(shown) / (1 - room))
        axes.set_xlabel(r"$m_{jj}$ (TeV)")
        axes.set_ylabel("Share of background that passes")
        size = {"fontsize": "x-small", "title_fontsize": "x-small"}
        axes.legend(loc="upper center", title=title, ncols=2, columnspacing=1, handletextpad=0.2, **size)
        cms_label(axes, label=label, energy=energy)
    return figure


def _draw(axes, rates: PassRate, style) -> None:
    edges = rates.edges / 1000
    axes.errorbar(
        (edges[1:] + edges[:-1]) / 2,
        rates.rate,
        xerr=np.diff(edges) / 2,
        yerr=rates.uncertainty,
        linestyle="none",
        linewidth=2,
        markersize=8,
        **style,
    )
