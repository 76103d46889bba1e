"""Quantile splines: the same as one program over all events, and weights that leave each mjj its influence."""

from __future__ import annotations

import numpy as np
import pytest

from hepvae.search import quantiles
from hepvae.search.quantiles import balanced_weights, quantile_spline


def test_only_events_near_the_quantile_enter_the_program_and_it_is_the_same(rng):
    pytest.importorskip("sklearn")
    x = rng.uniform(0, 1, 4000)
    basis = np.stack([x**i for i in range(4)], axis=1)
    values, weight = x + rng.gumbel(size=4000), rng.lognormal(0, 1, 4000)
    for quantile in (0.5, 0.99):
        whole = quantiles._solved(basis, values, weight, quantile)
        assert np.allclose(quantiles._quantile_coefficients(basis, values, weight, quantile), whole, atol=1e-6)


def test_spline_holds_its_share_of_the_weight_below(rng):
    """What the pinball loss demands of any quantile regression with a constant, known without solving it."""
    pytest.importorskip("sklearn")
    x, values, weight = rng.uniform(0, 1, 3000), rng.normal(size=3000), rng.lognormal(0, 1, 3000)
    points = np.linspace(0, 1, 200)
    below = values < np.interp(x, points, quantile_spline(x, values, weight, 0.9, points))
    assert weight[below].sum() / weight.sum() == pytest.approx(0.9, abs=0.01)


def test_balanced_weights(rng):
    """Every stretch of mjj has its effective number of events; a function of mjj on top changes nothing."""
    mjj, weight = np.sort(rng.uniform(1200, 5000, 4000)), rng.lognormal(0, 1, 4000)
    balanced = balanced_weights(mjj, weight)
    for w, b in zip(weight.reshape(20, 200), balanced.reshape(20, 200)):
        assert b.sum() == pytest.approx(w.sum() ** 2 / np.sum(w**2))
        assert np.allclose(b / w, b[0] / w[0])
    steps = np.repeat(10.0 ** -np.arange(20), 200)
    assert np.allclose(balanced_weights(mjj, steps * weight), balanced)
    weight[::2] = 0
    assert (balanced_weights(mjj, weight)[::2] == 0).all()
    assert balanced_weights(mjj, np.zeros(4000)).tolist() == [0] * 4000
