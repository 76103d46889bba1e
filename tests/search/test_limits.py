"""Upper limits: those of measurements that are known and of toys, and as many exclusions as they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from hepvae import OptionError
from hepvae.search.limits import asymptotic_cls, toy_cls, upper_limits
from hepvae.search.scans import COMBINED, Systematics
from hepvae.search.spectrum import BackgroundFunction, Spectrum, dijet_edges, signal_shape

EDGES = dijet_edges()
MASSES = np.array([2000.0, 3000.0, 4500.0])


def background(events):
    shape = BackgroundFunction.of_parameters(EDGES, (0, 8, 5, 0, 0))
    return events * shape / shape.sum()


@pytest.fixture(scope="module")
def narrow():
    u = norm.ppf((np.arange(20000) + 0.5) / 20000, 1, 0.04)
    return signal_shape({3000: (3000 * u, np.ones(20000))})


@pytest.fixture(scope="module")
def expected(narrow):
    return upper_limits({"": Spectrum(EDGES, background(1e5))}, narrow, MASSES, n_parameters=3)[""]


def test_cls_of_a_gaussian_measurement():
    """Known: for a yield of s +- 1, sqrt(q) = limit - s, and CLs = (1 - Phi(limit - s)) / Phi(s)."""
    for value in (-1.0, 0.0, 1.5):
        limit = np.linspace(2, 4, 5)
        q = np.where(value < 0, limit**2 - 2 * limit * value, (limit - value) ** 2)
        known = norm.sf(limit - value) / norm.cdf(value)
        assert asymptotic_cls(q, limit**2) == pytest.approx(known)


def test_expected_limits_and_bands(expected):
    """Without fluctuations, the observed limit is the median, which is 1.96 uncertainties of the yield."""
    assert expected.observed == pytest.approx(expected.expected[2], rel=1e-3)
    assert (np.diff(expected.expected, axis=0) > 0).all()
    ratios = expected.expected[:, 0] / expected.expected[2, 0]
    assert ratios == pytest.approx([0.54, 0.72, 1, 1.38, 1.85], rel=0.06)  # of a Gaussian measurement


def test_systematics_weaken_limits(narrow, expected):
    spectra = {"": Spectrum(EDGES, background(1e5))}
    size = {"": 0.5 * expected.expected[2]}
    moved = Systematics(resolution=0.3), Systematics(scale=0.1)
    for systematics in (Systematics(spurious=size), Systematics(normalisation=0.5), *moved):
        weaker = upper_limits(spectra, narrow, MASSES, n_parameters=3, systematics=systematics)[""]
        assert (weaker.expected[2] > 1.01 * expected.expected[2]).all()


def test_slices_together_are_better_than_each(narrow):
    spectra = {"tight": Spectrum(EDGES, background(1e3)), "rest": Spectrum(EDGES, background(1e5))}
    shares = {"tight": 0.5, "rest": 0.5}
    limits = upper_limits(spectra, narrow, MASSES, shares=shares, n_parameters=3)
    both = limits[COMBINED].expected[2]
    for name, share in shares.items():
        assert (both <= limits[name].scaled(1 / share).expected[2] * 1.001).all()


@pytest.mark.slow
def test_limits_exclude_as_often_as_they_say(narrow):
    """A signal is excluded in at most 5 % of the toys that have it."""
    truth, signal = background(1e4), 60.0
    rng = np.random.default_rng(4)
    counts = rng.poisson(truth + signal * narrow.template(3000, EDGES), (60, len(truth)))
    spectra = [Spectrum(EDGES, one) for one in counts]
    observed = [upper_limits({"": one}, narrow, [3000.0], n_parameters=3)[""].observed[0] for one in spectra]
    assert np.mean(np.array(observed) < signal) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 60)


def test_asymptotic_limit_has_cls_of_toys(narrow):
    counts = np.random.default_rng(5).poisson(background(3e4))
    limit = upper_limits({"": Spectrum(EDGES, counts)}, narrow, [3000.0], n_parameters=3)[""].observed[0]
    template = narrow.template(3000, EDGES)
    cls = toy_cls(limit, counts, EDGES, template, background(3e4), n_parameters=3, toys=1500, seed=6)
    assert cls == pytest.approx(0.05, abs=0.02)


def test_levels_that_are_none(narrow):
    with pytest.raises(OptionError, match=r"confidence level is 95: expected a number from 0\.5 to 0\.9999"):
        upper_limits({"": Spectrum(EDGES, background(1e4))}, narrow, MASSES, level=95)
