"""How well a score tells signal from background: ROC curve, its area, significance improvement."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import DataError

__all__ = ["Roc", "roc", "with_uncertainty"]

#: A cut that fewer background events pass (effective number, of weighted events) says nothing of it.
LEAST_BACKGROUND = 10


@dataclass(frozen=True)
class Roc:
    """Efficiencies of all cuts ``score >= threshold``, from the tightest to the loosest."""

    threshold: np.ndarray
    """(cuts,), falling."""
    signal: np.ndarray
    """Share of the signal that passes."""
    background: np.ndarray
    """Share of the background that passes."""
    background_events: np.ndarray
    """Effective number of background events that pass: (sum of weights)^2 / sum of squared weights."""

    @property
    def auc(self) -> float:
        """Area under the curve of signal against background efficiency: 0.5 for a score that knows nothing."""
        signal, background = (np.concatenate([[0.0], values]) for values in (self.signal, self.background))
        return float(np.sum(np.diff(background) * (signal[1:] + signal[:-1]) / 2))

    @property
    def significance_improvement(self) -> np.ndarray:
        """signal / sqrt(background) of each cut; NaN where fewer than `LEAST_BACKGROUND` events pass."""
        enough = (self.background_events >= LEAST_BACKGROUND) & (self.background > 0)
        improvement = np.full_like(self.signal, np.nan)
        improvement[enough] = self.signal[enough] / np.sqrt(self.background[enough])
        return improvement

    @property
    def best(self) -> tuple[float, float]:
        """Largest significance improvement, and the background efficiency it is reached at."""
        improvement = self.significance_improvement
        if np.isnan(improvement).all():
            return np.nan, np.nan
        cut = int(np.nanargmax(improvement))
        return float(improvement[cut]), float(self.background[cut])


def roc(background, signal) -> Roc:
    """ROC curve of weighted scores; high scores are anomalous.

    Parameters
    ----------
    background, signal : (scores, weights)
        Arrays (events,).

    Raises
    ------
    DataError
        There are no events, or the weights do not add up to more than zero.
    """
    scores, sums = [], []
    for name, (score, weight) in (("background", background), ("signal", signal)):
        score, weight = np.asarray(score, np.float64), np.asarray(weight, np.float64)
        if not np.isfinite(score).all():
            raise DataError(f"{name}: {int((~np.isfinite(score)).sum())} scores are not finite")
        if not weight.sum() > 0:
            raise DataError(
                f"{name}: weights of {len(score)} events add up to {weight.sum()}: expected more than zero"
            )
        order = np.argsort(score)
        scores.append(score[order])
        # Sums over the events from the highest score down to each.
        sums.append([np.append(np.cumsum(w[order][::-1])[::-1], 0.0) for w in (weight, weight**2)])
    # Events of equal score pass together.
    threshold = np.unique(np.concatenate(scores))[::-1]
    passing = [
        [total[np.searchsorted(score, threshold)] for total in totals] for score, totals in zip(scores, sums)
    ]
    (weights, squares), (signal_weights, _) = passing
    effective = np.divide(weights**2, squares, where=squares > 0, out=np.zeros_like(weights))
    return Roc(threshold, signal_weights / sums[1][0][0], weights / sums[0][0][0], effective)


def with_uncertainty(statistic, background, signal, *, replicas: int = 100, seed: int = 1) -> tuple[float, float]:
    """A number that is made from a `Roc`, and its standard deviation over bootstrap replicas.

    Parameters
    ----------
    statistic : function of a Roc
    background, signal : (scores, weights)
        As for `roc`; each replica draws as many of their events, with replacement.
    """
    rng = np.random.default_rng(seed)
    events = [tuple(np.asarray(values) for values in sample) for sample in (background, signal)]
    found = []
    for _ in range(replicas):
        drawn = (rng.integers(len(score), size=len(score)) for score, _ in events)
        found.append(statistic(roc(*[(s[i], w[i]) for (s, w), i in zip(events, drawn)])))
    return statistic(roc(*events)), float(np.nanstd(found))
