"""Share of the events of each mjj that pass a cut, and whether it is flat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import OptionError
from .weights import Floats, finite, ratio, same_length

__all__ = ["ChiSquare", "PassRate", "pass_rate"]

#: Expected events (effective number) that pass, and that fail, in a bin of a chi-square.
LEAST_EXPECTED = 10


@dataclass(frozen=True)
class ChiSquare:
    """How far values are from what was expected."""

    value: float
    """Sum of squared deviations over their variances."""
    ndf: int
    """Degrees of freedom."""

    @property
    def p_value(self) -> float:
        """Chance of a larger value if the expectation is true; NaN without degrees of freedom."""
        from scipy.special import chdtrc

        return float(chdtrc(self.ndf, self.value)) if self.ndf else np.nan

    def __str__(self) -> str:
        return f"{self.value:.1f} / {self.ndf}" if self.ndf else "-"


@dataclass(frozen=True)
class PassRate:
    """Share of the events of each mjj bin that pass a cut."""

    edges: Floats
    """(bins + 1,) GeV, rising."""
    passing: Floats
    """(bins,): sum of the weights of the events that pass."""
    passing_squares: Floats
    """(bins,): sum of their squared weights."""
    total: Floats
    """(bins,): sum of the weights of all events."""
    total_squares: Floats
    """(bins,): sum of their squared weights."""

    @property
    def rate(self) -> Floats:
        """(bins,); NaN in bins without events."""
        return ratio(self.passing, self.total)

    @property
    def uncertainty(self) -> Floats:
        """(bins,): binomial standard deviation of weighted events, zero where none or all pass.

        sum over passing of w^2 (1 - rate)^2 plus sum over failing of w^2 rate^2, over the square of the sum of
        all w: the ratio estimator (W. G. Cochran, Sampling Techniques), as option "B" of ROOT's TH1::Divide.
        """
        rate = self.rate
        failing_squares = np.maximum(self.total_squares - self.passing_squares, 0)
        variance = self.passing_squares * (1 - rate) ** 2 + failing_squares * rate**2
        return np.sqrt(ratio(variance, self.total**2))

    def chi_square(self, expected: float | None = None, training: npt.ArrayLike | None = None) -> ChiSquare:
        """Of the rates against a constant: how flat they are in mjj.

        Neighbouring bins are merged, from low mjj on, until in each at least `LEAST_EXPECTED` events are expected
        to pass and to fail (effective numbers); what is left at the end joins the last. The variances are those
        under the hypothesis: with the measured ones, bins that fluctuate low would count more than others.

        Parameters
        ----------
        expected : float, optional
            The rate of the hypothesis; by default the mean that fits the bins best, which takes one degree of
            freedom.
        training : array (replicas, bins), optional
            Relative changes of the rate by the fluctuations of the events that the cut was fitted to
            (`WorkingPoints.slice_variations`); without, a cut is taken as exact.
        """
        rate = expected
        if rate is None:
            effective = ratio(self.total**2, self.total_squares, 0.0)
            rate = float(ratio(np.nansum(effective * self.rate), effective.sum()))
        starts = self._starts(rate)
        bins = self._merged(starts)
        ndf = len(bins.total) - (expected is None)
        if ndf < 1:
            return ChiSquare(0.0, 0)
        # Events that pass may have other weights than those that fail: the mean weight of each kind is as
        # observed, their shares are as supposed.
        mean_weight = bins.total_squares / bins.total
        of_passing = ratio(bins.passing_squares, bins.passing, mean_weight)
        of_failing = ratio(bins.total_squares - bins.passing_squares, bins.total - bins.passing, mean_weight)
        variance = rate * (1 - rate) * ((1 - rate) * of_passing + rate * of_failing) / bins.total
        covariance = np.diag(variance)
        if training is not None:
            changes = np.add.reduceat(np.asarray(training, np.float64) * self.total, starts, axis=1) / bins.total
            covariance = covariance + rate**2 * np.cov(changes, rowvar=False)
        inverse = np.linalg.inv(covariance)
        mean = np.sum(inverse @ bins.rate) / np.sum(inverse) if expected is None else expected
        return ChiSquare(float((bins.rate - mean) @ inverse @ (bins.rate - mean)), ndf)

    def _starts(self, rate: float) -> list[int]:
        """First of the bins that are merged into one, so that enough events are expected to pass and to fail."""
        sums = np.stack([self.passing, self.passing_squares, self.total, self.total_squares])
        starts = [0]
        for stop in range(1, sums.shape[1] + 1):
            total, squares = sums[2:, starts[-1] : stop].sum(axis=1)
            if ratio(total**2, squares, 0.0) * min(rate, 1 - rate) >= LEAST_EXPECTED:
                starts.append(stop)
        starts.pop()  # ends the last bin, or begins what is too few to be one
        return starts

    def _merged(self, starts: list[int]) -> PassRate:
        """Merged bins; none, where all events are too few."""
        sums = np.stack([self.passing, self.passing_squares, self.total, self.total_squares])
        if not starts:
            return PassRate(self.edges[:1], *sums[:, :0])
        return PassRate(np.append(self.edges[starts], self.edges[-1]), *np.add.reduceat(sums, starts, axis=1))


def pass_rate(passed: npt.ArrayLike, mjj: npt.ArrayLike, weight: npt.ArrayLike, edges: npt.ArrayLike) -> PassRate:
    """Share of events that pass, against mjj.

    Parameters
    ----------
    passed : bool array (events,)
    mjj, weight : arrays (events,)
        mjj in GeV; events outside of the edges are left out.
    edges : array (bins + 1,)
        GeV, rising.

    Raises
    ------
    OptionError
        The edges are fewer than two or do not rise.
    DataError
        mjj or weights are not finite, or the lengths differ.
    """
    edges = np.asarray(edges, np.float64)
    if len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise OptionError(f"{len(edges)} edges of mjj bins: expected two or more that rise")
    passed, mjj, weight = np.asarray(passed, bool), finite("mjj", mjj), finite("weights", weight)
    same_length(decisions=passed, mjj=mjj, weights=weight)
    weights = weight * passed, weight**2 * passed, weight, weight**2
    return PassRate(edges, *(np.histogram(mjj, edges, weights=of)[0] for of in weights))
