"""Cards of foreign models: read whole, and errors that name the line."""

from __future__ import annotations

import json
import math

import pytest

from hepvae import InputSpec, ModelError
from hepvae.models.foreign import NetworkFeature, resolved
from hepvae.models.foreign_file import read_card

CARD = """
name = "my-vae"

[input]
tensor = "x"
n_particles = 50
features = [["log_pt", 1.7, 0.7, -5, 5], "deta", "dphi"]

[output]
reconstruction = "y"
z_mean = "m"
z_log_var = "v"

[loss]
reco = "mse"
kl_weight = 0.01
"""


def written(tmp_path, text):
    path = tmp_path / "card.toml"
    path.write_text(text)
    return path


def test_a_card_is_read_whole(tmp_path):
    card = read_card(written(tmp_path, CARD))
    assert card.inputs[0].features[0] == NetworkFeature("log_pt", 1.7, 0.7, -5, 5)
    assert card.outputs.names == ("loss", "reco_loss", "kl_loss")
    assert card.spec == InputSpec(50, ("log_pt", "deta", "dphi", "pt"))
    assert (card.loss.on, card.loss.reduction, card.loss.distance) == ("network", "mean", "features")


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('name = "my-vae"', "", r"name is missing"),
        ('"deta"', '"detta"', r"line 7: input.features feature 'detta'.*nearest: 'deta'"),
        ("n_particles = 50", "n_particles = 0", r"line 6: input.n_particles"),
        ("n_particles = 50", "particles = 50", r"line 6: input.particles is unknown.*nearest: 'n_particles'"),
        ("n_particles = 50", 'axes = "particles, jets"', r"line 6: input.axes"),
        ("[output]", "[outputs]", r"output is missing"),
        ('z_log_var = "v"', "", r"kl_weight needs z_mean and z_log_var"),
        ('reco = "mse"', 'reco = "mes"', r"line 15: loss.reco.*nearest: 'mse'"),
        ('reco = "mse"', "", r"line 14: loss.reco is missing"),
        ('reco = "mse"', 'reco = "mse"\ndistance = "momenta"', r"loss.distance is of chamfer"),
        ('reco = "mse"', 'reco = "chamfer"\ndistance = "momenta"', r"loss.distance is \"momenta\""),
        ('reconstruction = "y"', "reconstruction = -1", r"line 10: output.reconstruction.*position from 0 on"),
        ('reconstruction = "y"', 'reconstruction = "y"\nscore = "s"', r"reconstruction and score"),
        ("1.7, 0.7, -5, 5", "1.7, 0.0, -5, 5", None),
        ("1.7, 0.7, -5, 5", "1.7, 0.7, 5, -5", r"lowest value is above the highest"),
        ('reco = "mse"', "reco = [", r"cannot be read as the card"),
    ],
)
def test_errors_name_the_line(tmp_path, old, new, named):
    path = written(tmp_path, CARD.replace(old, new, 1))
    if named is None:
        read_card(path)
        return
    with pytest.raises(ModelError, match=named) as caught:
        read_card(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_physical_values_need_an_inverse():
    card = {
        "name": "a",
        "input": {"tensor": "x", "n_particles": 5, "features": [["pt", 0, 0]]},
        "output": {"reconstruction": "y"},
        "loss": {"reco": "mse", "on": "physical"},
    }
    with pytest.raises(ModelError, match="pt is multiplied by 0"):
        read_card(card)


def test_tensors_of_both_levels_and_of_other_lengths():
    tensors = {
        "hard": {"n_particles": 10, "features": ["eta", "pt"]},
        "all": {"n_particles": 40, "features": ["phi"], "coordinates": "absolute"},
        "jet": {"level": "jet", "features": ["mass", "girth"]},
    }
    card = read_card({"name": "a", "input": {"tensors": tensors}, "output": {"losses": {"loss": "l"}}})
    assert card.spec == InputSpec(40, ("deta", "pt", "phi"), "absolute", ("mass", "girth"))
    shapes = {"hard": (None, 10, 2), "all": (None, 40, 1), "jet": (None, 2)}
    assert [one.n_particles for one in resolved(card, shapes).inputs] == [10, 40, None]
    with pytest.raises(ModelError, match=r"the model needs 'more' too"):
        resolved(card, {**shapes, "more": (None, 3)})


def weaver(**changes):
    info = {"median": 1.7, "norm_factor": 0.7, "lower_bound": -5, "upper_bound": 1e32, "pad": 0}
    names = ["part_pt_log", "part_deltaR"]
    values = {
        "input_names": ["points", "mask"],
        "points": {"var_names": names, "var_length": 30, "var_infos": dict.fromkeys(names, info)},
        "mask": {
            "var_names": ["part_mask"],
            "var_length": 30,
            "var_infos": {"part_mask": {**info, "median": 0, "norm_factor": 1, "lower_bound": -1e32}},
        },
    }
    return values | changes


def test_preprocess_of_weaver(tmp_path):
    (tmp_path / "p.json").write_text(json.dumps(weaver()))
    text = 'name = "w"\npreprocess = "p.json"\n[output]\nscore = 0\n'
    card = read_card(written(tmp_path, text))
    assert card.inputs[0].axes == "jets, features, particles"
    assert card.inputs[0].features[1] == NetworkFeature("delta_r", 1.7, 0.7, -5, math.inf)
    assert card.mask.axes == "jets, 1, particles"
    assert card.spec.features == ("log_pt", "delta_r", "pt")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("[", "cannot be read"),
        ("{}", "no preprocess.json of weaver-core"),
        (json.dumps(weaver(points={"var_names": ["a b"], "var_length": 3, "var_infos": {}})), "KeyError"),
        (json.dumps(weaver(input_names=[])), "has no inputs"),
    ],
)
def test_a_preprocess_that_is_none(tmp_path, content, named):
    (tmp_path / "p.json").write_text(content)
    with pytest.raises(ModelError, match=f"line 2: preprocess.*{named}"):
        read_card(written(tmp_path, 'name = "w"\npreprocess = "p.json"\n[output]\nscore = 0\n'))
