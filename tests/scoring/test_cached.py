"""`CachedInferer`: a jet is scored again only where the network is given something else of it."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

import hepvae
from hepvae.jets.padding import flatten_jets
from hepvae.scoring.cached import fingerprints


@pytest.fixture
def jets():
    return ak.from_regular(hepvae.read_dijets(hepvae.sample_path("GtoWW15na"), entry_stop=200).jets)


def shifted(jets, name, by):
    return ak.with_field(jets, jets[name] + by, name)


def scaled_constituents(jets):
    constituents = ak.with_field(jets.constituents, 1.02 * jets.constituents.pt, "pt")
    return ak.with_field(jets, ak.values_astype(constituents, np.float32), "constituents")


VARIATIONS = {
    "jet pt": (lambda jets: shifted(jets, "pt", 10), 0),
    "jet mass": (lambda jets: shifted(jets, "mass", 10), 0),
    "cut and sorted": (lambda jets: jets[ak.argsort(jets.mass, axis=1)][:, 1:], 0),
    "axis": (lambda jets: shifted(jets, "phi", np.float32(1e-3)), 400),
    "pt of constituents": (scaled_constituents, 400),
    "some constituents": (
        lambda jets: ak.concatenate([scaled_constituents(jets[:50]), jets[50:]]),
        100,
    ),
}


@pytest.mark.parametrize("variation", VARIATIONS)
def test_what_changed_is_scored_again_and_nothing_else(variation, jets, conv):
    vary, number = VARIATIONS[variation]
    cached = hepvae.CachedInferer(conv)
    hepvae.score_jets(jets, cached)
    before = cached.jets_scored
    losses = hepvae.score_jets(vary(jets), cached)
    assert (before, cached.jets_scored - before) == (400, number)
    expected = hepvae.score_jets(vary(jets), conv)
    for name in losses.fields:
        assert ak.array_equal(losses[name], expected[name])


@pytest.mark.parametrize(
    ("spec", "name", "matters"),
    [
        (hepvae.InputSpec(), "pt", False),
        (hepvae.InputSpec(coordinates="absolute"), "eta", False),
        (hepvae.InputSpec(features=("deta", "dphi", "pt_fraction", "pt")), "pt", True),
        (hepvae.InputSpec(features=("deta", "dphi", "pt")), "pt", False),
        (hepvae.InputSpec(jet_features=("mass",)), "mass", True),
        (hepvae.InputSpec(jet_features=("mass",)), "pt", False),
    ],
)
def test_what_a_model_takes_of_the_jet_decides(spec, name, matters, jets):
    chosen = np.arange(400)
    before, after = (
        fingerprints(flatten_jets(ak.flatten(one)), chosen, spec) for one in (jets, shifted(jets, name, 0.01))
    )
    assert [one == other for one, other in zip(before, after)] == [not matters] * 400


def test_equal_jets_have_equal_fingerprints_and_others_do_not(jets):
    spec = hepvae.InputSpec()
    flat = flatten_jets(ak.flatten(jets))
    keys = fingerprints(flat, np.arange(400), spec)
    assert fingerprints(flat, np.arange(399, -1, -1), spec) == keys[::-1]
    assert len(set(keys)) == 400
    # One bit of one constituent changes the fingerprint.
    constituents = ak.to_list(jets[:1].constituents[..., ["pt", "eta", "phi"]])
    pt = np.float32(constituents[0][0][3]["pt"])
    constituents[0][0][3]["pt"] = np.nextafter(pt, np.float32(np.inf))
    changed = ak.values_astype(ak.Array(constituents), np.float32)
    again = fingerprints(
        flatten_jets(ak.flatten(ak.with_field(jets[:1], changed, "constituents"))), np.arange(2), spec
    )
    assert again[0] != keys[0] and again[1] == keys[1]


def test_it_takes_the_place_of_an_inferer(jets, conv):
    events = hepvae.read_dijets(hepvae.sample_path("GtoWW15na"), entry_stop=200)
    cached = hepvae.CachedInferer(conv)
    for _ in range(2):
        scored = hepvae.score_dijets(events, cached, strategy="max")
        assert ak.array_equal(scored.score, hepvae.score_dijets(events, conv, strategy="max").score)
    assert cached.jets_scored == 400
    with pytest.raises(hepvae.OptionError, match=r"expected hepvae\.load_inferer"):
        hepvae.CachedInferer("conv")


def test_jets_of_a_call_that_failed_are_scored_by_the_next(jets, conv, monkeypatch):
    def failing(jets, chosen):
        raise MemoryError("out of memory")

    cached = hepvae.CachedInferer(conv)
    with monkeypatch.context() as patched:
        patched.setattr(conv, "losses_of", failing)
        with pytest.raises(MemoryError):
            hepvae.score_jets(jets, cached)
    losses = hepvae.score_jets(jets, cached)
    assert cached.jets_scored == 400
    assert ak.array_equal(losses.loss, hepvae.score_jets(jets, conv).loss)
