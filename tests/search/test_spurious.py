"""Signals that a smooth background of another family fakes: none for its own, found and covered for others."""

from __future__ import annotations

import numpy as np
import pytest

from hepvae.search.fits import fit_spectrum
from hepvae.search.scans import Systematics, scan, scan_toys
from hepvae.search.spectrum import MOST_PARAMETERS, BackgroundFunction, Spectrum, dijet_edges, signal_shape
from hepvae.search.spurious import ALTERNATIVES, MOST_SPURIOUS, smooth_truths, spurious_signal
from hepvae.search.toys import throw_toys

EDGES = dijet_edges()
MASSES = np.array([2000.0, 3000.0, 4500.0])


@pytest.fixture(scope="module")
def broad():
    rng = np.random.default_rng(1)
    return signal_shape({3000.0: (rng.normal(3000, 400, 20_000), np.ones(20_000))})


def spectrum(events, parameters=(0, 8, 5, -0.2, 0)):
    shape = BackgroundFunction.of_parameters(EDGES, parameters)
    return events * shape / shape.sum()


def test_no_family_of_its_own_fakes_a_signal(broad):
    faked = spurious_signal({"": spectrum(1e6)}, {"": EDGES}, broad, MASSES, families=("dijet",))[""].events
    uncertainty = scan({"": Spectrum(EDGES, spectrum(1e6))}, broad, MASSES)[""].uncertainties
    assert (faked < 0.05 * uncertainty).all()


def test_parameters_are_as_many_as_keep_it_small(broad):
    """Yields of broad signals were biased by 0.36 of their uncertainty for a spectrum of the UA2 family."""
    shape = fit_spectrum(Spectrum(EDGES, spectrum(1e6)), n_parameters=4, family="ua2").expected / 1e6
    chosen = {}
    for events, criterion in ((1e4, "f-test"), (1.3e7, "f-test"), (1.3e7, "conservative")):
        one = {"": events * shape}
        faked = spurious_signal(one, {"": EDGES}, broad, MASSES, families=("ua2",), criterion=criterion)[""]
        least = fit_spectrum(Spectrum(EDGES, one[""]), criterion=criterion).n_parameters
        shares = {
            n: np.abs(scan_toys({"": one[""][None]}, {"": EDGES}, broad, MASSES, n_parameters=n)[""].pulls()).max()
            for n in range(least, MOST_PARAMETERS + 1)
        }
        small = [n for n, share in shares.items() if share < MOST_SPURIOUS]
        assert faked.n_parameters == small[0]
        assert faked.over_statistical == pytest.approx(shares[small[0]], abs=0.02)
        chosen[events, criterion] = faked.n_parameters
    assert chosen[1e4, "f-test"] < chosen[1.3e7, "f-test"] <= chosen[1.3e7, "conservative"]


def test_few_events_and_many_parameters():
    """Where a negative yield asks for less than nothing, no step improved a fit, and the search ended."""
    rng = np.random.default_rng(1)
    values = np.where(rng.random(2000) < 0.8, rng.normal(1, 0.15, 2000), 1 - rng.exponential(0.3, 2000))
    tailed = signal_shape({3000.0: (3000 * values[values > 0.2], np.ones(np.sum(values > 0.2)))})
    counts, masses = np.random.default_rng(14).poisson(spectrum(1e4)), np.geomspace(1800, 5000, 25)
    faked = spurious_signal({"": counts}, {"": EDGES}, tailed, masses, criterion="conservative")[""]
    assert np.isfinite(faked.events).all() and faked.events.max() < 200


def test_truths_are_smooth_and_of_as_many_events():
    truths = smooth_truths(np.random.default_rng(2).poisson(spectrum(1e6)), EDGES)
    assert set(truths) == set(ALTERNATIVES)
    for truth in truths.values():
        assert truth.sum() == pytest.approx(1e6, rel=0.01)
        assert (np.diff(truth[::4]) < 0).all()


def test_likelihood_with_the_term_is_less_sure_and_covers(broad):
    """Yields of toys of another family, with few parameters, are biased; the term covers the bias."""
    truth = spectrum(1e7, (0, 8, 5, -0.6, 0))
    faked = spurious_signal({"": truth}, {"": EDGES}, broad, MASSES, families=("ua2", "exponential"))
    counts = throw_toys({"": truth}, 30, seed=3)
    plain = scan_toys(counts, {"": EDGES}, broad, MASSES, n_parameters=3)[""]
    size = {"": np.abs(plain.yields.mean(axis=0)) + 1e-3}
    covered = scan_toys(
        counts, {"": EDGES}, broad, MASSES, n_parameters=3, systematics=Systematics(spurious=size)
    )[""]
    assert np.abs(plain.pulls().mean(axis=0)).max() > 1.5  # the bias of a function with too few parameters
    assert np.abs(covered.pulls().mean(axis=0)).max() < 1.2
    assert covered.yields == pytest.approx(plain.yields, rel=0.1, abs=0.1 * plain.uncertainties.max())
    assert covered.uncertainties == pytest.approx(np.hypot(plain.uncertainties, size[""]), rel=0.1)
    assert (np.abs(covered.significance) <= np.abs(plain.significance) + 1e-6).all()
    assert faked[""].events.shape == MASSES.shape and (faked[""].events > 0).all()
