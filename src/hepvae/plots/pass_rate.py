"""How flat cuts are in mjj."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..errors import OptionError
from .style import Floats, PlotOptions, drawing, legend_above, plain_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

__all__ = ["ChiSquare", "PassRate", "plot_pass_rate"]

MARKERS = "osD^vP"

#: Points of one bin are side by side, in this part in its middle: equal rates would hide each other.
SPREAD = 0.7


class ChiSquare(Protocol):
    """How far rates are from a constant."""

    @property
    def value(self) -> float: ...
    @property
    def ndf(self) -> int: ...


class PassRate(Protocol):
    """Share of the events of each mjj bin that pass a cut, as `hepvae.search.PassRate`: its fields say more."""

    @property
    def edges(self) -> Floats: ...
    @property
    def rate(self) -> Floats: ...
    @property
    def uncertainty(self) -> Floats: ...
    def chi_square(self) -> ChiSquare: ...


def plot_pass_rate(
    rates: Mapping[str, PassRate],
    *,
    before: Mapping[str, PassRate] | None = None,
    targets: Mapping[str, float] | None = None,
    **options: Unpack[PlotOptions],
) -> Figure:
    """Share of the background that passes working points, against mjj.

    Parameters
    ----------
    rates : mapping of working point to PassRate
        Of mass-decorrelated cuts. The legend has the chi-square of each against a constant.
    before : mapping of working point to PassRate, optional
        Of cuts at one value of the score, drawn with open markers; their chi-squares stand before the arrow.
    targets : mapping of working point to float, optional
        The share that should pass, as a dotted line.
    **options : PlotOptions

    Raises
    ------
    OptionError
        There is no working point to draw.
    """
    before, targets = before or {}, targets or {}
    names = list(dict.fromkeys([*rates, *before]))
    if not names:
        raise OptionError("pass rates of no working point: expected some to draw")
    with drawing(options) as canvas:
        axes = canvas.figure.subplots()
        shown: list[float] = []
        number = len(rates) + len(before)
        beside = iter(0.5 + SPREAD * ((np.arange(number) + 0.5) / number - 0.5))
        for i, name in enumerate(names):
            flatness, style = [], {"color": f"C{i % 10}", "marker": MARKERS[i % len(MARKERS)]}
            if name in targets:
                axes.axhline(targets[name], color=style["color"], linestyle=":", linewidth=2)
                shown.append(targets[name])
            for some, fill in ((before, {"fillstyle": "none", "alpha": 0.5}), (rates, {})):
                if name in some:
                    rate, flat = some[name].rate, some[name].chi_square()
                    _draw(axes, some[name], next(beside), {**style, **fill})
                    least = rate - some[name].uncertainty
                    shown.extend(np.concatenate([rate, np.maximum(least, rate / 3)])[np.tile(rate > 0, 2)])
                    flatness.append(f"{flat.value:.0f}/{flat.ndf}")
            text = rf"{name}: $\chi^2$/ndf = " + r" $\rightarrow$ ".join(flatness)
            axes.plot([], [], color=style["color"], marker=style["marker"], linestyle="none", label=text)
        if before:
            for text, filled in (("One cut", False), ("Mass-decorrelated", True)):
                axes.plot([], [], "o", color="gray", fillstyle="full" if filled else "none", label=text)
        if len(names) > 1:
            lowest, highest = min(shown) / 1.5, max(shown) * 1.2
            axes.set_yscale("log")
            axes.set_ylim(lowest, highest)
            plain_ticks(axes.yaxis)
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}" if value <= 1 else "")
        else:
            axes.set_ylim(0, 1.2 * max(shown))
        edges = np.concatenate([one.edges for one in (*rates.values(), *before.values())]) / 1000
        beyond = 0.02 * np.ptp(edges)
        axes.set_xlim(edges.min() - beyond, edges.max() + beyond)
        axes.set_xlabel(r"$m_{jj}$ (TeV)")
        axes.set_ylabel("Share of background that passes")
        legend_above(axes, title=canvas.title, ncols=2, columnspacing=1, handletextpad=0.2, fontsize="x-small")
        canvas.write_label(axes)
    return canvas.figure


def _draw(axes: Axes, rates: PassRate, position: float, style: dict[str, Any]) -> None:
    edges = rates.edges / 1000
    width = np.diff(edges)
    axes.errorbar(
        edges[:-1] + position * width,
        rates.rate,
        xerr=np.stack([position * width, (1 - position) * width]),
        yerr=rates.uncertainty,
        linestyle="none",
        linewidth=2,
        markersize=8,
        **style,
    )
