from __future__ import annotations

import numpy as np
import pytest

from hepvae import DataError, OptionError
from hepvae.histograms import observable_histogram, score_histogram


def test_weights_and_their_squares_are_kept(rng):
    score, weight = rng.lognormal(2, 1, 500), rng.uniform(0, 3, 500)
    histogram = score_histogram({"qcd": (score, weight), "signal": (score[:50], np.ones(50))})
    assert [axis.name for axis in histogram.axes] == ["dataset", "score"]
    one = histogram[{"dataset": "qcd"}]
    assert one.sum().value == pytest.approx(weight.sum())
    assert one.sum().variance == pytest.approx((weight**2).sum())
    assert histogram[{"dataset": "signal"}].sum().value == 50


def test_axis_holds_every_score(rng):
    score = rng.lognormal(0, 3, 300)
    histogram = score_histogram({"qcd": (score, np.ones(300))})
    low, high = histogram.axes["score"].edges[[0, -1]]
    assert low <= score.min() and score.max() < high
    assert histogram.sum(flow=False).value == 300


def test_limits_are_the_users():
    histogram = score_histogram({"a": ([1.0, 50.0], [1.0, 1.0])}, bins=2, limits=(1, 100))
    assert np.allclose(histogram.axes["score"].edges, [1, 10, 100])


def test_what_cannot_be_drawn():
    with pytest.raises(OptionError, match="bins is 0"):
        score_histogram({"a": ([1.0], [1.0])}, bins=0)
    with pytest.raises(DataError, match=r"sample 'a': its weights add up to 0\.0"):
        score_histogram({"a": ([1.0, 2.0], [1.0, -1.0])})


def test_scores_that_are_nan_or_zero_do_not_enter():
    histogram = score_histogram({"a": ([1.0, np.nan, 0.0, 5.0], [1.0] * 4)})
    assert histogram.sum().value == 2
    with pytest.raises(DataError, match="no scores"):
        score_histogram({"a": ([np.nan], [1.0])})


def test_observables_on_the_axis_of_the_first(rng):
    """What a model makes may lie anywhere: it does not stretch the axis, and is not lost."""
    samples = {"input": rng.uniform(0, 100, 1000), "model": np.array([-5.0, 50.0, 1e9])}
    histogram = observable_histogram(samples, label="Jet mass (GeV)", bins=20)
    axis = histogram.axes["value"]
    assert axis.edges[0] == 0 and 110 < axis.edges[-1] < 120 and axis.label == "Jet mass (GeV)"
    assert histogram[{"dataset": "model"}].values(flow=True).sum() == 3
    assert histogram[{"dataset": "input"}].values().sum() == 1000


def test_whole_numbers_have_bins_of_whole_numbers():
    histogram = observable_histogram({"input": np.arange(101)}, label="n", bins=40)
    assert np.allclose(np.diff(histogram.axes["value"].edges), 3)
    assert histogram.axes["value"].edges[0] == -0.5
    assert set(histogram[{"dataset": "input"}].values()[:33]) == {3.0}


def test_no_observables():
    with pytest.raises(DataError, match="no jets to make a histogram of"):
        observable_histogram({}, label="n")
    with pytest.raises(OptionError, match="bins is 0"):
        observable_histogram({"input": np.ones(3)}, label="n", bins=0)
