"""What the report calls things, and its figures of any model."""

from __future__ import annotations

import io

import numpy as np
from rich.console import Console

import hepvae
from hepvae.models.card import ADOPTED, ModelCard
from hepvae.scoring.strategy import ScoreStrategy
from hepvae.search.report import REPORTS, Report, show_scores, signal_name
from hepvae.search.samples import SearchSample


def test_injected_signal_has_the_mass_that_is_injected():
    """A signal injected at 2.5 TeV was labelled "1.5 TeV, narrow", which is the mass of its sample."""
    assert signal_name("GtoWW15na", 2500.0) == r"$G_{RS} \to WW$, 2.5 TeV, narrow"
    assert signal_name("GtoWW15na") == r"$G_{RS} \to WW$, narrow"
    assert signal_name("X $5", 1500.0) == r"X \$5, 1.5 TeV"
    assert signal_name("X") == "X"


def test_a_model_that_gives_one_number_a_jet(tmp_path, rng):
    """`hepvae search` ended at the last section with "loss 'score' is unknown"."""
    card = ModelCard(ADOPTED, hepvae.InputSpec(5), (), (), beta=0, losses=("score",), reconstruction=None)
    mjj, weight, strategy = np.full(200, 2e3), np.ones(200), ScoreStrategy("min", 0)
    samples = {
        name: SearchSample(name, mjj, weight, {"score": rng.normal(mean, 1, (200, 2))}, card, strategy)
        for name, mean in (("qcdSig", 0), ("other", 1))
    }
    for name in REPORTS:  # of an earlier search, which had the figures that are replaced
        (tmp_path / name).touch()
    report = Report(tmp_path, Console(file=io.StringIO()), {"label": "Simulation", "energy": 13}, 138.0)
    show_scores(report, samples, "own")
    assert report.figures == ["anomaly_score.png", "losses.png", "jets_score.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(report.figures)
