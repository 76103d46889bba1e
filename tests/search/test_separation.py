"""ROC curve and figures of merit: held against cuts counted one by one, closed forms of two normal distributions,
and the spread of repeated experiments."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

import numpy as np
import pytest

from hepvae import DataError, OptionError
from hepvae.search.separation import (
    BACKGROUND_EFFICIENCIES,
    LEAST_BACKGROUND,
    Measured,
    figures_of_merit,
    in_window,
    roc,
    with_uncertainty,
)


def cut_by_cut(background, signal):
    (b, wb), (s, ws) = background, signal
    for threshold in sorted({*b, *s}, reverse=True):
        passing = wb[b >= threshold]
        signal = ws[s >= threshold]
        yield threshold, signal.sum() / ws.sum(), passing.sum() / wb.sum(), effective(signal), effective(passing)


def effective(weights):
    return weights.sum() ** 2 / (weights**2).sum() if len(weights) else 0


def drawn_anew(statistic, background, signal, replicas=100, seed=1):
    """The bootstrap as it is told: draw events, and make the curve of them."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(replicas):
        draws = [
            (rng.integers(len(score), size=len(score)), score, weight) for score, weight in (background, signal)
        ]
        found.append(statistic(roc(*[(score[i], weight[i]) for i, score, weight in draws])))
    return np.nanstd(found)


@pytest.fixture
def samples(rng):
    """Weighted scores with many ties."""
    background = np.round(rng.normal(0, 1, 400), 1), rng.exponential(1, 400)
    signal = np.round(rng.normal(1, 1, 300), 1), rng.exponential(1, 300)
    return background, signal


def test_same_as_cut_by_cut(samples):
    curve = roc(*samples)
    expected = np.array(list(cut_by_cut(*samples)))
    found = np.stack(
        [curve.threshold, curve.signal, curve.background, curve.signal_events, curve.background_events], axis=1
    )
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
        (
            (np.ones(50), np.ones(60)),
            ([1.0], [1.0]),
            "50 scores of background, 60 weights: expected as many",
        ),
        (([np.nan, 1.0], [1.0, 1.0]), ([1.0], [1.0]), "background: scores of 1 events are not finite"),
        (np.ones(3), ([1.0], [1.0]), r"background: 3 values: expected two arrays, \(scores, weights\)"),
        (
            (np.ones((3, 2)), np.ones(3)),
            ([1.0], [1.0]),
            r"background: scores of shape \(3, 2\): expected \(events,\)",
        ),
    ],
)
def test_samples_that_make_no_curve(background, signal, message):
    with pytest.raises(DataError, match=message):
        roc(background, signal)


@pytest.mark.parametrize("statistic", [lambda c: c.auc, lambda c: c.best[0], lambda c: c.best[1]])
def test_bootstrap_is_that_of_events_drawn_anew(samples, statistic):
    _, uncertainty = with_uncertainty(statistic, *samples)
    assert uncertainty == pytest.approx(drawn_anew(statistic, *samples))
    assert uncertainty > 0


def test_two_normal_distributions(rng):
    """d apart: AUC = Phi(d / sqrt 2); the cut that keeps b of the background keeps Phi(d - Phi^-1(1 - b))."""
    normal, apart, events = NormalDist(), 1.5, 100_000
    ones = np.ones(events)
    found = figures_of_merit((rng.normal(0, 1, events), ones), (rng.normal(apart, 1, events), ones), replicas=20)
    assert found.auc.value == pytest.approx(normal.cdf(apart / sqrt(2)), abs=4 * found.auc.uncertainty)
    assert 2e-4 < found.auc.uncertainty < 2e-3
    assert list(found.improvement) == list(BACKGROUND_EFFICIENCIES)
    cuts = np.linspace(0, 4, 2000)
    best = max(normal.cdf(apart - cut) / sqrt(normal.cdf(-cut)) for cut in cuts)
    assert found.best.value == pytest.approx(best, abs=3 * found.best.uncertainty)
    for efficiency, improvement in found.improvement.items():
        expected = normal.cdf(apart + normal.inv_cdf(efficiency)) / sqrt(efficiency)
        assert improvement.value == pytest.approx(expected, abs=4 * improvement.uncertainty)
        assert improvement.uncertainty < 0.06
    assert (found.background_events, found.signal_events) == (events, events)


def test_improvement_between_two_cuts():
    """2.5 % of the background 0..99 are half of its third event, and half of the signal that passes with it."""
    signal = np.array([200.0, 97.5, 97.0, 3.0]), np.ones(4)
    # Each score ten times: fewer background events than ten would say nothing.
    curve = roc((np.repeat(np.arange(100.0), 10), np.ones(1000)), signal)
    # The cuts: 200 (none), 99, 98 (2 %), 97.5 (still 2 %), 97 (3 %).
    assert curve.improvement_at(0.015).value == pytest.approx(0.25 / sqrt(0.015))
    assert curve.improvement_at(0.02).value == pytest.approx(0.5 / sqrt(0.02))
    assert curve.improvement_at(0.025).value == pytest.approx(0.625 / sqrt(0.025))
    assert curve.improvement_at(1.0).value == pytest.approx(1)
    with pytest.raises(OptionError, match="background efficiency is 0: expected a share up to 1"):
        curve.improvement_at(0)


def test_efficiencies_have_binomial_uncertainties(rng):
    """Of weights that are all the same, e (1 - e) / N; of others, the spread of repeated experiments."""
    scores = np.arange(50.0)
    curve = roc((scores, np.full(50, 0.3)), (scores, np.full(50, 7.0)))
    for efficiency, uncertainty in (
        (curve.signal, curve.signal_uncertainty),
        (curve.background, curve.background_uncertainty),
    ):
        assert np.allclose(uncertainty, np.sqrt(efficiency * (1 - efficiency) / 50))

    def experiment():
        background = rng.normal(0, 1, 2000), rng.exponential(1, 2000)
        signal = np.append(rng.normal(1, 1, 500), 1.0), rng.exponential(1, 501)
        curve = roc(background, signal)
        cut = np.searchsorted(-curve.threshold, -1.0)
        return [
            values[cut]
            for values in (
                *(curve.signal, curve.background, curve.significance_improvement),
                *(curve.signal_uncertainty, curve.background_uncertainty),
                curve.significance_improvement_uncertainty,
            )
        ]

    found = np.array([experiment() for _ in range(400)])
    assert np.median(found[:, 3:], axis=0) == pytest.approx(found[:, :3].std(axis=0), rel=0.15)


def test_improvement_is_unknown_where_few_background_events_pass(rng):
    """Ten of a thousand are 1 %; of weights that spread, ten events count for fewer."""
    scores, signal = np.arange(1000.0), (np.full(10, 2000.0), np.ones(10))
    curve = roc((scores, np.full(1000, 0.1)), signal)
    assert curve.improvement_at(0.01).value == pytest.approx(10)
    assert f"{curve.improvement_at(0.009):.2f}" == "-"
    spread = roc((scores, rng.exponential(1, 1000)), signal)
    assert np.isnan(spread.improvement_at(0.01).value) and np.isnan(spread.improvement_at(0.01).uncertainty)
    assert np.isfinite(spread.improvement_at(0.025).value)
    assert (np.isnan(curve.significance_improvement_uncertainty) == np.isnan(curve.significance_improvement)).all()


def test_improvement_at_an_efficiency_has_the_spread_of_repeated_experiments(rng):
    """The cut is chosen on the events too: 20 % more than binomial here, where the improvement rises."""
    ones = np.ones(1000)

    def experiment():
        return figures_of_merit((rng.normal(0, 1, 1000), ones), (rng.normal(0.5, 1, 1000), ones), replicas=60)

    found = [experiment().improvement[0.025] for _ in range(120)]
    spread = np.std([one.value for one in found])
    assert np.median([one.uncertainty for one in found]) == pytest.approx(spread, rel=0.15)


def test_too_few_events_for_any_improvement():
    few = np.arange(5.0), np.ones(5)
    found = figures_of_merit(few, few)
    assert found.auc.value == pytest.approx(0.5) and found.auc.uncertainty > 0
    assert np.isnan([found.best.value, found.best.uncertainty, found.best_at.value]).all()
    assert f"{found.best:.2f}" == "-" and f"{Measured(0.714, 0.021):.2f}" == "0.71 ± 0.02"


def test_figures_are_those_of_the_curve(samples):
    found, curve = figures_of_merit(*samples), roc(*samples)
    assert (found.auc.value, found.best.value, found.best_at.value) == (curve.auc, *curve.best)
    assert found.auc.uncertainty == pytest.approx(drawn_anew(lambda c: c.auc, *samples))
    assert found.best.uncertainty == pytest.approx(drawn_anew(lambda c: c.best[0], *samples))
    assert found.background_events == pytest.approx(effective(samples[0][1]))
    assert figures_of_merit(*samples, background_efficiencies=(0.3,)).improvement.keys() == {0.3}
    with pytest.raises(OptionError, match=r"background efficiency is 2\.0: expected a share"):
        figures_of_merit(*samples, background_efficiencies=(0.1, 2))
    with pytest.raises(OptionError, match="replicas is 1"):
        figures_of_merit(*samples, replicas=1)


def test_window_around_a_mass():
    assert in_window([1199, 1201, 1500, 1799, 1801], 1500).tolist() == [False, True, True, True, False]
    assert in_window([1425, 1426], 1500, half_width=0.05).tolist() == [False, True]


def test_band_of_a_curve_has_the_uncertainty_of_the_background_too():
    """ROC bands were those of the signal alone: with 20 background events they were far too narrow."""
    rng = np.random.default_rng(1)
    signal = (rng.normal(1, 1, 20_000), np.ones(20_000))

    def at(events, seed):
        rng = np.random.default_rng(seed)
        curve = roc((rng.normal(size=events), np.ones(events)), signal)
        place = int(np.argmin(np.abs(curve.background - 0.3)))
        return curve.signal[place], curve.uncertainty[place], curve.signal_uncertainty[place]

    values = np.array([at(200, seed) for seed in range(100)])
    assert values[:, 1].mean() == pytest.approx(values[:, 0].std(), rel=0.25)
    assert (values[:, 1] > 3 * values[:, 2]).all()
    assert at(200_000, 1)[1] < 0.1 * values[:, 1].mean() + 0.004
