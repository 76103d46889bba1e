"""The losses: held against loops, float64 and numbers known by hand."""

from __future__ import annotations

import numpy as np
import pytest

from hepvae import InputSpec, OptionError
from hepvae.models.losses import DISTANCES, chamfer, check_distance, kl_divergence, points


def chamfer_one_by_one(particles, reconstruction):
    total = 0.0
    for ours, theirs in ((particles, reconstruction), (reconstruction, particles)):
        nearest = [min(float(((a - b) ** 2).sum()) for b in theirs) for a in ours]
        total += sum(nearest) / len(nearest)
    return total


def test_chamfer_same_as_one_by_one(rng):
    x, y = rng.normal(size=(2, 4, 9, 3))
    assert np.allclose(chamfer(x, y, np), [chamfer_one_by_one(a, b) for a, b in zip(x, y)])


def test_chamfer_of_known_points():
    x = np.array([[[0.0, 0.0, 0.0], [0.0, 0.0, 10.0]]])
    y = np.array([[[3.0, 4.0, 0.0], [0.0, 0.0, 10.0]]])
    # 25 from (0,0,0) to (3,4,0), 0 for the other, mean 12.5, and the same back
    assert chamfer(x, y, np).tolist() == [25.0]


def test_chamfer_is_symmetric_and_blind_to_order(rng):
    x, y = rng.normal(size=(2, 5, 20, 3))
    assert np.allclose(chamfer(x, y, np), chamfer(y, x, np))
    assert np.allclose(chamfer(x, y, np), chamfer(x[:, rng.permutation(20)], y[:, rng.permutation(20)], np))
    assert np.all(chamfer(x, x, np) == 0)


def test_masked_chamfer_same_as_without_the_padding(rng):
    """Whatever stands in the padded places, zeros, small or large numbers, of either set."""
    x, y = rng.normal(size=(2, 6, 12, 3))
    mask = np.zeros((6, 12))
    for jet, places in enumerate([range(12), range(5), range(1), range(7, 12), [0, 4, 5], range(11)]):
        mask[jet, list(places)] = 1
    x[mask == 0], y[mask == 0] = 0, rng.uniform(-1e4, 1e4, size=(int((1 - mask).sum()), 3))
    expected = [chamfer_one_by_one(a[m == 1], b[m == 1]) for a, b, m in zip(x, y, mask)]
    assert np.allclose(chamfer(x, y, np, mask), expected)
    assert np.allclose(chamfer(x, y, np, np.ones((6, 12))), chamfer(x, y, np))


def test_masked_chamfer_of_known_points():
    x = np.array([[[0.0, 0.0, 0.0], [0.0, 0.0, 10.0], [0.0, 0.0, 0.0]]])
    y = np.array([[[3.0, 4.0, 0.0], [0.0, 0.0, 10.0], [0.0, 0.0, 1e3]]])
    assert chamfer(x, y, np, np.array([[1.0, 1.0, 0.0]])).tolist() == [25.0]


def test_masked_chamfer_of_a_jet_without_constituents_is_no_number():
    with np.errstate(invalid="ignore"):
        assert np.isnan(chamfer(np.zeros((1, 3, 3)), np.zeros((1, 3, 3)), np, np.zeros((1, 3))))


def test_masked_float32_in_keras_holds_against_float64(signal_jets):
    """Padding is moved far away: that must cost the constituents no digit."""
    pytest.importorskip("tensorflow")
    from keras import ops

    mask = (signal_jets[..., 2] > 0).astype(np.float32)
    near = signal_jets * np.float32(1.01) + np.float32(0.01)
    exact = chamfer(signal_jets.astype(np.float64), near.astype(np.float64), np, mask.astype(np.float64))
    tensors = [ops.convert_to_tensor(array) for array in (signal_jets, near, mask)]
    single = ops.convert_to_numpy(chamfer(*tensors[:2], ops, tensors[2]))
    assert np.allclose(single, exact, rtol=2e-5, atol=0)


def test_kl_of_known_gaussians():
    """N(1, 1) from N(0, 1): 1/2; N(0, e): (e - 2) / 2; the mean over the latent axis is taken."""
    mean = np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
    log_var = np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    assert np.allclose(kl_divergence(mean, log_var, np), [0, 0.5, (np.e - 2) / 2, 0.25])


def test_kl_is_never_negative(rng):
    assert (kl_divergence(*rng.normal(size=(2, 100, 12)), np) >= 0).all()


def test_float32_in_keras_holds_against_float64(signal_jets):
    """pt enters squared in GeV: the form |a|^2 + |b|^2 - 2ab loses these digits, this one must not."""
    pytest.importorskip("tensorflow")
    from keras import ops

    near = (signal_jets * np.float32(1.01) + np.float32(0.01)).astype(np.float32)
    exact = chamfer(signal_jets.astype(np.float64), near.astype(np.float64), np)
    single = ops.convert_to_numpy(chamfer(ops.convert_to_tensor(signal_jets), ops.convert_to_tensor(near), ops))
    assert signal_jets[..., 2].max() > 300
    assert np.allclose(single, exact, rtol=2e-5, atol=0)


def test_transverse_momenta_of_known_particles():
    """10 GeV at 0.1 in eta and -0.2 in phi of the axis: 1 and -2 GeV beside it, whatever the order of features."""
    for features in (("eta", "phi", "pt"), ("pt", "eta", "phi")):
        particle = {"eta": 0.1, "phi": -0.2, "pt": 10.0}
        jets = np.array([[[particle[name] for name in features]]])
        assert np.allclose(points(jets, InputSpec(1, features), "momenta", np), [[[1.0, -2.0]]])
        assert points(jets, InputSpec(1, features), "features", np) is jets


def test_weighted_distance_is_of_relative_differences():
    """pt * ((dR / 0.1)^2 + (dpt / pt)^2 / 4) near the axis; padding lies at the origin, with a derivative."""
    keras = pytest.importorskip("keras")
    tf = pytest.importorskip("tensorflow")
    jets = np.array([[[0.0, 0.0, 64.0], [0.03, -0.04, 65.0], [0.5, 0.5, 0.0]]], np.float32)
    (first, second, padding), *_ = points(jets.astype(np.float64), InputSpec(3), "weighted", np)
    expected = 64 * ((0.05 / 0.1) ** 2 + (1 / 64) ** 2 / 4)
    assert ((first - second) ** 2).sum() == pytest.approx(expected, rel=0.05)
    assert not padding.any() and first[2] == 8
    with tf.GradientTape() as tape:
        particles = tf.convert_to_tensor(jets)
        tape.watch(particles)
        places = points(particles, InputSpec(3), "weighted", keras.ops)
    assert np.isfinite(tape.gradient(places, particles)).all()


def test_kl_of_particles_leaves_padding_out(rng):
    mean, log_var = rng.normal(size=(2, 5, 7, 3))
    mask = (np.arange(7) < [[1], [2], [4], [6], [7]]).astype(float)
    expected = [
        kl_divergence(m[k > 0].reshape(1, -1), v[k > 0].reshape(1, -1), np)[0]
        for m, v, k in zip(mean, log_var, mask)
    ]
    assert np.allclose(kl_divergence(mean, log_var, np, mask), expected)


def test_two_prongs_are_far_from_the_axis_and_soft_particles_are_not():
    """All particles on the axis as reconstruction: the mean of the squared transverse momentum is left, twice.

    Of two massless prongs of pt 300 GeV at a distance of 0.267 that is half of m^2: m^2 = pt1 pt2 dR^2 = 80 GeV
    squared, and each prong has 300 * 0.267 / 2 = 40 GeV.
    """
    prongs = np.array([[[0.1335, 0.0, 300.0], [-0.1335, 0.0, 300.0]]])
    axis = np.zeros_like(prongs)
    places = [points(jets, InputSpec(2), "momenta", np) for jets in (prongs, axis)]
    assert chamfer(*places, np) == pytest.approx(2 * 80.1**2 / 4, rel=1e-3)
    soft = points(prongs * [1, 1, 0.01], InputSpec(2), "momenta", np)
    assert chamfer(soft, places[1], np) == pytest.approx(chamfer(*places, np) * 1e-4)


def test_momenta_need_directions_relative_to_the_axis():
    for name in DISTANCES:
        check_distance(name, InputSpec())
    check_distance("features", InputSpec(features=("pt",), coordinates="absolute"))
    for spec in (InputSpec(coordinates="absolute"), InputSpec(features=("eta", "phi"))):
        with pytest.raises(OptionError, match="distance 'momenta': needs eta and phi relative to the jet axis"):
            check_distance("momenta", spec)
    with pytest.raises(
        OptionError, match="distance 'euclid' is unknown: expected one of features, momenta, weighted"
    ):
        check_distance("euclid", InputSpec())
