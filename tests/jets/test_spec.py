from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from hepvae import InputSpec, SpecError


def test_frozen_and_equal_by_value():
    assert InputSpec() == InputSpec(100, ("eta", "phi", "pt"), "relative")
    assert hash(InputSpec()) == hash(InputSpec())
    assert InputSpec(n_particles=50) != InputSpec()
    with pytest.raises(dataclasses.FrozenInstanceError):
        InputSpec().n_particles = 3


def test_through_json_and_back():
    spec = InputSpec(40, ["pt", "eta"], "absolute")
    assert InputSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"n_particles": 0}, "n_particles is 0"),
        ({"n_particles": True}, "n_particles is True"),
        ({"n_particles": 1.5}, "n_particles is 1.5"),
        ({"features": ("eta", "log_ptt")}, "'log_ptt' of level 'constituents' is unknown.*nearest: 'log_pt'"),
        ({"features": ("eta", "pt of it")}, "'pt of it'"),
        ({"features": (), "jet_features": ("mass",)}, "n_particles is 100: expected 1"),
        ({"jet_features": ("a/b/c",)}, "'a/b/c'"),
        ({"features": ()}, r"features are \(\)"),
        ({"features": ("pt", "pt")}, "each once"),
        ({"coordinates": "polar"}, "polar"),
    ],
)
def test_what_cannot_be_is_refused(values, named):
    with pytest.raises(SpecError, match=named):
        InputSpec(**values)


def test_from_dict_refuses_other_keys():
    with pytest.raises(SpecError, match="expected the keys coordinates, features, n_particles"):
        InputSpec.from_dict({**InputSpec().to_dict(), "padding": 0})


def test_check_names_both_shapes():
    spec = InputSpec(5)
    spec.check(np.zeros((2, 5, 3)))
    spec.check(np.zeros((2, 2, 5, 3)))
    for shape in [(2, 4, 3), (2, 5, 2), (5, 3), (1, 1, 1, 5, 3)]:
        with pytest.raises(SpecError, match=r"expected \(jets, 5, 3\)"):
            spec.check(np.zeros(shape))
