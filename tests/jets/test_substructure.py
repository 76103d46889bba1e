"""N-subjettiness and soft drop, held against FastJet's clustering and against jets whose values are known."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

import hepvae
from hepvae import InputSpec, pad_particles

NAMES = ("tau21", "tau32", "tau43", "softdrop_mass")


def observables(jets):
    return pad_particles(jets, InputSpec(1, (), jet_features=NAMES))[..., 0, :]


def jet(pt, eta, phi):
    inside = ak.Array({"pt": np.float32(pt), "eta": np.float32(eta), "phi": np.float32(phi)})
    whole = {name: np.float32([0.0]) for name in ("pt", "eta", "phi", "mass")}
    return ak.zip({**whole, "constituents": inside[np.newaxis]}, depth_limit=1)


def test_jets_of_few_particles():
    assert observables(jet([5], [0], [0])).tolist() == [[0, 0, 0, 0]]
    # Two prongs, on both sides of phi = pi: nothing is left of tau2; a mass by hand.
    tau21, tau32, tau43, mass = observables(jet([100, 50], [0, 0], [3.1, -3.1]))[0]
    assert (tau21, tau32, tau43) == (0, 0, 0)
    assert mass == pytest.approx(np.sqrt(2 * 100 * 50 * (1 - np.cos(2 * np.pi - 6.2))), rel=1e-5)
    # The softer one carries less than a tenth: it is dropped, and a particle without mass is left.
    assert observables(jet([100, 5], [0, 0], [0, 0.1]))[0, 3] == 0


def test_same_as_fastjet():
    fastjet = pytest.importorskip("fastjet")
    events = hepvae.read_dijets(hepvae.sample_path("GtoWW15na"), entry_stop=15)
    jets = ak.flatten(events.jets)
    found = observables(jets)
    for one, values in zip(jets, found):
        pt, eta, phi = (np.float64(one.constituents[name]) for name in ("pt", "eta", "phi"))
        particles = [
            fastjet.PseudoJet(p * np.cos(f), p * np.sin(f), p * np.sinh(e), p * np.cosh(e))
            for p, e, f in zip(pt, eta, phi)
        ]
        # Sequences point into memory of their own: both are kept to the end.
        by_kt = fastjet.ClusterSequence(particles, fastjet.JetDefinition(fastjet.kt_algorithm, 999.0))
        tau = []
        for number in (1, 2, 3, 4):
            axes = by_kt.exclusive_jets(number)
            tau.append(sum(p.pt() * min(p.delta_R(axis) for axis in axes) for p in particles))
        by_angle = fastjet.ClusterSequence(particles, fastjet.JetDefinition(fastjet.cambridge_algorithm, 999.0))
        node, a, b = by_angle.inclusive_jets()[0], fastjet.PseudoJet(), fastjet.PseudoJet()
        while node.has_parents(a, b):
            if min(a.pt(), b.pt()) > 0.1 * (a.pt() + b.pt()):
                break
            node = fastjet.PseudoJet(a if a.pt() > b.pt() else b)
            a, b = fastjet.PseudoJet(), fastjet.PseudoJet()
        expected = [tau[1] / tau[0], tau[2] / tau[1], tau[3] / tau[2], node.m()]
        assert values == pytest.approx(expected, rel=2e-3, abs=1e-3)
