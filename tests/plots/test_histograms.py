from __future__ import annotations

import numpy as np
import pytest

from hepvae import DataError, OptionError
from hepvae.plots.histograms import (
    jets_histogram,
    loss_histogram,
    loss_labels,
    mjj_score_histogram,
    observable_histogram,
    residual_histogram,
    score_histogram,
    variables_histogram,
)


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


def test_scores_that_are_nan_do_not_enter():
    histogram = score_histogram({"a": ([1.0, np.nan, 5.0], [1.0] * 3)})
    assert histogram.sum().value == 2
    with pytest.raises(DataError, match="no scores"):
        score_histogram({"a": ([np.nan], [1.0])})


def test_a_few_scores_far_below_zero_are_shown():
    """Of scores from -0.6 to 3.8 those below zero were outside a logarithmic axis that began at 0.02."""
    above = np.linspace(0.02, 3.8, 2000)
    scores = np.concatenate([above, [-0.65, -0.3]])
    axis = score_histogram({"QCD": (scores, np.ones(2002))}).axes["score"]
    assert axis.edges[0] < -0.65 and axis.transform is None
    rounded = score_histogram({"QCD": (np.append(above, -1e-9), np.ones(2001))}).axes["score"]
    assert rounded.transform is not None


def test_scores_at_or_below_zero_are_not_lost():
    """They were dropped, not even in the underflow: fractions were those of the rest."""
    scores = np.append(np.geomspace(1, 100, 997), [0.0, -3.0, -np.inf])
    axis = score_histogram({"a": (scores, np.ones(1000))}).axes["score"]
    assert axis.transform is not None and axis.edges[0] == 1
    values = score_histogram({"a": (scores, np.ones(1000))})[{"dataset": "a"}].values(flow=True)
    assert (values.sum(), values[0]) == (1000, 3)
    # an anomaly score of either sign
    histogram = score_histogram({"a": (np.linspace(-5, 5, 100), np.ones(100))})
    assert histogram.axes["score"].transform is None and histogram.sum(flow=False).value == 100
    values = score_histogram({"a": (scores, np.ones(1000))}, limits=(0.1, 10)).values(flow=True)
    assert values.sum() == 1000 and values[0, 0] == 3


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: score_histogram({"a": (np.ones(50), np.ones(60))}), "'a': 50 scores and 60 weights"),
        (lambda: score_histogram({"a": (np.ones(2), [1, np.nan])}), "'a': 1 weights are not finite"),
        (lambda: mjj_score_histogram(np.ones(3), np.ones(2), np.ones(3)), "3 values of mjj and 2 scores"),
        (lambda: mjj_score_histogram(np.ones(2), np.ones(2), np.ones(3)), "2 scores and 3 weights"),
        (lambda: mjj_score_histogram([1300], [np.nan], [1]), "no scores"),
        (lambda: mjj_score_histogram([], [], []), "no scores"),
        (lambda: observable_histogram({"a": [np.nan, np.inf]}, label="x"), "no jets"),
        (lambda: residual_histogram({"a": [np.nan]}, label="x"), "no particles"),
        (lambda: variables_histogram({"a": ([[np.inf, 1]], [1])}, ["mjj", "score"]), "no finite mjj"),
    ],
)
def test_samples_that_no_histogram_can_have(draw, message):
    """Some ended with a traceback of NumPy or of boost-histogram."""
    with pytest.raises(DataError, match=message):
        draw()


@pytest.mark.parametrize("limits", [(0, 1), (2, 1), (1, 1), (np.nan, 1), (1, np.inf)])
def test_limits_that_no_axis_can_have(limits):
    with pytest.raises(OptionError, match="limit is"):
        score_histogram({"a": ([1.0], [1.0])}, limits=limits)
    with pytest.raises(OptionError, match="bins is 1000000000000"):
        score_histogram({"a": ([1.0], [1.0])}, bins=10**12)


def test_observables_of_any_sign_and_with_nan():
    """NaN and values that are all zero, or negative, ended in a traceback."""
    values = np.append(np.linspace(-10, -1, 1000), np.nan)
    histogram = observable_histogram({"a": values, "b": [np.nan, -5.0]}, label="x")
    low, high = histogram.axes["value"].edges[[0, -1]]
    assert low < -10 and high >= -1
    assert histogram[{"dataset": "a"}].values().sum() == 1000
    assert histogram[{"dataset": "b"}].values(flow=True).sum() == 1
    assert observable_histogram({"a": np.zeros(5)}, label="x").sum(flow=False).value == 5


def test_columns_of_scored_files():
    columns = np.array([[1300.0, 1.0], [2500.0, 50.0], [np.nan, 1.0]])
    histogram = variables_histogram({"QCD": (columns, [1, 2, 4])}, ["mjj", "j1_loss"], bins=5)
    _, mjj, loss = histogram.axes
    assert (mjj.name, mjj.label) == ("mjj", "$m_{jj}$ (GeV)") and mjj.transform is None
    assert loss.label == "Jet 1: Loss" and loss.transform is not None
    assert histogram.sum(flow=False).value == 3


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


def test_losses_on_an_axis_of_their_name(rng):
    losses, weight = rng.lognormal(0, 1, 200), rng.uniform(0, 1, 200)
    losses[:2] = np.nan, 0
    histogram = loss_histogram({"qcd": (losses, weight)}, "kl_loss", bins=7)
    assert [axis.name for axis in histogram.axes] == ["dataset", "kl_loss"]
    assert histogram.axes["kl_loss"].label == "KL divergence" and len(histogram.axes["kl_loss"]) == 7
    assert histogram.sum().value == pytest.approx(weight[2:].sum())


def test_losses_have_the_unit_of_the_distance():
    """Those of adopted models, of the density and of relative errors were in GeV^2 too."""
    assert loss_labels({})["reco_loss"] == "Reconstruction loss (GeV$^2$)"
    assert loss_labels({"distance": "weighted"}) == {
        "loss": "Loss (GeV)",
        "reco_loss": "Reconstruction loss (GeV)",
        "kl_loss": "KL divergence",
    }
    assert loss_labels({"losses": ["loss"]}) == {"loss": "Loss"}
    assert loss_labels({"architecture": "adopted", "losses": ["loss", "reco_loss"]})["loss"] == "Loss"
    own = loss_labels({"architecture": "adopted", "losses": ["score", "other"]})
    assert own == {"score": "Score of a jet", "other": "other"}
    assert loss_histogram({"qcd": ([1.0, 2.0], [1, 1])}, "other").axes["other"].label == "other"


def test_jet_1_and_jet_2_have_an_axis_each():
    losses = np.array([[1.0, 50.0], [50.0, 1.0], [50.0, 1.0], [np.nan, 1.0]])
    histogram = jets_histogram({"qcd": (losses, [1.0, 2.0, 4.0, 8.0])}, "reco_loss", bins=2, limits=(0.1, 1000))
    assert [axis.name for axis in histogram.axes] == ["dataset", "jet1", "jet2"]
    assert histogram[{"dataset": "qcd"}].values().tolist() == [[0, 1], [6, 0]]
    assert histogram.axes["jet2"].label == "Jet 2: Reconstruction loss"
    with pytest.raises(DataError, match="no losses to make a histogram of"):
        jets_histogram({"qcd": (losses[3:], [1.0])}, "reco_loss")


def test_score_against_mjj():
    histogram = mjj_score_histogram(
        [1300, 1300, 4000, 9000, 1300], [1, 1, 90, 90, np.inf], [1, 2, 4, 8, 16], bins=(3, 2), limits=(0.1, 1000)
    )
    assert [axis.name for axis in histogram.axes] == ["mjj", "score"]
    assert histogram.values().tolist() == [[3, 0], [0, 0], [0, 4]]
    assert histogram.variances().sum() == 1 + 4 + 16
    with pytest.raises(OptionError, match="bins is 0"):
        mjj_score_histogram([1300], [1.0], [1.0], bins=(3, 0))


def test_residuals_around_zero(rng):
    samples = {"conv": rng.normal(0, 1, 20_000), "graph": np.array([0.0, 1e9])}
    histogram = residual_histogram(samples, label="difference", bins=11)
    edges = histogram.axes["value"].edges
    assert edges[-1] == pytest.approx(2.58, abs=0.05) and np.allclose(edges, -edges[::-1])
    assert histogram[{"dataset": "graph"}].values().tolist() == [0.0] * 5 + [1.0] + [0.0] * 5
    assert histogram[{"dataset": "graph"}].values(flow=True).sum() == 2
    assert residual_histogram({"same": np.zeros(3)}, label="x").values().sum() == 3
    with pytest.raises(DataError, match="no particles"):
        residual_histogram({}, label="x")
    with pytest.raises(OptionError, match="bins is 0"):
        residual_histogram(samples, label="x", bins=0)


def test_scores_of_either_sign_in_the_histogram_of_a_search():
    """A classifier's scores below zero were all in the underflow."""
    from hepvae.plots.histograms import search_histogram

    histogram = search_histogram(bins=4, limits=(-2, 2))
    histogram.fill(dataset="a", variation="nominal", score=[-1.5, -0.5, 1.5], mjj=[2000.0] * 3)
    assert histogram.project("score").values().tolist() == [1, 1, 0, 1]
