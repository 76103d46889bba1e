"""Layers for jets as graphs: constituents are nodes, padding is masked.

Shapes: particles (jets, n_particles, n_features), nodes (jets, n_particles, width), and the mask (jets,
n_particles) with 1 for a constituent and 0 for padding. Layers call the mask ``real``: Keras has plans of
its own for an argument named ``mask``. What a layer makes of a padded place reaches no other place: every
sum over constituents multiplies by the mask.

All is in float32. The order of constituents, the length of the padding and the runtime change the order of sums,
and with it a loss by some 10^-5 of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from keras import initializers, layers, ops

from . import gradients
from .jet_model import feature_of
from .losses import FAR

__all__ = [
    "LOG_VAR",
    "Attention",
    "EdgeConvolution",
    "GraphConvolution",
    "JetDense",
    "NearestNeighbours",
    "NodeFeatures",
    "Particles",
    "RankCode",
    "Readout",
    "dense",
    "number_code",
]

#: Of a tensor; None is the number of jets.
Shape = Sequence[int | None]

#: Ranks and numbers of constituents are coded by logarithms; this one becomes 1.
LOG_RANGE = math.log(256)

#: The layer of z_log_var: little noise of an untrained encoder: the decoder learns from the first batch on.
LOG_VAR: dict[str, Any] = {
    "kernel_initializer": "zeros",
    "bias_initializer": initializers.Constant(-4.0),
    "name": "z_log_var",
}


def dense(width: int, name: str, *, activation: str | None = None, bias: bool = True) -> Any:
    """A dense layer that leaves the scale of what it takes as it is."""
    return layers.Dense(width, activation=activation, use_bias=bias, kernel_initializer="lecun_normal", name=name)


class JetDense(layers.Dense):
    """A dense layer on one row for each jet; .keras files know it by this name."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(units, **{"kernel_initializer": "lecun_normal", **kwargs})


def number_code(mask: Any) -> Any:
    """The number of constituents of each jet, as a logarithm (jets, 1)."""
    return ops.log(ops.sum(mask, axis=1, keepdims=True)) / LOG_RANGE


class NodeFeatures(layers.Layer):
    """The features of each constituent, standardised, and the logarithm of its pt, as nodes."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], pt: int, **kwargs: Any) -> None:
        super().__init__(trainable=False, **kwargs)
        self.mean, self.std, self.pt = [float(v) for v in mean], [float(v) for v in std], pt

    def call(self, particles: Any) -> Any:
        mean, std = (ops.convert_to_tensor(values, particles.dtype) for values in (self.mean, self.std))
        # Padding has no logarithm, and needs none: any number does.
        pt = ops.maximum(particles[..., self.pt : self.pt + 1], 1e-3)
        return ops.concatenate([(particles - mean) / std, ops.log(pt)], axis=2)


class RankCode(layers.Layer):
    """The rank of each constituent by pt, as continuous numbers (jets, n_particles, codes + 2).

    Gaussians at even distances in log(1 + rank), up to rank 255; the rank as a share of the
    constituents, and the code of their number. Nothing depends on n_particles. Given the mask alone the
    rank is the place, as constituents come by falling pt. Given their pt as well it is the number of
    harder ones, which is blind to the order of constituents, of equal pt too.
    """

    def __init__(self, codes: int, **kwargs: Any) -> None:
        super().__init__(trainable=False, **kwargs)
        self.codes = codes

    def call(self, real: Any, pt: Any = None) -> Any:
        if pt is None:
            rank = ops.cumsum(real, axis=1) - real
        else:
            harder = ops.expand_dims(pt, 1) > ops.expand_dims(pt, 2)
            rank = ops.sum(ops.cast(harder, real.dtype), axis=2)
        rank = ops.expand_dims(rank, 2)
        share = rank / ops.reshape(ops.sum(real, axis=1), (-1, 1, 1))
        # The same number at each place: by an operator, as an export writes zeros to add it to out for each jet.
        number = ops.minimum(ops.expand_dims(number_code(real), 2), rank + 256.0)
        step = LOG_RANGE / (self.codes - 1)
        centres = ops.convert_to_tensor([step * i for i in range(self.codes)], real.dtype)
        bumps = ops.exp(-0.5 * ops.square((ops.log(1.0 + rank) - centres) / step))
        return ops.concatenate([bumps, share, number], axis=2)


class GraphConvolution(layers.Layer):
    """Graph convolution over the fully connected graph of the constituents (Kipf and Welling, 1609.02907).

    h' = elu(h W + A h M + b) with the symmetric normalised adjacency A = D^(-1/2) m m^T D^(-1/2) of the
    mask m. Each degree in D is the number of constituents, so that A h is their mean at each of them,
    and no matrix of n_particles x n_particles is needed. The map W of the node itself, which the
    authors have in M, is one of its own: without it all nodes would be alike after one convolution.
    """

    def __init__(self, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.own = dense(width, "own")
        self.message = dense(width, "message", bias=False)

    def build(self, nodes_shape: Shape, real_shape: Shape) -> None:
        self.own.build(nodes_shape)
        self.message.build((nodes_shape[0], nodes_shape[2]))
        self.built = True

    def call(self, nodes: Any, real: Any) -> Any:
        weight = ops.expand_dims(real / ops.sum(real, axis=1, keepdims=True), 1)
        mean = ops.squeeze(ops.matmul(weight, nodes), 1)
        return ops.elu(self.own(nodes) + ops.expand_dims(self.message(mean), 1))


class NearestNeighbours(layers.Layer):
    """The k nearest constituents of each one in (eta, phi), itself among them.

    Gives int32 (jets, n_particles, k), rows of the neighbours in nodes flattened to (jets * n_particles,
    width), and float (jets, n_particles, k), 1 where there is such a neighbour: a jet may have fewer
    constituents than k.
    """

    def __init__(self, k: int, eta: int, phi: int, **kwargs: Any) -> None:
        super().__init__(trainable=False, **kwargs)
        self.k, self.eta, self.phi = k, eta, phi

    def call(self, particles: Any, real: Any, training: bool = False) -> Any:
        if training:
            return gradients.nearest_neighbours(particles, real, self.k, self.eta, self.phi)
        # Term by term, as each runtime rounds it alike: they must agree on who is nearest.
        distance = ops.expand_dims((1.0 - real) * FAR, 1)
        for feature in (self.eta, self.phi):
            x = feature_of(particles, feature)
            distance = distance + ops.square(ops.expand_dims(x, 2) - ops.expand_dims(x, 1))
        nearness, neighbours = ops.top_k(-distance, self.k)
        # The number of the jet, counted: an export would write a range out.
        jet = ops.cumsum(ops.cast(real[:, :1] >= 0, "int32"), axis=0) - 1
        rows = ops.cast(neighbours, "int32") + ops.expand_dims(jet, 2) * ops.shape(particles)[1]
        return rows, ops.cast(nearness > -0.5 * FAR, particles.dtype)


class EdgeConvolution(layers.Layer):
    """Edge convolution over nearest neighbours (Wang et al., 1801.07829; ParticleNet, 1902.08570).

    h'_i = elu(h_i S + e_i W + b), e_i the mean over the neighbours j of elu(h_i U + h_j V + c). The
    authors write h_j - h_i where this has h_j: the same maps, of other U. What is linear is done once
    for a node, not for each of its edges: h U and h V before the neighbours are gathered, W after
    their mean.
    """

    def __init__(self, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.own = dense(width, "own")
        self.neighbour = dense(width, "neighbour", bias=False)
        self.shortcut = dense(width, "shortcut")
        self.message = dense(width, "message", bias=False)

    def build(self, nodes_shape: Shape, rows_shape: Shape, valid_shape: Shape) -> None:
        for layer in (self.own, self.neighbour, self.shortcut):
            layer.build(nodes_shape)
        self.message.build((*nodes_shape[:2], self.message.units))
        self.built = True

    def call(self, nodes: Any, rows: Any, valid: Any, training: bool = False) -> Any:
        if training:
            mean = gradients.mean_over_edges(self.own(nodes), self.neighbour(nodes), rows, valid)
            return ops.elu(self.shortcut(nodes) + self.message(mean))
        flat = ops.reshape(self.neighbour(nodes), (-1, self.neighbour.units))
        # Rows of a flat array are gathered: ONNX Runtime copies them whole, where a gather with a batch
        # axis, or along an axis, takes more operators or goes value by value.
        edges = ops.elu(ops.expand_dims(self.own(nodes), 2) + ops.take(flat, rows, axis=0))
        weight = valid / ops.sum(valid, axis=2, keepdims=True)
        mean = ops.sum(edges * ops.expand_dims(weight, 3), axis=2)
        return ops.elu(self.shortcut(nodes) + self.message(mean))


class Attention(layers.Layer):
    """Graph convolution whose edges are weighted by attention (Vaswani et al., 1706.03762; GAT, 1710.10903).

    h' = h + sum over the constituents j of softmax_j(q_i k_j / sqrt(head_width)) v_j, in each head, mapped back to
    the width; then h'' = h' + a map of elu of another, ``hidden`` wide, at each node. Both maps back begin with
    zeros: an untrained layer changes nothing. Without normalisation of layers: the stacks are short.
    """

    def __init__(self, width: int, heads: int, head_width: int, hidden: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads, self.head_width = heads, head_width
        self.query, self.key, self.value = (
            dense(heads * head_width, name, bias=False) for name in ("query", "key", "value")
        )
        self.merge = layers.Dense(width, kernel_initializer="zeros", name="merge")
        self.hidden = dense(hidden, "hidden", activation="elu")
        self.shift = layers.Dense(width, kernel_initializer="zeros", name="shift")

    def build(self, nodes_shape: Shape, real_shape: Shape) -> None:
        for layer in (self.query, self.key, self.value, self.hidden):
            layer.build(nodes_shape)
        self.merge.build((*nodes_shape[:2], self.value.units))
        self.shift.build((*nodes_shape[:2], self.hidden.units))
        self.built = True

    def call(self, nodes: Any, real: Any) -> Any:
        query, key, value = (
            ops.reshape(layer(nodes), (-1, ops.shape(nodes)[1], self.heads, self.head_width))
            for layer in (self.query, self.key, self.value)
        )
        edges = ops.matmul(
            ops.transpose(query, (0, 2, 1, 3)) * self.head_width**-0.5, ops.transpose(key, (0, 2, 3, 1))
        )
        # Padding is nobody's neighbour.
        edges = edges + ops.expand_dims(ops.expand_dims((real - 1.0) * FAR, 1), 1)
        weights = tf.nn.softmax(edges, axis=-1)  # that of Keras warns of a single constituent
        heads = ops.matmul(weights, ops.transpose(value, (0, 2, 1, 3)))
        heads = ops.transpose(heads, (0, 2, 1, 3))
        nodes = nodes + self.merge(ops.reshape(heads, (-1, ops.shape(nodes)[1], self.value.units)))
        return nodes + self.shift(self.hidden(nodes))


class Readout(layers.Layer):
    """From nodes to a jet: sums over the constituents of a few maps of them, one for each rank code.

    Gives (jets, heads * (codes + 2) + 1); the last is the code of the number of constituents.
    """

    def __init__(self, heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads = dense(heads, "heads")

    def build(self, nodes_shape: Shape, code_shape: Shape, real_shape: Shape) -> None:
        self.heads.build(nodes_shape)
        self.flat = self.heads.units * code_shape[2]
        self.built = True

    def call(self, nodes: Any, code: Any, real: Any) -> Any:
        heads = self.heads(nodes) * ops.expand_dims(real, 2)
        sums = ops.matmul(ops.transpose(code, (0, 2, 1)), heads)
        return ops.concatenate([ops.reshape(sums, (-1, self.flat)), number_code(real)], axis=1)


class Particles(layers.Layer):
    """Particles (jets, n_particles, n_features) with zeros for padding, of a coarse and a fine part.

    The coarse part is the rank code times the coefficients of a jet (jets, codes + 2, n_features), the
    fine part (jets, n_particles, n_features) is computed by nodes. eta and phi of the sum are destandardised.
    pt is std * (elu(x) + 1): positive, exponential for soft constituents and linear for hard ones.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], pt: int, **kwargs: Any) -> None:
        super().__init__(trainable=False, **kwargs)
        self.mean, self.std, self.pt = [float(v) for v in mean], [float(v) for v in std], pt

    def call(self, code: Any, coefficients: Any, fine: Any, real: Any) -> Any:
        x = ops.matmul(code, coefficients) + fine
        features = [
            (ops.elu(x[..., i : i + 1]) + 1.0) * std if i == self.pt else x[..., i : i + 1] * std + mean
            for i, (mean, std) in enumerate(zip(self.mean, self.std))
        ]
        return ops.concatenate(features, axis=2) * ops.expand_dims(real, 2)
