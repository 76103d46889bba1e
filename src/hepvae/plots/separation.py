"""How well scores tell signal from background, and what a cut on them is worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from .style import Canvas, Floats, PlotOptions, drawing, legend_above

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from typing_extensions import Unpack

__all__ = ["Counting", "Roc", "plot_expected_significance", "plot_roc", "plot_significance_improvement"]

#: The tightest cut that is drawn.
LEAST_EFFICIENCY = 1e-3

#: Colours of the CMS style, after which they begin anew with another of these.
COLOURS, STYLES = 6, ("solid", "dashed", "dashdot")


class Roc(Protocol):
    """Efficiencies of all cuts on a score, as `hepvae.search.Roc`: its fields say more."""

    @property
    def signal(self) -> Floats: ...
    @property
    def uncertainty(self) -> Floats: ...
    @property
    def background(self) -> Floats: ...
    @property
    def significance_improvement(self) -> Floats: ...
    @property
    def significance_improvement_uncertainty(self) -> Floats: ...
    @property
    def auc(self) -> float: ...
    @property
    def best(self) -> tuple[float, float]: ...


class Counting(Protocol):
    """Events counted in a window of mjj, as `hepvae.search.Counting`."""

    def significance(self, injected: Floats) -> Floats: ...
    def uncertainty(self, injected: Floats) -> Floats: ...


def plot_roc(curves: Mapping[str, Roc], **options: Unpack[PlotOptions]) -> Figure:
    """Signal against background efficiency, with bands of both samples, where enough background events pass.

    Parameters
    ----------
    curves : mapping of name to Roc
        Of some scores for one signal, or of some signals. The legend gives the area under each.
    **options : PlotOptions

    Raises
    ------
    DataError
        No cut of any curve is passed by enough background events.
    """
    with drawing(options) as canvas:
        from matplotlib.ticker import FixedLocator

        axes = canvas.figure.subplots()
        for i, (name, curve) in enumerate(curves.items()):
            cuts = _cuts_to_draw(curve)
            efficiency, uncertainty = curve.signal[cuts], curve.uncertainty[cuts]
            _line_with_band(
                axes, i, curve.background[cuts], efficiency, uncertainty, f"{name} (AUC {curve.auc:.2f})"
            )
        _against_background(canvas, axes, curves, r"Signal efficiency $\epsilon_S$", lambda efficiency: efficiency)
        axes.yaxis.set_major_locator(FixedLocator(np.linspace(0, 1, 6).tolist()))  # no efficiency is above one
        axes.yaxis.set_minor_locator(FixedLocator(np.linspace(0, 1, 21).tolist()))
        canvas.write_label(axes)
    return canvas.figure


def plot_significance_improvement(curves: Mapping[str, Roc], **options: Unpack[PlotOptions]) -> Figure:
    """Significance improvement against background efficiency; a dot marks the maximum of each curve.

    Parameters and errors are those of `plot_roc`. The bands are binomial, of each cut taken as given.
    """
    with drawing(options) as canvas:
        axes = canvas.figure.subplots()
        for i, (name, curve) in enumerate(curves.items()):
            cuts = _cuts_to_draw(curve)
            improvement, uncertainty = curve.significance_improvement, curve.significance_improvement_uncertainty
            line = _line_with_band(axes, i, curve.background[cuts], improvement[cuts], uncertainty[cuts], name)
            best, at = curve.best
            if at >= LEAST_EFFICIENCY:
                axes.plot(at, best, "o", color=line.get_color(), markersize=9)
        # The root sign of mathtext is not in the fonts of the style, and logs so.
        name = r"Significance improvement  $\epsilon_S\,/\,$√$\epsilon_B$"
        _against_background(canvas, axes, curves, name, np.sqrt)
        canvas.write_label(axes)
    return canvas.figure


def plot_expected_significance(
    injected: npt.ArrayLike, countings: Mapping[str, Counting], **options: Unpack[PlotOptions]
) -> Figure:
    """Expected significance against the number of injected signal events, with bands of both samples.

    Parameters
    ----------
    injected : array
        Numbers of injected signal events, rising.
    countings : mapping of name to Counting
        Without a cut, and with some.
    **options : PlotOptions
    """
    injected = np.asarray(injected, np.float64)
    with drawing(options) as canvas:
        axes = canvas.figure.subplots()
        for i, (name, counting) in enumerate(countings.items()):
            significance, uncertainty = counting.significance(injected), counting.uncertainty(injected)
            _line_with_band(axes, i, injected, significance, uncertainty, name)
        axes.set_xlim(float(injected[0]), float(injected[-1]))
        axes.set_ylim(bottom=0)
        axes.set_xlabel("Injected signal events")
        axes.set_ylabel(r"Expected significance ($\sigma$)")
        for deviations in (3, 5):
            if deviations < axes.get_ylim()[1]:
                axes.axhline(deviations, color="gray", linestyle=":", linewidth=1.5)
                at = axes.get_yaxis_transform()
                axes.text(0.02, deviations, rf"${deviations}\,\sigma$", transform=at, color="gray", va="bottom")
        legend_above(axes, loc="upper left", title=canvas.title)
        canvas.write_label(axes)
    return canvas.figure


#: Points of a curve.
MOST_CUTS = 400


def _cuts_to_draw(curve: Roc) -> npt.NDArray[np.intp]:
    """Some of the cuts that enough background events pass, evenly on a logarithmic axis."""
    known = np.isfinite(curve.significance_improvement) & (curve.background >= LEAST_EFFICIENCY)
    cuts = np.flatnonzero(known)
    # Negative weights can make it fall.
    background = np.maximum.accumulate(curve.background[cuts])
    nearest = np.searchsorted(background, np.geomspace(LEAST_EFFICIENCY, 1, MOST_CUTS))
    chosen = nearest[nearest < len(cuts)]
    if len(cuts):  # the maximum is among them
        chosen = np.append(chosen, np.argmax(curve.significance_improvement[cuts]))
    return cuts[np.unique(chosen)]


def _line_with_band(axes: Axes, number: int, x: Floats, y: Floats, uncertainty: Floats, name: str) -> Line2D:
    style: dict[str, Any] = {"color": f"C{number % COLOURS}", "linestyle": STYLES[number // COLOURS % len(STYLES)]}
    (line,) = axes.plot(x, y, label=name, linewidth=2.5, **style)
    axes.fill_between(x, y - uncertainty, y + uncertainty, color=line.get_color(), alpha=0.25, linewidth=0)
    return line


def _against_background(
    canvas: Canvas, axes: Axes, curves: Mapping[str, Roc], name: str, random: Callable[[Floats], Floats]
) -> None:
    """What ROC and improvement share: axes, the line of a score that knows nothing, room for the legend."""
    lines = [np.asarray(line.get_ydata(), np.float64) for line in axes.lines]
    if not any(len(values) for values in lines):
        raise DataError(f"no cut of {', '.join(curves) or 'no curve'} is passed by enough background events")
    tightest = min(np.min(np.asarray(line.get_xdata()), initial=1.0) for line in axes.lines)
    least = max(LEAST_EFFICIENCY, 0.8 * float(tightest))
    efficiency = np.geomspace(least, 1, 100)
    axes.plot(efficiency, random(efficiency), color="gray", linestyle=":", linewidth=2, label="Random")
    highest = max(1.0, *(values.max(initial=0) for values in lines))
    axes.set_xscale("log")
    axes.set_xlim(least, 1)
    axes.set_ylim(0, 1.05 * highest)
    axes.set_xlabel(r"Background efficiency $\epsilon_B$")
    axes.set_ylabel(name)
    axes.tick_params(axis="x", pad=10)  # the first numbers of both axes stand in one corner
    legend_above(axes, loc="upper left", title=canvas.title)
