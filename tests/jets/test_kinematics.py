from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
import vector

from hepvae.jets.kinematics import mass, pseudorapidity, wrapped

vector.register_awkward()


def test_same_as_vector(rng):
    momenta = vector.array(
        {name: rng.normal(0, 100, 50) for name in ("px", "py", "pz")} | {"mass": np.linspace(0, 90, 50)}
    )
    assert pseudorapidity(momenta.px, momenta.py, momenta.pz) == pytest.approx(momenta.eta)
    assert mass(momenta.pt, momenta.eta, momenta.E) == pytest.approx(momenta.mass, abs=1e-4)


def test_mass_of_rounded_values():
    """A light jet of a TeV, in float32: its mass is a small difference of large numbers."""
    pt, eta, true = np.float32(1000), np.float32(2.2), 20.0
    energy = np.float32(np.sqrt((1000 * np.cosh(2.2)) ** 2 + true**2))
    assert mass(pt, eta, energy) == pytest.approx(true, rel=0.1)
    assert mass(pt, eta, np.float32(4000)) == 0  # less energy than momentum


def test_without_transverse_momentum():
    assert np.isposinf(pseudorapidity(0.0, 0.0, 5.0)) and np.isnan(pseudorapidity(0.0, 0.0, 0.0))


@pytest.mark.parametrize("array", [np.asarray, ak.Array], ids=["numpy", "awkward"])
def test_angles_stay_within_a_turn(array, rng):
    first, second = (array(rng.uniform(-np.pi, np.pi, 200).astype(np.float32)) for _ in "ab")
    for angle, expected in (
        (wrapped(first + second), first + second),
        (wrapped(first - second), first - second),
    ):
        angle = np.asarray(angle)
        assert angle.dtype == np.float32
        assert np.abs(angle).max() <= np.float32(np.pi) + 1e-6
        assert np.cos(angle) == pytest.approx(np.cos(np.asarray(expected)), abs=1e-5)
    assert wrapped(np.float32(3 * np.pi / 2)) == pytest.approx(-np.pi / 2)
