"""Shape of a resonance in mjj at any mass, from samples at a few."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import DataError

__all__ = ["SignalShape", "signal_shape"]

#: Cumulative shares at which the shapes of two masses are put together; 0.05 % of the events between two.
_LEVELS = np.linspace(0, 1, 2001)

#: Bins of mjj / mass that samples are smoothed in.
_FINE = 0.001


@dataclass(frozen=True)
class SignalShape:
    """Distribution of mjj / mass of a resonance, at some masses."""

    masses: np.ndarray
    """(samples,), GeV, rising."""
    quantiles: np.ndarray
    """(samples, levels), mjj / mass that the shares 0, 0.0005, ..., 1 of the events are below."""

    def template(self, mass: float, edges) -> np.ndarray:
        """Share of the signal in each bin of mjj; what is left to one is outside of the bins.

        Between two samples, each quantile of mjj / mass is interpolated linearly ("horizontal morphing": Read,
        NIM A 425 (1999) 357); beyond the samples, the nearest is scaled. With it scales what selects in mjj:
        a sample of 1500 GeV made with mjj > 1200 GeV has nothing below 2400 GeV at 3000 GeV.

        Parameters
        ----------
        mass : float
            Of the resonance, GeV.
        edges : array (bins + 1,)
            GeV.
        """
        position = np.interp(mass, self.masses, np.arange(len(self.masses)))
        below, above = int(np.floor(position)), int(np.ceil(position))
        share = position - below
        quantiles = (1 - share) * self.quantiles[below] + share * self.quantiles[above]
        return np.diff(np.interp(np.asarray(edges, np.float64) / mass, quantiles, _LEVELS, left=0, right=1))

    def templates(self, masses, edges) -> np.ndarray:
        """`template` at each mass, (masses, bins)."""
        return np.stack([self.template(mass, edges) for mass in masses])


def signal_shape(samples: Mapping[float, tuple]) -> SignalShape:
    """Shape of a resonance from weighted events.

    Each sample is smoothed by a Gaussian kernel of Silverman's width (about a fifth of the width of the peak for
    2,000 events, which widens it by 2 %).

    Parameters
    ----------
    samples : mapping of mass (GeV) to (mjj, weights)
        Arrays (events,), mjj in GeV; all events of the slice, those outside of a fit's range too.

    Raises
    ------
    DataError
        A sample has no events, mjj that is not positive, or weights that do not add up to more than zero.
    """
    if not samples:
        raise DataError("signal shape: no samples")
    masses = sorted(samples)
    quantiles = []
    for mass in masses:
        mjj, weights = (np.asarray(values, np.float64) for values in samples[mass])
        name = f"signal of {mass:g} GeV"
        if mass <= 0 or len(mjj) == 0 or not (np.isfinite(mjj) & (mjj > 0)).all():
            raise DataError(f"{name}: {len(mjj)} events: expected some, all with mjj above zero")
        if not weights.sum() > 0:
            raise DataError(
                f"{name}: weights of {len(mjj)} events add up to {weights.sum()}: expected more than zero"
            )
        quantiles.append(_quantiles(mjj / mass, weights))
    return SignalShape(np.array(masses, np.float64), np.stack(quantiles))


def _quantiles(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Quantiles of smoothed values at `_LEVELS`."""
    events = weights.sum() ** 2 / np.sum(weights**2)
    # Silverman, Density Estimation (1986), eq. 3.31: with the quartiles, so that tails do not widen the peak
    order = np.argsort(values)
    cumulative = np.cumsum(weights[order]) / weights.sum()
    lower, upper = np.interp([0.25, 0.75], np.maximum.accumulate(cumulative), values[order])
    width = max(0.9 * (upper - lower) / 1.34 * events**-0.2, _FINE)
    reach = int(np.ceil(4 * width / _FINE))
    first = np.floor(values.min() / _FINE) - reach
    bins = int(np.ceil(values.max() / _FINE) + reach - first) + 1
    edges = (first + np.arange(bins + 1)) * _FINE
    density, _ = np.histogram(values, edges, weights=weights)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * _FINE / width) ** 2)
    smooth = np.convolve(density, kernel / kernel.sum(), mode="same")
    # negative weights may leave dips
    cumulative = np.maximum.accumulate(np.concatenate([[0.0], np.cumsum(smooth) / weights.sum()]))
    return np.interp(_LEVELS, cumulative / cumulative[-1], edges)
