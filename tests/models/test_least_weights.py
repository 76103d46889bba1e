"""The bound on a model's memory: near the number of its weights, and never above it."""

from __future__ import annotations

import pytest

from hepvae import InputSpec, OptionError
from hepvae.models import ARCHITECTURES, architecture, hyperparameters
from hepvae.models.card import ModelCard

pytest.importorskip("tensorflow")

CHANGED = [
    ("conv", {}),
    ("conv", {"latent": 300, "dense": [30], "filters": [4, 5], "kernel": 5}),
    ("graph", {}),
    ("graph", {"latent": 200, "units": [300], "heads": 3, "width": 4, "convolutions": 0}),
    ("edge", {"neighbours": 3, "decoder_width": 200, "decoder_convolutions": 5, "codes": 40}),
    ("edge-dense", {}),
    ("graph-slots", {}),
    ("graph-slots", {"heads": 1, "head_width": 5, "hidden": 30, "convolutions": 0, "decoder_convolutions": 3}),
]


@pytest.mark.parametrize("name, changed", CHANGED, ids=str)
def test_bound_is_near_the_number_of_weights(name, changed):
    from hepvae.models.vae import VAE

    card = ModelCard(name, InputSpec(), (0, 0, 1), (1, 1, 1), hyperparameters=changed)
    weights = VAE(card).count_params()
    bound = architecture(name).least_weights(card.spec, hyperparameters(name, changed))
    assert 0.5 * weights <= bound <= weights


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "8", None, [1], 10**30, float("nan")], ids=str)
def test_every_hyperparameter_is_checked(name, wrong):
    for key, value in hyperparameters(name).items():
        changed = [wrong] if isinstance(value, list) else wrong
        allowed = (wrong == 0 and "convolutions" in key) or (wrong == 10**30 and "convolutions" not in key)
        if allowed or (name == "graph" and key == "neighbours" and wrong == 0):
            hyperparameters(name, {key: changed})
            continue
        with pytest.raises(OptionError, match=rf"{name}: {key} is .*: expected a whole number"):
            hyperparameters(name, {key: changed})
