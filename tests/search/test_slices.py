"""A search in slices: what is expected adds up, a selected slice gains, p-values of background-only toys."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from hepvae import DataError, OptionError
from hepvae.search import slices
from hepvae.search.scans import COMBINED, ToyScan
from hepvae.search.slices import INCLUSIVE
from hepvae.search.spectrum import BackgroundFunction, dijet_edges
from hepvae.search.toys import exceedances

NAMES = ("rest", "tight")
EDGES = dijet_edges()
#: Share of background and of signal in the tight slice.
BACKGROUND, SIGNAL = 0.1, 0.6


def sculpted(mjj, rng, slope=0.0):
    """Slices that keep BACKGROUND, and more at larger mjj where there is a slope."""
    return (rng.random(len(mjj)) < BACKGROUND * np.exp(slope * (mjj / 1460 - 1))).astype(np.int8)


@pytest.fixture(scope="module")
def background():
    """mjj and weights of 20,000 events that stand for 2,000,000; weights fall with mjj."""
    rng = np.random.default_rng(3)
    fine = np.linspace(1200, 7500, 4000)
    density = BackgroundFunction.density(fine, (0, 8, 5, -0.2, 0)) * fine**4
    mjj = np.interp(rng.random(20_000), np.cumsum(density) / density.sum(), fine)
    weight = mjj**-4.0
    return mjj, 2e6 * weight / weight.sum()


@pytest.fixture(scope="module")
def expectation(background):
    index = sculpted(background[0], np.random.default_rng(4))
    return slices.expect_background(*background, index, NAMES, EDGES)


@pytest.fixture(scope="module")
def signal():
    rng = np.random.default_rng(5)
    mjj = rng.normal(2500, 75, 3000)
    index = (rng.random(3000) < SIGNAL).astype(np.int8)
    return slices.slice_signal({2500.0: (mjj, np.ones(3000), index)}, NAMES)


def test_background_of_the_slices_adds_up(background, expectation):
    inside = (background[0] >= EDGES[0]) & (background[0] < EDGES[-1])
    assert sum(expectation.shares.values()) == pytest.approx(1)
    assert expectation.shares["tight"] == pytest.approx(BACKGROUND, abs=0.01)
    assert np.allclose(sum(expectation.events.values()), expectation.fit.expected)
    assert expectation.fit.expected.sum() == pytest.approx(background[1][inside].sum(), rel=0.02)
    assert list(expectation.events) == list(NAMES)


def test_flatness_sees_a_cut_that_sculpts(background, expectation):
    for found in expectation.flatness.values():
        assert found.ndf > 10 and found.p_value > 0.01
    index = sculpted(background[0], np.random.default_rng(4), slope=0.5)
    assert slices.expect_background(*background, index, NAMES, EDGES).flatness["tight"].p_value < 1e-6


def test_slice_without_background(background):
    with pytest.raises(DataError, match="slice tight: no background events from 1460 GeV on"):
        slices.expect_background(*background, np.zeros(len(background[0]), int), NAMES, EDGES)


def test_signal_in_slices(signal):
    assert sum(signal.shares.values()) == pytest.approx(1)
    assert signal.shares["tight"] == pytest.approx(SIGNAL, abs=0.03)
    assert sum(t.sum() for t in signal.templates(EDGES).values()) == pytest.approx(1, abs=1e-3)
    assert signal.central == pytest.approx((0.97, 1.03), abs=0.004)


def test_few_signal_events_have_the_shape_of_all():
    mjj = np.random.default_rng(1).normal(2500, 75, 1000)
    found = slices.slice_signal({2500.0: (mjj, np.ones(1000), (np.arange(1000) < 50).astype(int))}, NAMES)
    assert found.shapes["tight"] is found.inclusive and found.shapes["rest"] is not found.inclusive
    nothing = slices.slice_signal({2500.0: (mjj, np.ones(1000), np.zeros(1000, int))}, NAMES)
    assert nothing.shares["tight"] == 0 and not nothing.templates(EDGES)["tight"].any()


def test_selected_slice_gains_as_it_should(expectation, signal):
    """Without uncertainties of the background the gain is SIGNAL / sqrt(BACKGROUND); slices add in quadrature."""
    needed = slices.yields_of_significance(3.0, expectation, signal)
    found = slices.significances(needed[INCLUSIVE], expectation, signal)
    assert list(found) == list(needed) == [INCLUSIVE, *NAMES, COMBINED]
    assert found[INCLUSIVE] == pytest.approx(3, abs=0.01)
    assert found["tight"] == pytest.approx(3 * SIGNAL / np.sqrt(BACKGROUND), rel=0.06)
    assert found["rest"] == pytest.approx(3 * (1 - SIGNAL) / np.sqrt(1 - BACKGROUND), rel=0.06)
    assert found[COMBINED] == pytest.approx(np.hypot(found["tight"], found["rest"]), rel=0.02)
    assert needed["tight"] < needed[INCLUSIVE] < needed["rest"]


def test_slice_without_signal(expectation, signal):
    empty = replace(signal, sample_shares={"rest": np.zeros(1), "tight": np.ones(1)})
    assert np.isnan(slices.yields_of_significance(3.0, expectation, empty)["rest"])
    assert slices.significances(500.0, expectation, empty)["rest"] == 0


def test_countings(background, expectation):
    mjj, index = np.array([2500.0, 2400, 2600, 1500]), np.array([1, 1, 0, 1])
    sides = background, (mjj, np.ones(4))
    found = slices.countings_in_slices(*sides, index, NAMES, 2500.0, expectation.shares)
    inside = background[1][np.abs(background[0] / 2500 - 1) < 0.2].sum()
    assert found[INCLUSIVE].background == pytest.approx(inside)
    assert [found[n].signal_efficiency for n in (INCLUSIVE, *NAMES)] == [0.75, 0.25, 0.5]
    assert found["tight"].background_efficiency == expectation.shares["tight"]
    assert found[INCLUSIVE].signal_uncertainty == pytest.approx(np.sqrt(0.25 / (0.75 * 4)))
    near = background[1][np.abs(background[0] / 2500 - 1) < 0.2]
    assert found[INCLUSIVE].background_uncertainty == pytest.approx(np.sqrt(np.sum(near**2)) / inside)
    assert found["tight"].background_uncertainty > found[INCLUSIVE].background_uncertainty
    without = slices.countings_in_slices(*sides, np.ones(4), NAMES, 2500.0, expectation.shares)
    assert set(without) == {INCLUSIVE, "tight"}


def test_signal_wholly_inside_the_window(background, expectation):
    """Weights that add up to one in another order gave an efficiency of 1.0000000000000002, which is no share."""
    rng = np.random.default_rng(8)
    for events in range(3, 60):
        weight, index = rng.random(events), np.arange(events) % 2
        sides = background, (np.full(events, 2500.0), weight)
        countings = slices.countings_in_slices(*sides, index, NAMES, 2500.0, expectation.shares)
        assert countings[INCLUSIVE].signal_efficiency == pytest.approx(1)
        assert sum(countings[n].signal_efficiency for n in NAMES) == pytest.approx(1)


def test_shares_and_shapes_between_masses(signal):
    """One set of shares served all masses: at 3.5 TeV, 309 of 491 events were found."""
    rng = np.random.default_rng(6)
    samples = {m: (rng.normal(m, w * m, 4000), np.ones(4000)) for m, w in ((2000.0, 0.03), (4000.0, 0.09))}
    sliced = {
        m: (*events, (rng.random(4000) < share).astype(np.int8))
        for (m, events), share in zip(samples.items(), (0.2, 0.8))
    }
    both = slices.slice_signal(sliced, NAMES, 3000.0)
    assert both.shares["tight"] == pytest.approx(0.5, abs=0.02)
    at = both.shares_at([1000, 2500, 6000])
    assert at["tight"] == pytest.approx([0.2, 0.35, 0.8], abs=0.02)
    assert at["tight"] + at["rest"] == pytest.approx(1)
    assert both.central == pytest.approx((0.94, 1.06), abs=0.005)


def test_masses_to_scan(expectation, signal):
    masses = slices.steps_in_mass(signal, expectation)
    low, high = signal.central
    assert 2500.0 in masses and len(masses) > 10
    assert masses[1:] / masses[:-1] == pytest.approx(1 + signal.inclusive.resolution(2500))
    assert 1400 < masses[0] < 1520  # half of it is in the range of the fit
    fine = np.linspace(EDGES[0], EDGES[-1], 20_000)
    density = expectation.shares["tight"] * expectation.fit.density(fine) * (fine[1] - fine[0])
    last = masses[-1] * np.array([1, masses[1] / masses[0]])
    now, then = (density[(fine > low * mass) & (fine < high * mass)].sum() for mass in last)
    assert now > 9.5 and then < 10.5  # 10 events under the peak
    assert slices.steps_in_mass(signal, expectation, 1800.0)[0] == masses[masses >= 1800][0]
    outside = replace(signal, mass=1200.0)
    with pytest.raises(OptionError, match="signal of 1200 GeV: expected most of it from 1460 GeV on"):
        slices.steps_in_mass(outside, expectation)


def test_toys_and_data_are_scanned_alike(expectation, signal):
    needed = slices.yields_of_significance(3.0, expectation, signal)[INCLUSIVE]
    counts = slices.throw_slices(expectation, signal, 60, injected=needed, seed=2)
    how = slices.FitOptions(4)
    found = slices.scan_toys_in_slices(counts, [2000.0, 2500.0], expectation, signal, how)
    assert list(found) == [INCLUSIVE, *NAMES, COMBINED]
    assert np.median(found[INCLUSIVE].significance[:, 1]) == pytest.approx(3, abs=0.5)
    assert np.median(found["tight"].significance[:, 1]) > np.median(found[INCLUSIVE].significance[:, 1]) + 1
    assert abs(found[COMBINED].pulls(needed)[:, 1].mean()) < 0.5
    data = {name: toys[0] for name, toys in counts.items()}
    one = slices.scan_slices(data, [2000, 2500], expectation, signal, how)
    for name, scan in one.items():
        assert scan.significance == pytest.approx(found[name].significance[0], abs=0.01), name


def test_toys_have_cuts_of_their_own(expectation, signal):
    """Toys had exactly the shares that were expected: they could not see what is wrong with cuts."""
    rates = {"tight": np.full((1, len(EDGES) - 1), 0.3)}
    counts = slices.throw_slices(expectation, signal, 300, pass_rates=rates, seed=3)
    spread = {name: np.log(of.sum(axis=1)).std() for name, of in counts.items()}
    assert spread["tight"] == pytest.approx(0.27, abs=0.05) and spread["rest"] < 0.05
    total = np.sum(list(counts.values()), axis=0).sum(axis=1)
    assert total.std() / total.mean() < 3e-3  # what one slice loses, others gain


def test_limits_say_what_the_cut_is_worth(expectation, signal):
    data = {name: toys[0] for name, toys in slices.throw_slices(expectation, signal, 1, seed=5).items()}
    limits = slices.limits_in_slices(data, [2500.0], expectation, signal, slices.FitOptions(4))
    assert list(limits) == [INCLUSIVE, *NAMES, COMBINED]
    gain = limits[INCLUSIVE].expected[2] / limits[COMBINED].expected[2]
    assert gain == pytest.approx(np.hypot(0.6 / np.sqrt(0.1), 0.4 / np.sqrt(0.9)), rel=0.15)
    assert limits["tight"].expected[2] < limits[INCLUSIVE].expected[2] < limits["rest"].expected[2]


def test_spurious_signal_of_each_slice(expectation, signal):
    faked = slices.spurious_in_slices(expectation.events, [2500.0], expectation, signal, "conservative")
    assert set(faked) == {INCLUSIVE, *NAMES}
    assert all(0 <= one.events[0] < 1000 for one in faked.values())
    how = slices.FitOptions({name: n for n, name in enumerate(faked, start=3)})
    data = {name: events.round() for name, events in expectation.events.items()}
    scans = slices.scan_slices(data, [2500.0], expectation, signal, how)
    assert [scans[name].fits[name].n_parameters for name in faked] == list(how.n_parameters.values())


def scan_of(significance) -> ToyScan:
    ones = np.ones_like(significance)
    return ToyScan("x", np.arange(significance.shape[1]), significance, ones, significance, {}, ones[:, 0])


def test_exceedances_of_independent_masses():
    """Known: the largest of n independent normal numbers is above z with 1 - (1 - p)^n."""
    rng = np.random.default_rng(1)
    scans = [scan_of(rng.normal(size=(400, 5))) for _ in range(2)]
    for found in exceedances(scans):
        assert found.expected == pytest.approx(1 - norm.cdf(found.level) ** 10, abs=0.02)
        assert found.observed == pytest.approx(found.expected, abs=4 * found.uncertainty + 1e-9)
        assert found.toys == 400
    assert [found.level for found in exceedances(scans)] == [1, 2, 3]


def test_exceedances_know_of_correlations_and_of_signals():
    same = np.repeat(np.random.default_rng(2).normal(size=(300, 1)), 8, axis=1)
    (found,) = exceedances([scan_of(same)], levels=[1])
    assert found.expected == pytest.approx(norm.sf(1), abs=0.01)  # one test, eight times
    (found,) = exceedances([scan_of(same + 2)], levels=[3])
    assert found.observed == pytest.approx(norm.sf(1), abs=0.1) and found.p_value < 1e-6


def test_expected_significances_have_the_uncertainty_of_the_shares(background, signal):
    """Of samples drawn again: significances scatter by what is stated, which falls with the number of events."""
    rng, found = np.random.default_rng(7), []
    for _ in range(12):
        some = rng.integers(len(background[0]), size=1000)
        index = (rng.random(1000) < BACKGROUND).astype(np.int8)
        expected = slices.expect_background(background[0][some], 20 * background[1][some], index, NAMES, EDGES)
        expected = replace(expected, fit=slices.expect_background(*background, *whole(background)).fit)
        significance = slices.significances(2000.0, expected, signal)
        found.append(slices.measured_significances(significance, expected, signal))
    values = np.array([[one[name].value for name in ("tight", COMBINED)] for one in found])
    stated = np.array([[one[name].uncertainty for name in ("tight", COMBINED)] for one in found])
    assert np.all(np.abs(np.log(stated.mean(axis=0) / values.std(axis=0))) < np.log(1.8))
    assert all(one[INCLUSIVE].uncertainty == 0 for one in found)


def whole(background):
    return np.zeros(len(background[0]), np.int8), ("rest",), EDGES
