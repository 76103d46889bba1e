"""How sure a ratio of two times is: bootstrap over what was measured in turns, and over fresh processes.

Two things vary. Within a run, each round times both sides one right after the other, so the ratio of a round
is free of slow drifts; the rounds of a run are drawn again, with replacement. And each run is a fresh process,
which may be a few per cent faster or slower for as long as it lives, by where its memory came to lie; the few
runs of one cell say little about that, those of all cells of a study say much. So the deviations of the runs of
all cells from their own mean are pooled, and a deviation is drawn from them for each run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan, nan

import numpy as np
import numpy.typing as npt

__all__ = [
    "LEVEL",
    "Ratio",
    "log_ratios",
    "middle",
    "process_deviations",
    "rounds_ratio",
    "run_deviations",
    "time_ratio",
    "unpaired_ratio",
]

Floats = npt.NDArray[np.float64]

#: Confidence level of every interval.
LEVEL = 0.95
REPLICAS = 2000
#: A run of fewer rounds does not know how much rounds vary.
LEAST_ROUNDS = 5


@dataclass(frozen=True)
class Ratio:
    """A ratio of times and its confidence interval, which is NaN where too little was measured for one."""

    value: float
    low: float = nan
    high: float = nan

    @property
    def has_interval(self) -> bool:
        return not isnan(self.low)

    @property
    def difference_seen(self) -> bool:
        """Whether there is an interval, and it leaves 1 out."""
        return self.low > 1 or self.high < 1

    def __str__(self) -> str:
        if not self.has_interval:
            return f"{self.value:.3g} (no interval)"
        text = f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g})"
        return text if self.difference_seen else f"{text}, no difference seen"

    def to_dict(self) -> dict[str, float | None]:
        """Plain values for JSON."""
        low, high = (None if isnan(end) else end for end in (self.low, self.high))
        return {"value": self.value, "low": low, "high": high}

    def inverse(self) -> Ratio:
        """The other side over this one."""
        return Ratio(1 / self.value, 1 / self.high, 1 / self.low)


def log_ratios(first: npt.ArrayLike, second: npt.ArrayLike) -> Floats:
    """Logarithms of the ratio of each round; rounds that only one side has are left out."""
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    n = min(len(first), len(second))
    return np.asarray(np.log(first[:n] / second[:n]))


def run_deviations(cells: Sequence[Sequence[Floats]]) -> Floats:
    """How far fresh processes lie from the mean of their cell, over all cells.

    Parameters
    ----------
    cells : sequence of sequence of array
        For each cell, for each run, the log ratio of each round.

    Returns
    -------
    array
        Deviations, symmetric about 0, scaled to what they would be from the true mean of the cell and
        without what the rounds vary by, which is drawn for itself; empty where no cell has two runs.
    """
    rng = np.random.default_rng(0)
    of_runs: list[Floats] = [np.zeros(0)]
    of_rounds: list[float] = []
    for runs in cells:
        if len(runs) > 1:
            middles = np.array([middle(rounds) for rounds in runs])
            of_runs.append((middles - middles.mean()) * np.sqrt(len(runs) / (len(runs) - 1)))
            of_rounds += [float(np.var(_drawn_again(rounds, rng, 200))) for rounds in runs]
    deviations = np.concatenate(of_runs)
    if len(deviations) and deviations.any():
        deviations *= np.sqrt(max(0.0, 1 - np.mean(of_rounds) / np.mean(deviations**2)))
    return np.concatenate([deviations, -deviations])


def middle(rounds: npt.ArrayLike) -> Floats:
    """Mean of the middle half, along the last axis: robust against outliers, and less noisy than a median."""
    ordered = np.sort(rounds, axis=-1)
    n = ordered.shape[-1]
    cut = max(1, n // 4) if n > 2 else 0
    return np.asarray(ordered[..., cut : n - cut].mean(axis=-1))


def _drawn_again(rounds: npt.ArrayLike, rng: np.random.Generator, replicas: int) -> Floats:
    """`middle` of rounds that are drawn again, with replacement."""
    rounds = np.asarray(rounds)
    return middle(rounds[rng.integers(0, len(rounds), (replicas, len(rounds)))])


def _enough(runs: Sequence[Floats], deviations: Floats) -> bool:
    """Whether it is known how much the rounds vary: an interval of one round would be a point."""
    fewest = min(map(len, runs))
    return fewest >= LEAST_ROUNDS or (fewest > 1 and len(deviations) > 0)


def _ratio(value: float, replicas: Floats, known: bool) -> Ratio:
    """Of logarithms."""
    if not known:
        return Ratio(float(np.exp(value)))
    low, high = np.quantile(replicas, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Ratio(*(float(np.exp(v)) for v in (value, min(low, value), max(high, value))))


def time_ratio(runs: Sequence[Floats], deviations: Floats) -> Ratio:
    """Ratio of the times of two sides, with its interval at `LEVEL`.

    Parameters
    ----------
    runs : sequence of array
        For each run, the log ratio of each round, as `log_ratios` gives it.
    deviations : array
        Of `run_deviations`. Empty: the interval is about these very processes.

    Returns
    -------
    Ratio
        The geometric mean over runs of the `middle` of the rounds. The interval is the percentile bootstrap; there
        is none where a run has fewer than `LEAST_ROUNDS` rounds, or, with deviations, only one.
    """
    rng = np.random.default_rng(0)
    value = float(np.mean([middle(rounds) for rounds in runs]))
    replicas = np.zeros(REPLICAS)
    for rounds in runs:
        replicas += _drawn_again(rounds, rng, REPLICAS)
        if len(deviations):
            replicas += rng.choice(deviations, REPLICAS)
    return _ratio(value, replicas / len(runs), _enough(runs, deviations))


def rounds_ratio(first: npt.ArrayLike, second: npt.ArrayLike) -> Ratio:
    """`time_ratio` of two sides in one run, from the time of each round: about these very processes."""
    return time_ratio([log_ratios(first, second)], np.zeros(0))


def process_deviations(cells: Sequence[Sequence[Floats]]) -> Floats:
    """`run_deviations` of one side alone: how far the times of fresh processes lie from the mean of their cell.

    Parameters
    ----------
    cells : sequence of sequence of array
        For each cell, for each run, the time of each round.
    """
    return run_deviations([[np.log(rounds) for rounds in runs] for runs in cells])


def unpaired_ratio(side: Sequence[Floats], reference: Sequence[Floats], deviations: Sequence[Floats]) -> Ratio:
    """Ratio of times that were not measured in turns: two studies, two machines.

    What drifted between the two is in the ratio, and not in its interval.

    Parameters
    ----------
    side, reference : sequence of array
        For each run, the time of each round.
    deviations : two arrays
        `process_deviations` of either.
    """
    rng = np.random.default_rng(0)
    value, replicas = 0.0, np.zeros(REPLICAS)
    for sign, runs, spread in ((1, side, deviations[0]), (-1, reference, deviations[1])):
        logs = [np.log(rounds) for rounds in runs]
        value += sign * float(np.mean([middle(rounds) for rounds in logs]))
        for rounds in logs:
            drawn = _drawn_again(rounds, rng, REPLICAS)
            replicas += sign * (drawn + (rng.choice(spread, REPLICAS) if len(spread) else 0)) / len(runs)
    known = all(_enough(runs, spread) for runs, spread in zip((side, reference), deviations))
    return _ratio(value, replicas, known)
