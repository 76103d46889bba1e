"""Cuts of a search: what the background affords, slices that add up, pass rates of events the fit has not seen."""

from __future__ import annotations

import numpy as np
import pytest

import hepvae
from hepvae import DataError
from hepvae.scoring.strategy import ScoreStrategy
from hepvae.search.cuts import cut_background, effective_passing
from hepvae.search.samples import SearchSample

RANGE = {"start": 1460.0, "stop": 6808.0}


@pytest.fixture(scope="module")
def card():
    return hepvae.load_inferer(hepvae.model_path("conv")).card


def events(card, number, seed, rising=1.0) -> SearchSample:
    """Scores that rise with mjj, weights that fall."""
    rng = np.random.default_rng(seed)
    mjj = 1200 + rng.exponential(600, number)
    reco = np.exp(rng.normal(rising * np.log(mjj / 1200), 0.5))[:, None] * np.ones(2)
    weight = (mjj / 1200) ** -3.0
    return SearchSample("qcd", mjj, weight, reco, np.zeros((number, 2)), card, ScoreStrategy("min", 0.0))


def test_effective_events_that_pass():
    mjj, weight = np.array([1300.0] * 50 + [1500.0] * 200), np.array([9.0] * 50 + [2.0] * 200)
    found = effective_passing(mjj, weight, ["eff1", "eff50"], 1460)
    assert list(found) == ["eff50", "eff1"]
    assert found == pytest.approx({"eff50": 100, "eff1": 2})
    assert effective_passing(mjj, weight, ["eff50"], 2000) == {"eff50": 0}


def test_a_quarter_is_held_out_and_slices_have_all_events(card):
    background = events(card, 4000, 1)
    cuts = cut_background(background, None, ["eff50", "eff10", "eff0.1"], **RANGE)
    assert cuts.fitted_events == 3000 and len(cuts.control.mjj) == 1000
    assert cuts.points.names == ("eff50", "eff10") and cuts.dropped == ["eff0.1"]
    assert set(cuts.passing) == {"eff50", "eff10", "eff0.1"}
    counts = np.bincount(cuts.slices, weights=background.weight) / background.weight.sum()
    assert counts == pytest.approx([0.5, 0.4, 0.1], abs=0.04)
    assert len(cuts.slices) == 4000


def test_cuts_that_follow_mjj_are_flat_where_one_cut_is_not(card):
    cuts = cut_background(events(card, 8000, 1), events(card, 4000, 2), ["eff50", "eff10"], **RANGE)
    assert cuts.fitted_events == 8000 and len(cuts.control.mjj) == 4000
    for name, share in (("eff50", 0.5), ("eff10", 0.1)):
        before, after = cuts.before[name].chi_square(), cuts.after[name].chi_square()
        assert before.p_value < 1e-6 and after.p_value > 1e-3, name
        one = cuts.share[name]
        assert one.rate[0] == pytest.approx(share, abs=4 * one.uncertainty[0])
        assert one.total[0] == pytest.approx(cuts.control.weight.sum())


def test_too_few_events_for_any(card):
    with pytest.raises(DataError, match=r"from 1460 GeV on \d+ pass eff10, \d+ pass eff1: expected 30 or more"):
        cut_background(events(card, 200, 1), None, ["eff10", "eff1"], **RANGE)
