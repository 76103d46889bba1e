from __future__ import annotations

import numpy as np
import pytest

from hepvae import OptionError
from hepvae.scores import STRATEGIES, event_score

RECO = np.array([[1.0, 4.0], [6.0, 2.0]], np.float32)
KL = np.array([[10.0, 0.0], [2.0, 20.0]], np.float32)


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [("min", [4, 7]), ("max", [6, 12]), ("sum", [10, 19]), ("j1", [6, 7]), ("j2", [4, 12])],
)
def test_strategies_with_the_weight_of_the_later_selection(strategy, expected):
    score = event_score(RECO, KL, strategy=strategy, kl_weight=0.5)
    assert score.dtype == np.float32
    assert score.tolist() == expected


def test_weight_zero_is_the_reconstruction_alone():
    assert event_score(RECO, KL, strategy="sum", kl_weight=0).tolist() == [5, 8]


def test_symmetric_strategies_do_not_see_the_order_of_the_jets():
    for strategy in set(STRATEGIES) - {"j1", "j2"}:
        forth = event_score(RECO, KL, strategy=strategy, kl_weight=0.3)
        back = event_score(RECO[:, ::-1], KL[:, ::-1], strategy=strategy, kl_weight=0.3)
        assert np.array_equal(forth, back)


def test_unknown_strategy():
    with pytest.raises(OptionError, match="strategy 'mean' is unknown: expected one of min, max, sum, j1, j2"):
        event_score(RECO, KL, strategy="mean", kl_weight=0)
