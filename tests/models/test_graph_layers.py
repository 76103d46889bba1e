"""The layers of graphs, held against the obvious forms: matrices of n x n, and loops."""

from __future__ import annotations

import numpy as np
import pytest

keras = pytest.importorskip("keras")
layers = pytest.importorskip("hepvae.models.graph_layers")


def number(tensor):
    return keras.ops.convert_to_numpy(tensor).astype(np.float64)


def elu(x):
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


@pytest.fixture
def mask():
    """Jets of 9, 4, 1 and 6 constituents, the last with padding among them."""
    mask = (np.arange(9) < np.array([[9], [4], [1], [9]])).astype(np.float32)
    mask[3, [0, 4, 7]] = 0
    return mask


@pytest.fixture
def nodes(rng):
    return rng.normal(size=(4, 9, 5)).astype(np.float32)


@pytest.fixture
def particles(rng, mask):
    return (rng.normal(size=(4, 9, 3)).astype(np.float32) ** 2) * mask[..., None]


def test_graph_convolution_same_as_with_the_adjacency(nodes, mask):
    """D^(-1/2) A D^(-1/2) with A the outer product of the mask, written out for each jet."""
    layer = layers.GraphConvolution(7)
    found = number(layer(nodes, mask))
    own, bias, message = (number(w) for w in (layer.own.kernel, layer.own.bias, layer.message.kernel))
    for jet in range(len(nodes)):
        adjacency = np.outer(mask[jet], mask[jet]).astype(np.float64)
        degree = adjacency.sum(axis=1)
        root = np.where(degree > 0, 1 / np.sqrt(np.maximum(degree, 1)), 0)
        normalised = root[:, None] * adjacency * root[None, :]
        expected = elu(nodes[jet] @ own + normalised @ nodes[jet] @ message + bias)
        assert np.allclose(found[jet][mask[jet] == 1], expected[mask[jet] == 1], atol=1e-5)


@pytest.mark.parametrize("k", [1, 3, 9])
def test_nearest_neighbours_same_as_by_sorting(particles, mask, k):
    rows, valid = (number(a) for a in layers.NearestNeighbours(k, 0, 1)(particles, mask))
    for jet in range(4):
        real = np.flatnonzero(mask[jet])
        for i in real:
            distance = np.hypot(*(particles[jet, real, :2] - particles[jet, i, :2]).T)
            nearest = real[np.argsort(distance, kind="stable")[:k]]
            taken = rows[jet, i][valid[jet, i] == 1]
            assert set(taken) == set(9 * jet + nearest)
            assert taken[0] == 9 * jet + i
            assert len(taken) == min(k, len(real))


@pytest.mark.parametrize("k", [1, 3, 9])
def test_edge_convolution_same_as_edge_by_edge(nodes, particles, mask, k):
    """In the form of the authors: a two-layer network of (h_i, h_j - h_i), mean over the neighbours."""
    edges = layers.NearestNeighbours(k, 0, 1)(particles, mask)
    layer = layers.EdgeConvolution(6)
    found = number(layer(nodes, *edges))
    own, own_bias, neighbour = (number(w) for w in (layer.own.kernel, layer.own.bias, layer.neighbour.kernel))
    shortcut, bias, message = (
        number(w) for w in (layer.shortcut.kernel, layer.shortcut.bias, layer.message.kernel)
    )
    for jet in range(4):
        real = np.flatnonzero(mask[jet])
        for i in real:
            distance = np.hypot(*(particles[jet, real, :2] - particles[jet, i, :2]).T)
            h, messages = nodes[jet].astype(np.float64), []
            for j in real[np.argsort(distance, kind="stable")[:k]]:
                hidden = elu(h[i] @ (own + neighbour) + (h[j] - h[i]) @ neighbour + own_bias)
                messages.append(hidden @ message)
            expected = elu(h[i] @ shortcut + bias + np.mean(messages, axis=0))
            assert np.allclose(found[jet, i], expected, atol=1e-5)


def test_rank_by_place_and_by_pt(mask):
    """The same for constituents by falling pt; by pt, equal pt has equal rank, wherever it stands."""
    pt = np.array([[9, 8, 7, 6, 5, 4, 3, 2, 1]], np.float32)
    layer = layers.RankCode(8)
    ones = np.ones_like(pt)
    assert np.allclose(number(layer(ones)), number(layer(ones, pt)))
    equal = number(layer(ones, np.array([[5, 5, 1, 9, 9, 9, 1, 5, 0.5]], np.float32)))[0]
    assert np.array_equal(equal[0], equal[1]) and np.array_equal(equal[0], equal[7])
    assert np.array_equal(equal[3], equal[5]) and np.array_equal(equal[2], equal[6])
    assert equal[:, 8] == pytest.approx(np.array([3, 3, 6, 0, 0, 0, 6, 3, 8]) / 9)


def test_rank_code_tells_hard_constituents_apart():
    code = number(layers.RankCode(16)(np.ones((1, 100), np.float32)))[0]
    step = np.linalg.norm(np.diff(code[:, :16], axis=0), axis=1)
    assert step[:8].min() > 0.25 > step[20:].max() > step.min() > 0.01
    assert np.isfinite(code).all()


def test_readout_sums_over_constituents(nodes, mask):
    code = number(layers.RankCode(4)(mask)).astype(np.float32)
    layer = layers.Readout(2)
    found = number(layer(nodes, code, mask))
    heads = nodes @ number(layer.heads.kernel) + number(layer.heads.bias)
    for jet in range(4):
        real = mask[jet] == 1
        expected = sum(np.outer(c, h) for c, h in zip(code[jet][real], heads[jet][real]))
        assert np.allclose(found[jet, :-1], expected.ravel(), atol=1e-4)
    assert found[:, -1] == pytest.approx(np.log([9, 4, 1, 6]) / np.log(256), abs=1e-6)


def test_particles_have_positive_pt_and_zeros_for_padding(rng, mask):
    code, fine = rng.normal(size=(4, 9, 5)).astype(np.float32), rng.normal(size=(4, 9, 3)).astype(np.float32)
    coefficients = rng.normal(size=(4, 5, 3)).astype(np.float32)
    made = number(layers.Particles((0.5, 0, 6), (0.2, 0.3, 20), pt=2)(code, coefficients, fine, mask))
    x = np.einsum("jrc,jcf->jrf", code.astype(np.float64), coefficients) + fine
    real = mask == 1
    assert (made[real][:, 2] > 0).all() and not made[~real].any()
    assert made[real][:, 0] == pytest.approx(0.2 * x[real][:, 0] + 0.5, abs=1e-5)
    assert made[real][:, 2] == pytest.approx(20 * (elu(x[real][:, 2]) + 1), rel=1e-5)
