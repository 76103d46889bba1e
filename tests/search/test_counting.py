"""Expected significance: limits known by hand, toys, and the way back to events."""

from __future__ import annotations

from math import erfc, exp, lgamma, log, sqrt

import numpy as np
import pytest

from hepvae import OptionError
from hepvae.search.counting import Counting, asimov_significance


def test_far_below_the_background_it_is_signal_over_its_root():
    assert asimov_significance(1.0, 1e6) == pytest.approx(1e-3, rel=1e-6)
    assert asimov_significance(30.0, 1e6) == pytest.approx(0.03, rel=1e-4)
    assert asimov_significance(1e-3, 1e6) == pytest.approx(1e-6, rel=1e-9)  # no cancellation
    assert asimov_significance(0.0, 5.0) == 0


def test_less_than_signal_over_root_where_there_is_much_of_it():
    """Known: s = b = 10 gives sqrt(2 (20 ln 2 - 10))."""
    assert asimov_significance(10, 10) == pytest.approx(sqrt(2 * (20 * log(2) - 10)))
    assert (asimov_significance(np.array([5.0, 50.0]), 10) < np.array([5.0, 50.0]) / sqrt(10)).all()


def test_series_meets_the_formula():
    below, above = (asimov_significance(r * 1e8, 1e8) / r for r in (0.9999e-4, 1.0001e-4))
    assert below == pytest.approx(above, rel=1e-6)


def test_it_is_what_counting_finds_in_the_median(rng):
    """Significance from the Poisson chance of at least the median count, over the background alone."""

    def chance(least, mean):
        return sum(exp(n * log(mean) - mean - lgamma(n + 1)) for n in range(least, least + 400))

    count = int(np.median(rng.poisson(150, 2001)))
    low, high = 0.0, 10.0
    for _ in range(60):  # the normal deviate of that chance
        middle = (low + high) / 2
        low, high = (middle, high) if erfc(middle / sqrt(2)) / 2 > chance(count, 100) else (low, middle)
    assert asimov_significance(50, 100) == pytest.approx(low, abs=0.15)


def test_a_cut_gains_what_it_improves():
    """Where signal is far below background, the significance changes by signal / sqrt(background)."""
    inclusive, cut = Counting(1e6), Counting(1e6, signal_efficiency=0.3, background_efficiency=0.01)
    injected = np.array([0.0, 100.0, 1000.0])
    assert inclusive.significance(injected)[0] == 0
    gain = cut.significance(injected)[1:] / inclusive.significance(injected)[1:]
    assert gain == pytest.approx(3, rel=0.01)
    assert inclusive.significance(3000) == pytest.approx(3, rel=0.01)


def test_uncertainty_is_what_samples_of_that_size_scatter_by(rng):
    cut = Counting(1000, 0.4, 0.1, signal_uncertainty=0.05, background_uncertainty=0.03)
    injected = np.array([0.0, 50.0, 400.0])
    efficiency, share = 0.4 * rng.normal(1, 0.05, (4000, 1)), 0.1 * rng.normal(1, 0.03, (4000, 1))
    scatter = asimov_significance(injected * efficiency, 1000 * share).std(axis=0)
    assert cut.uncertainty(injected) == pytest.approx(scatter, rel=0.05)
    assert (Counting(1000).uncertainty(injected) == 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0,), "0.0 background events are expected: expected more than zero"),
        ((10.0, 1.2), "signal_efficiency is 1.2: expected a share"),
        ((10.0, 0.5, 0.0), "background_efficiency is 0.0: expected a share"),
    ],
)
def test_counting_that_cannot_be(arguments, message):
    with pytest.raises(OptionError, match=message):
        Counting(*arguments)


def test_numbers_that_cannot_be():
    with pytest.raises(OptionError, match=r"-1\.0 signal and 10\.0 background events"):
        asimov_significance([-1.0, 5.0], 10)
    with pytest.raises(OptionError, match=r"1\.0 signal and 0\.0 background"):
        asimov_significance([1], [0])
