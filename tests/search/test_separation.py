"""ROC curve and significance improvement: held against cuts counted one by one, and known cases."""

from __future__ import annotations

import numpy as np
import pytest

from hepvae import DataError
from hepvae.search.separation import LEAST_BACKGROUND, roc, with_uncertainty


def cut_by_cut(background, signal):
    (b, wb), (s, ws) = background, signal
    for threshold in sorted({*b, *s}, reverse=True):
        passing = wb[b >= threshold]
        effective = passing.sum() ** 2 / (passing**2).sum() if len(passing) else 0
        yield threshold, ws[s >= threshold].sum() / ws.sum(), passing.sum() / wb.sum(), effective


@pytest.fixture
def samples(rng):
    """Weighted scores with many ties."""
    background = np.round(rng.normal(0, 1, 400), 1), rng.exponential(1, 400)
    signal = np.round(rng.normal(1, 1, 300), 1), rng.exponential(1, 300)
    return background, signal


def test_same_as_cut_by_cut(samples):
    curve = roc(*samples)
    expected = np.array(list(cut_by_cut(*samples)))
    found = np.stack([curve.threshold, curve.signal, curve.background, curve.background_events], axis=1)
    assert np.allclose(found, expected)


def test_auc_is_the_chance_to_rank_signal_higher(samples):
    """Mann and Whitney: ties count half; pairs weigh the product of their weights."""
    (b, wb), (s, ws) = samples
    wins = (s[:, None] > b[None, :]) + 0.5 * (s[:, None] == b[None, :])
    chance = np.sum(wins * ws[:, None] * wb[None, :]) / (ws.sum() * wb.sum())
    assert roc(*samples).auc == pytest.approx(chance)


def test_score_that_knows_nothing_and_one_that_knows_all():
    scores, ones = np.arange(100.0), np.ones(100)
    blind = roc((scores, ones), (scores, ones))
    assert blind.auc == pytest.approx(0.5)
    assert blind.best[0] == pytest.approx(1.0)
    perfect = roc((scores, ones), (scores + 100, ones))
    assert perfect.auc == 1
    assert roc((scores + 100, ones), (scores, ones)).auc == 0


def test_cuts_that_few_background_events_pass_say_nothing():
    """All signal above all background: only the demand on the background bounds the improvement."""
    curve = roc((np.arange(1000.0), np.ones(1000)), (np.full(10, 2000.0), np.ones(10)))
    assert curve.best == (pytest.approx(np.sqrt(1000 / LEAST_BACKGROUND)), LEAST_BACKGROUND / 1000)
    few = roc((np.arange(5.0), np.ones(5)), (np.arange(5.0), np.ones(5)))
    assert np.isnan(few.significance_improvement).all() and np.isnan(few.best).all()


def test_weights_scale_out(samples):
    (b, wb), signal = samples
    assert roc((b, 1e-6 * wb), signal).auc == pytest.approx(roc((b, wb), signal).auc)


def test_uncertainty_is_that_of_repeated_experiments(rng):
    """The bootstrap of one sample gives the spread that fresh samples have."""
    ones = np.ones(300)

    def experiment():
        return (rng.normal(0, 1, 300), ones), (rng.normal(1, 1, 300), ones)

    fresh = np.std([roc(*experiment()).auc for _ in range(200)])
    value, uncertainty = with_uncertainty(lambda curve: curve.auc, *experiment())
    assert value == pytest.approx(0.76, abs=0.06)
    assert uncertainty == pytest.approx(fresh, rel=0.3)


@pytest.mark.parametrize(
    ("background", "signal", "message"),
    [
        (([], []), ([1.0], [1.0]), "background: weights of 0 events add up to 0.0"),
        (([1.0], [1.0]), ([1.0, 2.0], [1.0, -1.0]), "signal: weights of 2 events add up to 0.0"),
        (([np.nan, 1.0], [1.0, 1.0]), ([1.0], [1.0]), "background: 1 scores are not finite"),
    ],
)
def test_samples_that_make_no_curve(background, signal, message):
    with pytest.raises(DataError, match=message):
        roc(background, signal)
