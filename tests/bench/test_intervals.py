"""Intervals contain what they should as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from hepvae.bench.intervals import (
    LEVEL,
    Ratio,
    log_ratios,
    process_deviations,
    run_deviations,
    time_ratio,
    unpaired_ratio,
)


def study(rng, *, true=1.0, cells=16, runs=2, rounds=10, process=0.03, noise=0.05, drift=0.3):
    """Log ratios of the rounds of each run of each cell, as a drifting machine would give them."""
    found = []
    for _ in range(cells):
        of_cell = []
        for _ in range(runs):
            machine = np.exp(np.cumsum(rng.normal(0, drift / np.sqrt(rounds), rounds)))  # both sides feel it
            sides = [
                machine * np.exp(rng.normal(0, process) + rng.normal(0, noise, rounds)) * factor
                for factor in (true, 1.0)
            ]
            of_cell.append(log_ratios(*sides))
        found.append(of_cell)
    return found


def intervals(cells):
    deviations = run_deviations(cells)
    return [time_ratio(runs, deviations) for runs in cells]


@pytest.mark.parametrize("process", [0.0, 0.03], ids=["same memory layout", "processes differ"])
def test_identical_sides_are_missed_about_as_often_as_the_level_says(process):
    rng = np.random.default_rng(1)
    found = [ratio for _ in range(40) for ratio in intervals(study(rng, process=process))]
    missed = np.mean([ratio.difference_seen for ratio in found])
    assert missed < 2 * (1 - LEVEL)
    # and not because they are endless
    assert np.median([ratio.high / ratio.low for ratio in found]) < 1.3


def test_without_other_runs_processes_that_differ_are_taken_for_a_difference():
    """Why deviations are pooled: the rounds of a run know nothing of them."""
    rng = np.random.default_rng(2)
    cells = study(rng, cells=200, runs=1, process=0.1, noise=0.02)
    assert len(run_deviations(cells)) == 0
    assert np.mean([ratio.difference_seen for ratio in intervals(cells)]) > 0.5


def test_planted_slowdown_is_found():
    rng = np.random.default_rng(3)
    for ratio in intervals(study(rng, true=1.2)):
        assert ratio.low > 1 and ratio.low < ratio.value < ratio.high
        assert ratio.value == pytest.approx(1.2, rel=0.15)


def test_drift_that_touches_both_sides_cancels():
    rounds = np.exp(np.linspace(0, 2, 10))
    ratio = time_ratio([log_ratios(3 * rounds, rounds)], np.zeros(0))
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((3, 3, 3))


def test_ratio_says_when_no_difference_is_seen():
    assert str(Ratio(1.5, 1.2, 1.9)) == "1.5 (1.2 to 1.9)"
    assert str(Ratio(1.5, 0.9, 1.9)) == "1.5 (0.9 to 1.9), no difference seen"


def test_studies_that_were_not_measured_in_turns():
    rng = np.random.default_rng(4)

    def measured(time=1.0, process=0.03):
        """16 cells of 2 runs."""
        return [
            [time * np.exp(rng.normal(0, process) + rng.normal(0, 0.05, 10)) for _ in range(2)] for _ in range(16)
        ]

    def ratios(side, reference):
        deviations = (process_deviations(side), process_deviations(reference))
        return [unpaired_ratio(a, b, deviations) for a, b in zip(side, reference)]

    assert all(ratio.low > 1 for ratio in ratios(measured(1.5), measured()))
    same = [ratio for _ in range(20) for ratio in ratios(measured(), measured())]
    assert np.mean([ratio.difference_seen for ratio in same]) < 2 * (1 - LEVEL)
