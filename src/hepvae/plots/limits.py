"""Upper limits against the mass of a resonance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from .style import PlotOptions, drawing, legend_above, plain_ticks

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

__all__ = ["Limits", "plot_limits"]

#: Colours of the cycle but those that are hardly seen on the bands.
_OTHERS = ("C0", "C2", "C3", "C5")


class Limits(Protocol):
    """Limits at each mass, as `hepvae.search.upper_limits` gives them, in fb."""

    @property
    def masses(self) -> npt.NDArray[np.float64]:
        """(masses,) GeV."""

    @property
    def observed(self) -> npt.NDArray[np.float64]:
        """(masses,)."""

    @property
    def expected(self) -> npt.NDArray[np.float64]:
        """(5, masses): without signal, at -2, -1, 0, 1, 2 standard deviations."""


def plot_limits(
    limits: Limits,
    *,
    others: Mapping[str, Limits] | None = None,
    quantity: str = r"$\sigma \times B \times A$ (fb)",
    name: str = "",
    observed: bool = True,
    **options: Unpack[PlotOptions],
) -> Figure:
    """Observed and expected limits with their bands of one and two standard deviations.

    Parameters
    ----------
    limits : Limits
    others : mapping of name to Limits, optional
        Whose expected limits are lines beside: without a cut, of other models, of baselines.
    quantity : str
        What is limited.
    name : str
        Of what gives the limits, for the legend.
    observed : bool
        Draw the observed limits.
    **options : PlotOptions
    """
    with drawing(options) as canvas:
        axes = canvas.figure.subplots()
        tev = limits.masses / 1000
        low2, low1, median, high1, high2 = limits.expected
        # colours of CMS's guidelines for bands that are told apart without red and green
        axes.fill_between(tev, low2, high2, color="#F5BB54", linewidth=0, label="95% expected")
        axes.fill_between(tev, low1, high1, color="#607641", linewidth=0, label="68% expected")
        of = f" ({name})" if name else ""
        axes.plot(tev, median, color="black", linestyle="dashed", linewidth=2.5, label=f"Median expected{of}")
        shown = [low2, high2]
        if observed:
            axes.plot(
                tev, limits.observed, color="black", linewidth=2.5, marker="o", markersize=6, label="Observed"
            )
            shown.append(limits.observed)
        for i, (other, one) in enumerate((others or {}).items()):
            style: dict[str, Any] = {
                "color": _OTHERS[i % len(_OTHERS)],
                "linestyle": ("dotted", "dashdot", (0, (5, 1)))[i % 3],
                "linewidth": 3,
            }
            axes.plot(one.masses / 1000, one.expected[2], label=f"Median expected ({other})", **style)
            shown.append(one.expected[2])
        values = np.concatenate(shown)
        lowest, highest = values[values > 0].min() / 1.5, values.max()
        axes.set_yscale("log")
        axes.set_ylim(lowest, 1.5 * highest)
        axes.set_xlim(tev.min(), tev.max())
        plain_ticks(axes.xaxis)
        axes.set_xlabel("Resonance mass (TeV)")
        axes.set_ylabel(f"95% CL upper limit on {quantity}")
        legend_above(axes, title="\n".join(filter(None, [canvas.title, "95% CL upper limits"])))
        canvas.write_label(axes)
    return canvas.figure
