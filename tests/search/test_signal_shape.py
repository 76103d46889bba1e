"""Shapes of resonances: closure on Gaussian peaks, scaling and morphing between masses."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from hepvae import DataError
from hepvae.search.spectrum import dijet_edges, signal_shape

EDGES = dijet_edges()


def peak(mass, width, rng, events=2000):
    return mass * rng.normal(1, width, events), np.ones(events)


def expected(mass, width):
    return np.diff(norm.cdf(EDGES / mass, 1, width))


@pytest.mark.parametrize("width", [0.03, 0.15])
def test_sample_at_its_mass(width, rng):
    """2,000 events give each share to its statistical uncertainty, and smoothing makes it no worse."""
    found = signal_shape({3000: peak(3000, width, rng)}).template(3000, EDGES)
    share = expected(3000, width)
    assert np.abs(found - share).max() < 3.5 * np.sqrt(share.max() / 2000)
    assert found.sum() == pytest.approx(1, abs=0.002)


@pytest.mark.parametrize("width", [0.03, 0.15])
def test_resolution_is_of_the_peak(width, rng):
    mjj, weights = peak(3000, width, rng, 20000)
    mjj[:2000] = rng.uniform(1500, 6000, 2000)  # a tail
    assert signal_shape({3000: (mjj, weights)}).resolution(3000) == pytest.approx(width, rel=0.25)


def test_other_masses_are_scaled(rng):
    shape = signal_shape({3000: peak(3000, 0.05, rng, 200000)})
    for mass in (2000, 3000, 4500):
        assert shape.template(mass, EDGES) == pytest.approx(expected(mass, 0.05), abs=0.005)
    many = shape.templates([2000, 4500], EDGES)
    assert many[1] == pytest.approx(shape.template(4500, EDGES))


def test_between_samples_widths_are_between(rng):
    """For Gaussian peaks, interpolated quantiles are those of a Gaussian peak (Read): no double peak."""
    shape = signal_shape({4000: peak(4000, 0.08, rng, 200000), 2000: peak(2000, 0.04, rng, 200000)})
    assert shape.template(3000, EDGES) == pytest.approx(expected(3000, 0.06), abs=0.005)
    assert shape.template(2500, EDGES) == pytest.approx(expected(2500, 0.05), abs=0.005)
    # beyond the samples, the nearest
    assert shape.template(5000, EDGES) == pytest.approx(expected(5000, 0.08), abs=0.005)


def test_events_outside_of_the_bins_are_lost(rng):
    found = signal_shape({1500: peak(1500, 0.15, rng, 50000)}).template(1500, EDGES)
    assert found.sum() == pytest.approx(norm.sf(1460 / 1500, 1, 0.15), abs=0.01)


def test_weights(rng):
    mjj, _ = peak(3000, 0.1, rng, 100000)
    weights = np.where(mjj > 3000, 3.0, 1.0)
    template = signal_shape({3000: (mjj, weights)}).template(3000, EDGES)
    upper = template[EDGES[:-1] >= 3019].sum()
    assert upper == pytest.approx(0.75 - 0.75 * 2 * (norm.cdf(3019 / 3000, 1, 0.1) - 0.5), abs=0.02)


def test_some_negative_weights_leave_a_shape(rng):
    mjj, weights = peak(3000, 0.05, rng, 20000)
    weights[rng.random(20000) < 0.2] = -1
    template = signal_shape({3000: (mjj, weights)}).template(3000, EDGES)
    assert (template >= 0).all()
    assert template == pytest.approx(expected(3000, 0.05), abs=0.02)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ({}, "no samples"),
        ({2000: ([], [])}, "signal of 2000 GeV: 0 events"),
        ({2000: ([2000.0, np.nan], [1, 1])}, "signal of 2000 GeV: 2 events: expected some, all with mjj above"),
        ({2000: ([2000.0, 2100.0], [1, -1])}, "signal of 2000 GeV: weights of 2 events add up to 0"),
    ],
)
def test_samples_that_have_no_shape(samples, message):
    with pytest.raises(DataError, match=message):
        signal_shape(samples)
