from __future__ import annotations

import json
from dataclasses import replace

import pytest

from hepvae import InputSpec, ModelError
from hepvae.models.card import ModelCard

CARD = ModelCard("conv", InputSpec(), (0.0, 0.1, 6.0), (0.2, 0.2, 20.0), 0.01, {"latent": 4}, {"seed": 3})


def test_through_json_and_back():
    assert ModelCard.from_json(CARD.to_json(), "x.onnx") == CARD


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "expected format 1"),
        ({"mean": [0.0]}, "one value for each feature"),
        ({"std": [1.0, 0.0, 1.0]}, "expected positive values"),
        ({"spec": {"n_particles": 3}}, "expected the keys"),
        ({"beta": "much"}, "could not convert"),
        ({"flavour": 5}, "flavour"),
        ({"beta": float("nan")}, "must be finite"),
        ({"distance": "euclid"}, "distance 'euclid' is unknown"),
    ],
)
def test_a_wrong_card_names_its_file(change, message):
    with pytest.raises(ModelError, match=rf"x\.onnx: .*{message}"):
        ModelCard.from_json(json.dumps({**CARD.to_dict(), **change}), "x.onnx")


@pytest.mark.parametrize("text", ["{", "[1]", "null", ""])
def test_not_a_card(text):
    with pytest.raises(ModelError, match=r"x\.onnx: "):
        ModelCard.from_json(text, "x.onnx")


def test_provenance_is_added_to():
    assert CARD.with_provenance(epochs=2).provenance == {"seed": 3, "epochs": 2}
    assert CARD.provenance == {"seed": 3}


def test_a_card_from_before_there_were_distances():
    values = CARD.to_dict()
    assert values.pop("distance") == "features"
    assert ModelCard.from_dict(values) == CARD


def test_jets_are_compared_where_a_model_gives_back_their_momenta():
    card = ModelCard("conv", InputSpec(features=("pt", "eta", "phi")), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    assert card.reconstructs_momenta
    assert not replace(card, spec=InputSpec(features=("eta", "phi", "log_pt"))).reconstructs_momenta
    assert not replace(card, reconstruction=None).reconstructs_momenta
    assert not replace(card, reconstruction=replace(card.reconstruction, values="network")).reconstructs_momenta
