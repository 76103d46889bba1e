"""The dijet bins, spectra in them, and the function over them: held against quadrature and its formula."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad

from hepvae import DataError, OptionError
from hepvae.search.spectrum import MOST_PARAMETERS, SQRT_S, BackgroundFunction, Spectrum, dijet_edges, divided

PARAMETERS = np.array([3.0, 8.0, 5.0, -0.2, 0.05, 0.01])


def formula(mjj):
    p, x = PARAMETERS, mjj / SQRT_S
    power = sum(p[2 + k] * np.log(x) ** k for k in range(4))
    return np.exp(p[0]) * (1 - x) ** p[1] / x**power


def test_edges_of_the_fit_range():
    edges = dijet_edges()
    assert list(edges[:4]) == [1460, 1530, 1607, 1687]
    assert list(edges[-2:]) == [6564, 6808]
    assert list(dijet_edges(1455, 1700)) == [1455, 1530, 1607, 1687, 1700]
    assert (np.diff(dijet_edges(1000, 12827)) > 0).all()


def test_bins_are_no_wider_than_a_signal():
    edges = dijet_edges(1460, 3019)
    assert (divided(edges, 0.04) == edges).all()
    fine = divided(edges, 0.016)
    assert (fine[::3] == edges).all() and (np.diff(fine) / fine[:-1]).max() < 0.021
    assert np.diff(fine)[:3] == pytest.approx(70 / 3)
    assert len(divided(edges, 1e-4)) == 4 * (len(edges) - 1) + 1


@pytest.mark.parametrize(("start", "stop"), [(900, 2000), (2000, 1460), (1460, 13000)])
def test_edges_that_make_no_bins(start, stop):
    with pytest.raises(OptionError, match=f"dijet bins from {start} to {stop} GeV: expected rising ends"):
        dijet_edges(start, stop)


def test_bins_are_integrals_of_the_formula():
    edges = dijet_edges()
    expected = [quad(formula, low, high)[0] for low, high in pairwise(edges)]
    assert BackgroundFunction.of_parameters(edges, PARAMETERS) == pytest.approx(expected, rel=1e-7)
    assert BackgroundFunction.density(edges, PARAMETERS) == pytest.approx(formula(edges), rel=1e-12)


def test_coefficients_are_other_words_for_parameters():
    edges = dijet_edges()
    truth = BackgroundFunction.of_parameters(edges, PARAMETERS)
    function = BackgroundFunction(edges, truth)
    coefficients = np.linalg.solve(function.parameter_matrix, PARAMETERS)
    assert function.expected(coefficients) == pytest.approx(truth, rel=1e-9)
    assert function.parameters(coefficients) == pytest.approx(PARAMETERS, rel=1e-6)


def test_parameters_that_are_left_out_are_zero():
    edges = dijet_edges()
    every = BackgroundFunction.of_parameters(edges, [*PARAMETERS[:4], 0, 0])
    assert (BackgroundFunction.of_parameters(edges, PARAMETERS[:4]) == every).all()


@pytest.mark.parametrize(("n", "zero"), [(2, [1, 3, 4, 5]), (3, [3, 4, 5]), (4, [4, 5]), (5, [5])])
def test_first_coefficients_are_of_the_first_parameters(n, zero):
    function = BackgroundFunction(dijet_edges(), np.ones(37))
    coefficients = np.where(np.arange(MOST_PARAMETERS) < n, 0.3, 0.0)
    parameters = function.parameters(coefficients)
    assert (parameters[zero] == 0).all()
    assert np.count_nonzero(parameters) == n


def test_coefficients_are_uncorrelated_with_uncertainties_of_one():
    edges = dijet_edges()
    truth = BackgroundFunction.of_parameters(edges, PARAMETERS)
    function = BackgroundFunction(edges, truth)
    _, slopes = function.expected_and_slopes(np.linalg.solve(function.parameter_matrix, PARAMETERS)[None])
    information = slopes[0].T @ (slopes[0] / truth[:, None])
    assert information == pytest.approx(np.eye(MOST_PARAMETERS), abs=0.1)


def test_slopes_are_derivatives():
    function = BackgroundFunction(dijet_edges(), np.full(37, 100.0))
    theta = np.array([[1.0, -0.5, 0.3, 0.2, -0.1, 0.1]])
    expected, slopes = function.expected_and_slopes(theta)
    assert expected == pytest.approx(function.expected(theta))
    for j in range(MOST_PARAMETERS):
        step = 1e-6 * np.eye(MOST_PARAMETERS)[j]
        difference = (function.expected(theta + step) - function.expected(theta - step)) / 2e-6
        assert slopes[..., j] == pytest.approx(difference, rel=1e-5, abs=1e-5)


def test_spectrum_of_events(rng):
    mjj, weights = rng.uniform(1000, 7000, 1000), rng.exponential(1, 1000)
    counted, weighted = Spectrum.of_events(mjj), Spectrum.of_events(mjj, weights)
    inside = (mjj >= 1460) & (mjj < 6808)
    assert counted.counts.sum() == inside.sum()
    assert counted.variances is None
    assert weighted.counts.sum() == pytest.approx(weights[inside].sum())
    assert weighted.variances.sum() == pytest.approx((weights[inside] ** 2).sum())


def test_spectrum_of_histogram(rng):
    hist = pytest.importorskip("hist")
    mjj, weights = rng.uniform(1460, 3000, 100), rng.exponential(1, 100)
    counted = hist.Hist(hist.axis.Variable(dijet_edges())).fill(mjj)
    assert Spectrum.of_histogram(counted).variances is None
    weighted = hist.Hist(hist.axis.Variable(dijet_edges()), storage="weight").fill(mjj, weight=weights)
    found, expected = Spectrum.of_histogram(weighted), Spectrum.of_events(mjj, weights)
    for name in ("edges", "counts", "variances"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name))


def test_scale_is_the_worth_of_weights():
    """Events that weigh 1/4 are worth four each, in empty bins as in those around them."""
    edges = np.array([1500.0, 1600, 1700, 1800, 1900])
    spectrum = Spectrum(edges, [100.0, 0.25, 0.0, 80.0], [25.0, 0.0625, 0.0, 40.0])
    assert spectrum.scale[[0, 3]] == pytest.approx([4, 2])
    # one event, and none: with the neighbours, (100.25 + 0) / 25.0625 and (0.25 + 80) / 40.0625
    assert spectrum.scale[[1, 2]] == pytest.approx([4, 80.25 / 40.0625])
    assert (Spectrum(edges, [100, 3, 0, 1]).scale == 1).all()


@pytest.mark.parametrize(
    ("edges", "counts", "variances", "message"),
    [
        ([1000, 2000], [1, 2], None, r"counts of shape \(2,\): expected \(1,\)"),
        ([1000, 2000], [-1], None, "counts from -1"),
        ([1000, 2000], [np.nan], None, "counts from nan"),
        ([2000, 1000], [1], None, "expected two or more, rising"),
        ([1000, 14000], [1], None, "bins up to 14000 GeV: expected less than 13000"),
        ([1000, 2000], [1], [0], "a bin with events has no variance"),
    ],
)
def test_values_that_make_no_spectrum(edges, counts, variances, message):
    with pytest.raises(DataError, match=message):
        Spectrum(edges, counts, variances)
