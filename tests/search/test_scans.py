"""The bump hunt: injected signals are found, toys have uniform p-values, and fits are those of iminuit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.minuit import minimise
from scipy.stats import norm

from hepvae import OptionError
from hepvae.search.fits import _lowest_yield, fit_backgrounds, minimum
from hepvae.search.scans import COMBINED, Systematics, ToyScan, scan, scan_toys
from hepvae.search.spectrum import BackgroundFunction, Spectrum, dijet_edges, signal_shape
from hepvae.search.toys import global_p_value, throw_toys, uniformity, yield_of_significance

EDGES = dijet_edges()
MASSES = np.array([1800.0, 2100, 2400, 2700, 3000, 3300, 3600, 4000, 4500])
SHARES = {"tight": 0.6, "rest": 0.4}


def background(events):
    shape = BackgroundFunction.of_parameters(EDGES, (0, 8, 5, -0.3, 0))
    return events * shape / shape.sum()


EXPECTED = {"tight": background(1e4), "rest": background(1e6)}
SAME_EDGES = dict.fromkeys(EXPECTED, EDGES)


def gaussian(width):
    """A peak without fluctuations."""
    u = norm.ppf((np.arange(20000) + 0.5) / 20000, 1, width)
    return signal_shape({3000: (3000 * u, np.ones(20000))})


NARROW = gaussian(0.04)


@pytest.fixture(scope="module")
def toys():
    return throw_toys(EXPECTED, 120, seed=4)


@pytest.fixture(scope="module")
def scanned(toys):
    return scan_toys(toys, SAME_EDGES, NARROW, MASSES, shares=SHARES, n_parameters=4)


def asimov(signal_yield, mass=3000.0):
    template = NARROW.template(mass, EDGES)
    return {name: Spectrum(EDGES, EXPECTED[name] + signal_yield * SHARES[name] * template) for name in EXPECTED}


def test_asimov_spectrum_gives_its_signal_back():
    spectra = asimov(100.0)
    scans = scan(spectra, NARROW, MASSES, shares=SHARES, n_parameters=4)
    at = list(MASSES).index(3000)
    for name, share in (*SHARES.items(), (COMBINED, 1.0)):
        assert scans[name].yields[at] == pytest.approx(100 * share, rel=0.01)
        assert scans[name].most_significant == at
    alone = np.hypot(*[scans[name].significance[at] for name in SHARES])
    assert scans[COMBINED].significance[at] == pytest.approx(alone, rel=1e-3)  # all slices ask for the same yield
    assert scans[COMBINED].uncertainties[at] < scans["tight"].uncertainties[at] / SHARES["tight"]
    assert list(scans) == ["tight", "rest", COMBINED]
    assert set(scans[COMBINED].fits) == set(EXPECTED)


def test_yield_of_significance_and_the_median_of_toys():
    templates = {name: share * NARROW.template(3000, EDGES) for name, share in SHARES.items()}
    number = yield_of_significance(4, EXPECTED, templates, SAME_EDGES, n_parameters=4)
    scans = scan(asimov(number), NARROW, [3000.0], shares=SHARES, n_parameters=4)
    assert scans[COMBINED].significance[0] == pytest.approx(4, rel=0.005)
    counts = throw_toys({n: EXPECTED[n] + number * templates[n] for n in EXPECTED}, 200, seed=2)
    found = scan_toys(counts, SAME_EDGES, NARROW, [3000.0], shares=SHARES, n_parameters=4)[COMBINED]
    assert np.median(found.significance) == pytest.approx(4, abs=0.3)
    assert found.pulls(number).mean() == pytest.approx(0, abs=0.3)
    assert found.pulls(number).std() == pytest.approx(1, abs=0.2)


def test_injected_bump_is_found_at_its_mass(rng):
    counts = {name: rng.poisson(s.counts) for name, s in asimov(250.0).items()}
    spectra = {name: Spectrum(EDGES, values) for name, values in counts.items()}
    found = scan(spectra, NARROW, MASSES, shares=SHARES)[COMBINED]
    assert found.masses[found.most_significant] == 3000
    assert found.significance.max() > 5
    assert found.p_value[found.most_significant] == norm.sf(found.significance.max())


def by_iminuit(parts, toy, template):
    """Significance, yield and its uncertainty, of backgrounds fitted alone and of signals by iminuit."""
    slices = [replace(fits.slice.of([toy]), signal=share * template[None]) for fits, share in parts]
    start = [fits.coefficients[[toy]] for fits, _ in parts]
    unit = minimum(slices, start).uncertainties[0]
    value, _, fitted, uncertainty = minimise(slices, start, lowest=_lowest_yield(slices, start)[0], unit=unit)
    without = sum(fits.nll[toy] for fits, _ in parts)
    return np.copysign(np.sqrt(2 * max(without - value, 0)), fitted), fitted, uncertainty


@pytest.mark.parametrize("n_parameters", [(3, 4, 5), 4])
def test_fits_are_those_of_iminuit(n_parameters, toys):
    some = {name: counts[:4].astype(float) for name, counts in toys.items()}
    found = scan_toys(some, SAME_EDGES, NARROW, MASSES[::2], shares=SHARES, n_parameters=n_parameters)
    alone = {name: fit_backgrounds(name, some[name], EDGES, n_parameters=n_parameters) for name in some}
    tests = {name: [(alone[name], 1.0)] for name in SHARES}
    tests[COMBINED] = [(alone[name], share) for name, share in SHARES.items()]
    for toy in range(4):
        for i, mass in enumerate(MASSES[::2]):
            for name, parts in tests.items():
                z, fitted, uncertainty = by_iminuit(parts, toy, NARROW.template(mass, EDGES))
                assert found[name].significance[toy, i] == pytest.approx(z, abs=3e-3)
                assert found[name].yields[toy, i] == pytest.approx(fitted, abs=0.02 * uncertainty)
                if fitted > 0:  # Fisher's information and that observed differ in bins with few events
                    assert found[name].uncertainties[toy, i] == pytest.approx(uncertainty, rel=0.2)


@pytest.mark.parametrize("width", [0.04, 0.15])
@pytest.mark.parametrize("events", [200, 3000])
def test_fits_are_those_of_iminuit_for_few_events(events, width):
    """Where yields end at the bound: there is less than an event under the peak."""
    shape, masses = gaussian(width), [2000.0, 3000.0, 4500.0, 6000.0]
    counts = throw_toys({"few": background(events)}, 6, seed=3)
    found = scan_toys(counts, {"few": EDGES}, shape, masses, n_parameters=3)["few"]
    assert (found.yields < 0).any()
    alone = fit_backgrounds("few", counts["few"].astype(float), EDGES, n_parameters=3)
    for toy in range(6):
        expected = [by_iminuit([(alone, 1.0)], toy, shape.template(mass, EDGES))[0] for mass in masses]
        assert found.significance[toy] == pytest.approx(expected, abs=5e-3)


def test_data_are_scanned_as_toys(toys, scanned):
    spectra = {name: Spectrum(EDGES, counts[0]) for name, counts in toys.items()}
    for name, one in scan(spectra, NARROW, MASSES, shares=SHARES, n_parameters=4).items():
        assert one.significance == pytest.approx(scanned[name].significance[0], abs=3e-3)


def test_p_values_without_signal_are_uniform(scanned):
    assert uniformity(list(scanned.values())) > 0.01
    for found in scanned.values():
        assert np.mean(found.significance > 2) < 0.06


def test_shared_toys_are_no_false_alarm():
    """25 tests of the same toys were taken for independent, and called not uniform."""
    rng = np.random.default_rng(3)
    p_values = []
    for _ in range(40):
        common = rng.normal(size=(100, 1)) * 0.9 + rng.normal(size=(100, 25)) * np.sqrt(1 - 0.81)
        one = ToyScan("x", np.arange(25), common, common, common, {}, np.ones(100))
        p_values.append(uniformity([one], draws=100))
    assert np.mean(np.array(p_values) < 0.05) < 0.15 and np.median(p_values) > 0.25
    assert uniformity([replace(one, significance=one.significance + 0.4)], draws=100) < 0.02
    assert uniformity([replace(one, significance=0.5 * one.significance)], draws=100) > 0.01


def test_p_values_with_signal_are_not():
    template = NARROW.template(3000, EDGES)
    counts = throw_toys({"": EXPECTED["tight"] + 30 * template}, 100, seed=5)
    found = scan_toys(counts, {"": EDGES}, NARROW, [3000.0], n_parameters=4)[""]
    assert uniformity([found]) < 0.01


def test_look_elsewhere(scanned, toys):
    """The smallest of many local p-values is small more often than it says."""
    data = {name: Spectrum(EDGES, counts[0]) for name, counts in toys.items()}
    found = scan(data, NARROW, MASSES, shares=SHARES, n_parameters=4)["tight"]
    result = global_p_value(found, scanned["tight"])
    assert result.toys == 120
    assert found.p_value.min() < result.value <= 1
    above = np.sum(scanned["tight"].significance.max(axis=1) >= found.significance.max())
    assert result.value == pytest.approx((1 + above) / 121)
    signal = scan(asimov(1000.0), NARROW, MASSES, shares=SHARES, n_parameters=4)["tight"]
    assert global_p_value(signal, scanned["tight"]).value == pytest.approx(1 / 121)


def test_deficit_has_no_significance():
    counts = EXPECTED["tight"] - 40 * NARROW.template(2400, EDGES)
    found = scan({"": Spectrum(EDGES, counts)}, NARROW, [2400.0], n_parameters=4)[""]
    assert found.yields[0] == pytest.approx(-40, rel=0.02)
    assert found.significance[0] < -0.3
    assert found.p_value[0] == 0.5


def test_goodness_of_fit_gates_what_no_function_describes():
    """A step in the pass rate was a false peak of 20 standard deviations, with a p-value beside it."""
    step = np.where(np.arange(len(EDGES) - 1) < 12, 1.05, 1.0)
    spectra = {"": Spectrum(EDGES, background(1.3e7) * step)}
    alone = scan(spectra, NARROW, MASSES)[""]
    assert alone.fit_p_value < 0.01 and alone.significance.max() > 4
    signal = {"": Spectrum(EDGES, background(1e6) + 3000 * NARROW.template(3000, EDGES))}
    assert scan(signal, NARROW, MASSES)[""].fit_p_value > 0.5  # a signal spoils no fit that has it
    known = Systematics(pass_rates={"": 0.05 * (step > 1)[None].astype(float)})
    one = scan(spectra, NARROW, MASSES, n_parameters=4, systematics=known)[""]
    assert one.fit_p_value > 0.5 and np.abs(one.significance).max() < 0.5


def test_signals_hide_no_parameter():
    """With a broad signal in the data, an F-test took three parameters for four: yields were off by two to three
    standard deviations."""
    broad, truth = gaussian(0.15), BackgroundFunction.of_parameters(EDGES, (0, 8, 5, -0.2, 0))
    truth = 1.3e7 * truth / truth.sum()
    template = broad.template(1800, EDGES)
    number = yield_of_significance(4, {"": truth}, {"": template}, {"": EDGES}, n_parameters=4)
    counts = throw_toys({"": truth + number * template}, 40, seed=6)
    pulls = {
        criterion: scan_toys(counts, {"": EDGES}, broad, [1800.0], n_parameters=(3, 4, 5), criterion=criterion)[""]
        .pulls(number)
        .mean()
        for criterion in ("f-test", "conservative")
    }
    assert pulls["f-test"] < -1
    assert abs(pulls["conservative"]) < 0.25 + 3 / np.sqrt(40) / 2


def test_energy_scale_makes_no_excess():
    """Profiled, it found the best mass around the one that is tested: 92 % of toys without signal had more than
    two standard deviations somewhere, where 85 % were expected."""
    counts = throw_toys({"": EXPECTED["tight"]}, 300, seed=8)
    size = Systematics(scale=0.05, resolution=0.1)
    free, fixed = (
        scan_toys(counts, {"": EDGES}, NARROW, [3000.0], n_parameters=4, systematics=of)[""] for of in (size, None)
    )
    assert free.significance == pytest.approx(fixed.significance)
    assert np.mean(free.significance > 1) == pytest.approx(0.159, abs=3 * np.sqrt(0.159 * 0.841 / 300))


def test_shapes_and_parameters_of_each_slice():
    scans = scan(
        {name: Spectrum(EDGES, counts) for name, counts in EXPECTED.items()},
        {"tight": NARROW, "rest": gaussian(0.15)},
        [3000.0],
        n_parameters={"tight": 3, "rest": (4, 5)},
    )
    assert [scans[name].fits[name].n_parameters for name in scans] == [3, 4]
    assert COMBINED not in scans


def test_no_significance_needs_no_events():
    """The loop that looks for the number divided by the significance."""
    test = {"": EXPECTED["tight"]}, {"": NARROW.template(3000, EDGES)}, {"": EDGES}
    assert yield_of_significance(0, *test, n_parameters=4) == 0
    with pytest.raises(OptionError, match="significance is -1: expected a number of at least 0"):
        yield_of_significance(-1, *test, n_parameters=4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shares": {"tight": 0.5}}, "expected one from 0 to 1 for each of tight, rest"),
        ({"shares": {"tight": 0.5, "rest": 0.7}}, "add up to no more than 1"),
        ({"n_parameters": {"tight": 3}}, "no numbers of parameters for rest"),
        ({"signal": {"rest": NARROW}}, "no signal shape for tight"),
        ({"masses": [3000.0, 12000.0]}, "tight: a signal of 12000 GeV has no events in the range of the fit"),
    ],
)
def test_options_that_make_no_scan(options, message):
    spectra = {name: Spectrum(EDGES, counts) for name, counts in EXPECTED.items()}
    with pytest.raises(OptionError, match=message):
        scan(spectra, **{"signal": NARROW, "masses": [3000.0], **options})
