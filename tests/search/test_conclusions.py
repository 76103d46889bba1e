"""Sentences of a search follow its figures, also where they are bad."""

from __future__ import annotations

import re

import numpy as np
import pytest

from hepvae.search.conclusions import (
    bias_conclusion,
    companion_conclusion,
    flatness_conclusion,
    selection_conclusion,
    separation_conclusions,
    slice_conclusion,
    toys_conclusions,
)
from hepvae.search.pass_rates import ChiSquare
from hepvae.search.scans import COMBINED, Scan
from hepvae.search.separation import FiguresOfMerit, Measured
from hepvae.search.slices import INCLUSIVE
from hepvae.search.toys import Exceedance, GlobalPValue


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


def measured(**values):
    return {name: Measured(value, 0.1 * value) for name, value in values.items()}


def test_selection():
    expected = measured(**{INCLUSIVE: 3.0, "rest": 1.0, "eff10": 5.5, COMBINED: 5.6})
    better = selection_conclusion(1000, expected)
    assert better.endswith(
        "worth 3.0 standard deviations inclusively, give 5.5 ± 0.6 in eff10, and 5.6 ± 0.6 in all slices together."
    )
    worse = selection_conclusion(1000, measured(**{INCLUSIVE: 3.0, "rest": 2.5, "eff10": 1.1}))
    assert worse.endswith("give no more in any slice (most in rest: 2.5 ± 0.2).")


@pytest.mark.parametrize(("observed", "verdict"), [(0.06, "no more than chance"), (0.2, "more than chance")])
def test_toys(observed, verdict):
    excess = [Exceedance(z, observed, 0.05, 200) for z in (1.0, 2.0, 3.0)]
    *large, uniform = toys_conclusions(excess, 0.2)
    assert [sentence.partition("deviations somewhere: ")[2].startswith(verdict) for sentence in large] == [
        True
    ] * 2
    assert "more than 3 standard deviations" in large[-1]
    assert uniform.endswith("are no smaller than uniform ones (p = 0.2, with all correlations).")
    assert "are smaller than uniform ones" in toys_conclusions(excess, 1e-3)[-1]
    assert toys_conclusions(excess, 1e-3)[-1].endswith("are counted in these toys, and allow for it.")


def test_bias():
    fine = bias_conclusion({"a": Measured(0.1, 0.01), "b": Measured(-0.15, 0.07)})
    assert fine.endswith(
        "by less than a quarter of its uncertainty: at most by 0.15 ± 0.07 of its uncertainty in b."
    )
    few = bias_conclusion({"b": Measured(-0.3, 0.2)})
    assert few.endswith("the toys are too few to say whether that is more than a quarter.")
    assert "is biased by 0.80 ± 0.07 of its uncertainty in b" in bias_conclusion({"b": Measured(-0.8, 0.07)})


def scanned(significance, fit_p_value=0.5):
    z = np.array([0.1, significance, -1.0])
    return Scan("eff10", np.array([2000.0, 2500.0, 3000.0]), 100 * z, np.full(3, 100.0), z, {}, fit_p_value)


@pytest.mark.parametrize(
    ("found", "as_large", "words"),
    [
        (scanned(1.9), 50, "eff10: no excess of 2 standard deviations or more."),
        (scanned(5.0, 1e-3), 0, "eff10: no p-value of a signal, as p of the fit with one is 0.001."),
        (
            scanned(2.5),
            39,
            "is 2.5 standard deviations, 250 ± 100 events at 2.5 TeV; 20.0% of toys .* not rare by",
        ),
        (scanned(4.0), 1, "1.0% of toys without signal have one as large somewhere: not rare by chance"),
        (scanned(5.0), 0, "none of 199 toys without signal has one as large, p below 0.005"),
    ],
)
def test_words_of_a_scan_follow_from_its_numbers(found, as_large, words):
    value = (1 + as_large) / 200
    assert re.search(words, slice_conclusion(found, GlobalPValue(value, 0.01, 199), 0.01))


def test_companion():
    words = companion_conclusion(Measured(3.0, 0.2), "graph", Measured(2.0, 0.2), 1e5, 1e5)
    assert (
        words
        == "The window classifier gives 3.0 ± 0.2 standard deviations in the same slice, graph 2.0 ± 0.2: more."
    )
    words = companion_conclusion(Measured(2.1, 0.2), "graph", Measured(2.0, 0.2), 600, 1e5)
    assert ": the same within uncertainties. It was trained with 600 effective events, of 100,000 that" in words
