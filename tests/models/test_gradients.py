"""Compiled loops of training against the operators that they take the place of, in value and gradient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import hepvae
from hepvae.models import hyperparameters
from hepvae.models.card import ModelCard
from hepvae.models.losses import chamfer

tf = pytest.importorskip("tensorflow")
ops = pytest.importorskip("keras").ops
gradients = pytest.importorskip("hepvae.models.gradients")


@pytest.fixture
def mask():
    """Jets of 9, 4, 1 and 6 constituents, the last with padding among them."""
    mask = (np.arange(9) < np.array([[9], [4], [1], [9]])).astype(np.float32)
    mask[3, [0, 4, 7]] = 0
    return mask


def slope(function, at):
    """Value of a function, and gradient of a sum of it with weights that differ."""
    at = tf.constant(at)
    with tf.GradientTape() as tape:
        tape.watch(at)
        value = function(at)
        total = tf.reduce_sum(
            value * tf.cast(tf.reshape(tf.range(1, tf.size(value) + 1), tf.shape(value)), tf.float32)
        )
    return value.numpy(), tape.gradient(total, at).numpy()


@pytest.mark.parametrize("features", [1, 2, 3])
@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
def test_chamfer_same_as_by_operators(rng, mask, features, masked):
    x, y = (scale * rng.normal(size=(4, 9, features)).astype(np.float32) for scale in (1.0, 1.5))
    mask = mask if masked else None
    ours = slope(lambda made: gradients.chamfer(tf.constant(x), made, mask), y)
    operators = slope(lambda made: chamfer(tf.constant(x), made, ops, mask), y)
    for one, other in zip(ours, operators):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_chamfer_where_two_are_equally_near():
    """Input particles of zeros, as padding, are all alike: whichever is taken, the gradient is the same. Of two
    reconstructed ones at one place, the first has it, which operators share out."""
    x, y = np.zeros((1, 4, 3), np.float32), np.zeros((1, 4, 3), np.float32)
    x[0, 0], y[0] = (1, 2, 3), [(0.9, 2, 3), (0.5, 0, 0), (0.5, 0, 0), (0, 0, 9)]
    (value, ours), (expected, shared) = (
        slope(lambda made, function=function: function(tf.constant(x), made), y)
        for function in (gradients.chamfer, lambda a, b: chamfer(a, b, ops))
    )
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(ours[0, [0, 3]], shared[0, [0, 3]], rtol=1e-5)
    np.testing.assert_allclose(ours[0, 1] + ours[0, 2], shared[0, 1] + shared[0, 2], rtol=1e-5)


def test_chamfer_of_a_jet_without_constituents_is_no_number():
    zeros = tf.zeros((1, 3, 3))
    assert np.isnan(gradients.chamfer(zeros, zeros, tf.zeros((1, 3)))).all()


@pytest.mark.parametrize("k", [1, 3, 9])
def test_edge_convolution_same_in_training(rng, mask, k):
    """Neighbours (of equally near ones, too), values and gradients, of large values, where exp(x) is 0, too."""
    from hepvae.models.graph_layers import EdgeConvolution, NearestNeighbours

    particles = (rng.integers(0, 3, (4, 9, 3)) * mask[..., None]).astype(np.float32)
    layer = NearestNeighbours(k, 0, 1)
    (rows, valid), (ours, valid_too) = (layer(particles, mask, training=training) for training in (False, True))
    real = mask == 1
    np.testing.assert_array_equal(valid.numpy()[real], valid_too.numpy()[real])
    taken = valid.numpy() * mask[..., None] == 1
    np.testing.assert_array_equal(rows.numpy()[taken], ours.numpy()[taken])

    convolution = EdgeConvolution(8)
    nodes = (rng.normal(size=(4, 9, 5)) * 10 ** rng.uniform(-2, 3, (4, 9, 1))).astype(np.float32)
    found = [
        slope(lambda x, training=training: convolution(x, rows, valid, training=training) * mask[..., None], nodes)
        for training in (False, True)
    ]
    for one, other in zip(*found):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4 * np.abs(one).max())


@pytest.mark.parametrize("architecture", ["graph", "edge"])
def test_loss_of_a_jet_is_the_same_cut_and_uncut(rng, architecture):
    """In training and out of it, with the same weights: nothing depends on the length of the padding."""
    from hepvae.models.vae import VAE

    small = {"width": 8, "decoder_width": 8, "latent": 4, "units": [16], "heads": 4}
    model = VAE(
        ModelCard(
            architecture,
            hepvae.InputSpec(),
            (0.0, 0.0, 10.0),
            (0.2, 0.2, 20.0),
            0.01,
            hyperparameters(architecture, small),
        )
    )
    model.set_weights([weights + 0.1 * rng.normal(size=weights.shape) for weights in model.get_weights()])
    jets = hepvae.pad_particles(hepvae.read_dijets(hepvae.sample_path("GtoWW15na"))[:40], hepvae.InputSpec())
    jets = jets.reshape(-1, 100, 3)
    jets = jets[(jets[:, 48:] == 0).all(axis=(1, 2))]
    assert len(jets) > 20
    whole, cut = (model(jets[:, :length])["loss"].numpy() for length in (100, 48))
    np.testing.assert_allclose(whole, cut, rtol=1e-4)
    # The noise is that of the seed, anew for each.
    sums = []
    for length in (100, 48):
        tf.keras.utils.set_random_seed(1)
        fresh = VAE(replace(model.card))
        fresh.set_weights(model.get_weights())
        sums.append(fresh(jets[:, :length], training=True)["loss"].numpy())
    np.testing.assert_allclose(*sums, rtol=1e-4)
