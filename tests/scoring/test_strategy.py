from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from hepvae import InputSpec, ModelError, OptionError
from hepvae.models import MASKED
from hepvae.models.card import ModelCard
from hepvae.scoring.strategy import STRATEGIES, ScoreStrategy

RECO = np.array([[1.0, 4.0], [6.0, 2.0]], np.float32)
KL = np.array([[10.0, 0.0], [2.0, 20.0]], np.float32)
CARD = ModelCard("conv", InputSpec(), (0, 0, 10), (1, 1, 20), 0.25, {"latent": 12})


def score_of(strategy, reco_loss, kl_loss, card):
    return strategy.score_of({"reco_loss": reco_loss, "kl_loss": kl_loss}, card)


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [("min", [4, 7]), ("max", [6, 12]), ("sum", [10, 19]), ("j1", [6, 7]), ("j2", [4, 12])],
)
def test_strategies_with_the_weight_of_the_later_selection(strategy, expected):
    score = score_of(ScoreStrategy(strategy, 0.5), RECO, KL, CARD)
    assert score.dtype == np.float32
    assert score.tolist() == expected


def test_the_weight_is_that_of_the_training_unless_told():
    assert score_of(ScoreStrategy("sum"), RECO, KL, CARD).tolist() == [7.5, 13.5]
    assert score_of(ScoreStrategy("sum", 0), RECO, KL, CARD).tolist() == [5, 8]
    assert ScoreStrategy().of(CARD) == ScoreStrategy("min", 0.25, "mean")


def test_sums_as_the_study_takes_them():
    """min over jets of R + 0.5 KL, R summed over 100 particles and KL over 12 latent dimensions."""
    jets = 100 * RECO + 0.5 * 12 * KL
    assert score_of(ScoreStrategy("min", 0.5, "sum"), RECO, KL, CARD).tolist() == jets.min(axis=1).tolist()
    # Sums of another model weigh its terms otherwise: it is not one score times a factor.
    other = replace(CARD, spec=InputSpec(n_particles=50))
    assert score_of(ScoreStrategy("min", 0.5, "sum"), RECO, KL, other).tolist() == [110, 220]


@pytest.mark.parametrize("architecture", sorted(MASKED))
def test_models_that_mask_have_no_sums(architecture):
    card = replace(CARD, architecture=architecture)
    with pytest.raises(OptionError, match=f"convention 'sum': {architecture} takes means"):
        ScoreStrategy(convention="sum").of(card)


def test_symmetric_strategies_do_not_see_the_order_of_the_jets():
    for strategy in set(STRATEGIES) - {"j1", "j2"}:
        forth = score_of(ScoreStrategy(strategy, 0.3), RECO, KL, CARD)
        back = score_of(ScoreStrategy(strategy, 0.3), RECO[:, ::-1], KL[:, ::-1], CARD)
        assert np.array_equal(forth, back)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"strategy": "mean"}, "strategy 'mean' is unknown: expected one of min, max, sum, j1, j2"),
        ({"convention": "total"}, "convention 'total' is unknown: expected one of mean, sum"),
        ({"kl_weight": np.inf}, "kl_weight is inf: expected a finite number"),
    ],
)
def test_what_is_no_strategy(wrong, message):
    with pytest.raises(OptionError, match=message):
        ScoreStrategy(**wrong)


def test_a_record_comes_back_as_it_was():
    made = ScoreStrategy("max", 0.5, "sum")
    assert ScoreStrategy.from_dict({**made.to_dict(), "model": "conv"}) == made
    assert ScoreStrategy.from_dict({"strategy": "j1", "kl_weight": 2.0}) == ScoreStrategy("j1", 2.0)
    with pytest.raises(ModelError, match="score strategy: strategy 'best'"):
        ScoreStrategy.from_dict({"strategy": "best"})


def harmonic(jet1, jet2):
    return jet1 * jet2 / (jet1 + jet2)


def test_a_function_is_a_strategy():
    """Recorded as custom by its name, and sent to workers as it is."""
    jets = RECO + 0.5 * KL
    custom = ScoreStrategy(harmonic, 0.5)
    assert np.allclose(score_of(custom, RECO, KL, CARD), jets[:, 0] * jets[:, 1] / jets.sum(axis=1))
    assert score_of(custom, np.float32(RECO), np.float32(KL), CARD).dtype == np.float32
    record = json.loads(json.dumps(custom.to_dict()))
    assert record["strategy"] == "custom" and record["function"].endswith("test_strategy.harmonic")
    assert ScoreStrategy(np.hypot).name == "numpy.hypot" and ScoreStrategy(partial(np.add)).name.endswith(
        "partial"
    )
    with pytest.raises(ModelError, match=r"function 'numpy.hypot': expected one of min, max, sum"):
        ScoreStrategy.from_dict(ScoreStrategy(np.hypot).to_dict())
    for wrong, given in ((lambda jet1, jet2: 1.0, r"float64 \(\)"), (np.greater, r"bool \(2,\)")):
        with pytest.raises(OptionError, match=f"gives {given}: expected a number for each of 2 events"):
            score_of(ScoreStrategy(wrong), RECO, KL, CARD)


def test_a_model_may_name_its_own():
    of_sum = replace(CARD, strategy="sum")
    assert np.array_equal(
        score_of(ScoreStrategy(), RECO, KL, of_sum), score_of(ScoreStrategy("sum"), RECO, KL, CARD)
    )
    assert np.array_equal(
        score_of(ScoreStrategy("max"), RECO, KL, of_sum), score_of(ScoreStrategy("max"), RECO, KL, CARD)
    )
    assert ScoreStrategy().of(of_sum).to_dict()["strategy"] == "sum"
    assert ScoreStrategy().of(CARD).to_dict()["strategy"] == "min"
