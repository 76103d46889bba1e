"""What significance a number of injected signal events is worth: events counted in the mjj window.

The window counts as one bin with a background that is known exactly: no shape, no uncertainty from a fit. So the
numbers compare a cut with none, and say how much to inject; what a search finds is for the fit of mjj to tell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import OptionError
from .weights import Floats

__all__ = ["Counting", "asimov_significance"]


def asimov_significance(signal: npt.ArrayLike, background: npt.ArrayLike) -> Floats:
    """Median significance that events are counted with: sqrt(2 ((s + b) ln(1 + s / b) - s)).

    Cowan, Cranmer, Gross and Vitells, arXiv:1007.1727, eq. 97; s / sqrt(b) where s is far below b.

    Parameters
    ----------
    signal, background : arrays or floats
        Expected numbers of events; background above zero.

    Returns
    -------
    array or float
        Standard deviations.
    """
    signal, background = np.asarray(signal, np.float64), np.asarray(background, np.float64)
    if not (np.all(signal >= 0) and np.all(background > 0)):
        raise OptionError(
            f"{signal.min()} signal and {background.min()} background events: expected none below zero, and"
            " background above it"
        )
    ratio = signal / background
    # (1 + r) ln(1 + r) - r cancels where r is small: its series there
    excess = np.where(ratio < 1e-4, ratio**2 / 2 - ratio**3 / 6, (1 + ratio) * np.log1p(ratio) - ratio)
    significance: Floats = np.sqrt(2 * background * excess)[()]
    return significance


@dataclass(frozen=True)
class Counting:
    """Events counted in a mjj window, after a cut on the score or without one.

    Raises
    ------
    OptionError
        The background is not above zero, or an efficiency is no share.
    """

    background: float
    """Expected background events in the window, before the cut."""
    signal_efficiency: float = 1.0
    """Share of the injected events that are in the window and pass."""
    background_efficiency: float = 1.0
    """Share of the background events of the window that pass."""
    signal_uncertainty: float = 0.0
    """Relative, of the signal that passes, from the size of its sample."""
    background_uncertainty: float = 0.0
    """Relative, of the background that passes, from the size of its sample."""

    def __post_init__(self) -> None:
        if not 0 < self.background < np.inf:
            raise OptionError(f"{self.background} background events are expected: expected more than zero")
        for name in ("signal_efficiency", "background_efficiency"):
            if not 0 < getattr(self, name) <= 1:
                raise OptionError(f"{name} is {getattr(self, name)}: expected a share above zero, 1 at most")

    def significance(self, injected: npt.ArrayLike) -> Floats:
        """Expected significance for numbers of injected signal events, (...,)."""
        return asimov_significance(
            np.asarray(injected) * self.signal_efficiency, self.background * self.background_efficiency
        )

    def uncertainty(self, injected: npt.ArrayLike) -> Floats:
        """Of the `significance` for numbers of injected signal events, (...,), to first order."""
        signal = np.asarray(injected, np.float64) * self.signal_efficiency
        background = self.background * self.background_efficiency
        logarithm = np.log1p(signal / background)
        of_signal = signal * logarithm * self.signal_uncertainty
        of_background = (background * logarithm - signal) * self.background_uncertainty
        significance = self.significance(injected)
        return np.hypot(of_signal, of_background) / np.where(significance > 0, significance, 1)
