"""Pass rates: their uncertainty and chi-square are those of repeated experiments."""

from __future__ import annotations

import numpy as np
import pytest

from hepvae import DataError, OptionError
from hepvae.search.pass_rates import LEAST_EXPECTED, PassRate, pass_rate


def rates_of_toys(rng, events, correlated=False):
    """Pass rates of 600 experiments at 20 % in 6 bins, weights over decades, also larger ones for what passes."""
    for _ in range(600):
        mjj = rng.uniform(0, 6, events)
        passed = rng.uniform(size=events) < 0.2
        weight = 10**-mjj * rng.lognormal(0, 0.5, events)
        if correlated:  # lighter by chance, heavier for a weight: 20 % of the weight passes
            passed = rng.uniform(size=events) < 1 / 9
            weight = np.where(passed, 2.0, 1.0) * 10**-mjj
        yield pass_rate(passed, mjj, weight, np.arange(7))


def test_uncertainty_is_the_spread_of_repeated_experiments(rng):
    for correlated in (False, True):
        rates = list(rates_of_toys(rng, 1200, correlated))
        spread = np.std([r.rate for r in rates], axis=0)
        assert np.mean([r.rate for r in rates], axis=0) == pytest.approx(0.2, abs=0.01)
        assert np.mean([r.uncertainty for r in rates], axis=0) == pytest.approx(spread, rel=0.1)


def test_uncertainty_without_weights_is_binomial():
    rates = pass_rate([1] * 30 + [0] * 70, np.full(100, 0.5), np.ones(100), [0, 1, 2])
    assert rates.rate[0] == 0.3 and rates.uncertainty[0] == pytest.approx(np.sqrt(0.3 * 0.7 / 100))
    assert np.isnan(rates.rate[1]) and np.isnan(rates.uncertainty[1])


@pytest.mark.parametrize("correlated", [False, True])
@pytest.mark.parametrize("expected", [None, 0.2])
def test_chi_square_of_flat_rates_is_that_of_chance(rng, correlated, expected):
    stats = pytest.importorskip("scipy.stats")
    found = [rates.chi_square(expected) for rates in rates_of_toys(rng, 1200, correlated)]
    assert {one.ndf for one in found} == {6 - (expected is None)}
    assert stats.kstest([one.p_value for one in found], "uniform").pvalue > 1e-3


def test_chi_square_knows_of_the_training(rng):
    """Half of a sample against the other gave p below 0.05 in 7 of 16: the noise of the training was left out."""
    p_values = {True: [], False: []}
    modes = np.stack([np.ones(6), np.linspace(-1, 1, 6)]) * 0.15
    replicas = rng.normal(size=(200, 2)) @ modes
    for _ in range(300):
        mjj = rng.uniform(0, 6, 3000)
        share = 0.2 * (1 + rng.normal(size=2) @ modes)
        passed = rng.uniform(size=3000) < share[mjj.astype(int)]
        rates = pass_rate(passed, mjj, np.ones(3000), np.arange(7))
        for known in p_values:
            p_values[known].append(rates.chi_square(0.2, replicas if known else None).p_value)
    assert np.mean(np.array(p_values[False]) < 0.05) > 0.3
    assert np.mean(np.array(p_values[True]) < 0.05) == pytest.approx(0.05, abs=0.04)


def test_chi_square_without_weights_is_pearson_s(rng):
    stats = pytest.importorskip("scipy.stats")
    mjj, passed = rng.uniform(0, 4, 1000), rng.uniform(size=1000) < 0.3
    rates = pass_rate(passed, mjj, np.ones(1000), np.arange(5))
    pearson = stats.chi2_contingency([rates.passing, rates.total - rates.passing], correction=False)
    found = rates.chi_square()
    assert (found.value, found.ndf, found.p_value) == pytest.approx((pearson[0], pearson[2], pearson[1]))


def test_bins_with_too_few_events_are_merged():
    """Of 10 % expected, 100 events make 10: bins of 60, 60, 200, 30, 0 are two, 120 and 230."""
    counts = np.array([60, 60, 200, 30, 0])
    mjj = np.repeat(np.arange(5), counts) + 0.5
    passed = np.arange(len(mjj)) % 8 == 0
    rates = pass_rate(passed, mjj, np.ones(len(mjj)), np.arange(6))
    merged = pass_rate(passed, mjj, np.ones(len(mjj)), [0, 2, 5])
    assert rates.chi_square(0.1) == merged.chi_square(0.1) and rates.chi_square(0.1).ndf == 2
    assert rates.chi_square(0.1).value == pytest.approx(
        sum((p - 0.1 * n) ** 2 / (0.09 * n) for p, n in zip(merged.passing, merged.total))
    )


def test_chi_square_of_nothing():
    few = pass_rate([True] + [False] * (LEAST_EXPECTED + 5), np.full(LEAST_EXPECTED + 6, 0.5), np.ones(16), [0, 1])
    nothing = PassRate(np.arange(3.0), *np.zeros((4, 2)))
    for rates in (few, nothing):
        for expected in (None, 0.1):
            found = rates.chi_square(expected)
            assert (found.value, found.ndf) == (0, 0) and np.isnan(found.p_value)


@pytest.mark.parametrize(
    ("arrays", "edges", "error", "message"),
    [
        (([True], [1.0], [1.0]), [1.0], OptionError, "1 edges of mjj bins: expected two or more that rise"),
        (([True], [1.0], [1.0]), [2.0, 1.0], OptionError, "2 edges of mjj bins"),
        (([True], [1.0, 2.0], [1.0]), [0.0, 1.0], DataError, "1 decisions, 2 mjj, 1 weights"),
        (([True], [np.nan], [1.0]), [0.0, 1.0], DataError, "mjj of 1 events are not finite"),
    ],
)
def test_pass_rates_that_are_none(arrays, edges, error, message):
    with pytest.raises(error, match=message):
        pass_rate(*arrays, edges)
