"""The table of features: the compiled loops held against one constituent at a time, in float64."""

from __future__ import annotations

import json

import awkward as ak
import numpy as np
import pytest
from helpers.reference import pad_one_by_one

from hepvae import InputSpec, SpecError, pad_particles
from hepvae.jets.features import ALIASES, FEATURES, feature
from hepvae.jets.padding import flatten_jets

MASSES = (0.0, 0.00051, 0.13957, 0.93827)


@pytest.fixture(scope="module")
def jets():
    """Ragged jets in no order, some constituents without pt, with the columns of a NanoAOD and one more."""
    random = np.random.default_rng(5)
    counts = random.integers(1, 40, 60)
    n = counts.sum()
    pt = random.exponential(20, n).astype("f4") + np.float32(0.01)
    pt[random.random(n) < 0.03] = 0
    pt[np.cumsum(counts) - 1] = 7
    constituents = {
        "pt": pt,
        "eta": random.normal(0, 2, n).astype("f4"),
        "phi": random.uniform(-np.pi, np.pi, n).astype("f4"),
        "mass": random.choice(MASSES, n).astype("f4"),
        "charge": random.integers(-1, 2, n).astype("i1"),
        "pdgId": random.choice([211, -211, 22, 130, 11], n).astype("i4"),
        "dxy": random.normal(0, 0.01, n).astype("f4"),
    }
    columns = {
        "pt": random.uniform(200, 900, 60),
        "eta": random.normal(0, 1, 60),
        "phi": random.uniform(-np.pi, np.pi, 60),
        "mass": random.uniform(10, 200, 60),
        "tau1": random.uniform(0.1, 1, 60),
        "tau2": random.uniform(0.1, 1, 60),
    }
    columns = {name: values.astype("f4") for name, values in columns.items()}
    inside = ak.zip({name: ak.unflatten(values, counts) for name, values in constituents.items()})
    return ak.zip({**columns, "constituents": inside}, depth_limit=1)


COMPUTED = ("tau21", "tau32", "tau43", "softdrop_mass")
SPECS = [
    *(InputSpec(20, (name,), "absolute") for name in FEATURES["constituents"] if not name.startswith("is_")),
    InputSpec(8, ("log_pt", "eta", "phi", "energy_fraction", "dxy", "is_photon", "pdgId")),
    InputSpec(50, ("delta_r", "pt"), jet_features=("mass", "girth", "FatJet_tau2/FatJet_tau1")),
    *(InputSpec(1, (), jet_features=(name,)) for name in FEATURES["jet"] if name not in COMPUTED),
]


def with_pt(jets):
    """Constituents without pt are padding in every spec that is not of momenta only."""
    return ak.with_field(jets, jets.constituents[jets.constituents.pt > 0], "constituents")


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: "-".join((*spec.features, *spec.jet_features)))
def test_same_as_one_by_one(jets, spec):
    padded = pad_particles(jets, spec)
    assert padded.dtype == np.float32
    assert padded.shape == (60, *spec.shape)
    expected = pad_one_by_one((jets if spec.momenta_only else with_pt(jets)).to_list(), spec)
    assert np.allclose(padded, expected, rtol=3e-6, atol=3e-6)


def test_falling_pt_gives_the_same_bits(jets):
    """Jets in order, whose constituents are taken as they lie, and jets in none."""
    spec = InputSpec(30, ("log_pt", "log_energy", "deta", "dphi", "delta_r"))
    constituents = jets.constituents
    order = ak.argsort(constituents.pt, axis=1, ascending=False, stable=True)
    ordered = ak.with_field(jets, constituents[order], "constituents")
    assert np.array_equal(pad_particles(jets, spec), pad_particles(ordered, spec))


@pytest.mark.parametrize(
    ("features", "other"), [(("deta", "dphi", "pt"), "relative"), (("eta", "phi"), "absolute")]
)
def test_same_bits_as_the_loop_of_momenta(jets, features, other):
    jets = with_pt(jets)
    momenta = InputSpec(30, tuple(name.removeprefix("d") for name in features), other)
    spec = InputSpec(30, (*features, "delta_r"), "absolute")
    assert np.array_equal(pad_particles(jets, spec)[..., :-1], pad_particles(jets, momenta))


def test_logarithms_and_exponentials_over_the_whole_range():
    """The loops have their own: to float32's last digits for any momentum that a collider gives."""
    pt = np.geomspace(1e-6, 1e6, 3000).astype("f4")
    eta = np.linspace(-9, 9, 3000).astype("f4")
    jets = ak.zip({"pt": pt[:, None], "eta": eta[:, None], "phi": 0 * eta[:, None], "mass": 0 * eta[:, None]})
    jets = ak.zip({"pt": pt, "eta": eta, "phi": 0 * eta, "mass": 0 * eta, "constituents": jets}, depth_limit=1)
    log_pt, energy = pad_particles(jets, InputSpec(1, ("log_pt", "energy")))[:, 0].T
    assert np.allclose(log_pt, np.log(pt, dtype="f8"), rtol=2e-7, atol=3e-7)
    assert np.allclose(energy, pt.astype("f8") * np.cosh(eta, dtype="f8"), rtol=1e-6)


def test_columns_that_are_not_there_are_named(jets):
    lost = ak.zip({c: jets.constituents[c] for c in ("pt", "eta", "phi")})
    with pytest.raises(SpecError, match=r"no 'mass' in the constituents.*found pt, eta, phi"):
        pad_particles(ak.with_field(jets, lost, "constituents"), InputSpec(5, ("log_energy",)))
    with pytest.raises(SpecError, match="no 'FatJet_tau3' in the jets"):
        pad_particles(jets, InputSpec(1, (), jet_features=("FatJet_tau3",)))
    with pytest.raises(SpecError, match=r"pt of the jet.*expected jets"):
        pad_particles(jets.constituents, InputSpec(5, ("pt_fraction",)))


def test_spec_says_which_columns_it_needs():
    spec = InputSpec(5, ("log_energy", "dxy", "pt_fraction"), jet_features=("mass", "FatJet_tau2/FatJet_tau1"))
    assert spec.columns == ("mass", "dxy")
    assert spec.jet_columns == ("FatJet_tau2", "FatJet_tau1")
    assert InputSpec().columns == InputSpec().jet_columns == ()
    assert InputSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    assert InputSpec().to_dict().keys() == {"n_particles", "features", "coordinates"}


def test_features_are_computed_once(jets):
    flat, row = flatten_jets(jets), feature("is_photon", "constituents")
    assert flat.computed(row) is flat.computed(feature("is_photon", "constituents"))


def test_aliases_name_rows():
    assert {name for name in ALIASES.values() if name != "mask"} <= FEATURES["constituents"].keys()
