"""Quantiles of weighted values as functions of another, by splines (quantile regression)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..extras import require
from .weights import Floats

__all__ = ["balanced_weights", "quantile_spline"]

#: Events of a bin of mjj in which weights are scaled by the same factor.
EVENTS_PER_BIN = 200


def balanced_weights(mjj: npt.ArrayLike, weight: npt.ArrayLike) -> Floats:
    """Weights that leave each mjj the influence which its events deserve.

    All weights at one mjj times the same number have the same quantile there; so weights that fall with the
    spectrum by decades may be scaled at each mjj. A spline that takes them as they are follows the lowest mjj,
    where all the weight is, and nothing else. Here bins of mjj are scaled so that the sum of weights is their
    effective number of events, (sum of weights)^2 / sum of squared weights: the inverse of the variance that
    a quantile in this bin has.

    Parameters
    ----------
    mjj, weight : arrays (events,)

    Returns
    -------
    array (events,)
    """
    mjj, weight = np.asarray(mjj, np.float64), np.asarray(weight, np.float64)
    balanced = np.zeros(len(weight))
    used = np.flatnonzero(weight > 0)
    if not len(used):
        return balanced
    for some in np.array_split(used[np.argsort(mjj[used])], max(1, len(used) // EVENTS_PER_BIN)):
        balanced[some] = weight[some] * (weight[some].sum() / np.sum(weight[some] ** 2))
    return balanced


def quantile_spline(
    x: Floats, values: Floats, weight: Floats, quantile: float, points: Floats, *, segments: int = 2
) -> Floats:
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
    coefficients = _quantile_coefficients(basis, values, weight / weight.mean(), quantile)
    return np.asarray(spline.transform(points[:, None]) @ coefficients, np.float64)


def _quantile_coefficients(basis: Floats, values: Floats, weight: Floats, quantile: float) -> Floats:
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
            targets.append(np.array([weight[side] @ values[side] / total]))
            weights.append(np.array([total]))
        coefficients = _solved(np.concatenate(rows), np.concatenate(targets), np.concatenate(weights), quantile)
        residual = values - basis @ coefficients
        wrong = (sides[0] & (residual < 0)) | (sides[1] & (residual > 0))
        if not wrong.any():
            return coefficients
        kept |= wrong
        sides = [side & ~wrong for side in sides]


def _solved(basis: Floats, values: Floats, weight: Floats, quantile: float) -> Floats:
    from sklearn.linear_model import QuantileRegressor

    regressor = QuantileRegressor(quantile=quantile, alpha=0, fit_intercept=False, solver="highs-ipm")
    return np.asarray(regressor.fit(basis, values, sample_weight=weight).coef_, np.float64)
