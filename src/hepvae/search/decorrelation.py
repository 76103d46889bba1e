"""Cuts on the score that keep the same share of background at every mjj.

A cut at one value of the score sculpts mjj: anomaly scores rise with the energy of the jets. So the cut follows
mjj: it is the quantile of the background's scores at each mjj, by quantile regression (R. Koenker, G. Bassett,
Econometrica 46 (1978) 33). Working points carry the background efficiency in their name: ``eff10`` keeps 10 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import DataError, OptionError
from ..extras import require

__all__ = [
    "ChiSquare",
    "PassRate",
    "WorkingPoints",
    "balanced_weights",
    "constant_cut",
    "fit_working_points",
    "pass_rate",
    "quantile_spline",
    "working_point_efficiency",
    "working_point_name",
]

#: Points in mjj at which a regression is kept: linear between them it is off by far less than its uncertainty.
GRID = 200

#: Events at either end of mjj that a regression takes as if they had the same mjj: one alone is no quantile.
END_EVENTS = 30

#: Background events (effective number) that have to pass a working point for a regression of it.
LEAST_PASSING = 10

#: Expected events (effective number) that pass, and that fail, in a bin of a chi-square.
LEAST_EXPECTED = 10


def working_point_name(efficiency: float) -> str:
    """``eff10`` for 0.1, ``eff0.5`` for 0.005: the background efficiency in per cent.

    Raises
    ------
    OptionError
        The efficiency is not between 0 and 1.
    """
    if not 0 < efficiency < 1:
        raise OptionError(f"background efficiency is {efficiency}: expected a number between 0 and 1")
    return "eff" + np.format_float_positional(round(100 * efficiency, 8), trim="-")


def working_point_efficiency(name: str) -> float:
    """0.1 for ``eff10``: the inverse of `working_point_name`.

    Raises
    ------
    OptionError
        The name is not that of a working point.
    """
    percent = name.removeprefix("eff")
    try:
        efficiency = float(percent) / 100
    except ValueError:
        efficiency = np.nan
    if percent == name or not 0 < efficiency < 1:
        raise OptionError(
            f"working point {name!r}: expected 'eff' and the background efficiency in per cent, like 'eff10'"
        )
    return efficiency


def constant_cut(score, weight, efficiency: float) -> float:
    """Smallest score that passes a cut which keeps a share of all background, whatever its mjj.

    Parameters
    ----------
    score, weight : arrays (events,)
        Background.
    """
    score, weight = _finite("scores", score), _finite("weights", weight)
    if len(score) != len(weight) or not weight.sum() > 0:
        raise DataError(
            f"weights of {len(score)} scores add up to {weight.sum()}: expected as many, and more than zero"
        )
    falling = np.argsort(-score)
    passing = np.cumsum(weight[falling])
    return float(score[falling[np.searchsorted(passing, efficiency * passing[-1])]])


@dataclass(frozen=True)
class WorkingPoints:
    """Cuts on the score as functions of mjj, from the loosest to the tightest."""

    efficiencies: tuple[float, ...]
    """Shares of the background that pass, falling."""
    mjj: np.ndarray
    """(points,) GeV, rising: where the cuts are kept; beyond its ends, the cuts are those at the ends."""
    cuts: np.ndarray
    """(folds, efficiencies, points): smallest score that passes, by the regression of the other folds' events."""
    fold: np.ndarray
    """(events,) int8: the fold of each event fitted, whose regression has not seen that event."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the working points, from the loosest to the tightest."""
        return tuple(map(working_point_name, self.efficiencies))

    @property
    def slice_names(self) -> tuple[str, ...]:
        """Names of the values of `slices`: ``rest``, ``eff50-30``, ..., ``eff1``."""
        tighter = [name.removeprefix("eff") for name in self.names[1:]]
        between = [f"{loose}-{tight}" for loose, tight in zip(self.names, tighter)]
        return ("rest", *between, self.names[-1])

    def thresholds(self, mjj, fold=None) -> np.ndarray:
        """Smallest scores that pass at the mjj of each event.

        Parameters
        ----------
        mjj : array (events,)
            GeV.
        fold : array (events,) of int, optional
            Fold of each event, for events that were fitted: `fold`. By default, for all others: the mean of
            the regressions. Their largest value, the envelope, would keep less than its name says.

        Returns
        -------
        array (events, efficiencies), rising in each row

        Raises
        ------
        DataError
            An mjj is not finite, a fold is none of the regressions', or the lengths differ.
        """
        mjj = _finite("mjj", mjj)
        if fold is None:
            return _interpolated(mjj, self.mjj, self.cuts.mean(axis=0))
        fold, folds = np.asarray(fold), len(self.cuts)
        _same_length(folds=fold, mjj=mjj)
        if len(fold) and not 0 <= fold.min() <= fold.max() < folds:
            raise DataError(f"folds from {fold.min()} to {fold.max()}: expected 0 to {folds - 1}")
        found = np.empty((len(mjj), len(self.efficiencies)))
        for k, cuts in enumerate(self.cuts):
            found[fold == k] = _interpolated(mjj[fold == k], self.mjj, cuts)
        return found

    def slices(self, score, mjj, fold=None) -> np.ndarray:
        """Which of the orthogonal slices each event is in; its parameters are those of `thresholds`.

        Returns
        -------
        int8 array (events,)
            How many working points the event passes: 0 is none, the highest the tightest. `slice_names` has
            their names.

        Raises
        ------
        DataError
            As `thresholds`, or a score is not finite.
        """
        score = _finite("scores", score)
        _same_length(scores=score, mjj=np.asarray(mjj))
        return np.sum(score[:, None] >= self.thresholds(mjj, fold), axis=1, dtype=np.int8)

    def passes(self, working_point: str | float, score, mjj, fold=None) -> np.ndarray:
        """Which events pass a working point, given by its name or efficiency: all its slices together.

        Returns
        -------
        bool array (events,)

        Raises
        ------
        OptionError
            The working point is none of these.
        DataError
            As `slices`.
        """
        name = working_point if isinstance(working_point, str) else working_point_name(working_point)
        if name not in self.names:
            raise OptionError(f"working point {name!r}: expected one of {', '.join(self.names)}")
        return self.slices(score, mjj, fold) > self.names.index(name)


def fit_working_points(
    score,
    mjj,
    weight,
    efficiencies: Sequence[float] = (0.5, 0.3, 0.1, 0.01),
    *,
    folds: int = 5,
    segments: int = 2,
    seed: int = 1,
) -> WorkingPoints:
    """Regress quantiles of background scores as functions of mjj, so that no event is cut by one that saw it.

    Parameters
    ----------
    score, mjj, weight : arrays (events,)
        Background; high scores are anomalous, mjj in GeV. Weights are zero or more, in any unit.
    efficiencies : sequence of float
        Shares of the background to keep, in any order.
    folds : int
        Parts that the events are dealt into at random; the cuts for each come from all others.
    segments : int
        Cubic pieces of the spline in ln(mjj). More of them follow more structure, and more of the noise: two
        were best on 40,000 generated events.
    seed : int
        Of the deal.

    Returns
    -------
    WorkingPoints

    Raises
    ------
    OptionError
        An efficiency is not between 0 and 1 or comes twice, there is only one fold or no segment.
    DataError
        Values are not finite, mjj not positive, weights negative, or events too few for the tightest cut.
    MissingPackageError
        scikit-learn is not installed.

    Notes
    -----
    How flat the cuts are is seen on an independent sample, or in one fold. All folds together, each by its own
    cuts, are flatter than chance: what is too much in one fold raises the cuts of the others, and cancels. An
    independent sample shows the fluctuations of the events that were fitted, too: the smaller it is than
    those, the less.
    """
    efficiencies = tuple(sorted(map(float, efficiencies), reverse=True))
    names = [working_point_name(efficiency) for efficiency in efficiencies]
    if not names or len(set(names)) < len(names):
        raise OptionError(f"working points {', '.join(names) or 'none'}: expected some, each of them once")
    if not 2 <= folds <= 100 or segments < 1:
        raise OptionError(f"{folds} folds, {segments} segments: expected 2 to 100 folds, and 1 segment or more")
    score, mjj, weight = _finite("scores", score), _finite("mjj", mjj), _finite("weights", weight)
    _same_length(scores=score, mjj=mjj, weights=weight)
    if (mjj <= 0).any() or (weight < 0).any():
        raise DataError("an mjj is not positive or a weight negative: no quantile is defined")
    fold = (np.random.default_rng(seed).permutation(len(score)) % folds).astype(np.int8)
    influence = balanced_weights(mjj, weight)
    passing = efficiencies[-1] * (1 - 1 / folds) * _effective(influence)
    if not passing >= LEAST_PASSING:
        raise DataError(
            f"{names[-1]}: {passing:.3g} of the {len(score)} events would pass in a fit: expected {LEAST_PASSING}"
        )
    # Quantiles follow monotone maps: the logarithm of a score that spans decades has an even spread in mjj.
    logarithmic = bool((score > 0).all())
    values = np.log(score) if logarithmic else score
    grid = np.geomspace(*_ends(mjj), GRID)
    cuts = np.empty((folds, len(efficiencies), GRID))
    for k in range(folds):
        seen = (fold != k) & (influence > 0)
        for i, efficiency in enumerate(efficiencies):
            cuts[k, i] = quantile_spline(
                np.log(mjj[seen]), values[seen], influence[seen], 1 - efficiency, np.log(grid), segments=segments
            )
    # Regressions of different quantiles may cross where events are few; sorted, they are no worse anywhere
    # (V. Chernozhukov, I. Fernandez-Val, A. Galichon, Econometrica 78 (2010) 1093).
    cuts.sort(axis=1)
    return WorkingPoints(efficiencies, grid, np.exp(cuts) if logarithmic else cuts, fold)


def balanced_weights(mjj, weight, *, events_per_bin: int = 200) -> np.ndarray:
    """Weights that leave each mjj the influence which its events deserve.

    All weights at one mjj times the same number have the same quantile there; so weights that fall with the
    spectrum by decades may be scaled at each mjj. A spline that takes them as they are follows the lowest mjj,
    where all the weight is, and nothing else. Here bins of mjj are scaled so that the sum of weights is their
    effective number of events, (sum of weights)^2 / sum of squared weights: the inverse of the variance that
    a quantile in this bin has.

    Parameters
    ----------
    mjj, weight : arrays (events,)
    events_per_bin : int
        Of the bins in which weights are scaled by the same factor.

    Returns
    -------
    array (events,)
    """
    balanced = np.zeros(len(weight))
    used = np.flatnonzero(weight > 0)
    if not len(used):
        return balanced
    for some in np.array_split(used[np.argsort(mjj[used])], max(1, len(used) // events_per_bin)):
        balanced[some] = weight[some] * (weight[some].sum() / np.sum(weight[some] ** 2))
    return balanced


def quantile_spline(x, values, weight, quantile: float, points, *, segments: int = 2) -> np.ndarray:
    """Quantile of values as a cubic spline of x, at some points.

    Boosted trees (scikit-learn's, LightGBM's) take as long, their cuts have steps, and pass rates follow:
    ``analysis/quantile_regressors.py`` prints the comparison.

    scikit-learn's `QuantileRegressor` minimises the pinball loss exactly, by a linear program over all events.
    Only events near the quantile decide it: the others enter as two sums, of those above and of those below,
    and the program is solved again where one of them turns out on the wrong side. The result is the same
    (S. Portnoy, R. Koenker, Statistical Science 12 (1997) 279), several times sooner.

    Parameters
    ----------
    x, values, weight : arrays (events,)
        Weights above zero.
    quantile : float
        Share of the weight that lies below.
    points : array (points,), rising
        The spline ends with them: x beyond counts as at the ends.
    segments : int
        Cubic pieces, between quantiles of x within the points.

    Returns
    -------
    array (points,)
    """
    require("sklearn", "quantile regression")
    from sklearn.preprocessing import SplineTransformer

    inside = x[(x > points[0]) & (x < points[-1])]
    between = np.quantile(inside, np.arange(1, segments) / segments) if len(inside) else []
    knots = np.unique(np.concatenate([points[:1], between, points[-1:]]))
    spline = SplineTransformer(knots=knots[:, None], extrapolation="constant").fit(knots[:, None])
    basis = spline.transform(x[:, None])
    return spline.transform(points[:, None]) @ _quantile_coefficients(
        basis, values, weight / weight.mean(), quantile
    )


def _quantile_coefficients(basis, values, weight, quantile: float) -> np.ndarray:
    """Coefficients of the columns of a basis that minimise the weighted pinball loss."""
    events = len(values)
    near = min(events, int(4 * events ** (2 / 3)))
    if events <= 2 * near:
        return _solved(basis, values, weight, quantile)
    some = np.random.default_rng(1).choice(events, near, replace=False)
    residual = values - basis @ _solved(basis[some], values[some], weight[some], quantile)
    kept = np.zeros(events, bool)
    kept[np.argsort(np.abs(residual))[:near]] = True
    sides = [~kept & (residual > 0), ~kept & (residual <= 0)]
    while True:
        rows, targets, weights = [basis[kept]], [values[kept]], [weight[kept]]
        # The loss of events on one side is linear: that of one event at their mean, with the sum of weights.
        for side in filter(np.any, sides):
            total = weight[side].sum()
            rows.append((weight[side] @ basis[side] / total)[None])
            targets.append([weight[side] @ values[side] / total])
            weights.append([total])
        found = _solved(*map(np.concatenate, (rows, targets, weights)), quantile)
        residual = values - basis @ found
        wrong = (sides[0] & (residual < 0)) | (sides[1] & (residual > 0))
        if not wrong.any():
            return found
        kept |= wrong
        sides = [side & ~wrong for side in sides]


def _solved(basis, values, weight, quantile: float) -> np.ndarray:
    from sklearn.linear_model import QuantileRegressor

    regressor = QuantileRegressor(quantile=quantile, alpha=0, fit_intercept=False, solver="highs-ipm")
    return regressor.fit(basis, values, sample_weight=weight).coef_


def _ends(mjj) -> tuple[float, float]:
    """The range of mjj but for the outermost events."""
    ordered = np.sort(mjj)
    return ordered[END_EVENTS], ordered[-1 - END_EVENTS]


def _interpolated(mjj, points, cuts) -> np.ndarray:
    return np.stack([np.interp(mjj, points, cut) for cut in cuts], axis=-1)


def _effective(weight) -> float:
    """Effective number of weighted events."""
    return float(weight.sum() ** 2 / np.sum(weight**2)) if weight.any() else 0.0


def _same_length(**arrays) -> None:
    if len({len(values) for values in arrays.values()}) > 1:
        lengths = ", ".join(f"{len(values)} {name}" for name, values in arrays.items())
        raise DataError(f"{lengths}: expected as many of each")


def _finite(what: str, values) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if not np.isfinite(values).all():
        raise DataError(f"{what} of {int((~np.isfinite(values)).sum())} events are not finite")
    return values


@dataclass(frozen=True)
class ChiSquare:
    """How far values are from what was expected."""

    value: float
    """Sum of squared deviations over their variances."""
    ndf: int
    """Degrees of freedom."""

    @property
    def p_value(self) -> float:
        """Chance of a larger value if the expectation is true; NaN without degrees of freedom."""
        require("sklearn", "p-value of a chi-square")  # whose installation brings SciPy
        from scipy.special import chdtrc

        return float(chdtrc(self.ndf, self.value)) if self.ndf else np.nan


@dataclass(frozen=True)
class PassRate:
    """Share of the events of each mjj bin that pass a cut."""

    edges: np.ndarray
    """(bins + 1,) GeV, rising."""
    passing: np.ndarray
    """(bins,): sum of the weights of the events that pass."""
    passing_squares: np.ndarray
    """(bins,): sum of their squared weights."""
    total: np.ndarray
    """(bins,): sum of the weights of all events."""
    total_squares: np.ndarray
    """(bins,): sum of their squared weights."""

    @property
    def rate(self) -> np.ndarray:
        """(bins,); NaN in bins without events."""
        return _ratio(self.passing, self.total)

    @property
    def uncertainty(self) -> np.ndarray:
        """(bins,): binomial standard deviation of weighted events, zero where none or all pass.

        sum over passing of w^2 (1 - rate)^2 plus sum over failing of w^2 rate^2, over the square of the sum of
        all w: the ratio estimator (W. G. Cochran, Sampling Techniques), as option "B" of ROOT's TH1::Divide.
        """
        rate = self.rate
        failing_squares = np.maximum(self.total_squares - self.passing_squares, 0)
        variance = self.passing_squares * (1 - rate) ** 2 + failing_squares * rate**2
        return np.sqrt(_ratio(variance, self.total**2))

    def chi_square(self, expected: float | None = None) -> ChiSquare:
        """Of the rates against a constant: how flat they are in mjj.

        Neighbouring bins are merged, from low mjj on, until in each at least `LEAST_EXPECTED` events are expected
        to pass and to fail (effective numbers); what is left at the end joins the last. The variances are those
        under the hypothesis: with the measured ones, bins that fluctuate low would count more than others.

        Parameters
        ----------
        expected : float, optional
            The rate of the hypothesis; by default the mean that fits the bins best, which takes one degree of
            freedom.
        """
        rate = expected
        if rate is None:
            effective = _ratio(self.total**2, self.total_squares, 0.0)
            rate = float(_ratio(np.nansum(effective * self.rate), effective.sum()))
        bins = self._merged(rate)
        ndf = len(bins.total) - (expected is None)
        if ndf < 1:
            return ChiSquare(0.0, 0)
        # Events that pass may have other weights than those that fail: the mean weight of each kind is as
        # observed, their shares are as supposed.
        mean_weight = bins.total_squares / bins.total
        of_passing = _ratio(bins.passing_squares, bins.passing, mean_weight)
        of_failing = _ratio(bins.total_squares - bins.passing_squares, bins.total - bins.passing, mean_weight)
        variance = rate * (1 - rate) * ((1 - rate) * of_passing + rate * of_failing) / bins.total
        mean = np.average(bins.rate, weights=1 / variance) if expected is None else expected
        return ChiSquare(float(np.sum((bins.rate - mean) ** 2 / variance)), ndf)

    def _merged(self, rate: float) -> PassRate:
        """Bins in which enough events are expected to pass and to fail; none, where all events are too few."""
        sums = np.stack([self.passing, self.passing_squares, self.total, self.total_squares])
        starts = [0]
        for stop in range(1, sums.shape[1] + 1):
            total, squares = sums[2:, starts[-1] : stop].sum(axis=1)
            if _ratio(total**2, squares, 0.0) * min(rate, 1 - rate) >= LEAST_EXPECTED:
                starts.append(stop)
        starts.pop()  # ends the last bin, or begins what is too few to be one
        if not starts:
            return PassRate(self.edges[:1], *sums[:, :0])
        return PassRate(np.append(self.edges[starts], self.edges[-1]), *np.add.reduceat(sums, starts, axis=1))


def pass_rate(passed, mjj, weight, edges) -> PassRate:
    """Share of events that pass, against mjj.

    Parameters
    ----------
    passed : bool array (events,)
    mjj, weight : arrays (events,)
        mjj in GeV; events outside of the edges are left out.
    edges : array (bins + 1,)
        GeV, rising.

    Raises
    ------
    OptionError
        The edges are fewer than two or do not rise.
    DataError
        mjj or weights are not finite, or the lengths differ.
    """
    edges = np.asarray(edges, np.float64)
    if len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise OptionError(f"{len(edges)} edges of mjj bins: expected two or more that rise")
    passed, mjj, weight = np.asarray(passed, bool), _finite("mjj", mjj), _finite("weights", weight)
    _same_length(decisions=passed, mjj=mjj, weights=weight)

    def summed(of):
        return np.histogram(mjj, edges, weights=of)[0]

    return PassRate(edges, summed(weight * passed), summed(weight**2 * passed), summed(weight), summed(weight**2))


def _ratio(above, below, otherwise=np.nan) -> np.ndarray:
    """above / below, and something else where below is zero."""
    below = np.asarray(below, np.float64)
    return np.where(below > 0, above / np.where(below > 0, below, 1), otherwise)
