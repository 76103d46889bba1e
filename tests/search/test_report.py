"""What the report calls things, and its figures of any model."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

import hepvae
from hepvae.models.card import ADOPTED, ModelCard
from hepvae.scoring.strategy import ScoreStrategy
from hepvae.search import report as report_of_search
from hepvae.search.limits import Limits
from hepvae.search.report import REPORTS, Report, show_cuts, show_limits, show_samples, show_scores, signal_name
from hepvae.search.samples import SearchSample
from hepvae.search.working_points import cut_background


def test_injected_signal_has_the_mass_that_is_injected():
    """A signal injected at 2.5 TeV was labelled "1.5 TeV, narrow", which is the mass of its sample."""
    assert signal_name("GtoWW15na", 2500.0) == r"$G_{RS} \to WW$, 2.5 TeV, narrow"
    assert signal_name("GtoWW15na") == r"$G_{RS} \to WW$, narrow"
    assert signal_name("X $5", 1500.0) == r"X \$5, 1.5 TeV"
    assert signal_name("X") == "X"


def sample(name, mjj, score):
    card = ModelCard(ADOPTED, hepvae.InputSpec(5), (), (), beta=0, losses=("score",), reconstruction=None)
    return SearchSample(name, mjj, np.ones(len(mjj)), {"score": score}, card, ScoreStrategy("min", 0))


@pytest.fixture
def report(tmp_path):
    return Report(tmp_path, Console(file=io.StringIO()), {"label": "Simulation", "energy": 13}, 138.0)


def test_a_model_that_gives_one_number_a_jet(report, rng):
    """`hepvae search` ended at the last section with "loss 'score' is unknown"."""
    mjj = np.full(200, 2e3)
    samples = {
        name: sample(name, mjj, rng.normal(mean, 1, (200, 2))) for name, mean in (("qcdSig", 0), ("other", 1))
    }
    for name in REPORTS:  # of an earlier search, which had the figures that are replaced
        (report.folder / name).touch()
    show_scores(report, samples, "own")
    assert report.figures == ["anomaly_score.png", "losses.png", "jets_score.png"]
    assert sorted(path.name for path in report.folder.iterdir()) == sorted(report.figures)


def test_a_sample_of_another_mass_is_told(report, rng):
    """A sample of 1.5 TeV that was given as one of 2.5 TeV had limits at 2.5 TeV, without a word."""
    scores = np.zeros((500, 2))
    samples = {name: sample(name, rng.normal(1500, 100, 500), scores) for name in ("qcdSig", "right", "wrong")}
    show_samples(report, samples, "qcdSig", 1460.0, {"right": 1500.0, "wrong": 2500.0})
    (told,) = report.conclusions
    assert told.startswith(
        "wrong: only 0.0% of its events are within 20 % of its mass of 2.5 TeV, their mjj is 1."
    )


@pytest.mark.parametrize("blinded", [True, False])
def test_blinded_data_are_in_no_figure_of_the_working_points(report, rng, blinded, monkeypatch):
    """Score against mjj, and pass rates by mjj, showed the signal in data before --unblind, as "QCD"."""
    data, simulation = (
        sample(name, 1200 + rng.exponential(500, 2000), rng.exponential(1, (2000, 2)))
        for name in ("data", "qcdSig")
    )
    drawn, histogram = [], report_of_search.histograms.mjj_score_histogram
    monkeypatch.setattr(
        *(report_of_search.histograms, "mjj_score_histogram"),
        lambda mjj, *more, **options: drawn.append(mjj) or histogram(mjj, *more, **options),
    )
    cuts = cut_background(data, None, ("eff50",), start=1460.0, stop=6808.0, seed=1)
    show_cuts(report, cuts, data, "own", independent=False, instead=simulation if blinded else None)
    assert report.figures == [*([] if blinded else ["pass_rate.png"]), "score_against_mjj.png"]
    assert ("after" in report.results["working_points"]["eff50"]) is not blinded
    assert drawn[0] is (simulation if blinded else data).mjj


def test_observed_limits_of_data_that_nothing_describes(report):
    """Where no p-value of a signal was given, observed limits were, without a word."""
    masses, ones = np.array([2000.0, 2100.0]), np.ones(2)
    limits = Limits("combined", masses, ones, np.outer(np.arange(1.0, 6), ones))
    for p_value in (0.5, 1e-9):
        show_limits(report, "X", {"inclusive": limits, "combined": limits}, {}, observed=True, fit_p_value=p_value)
    assert [one for one in report.conclusions if "cannot be relied on" in one] == report.conclusions[2:]
    assert "(p = 1e-09 with a signal)" in report.conclusions[2]
