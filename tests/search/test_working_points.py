"""Mass-decorrelated cuts: closure on background with known quantiles, folds that were not seen, pass rates."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import hepvae
from hepvae import DataError, MissingPackageError, OptionError
from hepvae.scoring.strategy import ScoreStrategy
from hepvae.search.pass_rates import pass_rate
from hepvae.search.quantiles import balanced_weights, quantile_spline
from hepvae.search.samples import SearchSample
from hepvae.search.working_points import (
    END_EVENTS,
    WorkingPoints,
    constant_cut,
    cut_background,
    effective_passing,
    fit_working_points,
    working_point_efficiency,
    working_point_name,
)

EFFICIENCIES = (0.5, 0.3, 0.1, 0.01)


def background(events, rng):
    """Scores that rise and spread with mjj, mjj in GeV, weights that fall over four decades."""
    mjj = 1200 * (7000 / 1200) ** rng.beta(1, 1.6, events)
    x = np.log(mjj / 1200)
    score = np.exp(0.8 * x + 0.1 * np.tanh((x - 0.5) / 0.2) + (0.35 + 0.12 * x) * rng.gumbel(size=events))
    return score, mjj, (mjj / 1200) ** -6 * rng.lognormal(0, 0.6, events)


def true_cuts(mjj, efficiencies=EFFICIENCIES):
    x = np.log(mjj / 1200)[:, None]
    gumbel = -np.log(-np.log1p(-np.array(efficiencies)))
    return np.exp(0.8 * x + 0.1 * np.tanh((x - 0.5) / 0.2) + (0.35 + 0.12 * x) * gumbel)


@pytest.fixture(scope="module")
def fitted():
    pytest.importorskip("sklearn")
    sample = background(12_000, np.random.default_rng(7))
    return sample, fit_working_points(*sample, EFFICIENCIES, folds=2)


@pytest.mark.parametrize(
    ("efficiency", "name"), [(0.1, "eff10"), (0.01, "eff1"), (0.005, "eff0.5"), (0.07, "eff7"), (0.999, "eff99.9")]
)
def test_names(efficiency, name):
    assert working_point_name(efficiency) == name
    assert working_point_efficiency(name) == pytest.approx(efficiency)


@pytest.mark.parametrize("name", ["q10", "10", "eff", "eff0", "eff100", "effx", "effnan", "eff-5"])
def test_names_that_are_none(name):
    with pytest.raises(OptionError, match=f"working point '{name}': expected 'eff'"):
        working_point_efficiency(name)


@pytest.mark.parametrize("efficiency", [0, 1, -0.1, 10, np.nan])
def test_efficiencies_that_are_none(efficiency):
    with pytest.raises(OptionError, match=f"background efficiency is {efficiency}"):
        working_point_name(efficiency)


def test_cuts_are_the_true_quantiles(fitted):
    """Although 99 % of the weight lies below 2 TeV, they hold at every mjj."""
    _, points = fitted
    mjj = np.geomspace(1250, 5500, 30)
    off = np.log(points.thresholds(mjj) / true_cuts(mjj))
    assert np.abs(off[:, :3]).max() < 0.12
    assert np.abs(off[:, 3]).max() < 0.35
    assert np.sqrt(np.mean(off[:, :3] ** 2)) < 0.04


def test_pass_rate_is_flat_where_one_cut_is_not(fitted):
    """On independent events, fewer than were fitted, so that their own statistics dominate."""
    (score, _, weight), points = fitted
    edges = np.geomspace(1200, 7000, 16)
    for name, efficiency in zip(points.names[:3], EFFICIENCIES):
        found = []
        for seed in range(5):
            other, mjj, w = background(2_000, np.random.default_rng(100 + seed))
            found.append(pass_rate(points.passes(name, other, mjj), mjj, w, edges).chi_square(efficiency))
            before = pass_rate(other >= constant_cut(score, weight, efficiency), mjj, w, edges)
            assert before.chi_square().p_value < 1e-6
        # five times their own fluctuations, and a sixth of it by those of the cuts, which are the same each time
        assert 0.6 < sum(one.value for one in found) / sum(one.ndf for one in found) < 1.5, (name, found)
        assert min(one.p_value for one in found) > 1e-3, (name, found)


@pytest.fixture(scope="module")
def replicated():
    """A background with replicas, and how the same cut fitted to other samples keeps other shares."""
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(11)

    def flat(events):
        return rng.gumbel(size=events), 1200 * (5000 / 1200) ** rng.random(events), np.ones(events)

    points = fit_working_points(*flat(3000), (0.5, 0.1), folds=2, replicas=25)
    others = [fit_working_points(*flat(3000), (0.5, 0.1), folds=2) for _ in range(12)]
    return points, others


def test_replicas_give_the_spread_of_the_share_that_passes(replicated):
    """Cuts of 1,537 events kept 8 to 14 % instead of 10 %, and the report said that they were flat."""
    points, others = replicated
    mjj = np.geomspace(1300, 4500, 6)
    # the share above a cut is known: of a Gumbel distribution
    shares = [1 - np.exp(-np.exp(-one.thresholds(mjj))) for one in others]
    spread = np.std(shares, axis=0).T / np.array([[0.5], [0.1]])
    band = points.pass_rate_band(mjj)
    assert band.shape == (2, 6)
    assert np.mean(band / spread, axis=1) == pytest.approx(1, abs=0.35)
    assert np.mean(band[1]) > 2 * np.mean(band[0])


def test_variations_of_slices_cancel_and_have_few_modes(replicated):
    points, _ = replicated
    mjj = np.geomspace(1300, 4500, 20)
    changes = points.slice_variations(mjj)
    shares = dict(zip(points.slice_names, (0.5, 0.4, 0.1)))
    assert np.allclose(sum(shares[name] * change for name, change in changes.items()), 0, atol=1e-12)
    modes = points.pass_rate_nuisances(mjj)
    variance = np.var(np.log1p(changes["eff10"]), axis=0, ddof=1)
    assert np.sum(modes["eff10"] ** 2, axis=0) == pytest.approx(variance, rel=0.3)
    assert len(modes["rest"]) == len(modes["eff10"]) <= 10


def test_no_band_without_replicas(fitted):
    with pytest.raises(OptionError, match="working points without replicas have no pass-rate band"):
        fitted[1].pass_rate_band([2000.0])


def test_mjj_that_no_regression_saw_is_not_covered(fitted):
    """Beyond the last mjj that they saw, cuts kept 24 % instead of 10 %, without a word."""
    _, points = fitted
    assert points.covers([points.mjj[0], 2000.0, points.mjj[-1]]).all()
    assert not points.covers([points.mjj[0] - 1, points.mjj[-1] + 1]).any()


def test_slices_are_disjoint_and_add_up(fitted):
    (score, mjj, weight), points = fitted
    assert points.slice_names == ("rest", "eff50-30", "eff30-10", "eff10-1", "eff1")
    for fold in (points.fold, None):
        slices = points.slices(score, mjj, fold)
        assert slices.dtype == np.int8 and slices.min() == 0 and slices.max() == 4
        masks = [slices == i for i in range(5)]
        assert np.array_equal(np.sum(masks, axis=0), np.ones(len(score)))
        balanced = balanced_weights(mjj, weight)
        shares = [balanced[mask].sum() / balanced.sum() for mask in masks]
        assert shares == pytest.approx([0.5, 0.2, 0.2, 0.09, 0.01], abs=0.015)
        for i, name in enumerate(points.names):
            assert np.array_equal(points.passes(name, score, mjj, fold), np.any(masks[i + 1 :], axis=0))
            assert np.array_equal(points.passes(EFFICIENCIES[i], score, mjj, fold), slices > i)
        assert (np.diff(points.thresholds(mjj, fold), axis=1) >= 0).all()


def test_no_event_is_cut_by_a_regression_that_saw_it(fitted):
    """Scores of one fold change: the cuts of that fold do not know, those of all others do."""
    score, mjj, weight = (values[:3000] for values in fitted[0])
    points = fit_working_points(score, mjj, weight, (0.3, 0.1), folds=3)
    changed = np.where(points.fold == 1, 100 * score, score)
    again = fit_working_points(changed, mjj, weight, (0.3, 0.1), folds=3)
    assert np.array_equal(again.fold, points.fold)
    assert np.array_equal(again.cuts[1], points.cuts[1])
    assert (again.cuts[[0, 2]] != points.cuts[[0, 2]]).all()
    for fold in range(3):
        own = points.fold == fold
        cuts = np.stack([np.interp(mjj[own], points.mjj, cut) for cut in points.cuts[fold]], axis=1)
        assert np.array_equal(points.thresholds(mjj, points.fold)[own], cuts)


def test_memorised_noise_shows_no_bias():
    """A spline of 60 pieces follows single events: those that it saw are cut flatter than chance allows."""
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(3)
    score, mjj, weight = rng.normal(size=3000), rng.uniform(1200, 2200, 3000), np.ones(3000)
    points = fit_working_points(score, mjj, weight, (0.2,), segments=60, folds=2)
    edges = np.linspace(1200, 2200, 25)

    def flatness(fold, cut_by):
        passed = points.passes("eff20", score, mjj, cut_by)
        own = points.fold == fold
        return pass_rate(passed[own], mjj[own], weight[own], edges).chi_square(0.2)

    for fold in (0, 1):
        seen, held_out = flatness(fold, 1 - points.fold), flatness(fold, points.fold)
        assert seen.p_value > 0.999
        # their own fluctuations, and those of as many events that made the cut
        assert held_out.value / held_out.ndf == pytest.approx(2, abs=0.9)


def test_folds_are_dealt_at_random_and_reproducibly(fitted):
    (score, mjj, weight), points = fitted
    sizes = np.bincount(points.fold)
    assert len(sizes) == 2 and np.ptp(sizes) <= 1
    # samples are often concatenated, or in order of mjj: every stretch of events is in every fold
    for block in np.array_split(points.fold, 20):
        assert abs(np.mean(block) - 0.5) < 0.08
    some = score[:3000], mjj[:3000], weight[:3000], (0.3,)
    one, same, other = (fit_working_points(*some, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.fold, same.fold) and np.array_equal(one.cuts, same.cuts)
    assert not np.array_equal(one.fold, other.fold)


def test_scale_of_weights_and_order_of_working_points_do_not_matter(fitted):
    (score, mjj, weight), _ = fitted
    some = score[:3000], mjj[:3000]
    one = fit_working_points(*some, weight[:3000], (0.3, 0.1), folds=2)
    other = fit_working_points(*some, 1e-7 * weight[:3000], (0.1, 0.3), folds=2)
    assert one.names == other.names == ("eff30", "eff10")
    assert np.allclose(one.cuts, other.cuts, rtol=1e-6)


def test_weights_are_respected():
    """Half the events, of higher scores, weigh a ninth: the cuts are those of the mixture as weighted."""
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(5)
    high = rng.uniform(size=6000) < 0.5
    score = np.where(high, rng.uniform(1, 2, 6000), rng.uniform(0, 1, 6000))
    mjj = rng.uniform(1200, 5000, 6000)
    points = fit_working_points(score, mjj, np.where(high, 1.0, 9.0), (0.5, 0.05), segments=1, folds=2)
    # of the weight, 10 % lie evenly between 1 and 2, 90 % between 0 and 1
    assert points.thresholds([2000, 4000]) == pytest.approx(np.array([[5 / 9, 1.5]] * 2), abs=0.08)


def test_scores_below_zero(rng):
    """No logarithm; also where the cuts meet events of another sample."""
    pytest.importorskip("sklearn")
    mjj = rng.uniform(1200, 5000, 4000)
    score = mjj / 1000 - 3 + rng.uniform(-1, 1, 4000)
    points = fit_working_points(score, mjj, np.ones(4000), (0.5,), segments=1, folds=2)
    assert points.thresholds([2000, 3000, 4500])[:, 0] == pytest.approx([-1, 0, 1.5], abs=0.1)


def test_beyond_the_range_fitted_the_ends_hold(fitted):
    _, points = fitted
    ends = points.thresholds(points.mjj[[0, -1]])
    assert np.array_equal(points.thresholds([100.0, 20_000.0]), ends)


def test_events_not_fitted_are_cut_by_the_mean_of_the_folds(fitted):
    (_, mjj, _), points = fitted
    folds = [points.thresholds(mjj[:50], np.full(50, fold)) for fold in range(2)]
    assert np.allclose(points.thresholds(mjj[:50]), np.mean(folds, axis=0))
    assert points.slices([], []).shape == (0,)


def test_crossing_cuts_are_set_right():
    """As few events as are let through, of which 60 pieces make anything: thresholds rise all the same."""
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(2)
    score, mjj = rng.normal(size=800), rng.uniform(1200, 2000, 800)
    points = fit_working_points(score, mjj, np.ones(800), (0.5, 0.45, 0.4), segments=60, folds=2)
    raw = [quantile_spline(mjj, score, np.ones(800), 1 - e, points.mjj, segments=60) for e in points.efficiencies]
    assert (np.diff(raw, axis=0) < 0).any()
    assert (np.diff(points.cuts, axis=1) >= 0).all()


SOME = np.linspace(1, 2, 400), np.linspace(1200, 5000, 400), np.ones(400)


@pytest.mark.parametrize(
    ("change", "options", "error", "message"),
    [
        ({0: np.append(SOME[0][1:], np.nan)}, {}, DataError, "scores of 1 events are not finite"),
        ({1: np.append(SOME[1][1:], np.inf)}, {}, DataError, "mjj of 1 events are not finite"),
        ({1: -SOME[1]}, {}, DataError, "an mjj is not positive"),
        ({2: -SOME[2]}, {}, DataError, "a weight negative"),
        ({2: 0 * SOME[2]}, {}, DataError, "eff30: 0 of the 400 events would pass in a fit: expected 10"),
        ({2: SOME[2][1:]}, {}, DataError, "400 scores, 400 mjj, 399 weights"),
        ({}, {"efficiencies": (0.5, 0.01)}, DataError, "eff1: 3.2 of the 400 events would pass in a fit"),
        (
            {},
            {"efficiencies": (0.1, 0.1)},
            OptionError,
            "working points eff10, eff10: expected some, each of them once",
        ),
        ({}, {"efficiencies": ()}, OptionError, "working points none"),
        ({}, {"efficiencies": (10,)}, OptionError, "background efficiency is 10"),
        ({}, {"folds": 1}, OptionError, "folds is 1: expected a whole number from 2"),
        ({}, {"segments": 0}, OptionError, "segments is 0: expected a whole number of at least 1"),
    ],
)
def test_samples_that_are_not_fitted(change, options, error, message):
    arrays = [change.get(i, values) for i, values in enumerate(SOME)]
    with pytest.raises(error, match=message):
        fit_working_points(*arrays, **{"efficiencies": (0.3,), **options})


@pytest.fixture
def points():
    return WorkingPoints((0.5, 0.1), np.array([1000.0, 2000.0]), np.ones((2, 2, 2)), np.array([0, 1], np.int8))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p: p.passes("eff30", [1.0], [1.0]), OptionError, "'eff30': expected one of eff50, eff10"),
        (lambda p: p.passes(0.3, [1.0], [1.0]), OptionError, "'eff30': expected one of eff50, eff10"),
        (lambda p: p.slices([np.nan], [1.0]), DataError, "scores of 1 events are not finite"),
        (lambda p: p.slices([1.0], [1.0, 2.0]), DataError, "1 scores, 2 mjj"),
        (lambda p: p.thresholds([np.nan, 1.0]), DataError, "mjj of 1 events are not finite"),
        (lambda p: p.thresholds([1.0, 2.0], [0]), DataError, "1 folds, 2 mjj"),
        (lambda p: p.thresholds([1.0, 2.0], [0, 2]), DataError, "folds from 0 to 2: expected 0 to 1"),
        (lambda p: p.thresholds([1.0, 2.0], [-1, 1]), DataError, "folds from -1 to 1: expected 0 to 1"),
    ],
)
def test_events_that_are_not_cut(points, call, error, message):
    with pytest.raises(error, match=message):
        call(points)


@pytest.mark.parametrize("events", [5, 28, 40, 59, 70, 2 * END_EVENTS + 15])
def test_few_events_are_refused_or_fitted(events):
    """From 28 to 59 events the ends of mjj were swapped, and the cuts fell where they should rise; less gave an
    IndexError."""
    some = [values[:events] for values in SOME]
    with pytest.raises(DataError, match="events in a fit of working points: expected more than 60"):
        fit_working_points(*some, (0.5,))
    points = fit_working_points(*[values[: 3 * END_EVENTS] for values in SOME], (0.5,))
    assert (np.diff(points.mjj) > 0).all()


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingPackageError, match="needs sklearn"):
        fit_working_points(*SOME, (0.3,))


def test_constant_cut(rng):
    score, weight = rng.normal(size=2000), rng.exponential(size=2000)
    passes = score >= constant_cut(score, weight, 0.1)
    assert weight[passes].sum() / weight.sum() == pytest.approx(0.1, abs=0.003)
    with pytest.raises(DataError, match=r"add up to 0\.0"):
        constant_cut([], [], 0.1)


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
    losses = {"reco_loss": reco, "kl_loss": np.zeros((number, 2))}
    return SearchSample("qcd", mjj, weight, losses, card, ScoreStrategy("min", 0.0))


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
