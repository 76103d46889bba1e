"""Companions of a VAE: baselines of jet observables, and a classifier of what a window of mjj has more of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import hepvae
from hepvae import DataError, OptionError
from hepvae.scoring.options import OBSERVABLES as STORED
from hepvae.search.companion import BASELINES, OBSERVABLES, baseline, train_in_window
from hepvae.search.samples import score_sample

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    conv = hepvae.load_inferer(hepvae.model_path("conv"))
    path = tmp_path_factory.mktemp("scored") / "narrow.root"
    return score_sample(hepvae.sample_path("GtoWW15na"), conv, path, "narrow", observables=STORED)


def test_observables_and_baselines_of_a_sample(narrow):
    observables = narrow.observables
    assert set(OBSERVABLES) <= set(observables)
    events = hepvae.select_dijets(hepvae.read_dijets(hepvae.sample_path("GtoWW15na")), region="signal")
    masses = np.sort(np.asarray(events.jets.mass, np.float64), axis=1)
    assert np.sort(observables["mass"], axis=1) == pytest.approx(masses, rel=1e-5)
    assert 60 < np.median(observables["softdrop_mass"]) < 100  # of W bosons
    some = narrow.of(np.array([5, 2, 9]))  # the order of the sample, not of the files
    assert np.array_equal(some.observables["tau21"], observables["tau21"][[5, 2, 9]])
    for name in BASELINES:
        score = baseline(name, narrow).score()
        assert score.shape == narrow.mjj.shape and np.isfinite(score).all()
    assert baseline("jet mass", narrow).score() == pytest.approx(masses[:, 0], rel=1e-5)


def test_baseline_beside_a_model_of_another_loss(narrow):
    """Searches with a model that gives one loss, as the density does, ended in "the model has no kl_loss"."""
    card = replace(narrow.card, losses=("loss",), beta=0.01)
    density = replace(narrow, losses={"loss": narrow.losses["loss"]}, card=card)
    assert np.array_equal(baseline("tau21", density).score(), baseline("tau21", narrow).score())


def toy(events, signal, seed):
    """Background whose observables do not know of mjj, and a resonance of 2.5 TeV with jets of 80 GeV."""
    rng = np.random.default_rng(seed)
    mjj = np.append(1500 * (1 - rng.random(events)) ** -0.2, rng.normal(2500, 75, signal))
    mass = np.append(rng.exponential(60, (events, 2)), rng.normal(80, 5, (signal, 2)), axis=0)
    tau21 = np.append(rng.beta(4, 3, (events, 2)), rng.beta(3, 6, (signal, 2)), axis=0)
    return {"mass": mass, "tau21": tau21}, mjj, np.arange(events + signal) >= events


@pytest.fixture(scope="module")
def trained():
    observables, mjj, is_signal = toy(6000, 200, 1)
    return observables, mjj, is_signal, train_in_window(observables, mjj, np.ones(len(mjj)), 2500.0, folds=2)


def auc(signal, background):
    ranks = np.argsort(np.argsort(np.append(signal, background)))[: len(signal)]
    return (ranks.mean() - (len(signal) - 1) / 2) / len(background)


def test_resonance_is_learnt_without_labels(trained):
    observables, _, is_signal, classifier = trained
    score = classifier.score(observables, classifier.fold)
    assert auc(score[is_signal], score[~is_signal]) > 0.8
    fresh, _, fresh_signal = toy(3000, 300, 2)
    score = classifier.score(fresh)
    assert ((score >= 0) & (score <= 1)).all()
    assert auc(score[fresh_signal], score[~fresh_signal]) > 0.8


def test_nothing_is_learnt_where_there_is_nothing():
    observables, mjj, _ = toy(4000, 0, 3)
    classifier = train_in_window(observables, mjj, np.ones(4000), 2500.0, folds=2)
    score, inside = classifier.score(observables, classifier.fold), np.abs(mjj / 2500 - 1) < 0.1
    near = np.abs(mjj / 2500 - 1) < 0.25
    # below one half by chance: what one fold has too much of, the others have too little of
    assert 0.35 < auc(score[inside], score[near & ~inside]) < 0.56


def test_no_event_has_a_score_of_a_classifier_that_saw_it(trained):
    """Observables of one fold change: its own classifier stays as it was."""
    observables, mjj, _, classifier = trained
    own = classifier.fold == 1
    changed = {name: np.where(own[:, None], 3 * values, values) for name, values in observables.items()}
    again = train_in_window(changed, mjj, np.ones(len(mjj)), 2500.0, folds=2)
    fresh, _, _ = toy(500, 50, 4)
    x = np.concatenate([values for values in fresh.values()], axis=1)
    one, before = ([c.predict_proba(x)[:, 1] for c in of.classifiers] for of in (again, classifier))
    assert np.array_equal(one[1], before[1]) and not np.array_equal(one[0], before[0])
    assert np.array_equal(again.fold, classifier.fold)


def test_windows_that_have_too_few_events():
    observables, mjj, _ = toy(500, 0, 5)
    with pytest.raises(DataError, match=r"window of 6000 GeV: \d+ events in the window: expected 50 or more"):
        train_in_window(observables, mjj, np.ones(500), 6000.0)
    with pytest.raises(OptionError, match="half width of the window is 3: expected a number from"):
        train_in_window(observables, mjj, np.ones(500), 2000.0, half_width=3)
