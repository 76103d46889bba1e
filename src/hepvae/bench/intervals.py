"""How sure a ratio of two times is: bootstrap over what was measured in turns, and over fresh processes.

Two things vary. Within a run, each round times both sides one right after the other, so the ratio of a round
is free of slow drifts; the rounds of a run are drawn again, with replacement. And each run is a fresh process,
which may be a few per cent faster or slower for as long as it lives, by where its memory came to lie; the few
runs of one cell say little about that, those of all cells of a study say much. So the deviations of the runs of
all cells from their own mean are pooled, and a deviation is drawn from them for each run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

__all__ = [
    "LEVEL",
    "Ratio",
    "log_ratios",
    "middle",
    "process_deviations",
    "run_deviations",
    "time_ratio",
    "unpaired_ratio",
]

#: Confidence level of every interval.
LEVEL = 0.95
REPLICAS = 2000


@dataclass(frozen=True)
class Ratio:
    """A ratio of times and its confidence interval."""

    value: float
    low: float
    high: float

    @property
    def difference_seen(self) -> bool:
        """Whether the interval leaves 1 out."""
        return not self.low <= 1 <= self.high

    def __str__(self):
        said = f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g})"
        return said if self.difference_seen else f"{said}, no difference seen"

    to_dict = asdict


def log_ratios(first: Sequence[float], second: Sequence[float]) -> np.ndarray:
    """Logarithms of the ratio of each round; rounds that only one side has are left out."""
    n = min(len(first), len(second))
    return np.log(np.asarray(first[:n], np.float64) / np.asarray(second[:n], np.float64))


def run_deviations(cells: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
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
    found, of_rounds = [np.zeros(0)], []
    for runs in cells:
        if len(runs) > 1:
            middles = np.array([middle(rounds) for rounds in runs])
            found.append((middles - middles.mean()) * np.sqrt(len(runs) / (len(runs) - 1)))
            of_rounds += [np.var(_drawn_again(rounds, rng, 200)) for rounds in runs]
    deviations = np.concatenate(found)
    if len(deviations) and deviations.any():
        deviations *= np.sqrt(max(0.0, 1 - np.mean(of_rounds) / np.mean(deviations**2)))
    return np.concatenate([deviations, -deviations])


def middle(rounds) -> np.ndarray:
    """Mean of the middle half, along the last axis: deaf to outliers, and less noisy than a median."""
    ordered = np.sort(rounds, axis=-1)
    n = ordered.shape[-1]
    cut = max(1, n // 4) if n > 2 else 0
    return ordered[..., cut : n - cut].mean(axis=-1)


def _drawn_again(rounds, rng, replicas: int) -> np.ndarray:
    """`middle` of rounds that are drawn again, with replacement."""
    drawn = rng.integers(0, len(rounds), (replicas, len(rounds)))
    return middle(np.asarray(rounds)[drawn])


def time_ratio(runs: Sequence[np.ndarray], deviations: np.ndarray, *, seed: int = 0) -> Ratio:
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
        The geometric mean over runs of the `middle` of the rounds. The interval is the percentile bootstrap.
    """
    rng = np.random.default_rng(seed)
    value = np.mean([middle(rounds) for rounds in runs])
    replicas = np.zeros(REPLICAS)
    for rounds in runs:
        replicas += _drawn_again(rounds, rng, REPLICAS)
        if len(deviations):
            replicas += rng.choice(deviations, REPLICAS)
    replicas /= len(runs)
    low, high = np.quantile(replicas, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Ratio(*(float(np.exp(v)) for v in (value, min(low, value), max(high, value))))


def process_deviations(cells: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """`run_deviations` of one side alone: how far the times of fresh processes lie from the mean of their cell.

    Parameters
    ----------
    cells : sequence of sequence of array
        For each cell, for each run, the time of each round.
    """
    return run_deviations([[np.log(rounds) for rounds in runs] for runs in cells])


def unpaired_ratio(
    side: Sequence[np.ndarray],
    reference: Sequence[np.ndarray],
    deviations: Sequence[np.ndarray] = (np.zeros(0), np.zeros(0)),
    *,
    seed: int = 0,
) -> Ratio:
    """Ratio of times that were not measured in turns: two studies, two machines.

    What drifted between the two is in the ratio, and not in its interval.

    Parameters
    ----------
    side, reference : sequence of array
        For each run, the time of each round.
    deviations : two arrays
        `process_deviations` of either.
    """
    rng = np.random.default_rng(seed)
    value, replicas = 0.0, np.zeros(REPLICAS)
    for sign, runs, spread in ((1, side, deviations[0]), (-1, reference, deviations[1])):
        logs = [np.log(rounds) for rounds in runs]
        value += sign * np.mean([middle(rounds) for rounds in logs])
        for rounds in logs:
            drawn = _drawn_again(rounds, rng, REPLICAS)
            replicas += sign * (drawn + (rng.choice(spread, REPLICAS) if len(spread) else 0)) / len(runs)
    low, high = np.quantile(replicas, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Ratio(*(float(np.exp(v)) for v in (value, min(low, value), max(high, value))))
