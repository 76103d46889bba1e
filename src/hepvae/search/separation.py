"""How well a score tells signal from background: ROC curve, its area, significance improvement.

The significance improvement (SIC) of a cut is signal / sqrt(background) of the efficiencies: the factor by which
the cut changes s / sqrt(b). Cuts that too few background events pass say nothing, and are left out everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import DataError, OptionError
from ..options import check_whole_number
from .weights import Floats, checked_weights, finite, same_length

__all__ = [
    "BACKGROUND_EFFICIENCIES",
    "FiguresOfMerit",
    "Measured",
    "Roc",
    "figures_of_merit",
    "in_window",
    "roc",
    "with_uncertainty",
]

#: Scores and weights, arrays (events,).
ScoredEvents = tuple[npt.ArrayLike, npt.ArrayLike]

#: A cut that fewer background events pass (effective number, of weighted events) says nothing of it.
LEAST_BACKGROUND = 10

#: Where the significance improvement is quoted beside its maximum: shares of the background that pass.
BACKGROUND_EFFICIENCIES = (0.1, 0.025, 0.01)


@dataclass(frozen=True)
class Roc:
    """Efficiencies of all cuts ``score >= threshold``, from the tightest to the loosest."""

    threshold: Floats
    """(cuts,), falling."""
    signal: Floats
    """Share of the signal that passes."""
    background: Floats
    """Share of the background that passes."""
    signal_events: Floats
    """Effective number of signal events that pass: (sum of weights)^2 / sum of squared weights."""
    background_events: Floats
    """Effective number of background events that pass."""

    @property
    def auc(self) -> float:
        """Area under the curve of signal against background efficiency: 0.5 for a score that knows nothing."""
        signal, background = (np.concatenate([[0.0], values]) for values in (self.signal, self.background))
        return float(np.sum(np.diff(background) * (signal[1:] + signal[:-1]) / 2))

    @property
    def signal_uncertainty(self) -> Floats:
        """Binomial standard deviation of ``signal``, of weighted events."""
        return _binomial(self.signal, self.signal_events)

    @property
    def background_uncertainty(self) -> Floats:
        """Binomial standard deviation of ``background``, of weighted events."""
        return _binomial(self.background, self.background_events)

    @property
    def uncertainty(self) -> Floats:
        """Standard deviation of ``signal`` at the background efficiency of each cut: of both samples.

        That of the background is what it moves the point by along the curve.
        """
        below, above = (
            self._at(np.clip(self.background + side * self.background_uncertainty, 0, 1), self.signal)
            for side in (-1, 1)
        )
        return np.hypot(self.signal_uncertainty, (above - below) / 2)

    @property
    def significance_improvement(self) -> Floats:
        """signal / sqrt(background) of each cut; NaN where fewer than `LEAST_BACKGROUND` events pass."""
        background = np.where(_enough(self.background_events) & (self.background > 0), self.background, np.nan)
        return self.signal / np.sqrt(background)

    @property
    def significance_improvement_uncertainty(self) -> Floats:
        """Of each cut taken as given, from the binomial ones of both efficiencies; NaN as the improvement."""
        background = np.where(np.isfinite(self.significance_improvement), self.background, np.nan)
        return _improvement_uncertainty(
            self.signal, self.signal_uncertainty, background, self.background_uncertainty
        )

    @property
    def best(self) -> tuple[float, float]:
        """Largest significance improvement, and the background efficiency it is reached at.

        The maximum of a curve that fluctuates: too high by some of its uncertainty where the curve is flat.
        """
        improvement = self.significance_improvement
        if np.isnan(improvement).all():
            return np.nan, np.nan
        cut = int(np.nanargmax(improvement))
        return float(improvement[cut]), float(self.background[cut])

    def improvement_at(self, background_efficiency: float) -> Measured:
        """Significance improvement of the cut that keeps some share of the background.

        Between two cuts the efficiency of the signal is interpolated. The uncertainty is binomial, of the cut
        taken as given: right at the maximum, too small where the improvement rises with the background efficiency,
        too large where it falls. NaN where fewer than `LEAST_BACKGROUND` events pass.
        """
        if not 0 < background_efficiency <= 1:
            raise OptionError(f"background efficiency is {background_efficiency}: expected a share up to 1")
        if not _enough(self._at(background_efficiency, self.background_events)):
            return Measured(np.nan, np.nan)
        signal, signal_uncertainty, background_uncertainty = (
            self._at(background_efficiency, values)
            for values in (self.signal, self.signal_uncertainty, self.background_uncertainty)
        )
        uncertainty = _improvement_uncertainty(
            signal, signal_uncertainty, background_efficiency, background_uncertainty
        )
        return Measured(float(signal / np.sqrt(background_efficiency)), float(uncertainty))

    def _at(self, background_efficiency: float | Floats, values: Floats) -> Floats:
        """Values of the cuts, interpolated to background efficiencies."""
        # Negative weights can make it fall.
        background = np.maximum.accumulate(np.append(0.0, self.background))
        at: Floats = np.interp(background_efficiency, background, np.append(0.0, values))
        return at


def _enough(events: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    # Sums of weights are exact to rounding.
    return np.greater_equal(events, LEAST_BACKGROUND * (1 - 1e-9))


def _binomial(efficiency: Floats, events: Floats) -> Floats:
    """Standard deviation of efficiencies, where ``events`` pass and the last cut passes all.

    With weights, variance = ((1 - e)^2 sum of w^2 that pass + e^2 sum of w^2 that fail) / (sum of w)^2, the
    propagation of both sums; e (1 - e) / N where all weights are one.
    """
    squares = np.divide(efficiency**2, events, where=events > 0, out=np.zeros_like(efficiency))
    variance = (1 - 2 * efficiency) * squares + efficiency**2 * squares[-1]
    uncertainty: Floats = np.sqrt(np.maximum(variance, 0))
    return uncertainty


def _improvement_uncertainty(
    signal: Floats, signal_uncertainty: Floats, background: Floats | float, background_uncertainty: Floats
) -> Floats:
    """Of signal / sqrt(background), the two being independent."""
    relative = signal * background_uncertainty / (2 * background)
    return np.sqrt((signal_uncertainty**2 + relative**2) / background)


@dataclass(frozen=True)
class _Ranked:
    """A sample by falling score."""

    order: npt.NDArray[np.int_]
    """(events,): the events as they came, by falling score."""
    weight: Floats
    """(events,), by falling score."""
    passing: npt.NDArray[np.int_]
    """(cuts,): how many of them pass each cut."""

    def curve(self, counts: npt.NDArray[np.int_] | None = None) -> tuple[Floats, Floats]:
        """Efficiency and effective number of events of each cut, each event drawn ``counts`` (events,) times."""
        weight, squares = self.weight, self.weight**2
        if counts is not None:
            counts = counts[self.order]
            weight, squares = weight * counts, squares * counts
        sums, squares = (np.append(0.0, np.cumsum(values)) for values in (weight, squares))
        sums, squares, total = sums[self.passing], squares[self.passing], sums[-1]
        events = np.divide(sums**2, squares, where=squares > 0, out=np.zeros_like(sums))
        # A replica may have drawn nothing that has weight.
        return (sums / total if total > 0 else np.full_like(sums, np.nan)), events


def _ranked(background: ScoredEvents, signal: ScoredEvents) -> tuple[Floats, list[_Ranked]]:
    """Thresholds of all cuts, falling, and the samples by falling score."""
    samples = []
    for name, given in (("background", background), ("signal", signal)):
        if len(given) != 2:
            raise DataError(f"{name}: {len(given)} values: expected two arrays, (scores, weights)")
        score, weight = given
        score, weight = finite(f"{name}: scores", score), checked_weights(name, weight)
        same_length(**{f"scores of {name}": score, "weights": weight})
        order = np.argsort(score)
        samples.append((order[::-1], weight[order[::-1]], score[order]))
    # Events of equal score pass together.
    threshold = np.unique(np.concatenate([rising for _, _, rising in samples]))[::-1]
    return threshold, [
        _Ranked(order, weight, len(rising) - np.searchsorted(rising, threshold))
        for order, weight, rising in samples
    ]


def _roc(threshold: Floats, curves: Sequence[tuple[Floats, Floats]]) -> Roc:
    (background, background_events), (signal, signal_events) = curves
    return Roc(threshold, signal, background, signal_events, background_events)


def roc(background: ScoredEvents, signal: ScoredEvents) -> Roc:
    """ROC curve of weighted scores; high scores are anomalous.

    Parameters
    ----------
    background, signal : (scores, weights)
        Arrays (events,).

    Raises
    ------
    DataError
        There are no events, scores or weights are not given, have other shapes, are not finite or not as many, or
        the weights do not add up to more than zero.
    """
    threshold, samples = _ranked(background, signal)
    return _roc(threshold, [sample.curve() for sample in samples])


def _replicas(background: ScoredEvents, signal: ScoredEvents, replicas: int, seed: int) -> Iterator[Roc]:
    """The curves of bootstrap replicas: each draws as many of the events of both, with replacement.

    What is drawn changes how often each event counts, not how they are sorted.
    """
    check_whole_number("replicas", replicas, lowest=2)
    rng = np.random.default_rng(seed)
    threshold, samples = _ranked(background, signal)
    for _ in range(replicas):
        draws = [rng.integers(len(sample.order), size=len(sample.order)) for sample in samples]
        counts = [np.bincount(drawn, minlength=len(drawn)) for drawn in draws]
        yield _roc(threshold, [sample.curve(drawn) for sample, drawn in zip(samples, counts)])


def _spread(values: npt.ArrayLike) -> float:
    """Standard deviation of those that are no NaN."""
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    return float(np.std(known)) if len(known) > 1 else np.nan


def with_uncertainty(
    statistic: Callable[[Roc], float],
    background: ScoredEvents,
    signal: ScoredEvents,
    *,
    replicas: int = 100,
    seed: int = 1,
) -> tuple[float, float]:
    """A statistic of a `Roc`, and its standard deviation over bootstrap replicas.

    Parameters
    ----------
    statistic : function of a Roc
    background, signal : (scores, weights)
        As for `roc`; each replica draws as many of their events, with replacement.
    """
    replicated = [statistic(curve) for curve in _replicas(background, signal, replicas, seed)]
    return statistic(roc(background, signal)), _spread(replicated)


@dataclass(frozen=True)
class Measured:
    """A number and its standard deviation; formatted as ``0.71 ± 0.02``, or ``-`` where it is not known."""

    value: float
    """NaN where it is not known."""
    uncertainty: float
    """NaN where it is not known."""

    def __format__(self, spec: str) -> str:
        return f"{self.value:{spec}} ± {self.uncertainty:{spec}}" if np.isfinite(self.value) else "-"


@dataclass(frozen=True)
class FiguresOfMerit:
    """What a score is worth for one signal."""

    auc: Measured
    """Area under the ROC curve."""
    best: Measured
    """Largest significance improvement, see `Roc.best`."""
    best_at: Measured
    """Background efficiency that it is reached at."""
    improvement: Mapping[float, Measured]
    """Significance improvement by background efficiency."""
    background_events: float
    """Effective number of background events: their number where all weights are the same."""
    signal_events: float
    """Effective number of signal events."""


def figures_of_merit(
    background: ScoredEvents,
    signal: ScoredEvents,
    *,
    background_efficiencies: Sequence[float] = BACKGROUND_EFFICIENCIES,
    replicas: int = 100,
    seed: int = 1,
) -> FiguresOfMerit:
    """Area under the ROC curve and significance improvement of weighted scores.

    Parameters
    ----------
    background, signal : (scores, weights)
        Arrays (events,): of the events of a mjj window, see `in_window`.
    background_efficiencies : floats
        Where the improvement is quoted beside its maximum.
    replicas, seed : int
        Of the bootstrap, which the uncertainties come from. Each replica chooses its own cut for a background
        efficiency, which binomial uncertainties of both efficiencies do not know of.

    Raises
    ------
    DataError
        As `roc`.
    """
    curve = roc(background, signal)
    at = np.asarray(background_efficiencies, np.float64)
    values = (curve.auc, *curve.best, *(curve.improvement_at(efficiency).value for efficiency in at))
    replicated = [
        (replica.auc, *replica.best, *(replica._at(at, replica.signal) / np.sqrt(at)))
        for replica in _replicas(background, signal, replicas, seed)
    ]
    auc, best, best_at, *improvement = (
        Measured(value, _spread(drawn) if np.isfinite(value) else np.nan)
        for value, drawn in zip(values, zip(*replicated))
    )
    return FiguresOfMerit(
        auc,
        best,
        best_at,
        dict(zip(background_efficiencies, improvement)),
        float(curve.background_events[-1]),
        float(curve.signal_events[-1]),
    )


def in_window(mjj: npt.ArrayLike, mass: float, half_width: float = 0.2) -> npt.NDArray[np.bool_]:
    """Mask (events,) of the events with mjj within a share of the resonance mass (both in GeV) around it."""
    return np.abs(np.asarray(mjj) / mass - 1) < half_width
