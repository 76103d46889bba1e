"""Sentences of a search follow its figures, also where they are bad."""

from __future__ import annotations

import numpy as np
import pytest

from hepvae.search.conclusions import (
    bias_conclusion,
    flatness_conclusion,
    selection_conclusion,
    separation_conclusions,
    toys_conclusions,
)
from hepvae.search.pass_rates import ChiSquare
from hepvae.search.scans import COMBINED
from hepvae.search.separation import FiguresOfMerit, Measured
from hepvae.search.slices import INCLUSIVE
from hepvae.search.toys import Exceedance


def merit(best, uncertainty=0.05):
    value = Measured(best, uncertainty)
    return FiguresOfMerit(value, value, value, {}, 100.0, 100.0)


def test_best_model_of_each_signal():
    merits = {
        ("conv", "na", "min"): merit(1.1),
        ("conv", "na", "sum"): merit(1.2),
        ("graph", "na", "min"): merit(2.4),
        ("conv", "br", "min"): merit(1.25),
        ("graph", "br", "min"): merit(1.2),
        ("conv", "hz", "min"): merit(np.nan),
    }
    narrow, broad, none = separation_conclusions(merits)
    assert narrow == (
        "na: the largest significance improvement is 2.40 ± 0.05, of graph (min), 2.0 times that of conv"
        " (sum: 1.20 ± 0.05)."
    )
    assert "1.25 ± 0.05, of conv (min), within uncertainties that of graph" in broad
    assert none == "hz: too few background events in the mjj window for any cut."


def test_flatness():
    flat = flatness_conclusion("eff10", ChiSquare(90, 9), ChiSquare(9, 9))
    assert flat.startswith("eff10: the pass rate on the control sample is flat in mjj (chi-square 9.0 / 9")
    assert "one cut at all mjj: chi-square 90.0 / 9" in flat
    assert "is not flat" in flatness_conclusion("eff10", ChiSquare(90, 9), ChiSquare(40, 9))
    assert "too few events to say" in flatness_conclusion("eff1", ChiSquare(3, 1), ChiSquare(0, 0))


def test_selection():
    better = selection_conclusion(1000, {INCLUSIVE: 3.0, "rest": 1.0, "eff10": 5.5, COMBINED: 5.6})
    assert better.endswith("give 5.5 in eff10, and 5.6 in all slices together.")
    worse = selection_conclusion(1000, {INCLUSIVE: 3.0, "rest": 2.5, "eff10": 1.1})
    assert worse.endswith("give no more in any slice (most in rest: 2.5).")


@pytest.mark.parametrize(("observed", "verdict"), [(0.06, "no more than chance"), (0.2, "more than chance")])
def test_toys(observed, verdict):
    excess = [Exceedance(z, observed, 0.05, 200) for z in (1.0, 2.0, 3.0)]
    *large, uniform = toys_conclusions(excess, 0.2)
    assert [sentence.partition("deviations somewhere: ")[2].startswith(verdict) for sentence in large] == [
        True
    ] * 2
    assert "more than 3 standard deviations" in large[-1]
    assert "are no smaller than uniform ones (p = 0.2" in uniform
    assert "are smaller than uniform ones" in toys_conclusions(excess, 1e-3)[-1]


def test_bias():
    fine = bias_conclusion({"a": Measured(0.1, 0.07), "b": Measured(-0.2, 0.07)})
    assert fine.endswith("biased by less than half its uncertainty: at most by 0.20 of its uncertainty in b.")
    assert "is biased, by 0.80 of its uncertainty in b" in bias_conclusion({"b": Measured(-0.8, 0.07)})
