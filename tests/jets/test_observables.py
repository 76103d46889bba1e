"""Jets from padded particles: kinematics known by hand, invariances, jets of the samples, matched particles."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from hepvae import InputSpec, SpecError
from hepvae.jets.observables import CONSTITUENT_PT, RESIDUALS, jet_observables, nearest_residuals
from hepvae.jets.padding import pad_particles
from hepvae.models.losses import chamfer


def test_two_particles_back_to_back_in_eta():
    """Two massless particles: m^2 = 2 pt1 pt2 (cosh deta - cos dphi)."""
    jets = np.zeros((1, 4, 3), np.float32)
    jets[0, 0], jets[0, 1] = (0.3, 0.1, 100), (-0.2, -0.3, 50)
    found = jet_observables(jets, InputSpec(n_particles=4))
    assert found["mass"] == pytest.approx(np.sqrt(2 * 100 * 50 * (np.cosh(0.5) - np.cos(0.4))), rel=1e-5)
    assert found["pt"] == pytest.approx(np.hypot(100 + 50 * np.cos(0.4), 50 * np.sin(0.4)), rel=1e-5)
    assert found["multiplicity"] == 2


def test_same_after_a_rotation_and_a_boost_along_the_beam(signal_jets):
    moved = signal_jets.copy()
    moved[..., 0] += 1.5
    moved[..., 1] -= 2.0
    before, after = (jet_observables(jets, InputSpec()) for jets in (signal_jets, moved))
    for name in before:
        assert np.allclose(before[name], after[name], rtol=1e-4), name


def test_two_prongs_and_one():
    """tau21 is small where all constituents are near one of two axes, and 0 where there are no more than two."""
    jets = np.zeros((2, 3, 3), np.float32)
    jets[:, 0], jets[:, 1] = (0.3, 0.1, 100), (-0.2, -0.3, 50)
    jets[1, 2] = 0.31, 0.1, 10
    tau21 = jet_observables(jets, InputSpec(n_particles=3))["tau21"]
    assert tau21[0] == pytest.approx(0, abs=1e-5) and 0 < tau21[1] < 0.05


def test_jets_of_the_sample(signal_events):
    """Massless constituents in relative coordinates make about the jet of the file."""
    found = jet_observables(
        pad_particles(signal_events, InputSpec(n_particles=300)).reshape(-1, 300, 3), InputSpec(300)
    )
    jets = ak.flatten(signal_events.jets)
    assert np.allclose(found["pt"], jets.pt, rtol=5e-3)
    assert 0.95 < np.median(found["mass"] / jets.mass) < 1  # pions and kaons have some mass of their own
    assert found["multiplicity"].tolist() == ak.sum(jets.constituents.pt > CONSTITUENT_PT, axis=1).tolist()


def test_particles_that_a_decoder_may_make():
    """Negative pt counts as none; soft ones do not count for the multiplicity; one particle has no mass."""
    jets = np.zeros((1, 3, 3), np.float32)
    jets[0, :, 2] = 100, -3, 0.1
    jets[0, 1, 0] = 1
    found = jet_observables(jets, InputSpec(n_particles=3))
    assert found["pt"] == pytest.approx(100.1) and found["mass"] == pytest.approx(0, abs=1e-3)
    assert found["multiplicity"].tolist() == [1]


def test_features_that_are_needed():
    with pytest.raises(SpecError, match="jets need phi of their constituents: found pt, eta"):
        jet_observables(np.zeros((1, 3, 2)), InputSpec(n_particles=3, features=("pt", "eta")))


def test_residuals_of_a_known_shift(rng):
    """Particles far apart, all moved alike and shuffled: each finds itself; padding finds nobody."""
    jets = np.zeros((300, 6, 3), np.float32)  # more than are taken at once
    numbers = rng.integers(1, 7, 300)
    for jet, n in zip(jets, numbers):
        jet[:n, 2] = 10 * (1 + rng.permutation(n))
        jet[:n, :2] = rng.normal(0, 0.3, (n, 2))
    shift = np.array([0.02, -0.05, 1.5], np.float32)
    made = jets + shift
    for one, n in zip(made, numbers):
        one[:n] = one[rng.permutation(n)]
        one[n:, 2] = 1000.0  # in places of padding: nobody's
    found = nearest_residuals(jets, made, InputSpec(n_particles=6))
    for side in ("input", "output"):
        assert set(found[side]) == set(RESIDUALS)
        for name, expected in zip(("eta", "phi", "pt"), shift):
            assert len(found[side][name]) == numbers.sum()
            assert np.allclose(found[side][name], expected, atol=1e-5), (side, name)


def test_residuals_tell_what_is_missed_from_what_is_invented():
    """An input particle without output, and two outputs of one input."""
    jets, made = np.zeros((2, 1, 3, 3), np.float32)
    jets[0, :, 2], made[0, :, 2] = (100, 50, 10), (101, 98, 12)
    found = nearest_residuals(jets, made, InputSpec(n_particles=3))
    assert found["input"]["pt"].tolist() == [1, -38, 2]
    assert found["output"]["pt"].tolist() == [1, -2, 2]


def test_residuals_are_the_distances_of_the_loss(signal_jets, rng):
    spec = InputSpec()
    made = signal_jets + rng.normal(0, 0.1, signal_jets.shape).astype(np.float32)
    mask = (signal_jets[..., 2] > 0).astype(np.float32)
    found = nearest_residuals(signal_jets, made, spec)
    squares = sum(sum(values.astype(np.float64) ** 2 for values in found[side].values()) for side in found)
    loss = chamfer(signal_jets.astype(np.float64), made.astype(np.float64), np, mask)
    assert squares.sum() == pytest.approx((loss * mask.sum(axis=1)).sum(), rel=1e-4)


def test_residuals_across_the_seam_of_phi():
    jets, made = (np.array([[[0.0, phi, 50.0]]], np.float32) for phi in (3.1, -3.1))
    found = nearest_residuals(jets, made, InputSpec(n_particles=1, coordinates="absolute"))
    assert found["input"]["phi"] == pytest.approx(2 * np.pi - 6.2, abs=1e-5)
