"""The classifier of windows in a search: what it makes of a signal follows from how much there is to learn."""

from __future__ import annotations

import numpy as np
import pytest

from hepvae.models.card import ModelCard
from hepvae.scoring.strategy import ScoreStrategy
from hepvae.search.companion import COMPANION, OBSERVABLES, WindowSearch, windows
from hepvae.search.samples import SearchSample
from hepvae.search.scans import FitOptions, Systematics
from hepvae.search.slices import expect_background
from hepvae.search.spectrum import dijet_edges

pytest.importorskip("sklearn")

EDGES = dijet_edges(1460, 5000)


def sample(mjj, rng, *, narrow):
    """Jets whose observables do not know of mjj; those of a resonance have masses of 80 GeV."""
    jets = (len(mjj), 2)
    observables = {name: rng.normal(size=jets) for name in OBSERVABLES}
    observables["mass"] = rng.normal(80, 5, jets) if narrow else rng.exponential(60, jets)
    observables["tau21"] = rng.beta(3, 6, jets) if narrow else rng.beta(4, 3, jets)
    card = ModelCard("conv", None, (), ())
    return SearchSample("x", mjj, np.ones(len(mjj)), {}, card, ScoreStrategy("min", 0.0), None, observables)


@pytest.fixture(scope="module")
def search():
    rng = np.random.default_rng(1)
    background = sample(1300 * (1 - rng.random(3000)) ** -0.35, rng, narrow=False)
    signal = sample(rng.normal(2000, 60, 500), rng, narrow=True)
    inside = np.zeros(3000, int)
    expectation = expect_background(background.mjj, background.weight, inside, ("all",), EDGES)
    how = FitOptions(systematics=Systematics(normalisation=0.05))
    return WindowSearch(background, {2000.0: signal}, expectation, "eff10", how, folds=2)


def test_windows_are_apart_and_have_the_mass():
    masses = np.geomspace(1800, 4000, 40)
    for apart, least in ((0.1, 7), (0.2, 4)):
        chosen = windows(masses, float(masses[11]), apart)
        assert masses[11] in chosen and set(chosen) <= set(masses)
        assert (chosen[1:] / chosen[:-1] >= 1 + apart - 1e-9).all() and len(chosen) >= least


def test_more_signal_is_learnt_better(search):
    """Of one event nothing, of 200 most; the cut keeps its share of all events, signal or not."""
    gain = {}
    for injected in (1.0, 200.0):
        expectation, signal = search.trained(2500.0, injected)
        assert sum(expectation.shares.values()) == pytest.approx(1)
        assert 0.03 < expectation.shares["eff10"] < 0.13
        gain[injected] = signal.shares["eff10"] / expectation.shares["eff10"]
    assert gain[1.0] < 2 < 5 < gain[200.0]


@pytest.mark.slow
def test_significance_of_replicas(search):
    few, many = (search.significance(2500.0, number, 2) for number in (1.0, 200.0))
    assert 0 <= few.value < 2 < many.value and many.uncertainty > 0


@pytest.mark.slow
def test_limit_is_a_number_of_events_that_is_learnt_and_excluded(search):
    limits = search.limits([2500.0], np.array([200.0]))
    assert limits.name == COMPANION and limits.expected.shape == (5, 1) and np.isnan(limits.observed).all()
    assert (np.diff(limits.expected[:, 0]) > 0).all()
    assert 2 < limits.expected[2, 0] <= 200
    # a start that nothing is learnt from gives what its classifier excludes
    assert search.limits([2500.0], np.array([0.1])).expected[2, 0] > 0.1


def test_scan_of_data_with_a_resonance(search):
    rng = np.random.default_rng(2)
    both = [sample(1300 * (1 - rng.random(3000)) ** -0.35, rng, narrow=False)]
    both.append(sample(rng.normal(2500, 75, 200), rng, narrow=True))
    data = sample(np.concatenate([one.mjj for one in both]), rng, narrow=False)
    for name in OBSERVABLES:
        data.observables[name][:] = np.concatenate([one.observables[name] for one in both])
    found = search.scan(data, np.array([2500.0]))
    assert found.name == COMPANION and found.significance.shape == (1,)
    assert found.significance[0] > 4
