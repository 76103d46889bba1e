"""Fits of the background: closure on spectra made with it, the F-test, goodness of fit, weights."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.minuit import minimise, nll_and_gradient

from hepvae import DataError, OptionError
from hepvae.search.fits import (
    CRITERIA,
    LEAST_EXPECTED,
    Slice,
    chosen_order,
    fit_spectrum,
    merged_bins,
    minimum,
    nll,
)
from hepvae.search.spectrum import FAMILIES, MOST_PARAMETERS, BackgroundFunction, Spectrum, dijet_edges

EDGES = dijet_edges()
#: ln p0 to p4 of spectra that need so many parameters, to be scaled.
TRUTHS = {
    2: (0, 0, 6.5, 0, 0),
    3: (0, 8, 5, 0, 0),
    4: (0, 8, 5, -0.6, 0),
    5: (0, 8, 23.5, 12.5, 3),
}


def background(n, events):
    shape = BackgroundFunction.of_parameters(EDGES, TRUTHS[n])
    return events * shape / shape.sum()


@pytest.mark.parametrize("n", TRUTHS)
def test_f_test_finds_the_parameters_that_a_spectrum_needs(n, rng):
    found = [
        fit_spectrum(Spectrum(EDGES, rng.poisson(background(n, 5e6))), n_parameters=(2, 3, 4, 5)).n_parameters
        for _ in range(10)
    ]
    assert min(found) == n
    assert np.mean(np.array(found) == n) >= 0.7  # 5 % take one more by chance


@pytest.mark.parametrize("events", [300, 1e4, 1e7])
def test_closure(events, rng):
    """Pulls of the expectation and chi-squares are as they should be, for few events and many."""
    truth = background(3, events)
    pulls, p_values = [], []
    for _ in range(100):
        fit = fit_spectrum(Spectrum(EDGES, rng.poisson(truth)), n_parameters=3)
        pulls.append((fit.expected - truth)[:8] / fit.uncertainty[:8])
        p_values.append(fit.p_value)
        assert fit.expected.sum() == pytest.approx(fit.spectrum.counts.sum(), rel=1e-4)
    assert abs(np.mean(pulls)) < 0.3
    assert np.std(pulls) == pytest.approx(1, abs=0.15)
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.15)


def test_parameters_and_their_covariance(rng):
    truth = background(3, 1e6)
    ln_p0 = np.log(1e6 / BackgroundFunction.of_parameters(EDGES, TRUTHS[3]).sum())
    fit = fit_spectrum(Spectrum(EDGES, rng.poisson(truth)), n_parameters=3)
    pull = (fit.parameters[:3] - np.array([ln_p0, *TRUTHS[3][1:3]])) / np.sqrt(np.diag(fit.covariance))[:3]
    assert np.abs(pull).max() < 4
    assert (fit.parameters[3:] == 0).all() and (fit.covariance[3:] == 0).all()
    assert BackgroundFunction.of_parameters(EDGES, fit.parameters) == pytest.approx(fit.expected, rel=1e-6)
    assert fit.density([2000.0]) == pytest.approx(BackgroundFunction.density(2000.0, fit.parameters))


def test_smooth_expectation_is_fitted_by_itself():
    """Without fluctuations the F-test sees each parameter that matters, and no more."""
    for n in (3, 4):
        fit = fit_spectrum(Spectrum(EDGES, background(n, 1e6)))
        assert fit.n_parameters == n
        assert fit.expected == pytest.approx(background(n, 1e6), rel=1e-4)


def test_weighted_events(rng):
    """Events of weight 1/20, one in forty of weight 2: the fit closes, and its chi-square counts the weights."""
    truth = background(3, 2e4)
    pulls, chi2 = [], []
    for _ in range(60):
        light, heavy = rng.poisson(truth * 0.95 / 0.05 / 2), rng.poisson(truth * 0.525 / 2)
        spectrum = Spectrum(EDGES, light * 0.05 + heavy * 2, light * 0.05**2 + heavy * 4)
        fit = fit_spectrum(spectrum, n_parameters=3)
        pulls.append((fit.expected - truth)[:8] / fit.uncertainty[:8])
        chi2.append(fit.chi2 / fit.ndf)
    assert abs(np.mean(pulls)) < 0.4
    assert np.std(pulls) == pytest.approx(1, abs=0.25)
    assert np.mean(chi2) == pytest.approx(1, abs=0.2)


def test_weights_of_all_events_scale_out(rng):
    counts = rng.poisson(background(3, 1e4))
    one = fit_spectrum(Spectrum(EDGES, counts))
    other = fit_spectrum(Spectrum(EDGES, counts * 0.01, counts * 0.01**2))
    assert other.expected == pytest.approx(0.01 * one.expected, rel=1e-3)
    assert other.uncertainty == pytest.approx(0.01 * one.uncertainty, rel=0.02)
    assert other.chi2 == pytest.approx(one.chi2, rel=1e-3)


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("events", [1e3, 1e6])
def test_fits_are_those_of_iminuit(n, events, rng):
    counts = rng.poisson(background(3, events), (5, 37)).astype(float)
    function, ones = BackgroundFunction(EDGES, counts.mean(axis=0)), np.ones(37)
    slices = [Slice(function, counts, ones, np.full(5, n))]
    found = minimum(slices, [function.start(counts)])
    assert found.converged.all()
    for toy in range(5):
        one = [slices[0].of([toy])]
        value, theta, _, _ = minimise(one, [function.start(counts[[toy]])])
        assert found.nll[toy] == pytest.approx(value, abs=1e-4)
        assert function.expected(found.coefficients[0][toy]) == pytest.approx(
            function.expected(theta[0][0]), rel=0.01, abs=1e-3 * events**0.5
        )


@pytest.mark.parametrize("yields", [0.0, 30.0, -400.0])
@pytest.mark.parametrize("family", FAMILIES)
def test_gradient_is_the_derivative(family, yields, rng):
    """Also where a negative yield asks for less than nothing in some bins; by nuisance parameters, too."""
    counts = rng.poisson(background(3, 3e4), (1, 37)).astype(float)
    function = BackgroundFunction(EDGES, counts[0], family)
    signal = np.exp(-0.5 * ((np.arange(37) - 20) / 2.0) ** 2)[None] / 5
    shapes = 0.1 * rng.normal(size=(3, 37)) * np.array([[1.0], [0], [0]])
    none = np.zeros(37)
    by_signal, additions = ([none, 0.1 * np.roll(signal[0], 2), none], [none, none, 30 * np.roll(signal[0], 5)])
    changes = shapes, np.array([by_signal]), np.array([additions])
    slices = [Slice(function, counts, np.ones(37), np.array([4]), signal, *changes)]
    theta, at = [function.start(counts) * slices[0].free], np.array([yields])
    nuisances = np.array([[0.3, -0.4, 0.5]])
    value, (gradient,), by_shared = nll_and_gradient(slices, theta, at, nuisances)
    assert value == pytest.approx(nll(slices, theta, at, nuisances))
    for j in range(4):
        step = 1e-5 * np.eye(MOST_PARAMETERS)[[j]]
        difference = nll(slices, [theta[0] + step], at, nuisances) - nll(slices, [theta[0] - step], at, nuisances)
        assert gradient[0, j] == pytest.approx(difference[0] / 2e-5, rel=1e-4, abs=1e-4)
    assert (gradient[0, 4:] == 0).all()
    difference = nll(slices, theta, at + 1e-3, nuisances) - nll(slices, theta, at - 1e-3, nuisances)
    assert by_shared[0, 0] == pytest.approx(difference[0] / 2e-3, rel=1e-4, abs=1e-5)
    for k in range(3):
        step = 1e-5 * np.eye(3)[[k]]
        difference = nll(slices, theta, at, nuisances + step) - nll(slices, theta, at, nuisances - step)
        assert by_shared[0, 1 + k] == pytest.approx(difference[0] / 2e-5, rel=1e-4, abs=1e-4)


def test_merged_bins():
    assert list(merged_bins(np.array([50.0, 20, 4, 3, 3, 1, 1, 1]))) == [0, 1, 2, 4]
    assert list(merged_bins(np.array([0.1, 0.1]))) == [0]
    expected = background(3, 1000)
    groups = np.add.reduceat(expected, merged_bins(expected))
    assert groups.min() >= LEAST_EXPECTED and groups.sum() == pytest.approx(expected.sum())


def test_f_test_takes_five_percent_by_chance(rng):
    """Of chi-squares that one parameter more improves by as much as chance does."""
    rest = rng.chisquare(30, 4000)
    chi2 = np.stack([rest + rng.chisquare(1, 4000), rest], axis=1)
    assert chosen_order(chi2, np.array([31, 30])).mean() == pytest.approx(0.05, abs=0.015)


def test_parameters_without_bins_for_them_are_not_asked_for(rng):
    assert list(chosen_order(np.array([[5.0, 0.0]]), np.array([1, 0]))) == [0]


@pytest.mark.parametrize("n_parameters", [1, 7, (), (4, 3), (3, 3), (3, 7)])
def test_numbers_of_parameters_that_are_none(n_parameters):
    with pytest.raises(OptionError, match="parameters of the background: expected some of 2, 3, 4, 5, 6, rising"):
        fit_spectrum(Spectrum(EDGES, np.ones(37)), n_parameters=n_parameters)


def test_too_few_events():
    counts = np.zeros(37)
    counts[:3] = 5, 3, 1
    with pytest.raises(
        DataError, match="spectrum with 9 events: 3 bins have some: expected more than the 3 param"
    ):
        fit_spectrum(Spectrum(EDGES, counts))
    assert fit_spectrum(Spectrum(EDGES, counts), n_parameters=2).n_parameters == 2


@pytest.mark.parametrize("family", FAMILIES)
def test_families_describe_what_they_made(family, rng):
    """Each fits its own spectra; those of other families it follows to a few per mille where events are many."""
    truth = fit_spectrum(Spectrum(EDGES, background(4, 1e6)), n_parameters=4, family=family).expected
    assert truth == pytest.approx(background(4, 1e6), rel=0.3, abs=2)
    fit = fit_spectrum(Spectrum(EDGES, rng.poisson(truth)), n_parameters=4, family=family)
    assert fit.p_value > 1e-3 and fit.family == family
    assert fit.density(EDGES[:-1]) * np.diff(EDGES) == pytest.approx(fit.expected, rel=0.5)
    assert np.sqrt(np.sum(fit.variations**2, axis=0)) == pytest.approx(fit.uncertainty)


def test_akaike_misses_fewer_parameters(rng):
    truth = BackgroundFunction.of_parameters(EDGES, (0, 8, 5, -0.15, 0))
    counts = [rng.poisson(3e5 * truth / truth.sum()) for _ in range(20)]
    orders = {
        criterion: [fit_spectrum(Spectrum(EDGES, one), criterion=criterion).n_parameters for one in counts]
        for criterion in CRITERIA
    }
    assert np.mean(orders["aic"]) > np.mean(orders["f-test"])
    with pytest.raises(OptionError, match="criterion 'bic' is unknown"):
        fit_spectrum(Spectrum(EDGES, counts[0]), criterion="bic")
    with pytest.raises(OptionError, match="family of functions 'cms' is unknown"):
        fit_spectrum(Spectrum(EDGES, counts[0]), family="cms")
