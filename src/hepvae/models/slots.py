"""The Graph-VAE with a latent slot for each constituent, and attention over the fully connected graph.

Encoder and decoder are stacks of attention over all pairs of constituents, so that arrays of n_particles x
n_particles x heads numbers are alive for each jet. The encoder gives each constituent a few latent values of its
own, in the light of all others; the decoder makes that constituent from them and from the slots of all others.
Where others see the constituents of a jet through one vector, here the number of latent values grows with their
number: what bounds the information is the KL term. Neither knows an order of constituents, no weight depends on
n_particles, and no loss on the padding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops

from ..errors import OptionError
from ..jets.spec import InputSpec
from . import Architecture
from .card import ModelCard
from .graph_layers import NodeFeatures, Shape, dense, number_code
from .layers import Mask
from .losses import ANGLE_UNIT, FAR, points

__all__ = ["SLOTS"]

#: z_log_var of an untrained encoder: little noise, so that the decoder learns from the first batch on.
FIRST_LOG_VAR = -4.0
#: Places of particles are a few of these units, the root of 1 GeV, from the origin.
SCALE = 3.0
#: Root of the pt of the softest constituent that is made; in places of particles.
LEAST_ROOT = 0.1


def build(card: ModelCard, **values: Any) -> tuple[keras.Model, keras.Model]:
    """Build encoder (particles to z_mean, z_log_var) and decoder (z and mask to particles)."""
    if card.spec.coordinates != "relative" or set(card.spec.features) != {"eta", "phi", "pt"}:
        raise OptionError(
            f"{card.architecture} needs eta and phi relative to the jet axis, and pt: found"
            f" {card.spec.coordinates} {', '.join(card.spec.features)}"
        )
    return _encoder(card, values), _decoder(card, values)


def least_weights(spec: InputSpec, values: Mapping[str, Any]) -> int:
    """Weights of the attention layers, without their biases."""
    width = values["width"]
    one = width * (4 * values["heads"] * values["head_width"] + 2 * values["hidden"])
    return int((values["convolutions"] + values["decoder_convolutions"]) * one)


def _encoder(card: ModelCard, values: Mapping[str, Any]) -> keras.Model:
    pt = card.spec.features.index("pt")
    particles = keras.Input((None, len(card.spec.features)), name="particles")
    mask = Mask(pt, name="mask")(particles)
    places = points(particles, card.spec, "weighted", ops) / SCALE
    features = NodeFeatures(card.mean, card.std, pt, name="features")(particles)
    features = ops.concatenate([features, places], axis=2)
    nodes = _convolved(features, mask, values, "convolutions")
    nodes = ops.concatenate([nodes, features], axis=2)
    # Padding has no slot: its values are those that cost nothing.
    z_log_var = layers.Dense(
        values["latent"],
        kernel_initializer="zeros",
        bias_initializer=keras.initializers.Constant(FIRST_LOG_VAR),
        name="z_log_var",
    )
    real = ops.expand_dims(mask, 2)
    latent = {"z_mean": dense(values["latent"], "z_mean")(nodes) * real, "z_log_var": z_log_var(nodes) * real}
    return keras.Model(particles, latent, name="encoder")


def _decoder(card: ModelCard, values: Mapping[str, Any]) -> keras.Model:
    z = keras.Input((None, values["latent"]), name="z")
    mask = keras.Input((None,), name="mask")
    nodes = _convolved(z, mask, values, "decoder_convolutions")
    places = dense(3, "places")(ops.concatenate([nodes, z], axis=2)) * SCALE
    # The inverse of `losses.points`; exponential for soft constituents, linear for hard ones.
    root = ops.elu(places[..., 2]) + (1.0 + LEAST_ROOT)
    angle = ANGLE_UNIT / root
    made = {"eta": places[..., 0] * angle, "phi": places[..., 1] * angle, "pt": ops.square(root)}
    particles = ops.stack([made[name] for name in card.spec.features], axis=2) * ops.expand_dims(mask, 2)
    return keras.Model({"z": z, "mask": mask}, particles, name="decoder")


def _convolved(features: Any, mask: Any, values: Mapping[str, Any], kind: str) -> Any:
    """Nodes (jets, n_particles, width) of features and the number of constituents, after all convolutions."""
    width = values["width"]
    number = ops.expand_dims(dense(width, "number", bias=False)(number_code(mask)), 1)
    nodes = ops.elu(dense(width, "embedding")(features) + number)
    for i in range(values[kind]):
        nodes = Attention(width, values["heads"], values["head_width"], values["hidden"], name=f"convolution_{i}")(
            nodes, mask
        )
    return nodes


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


SLOTS = Architecture(
    build,
    least_weights,
    {
        "width": 64,
        "heads": 4,
        "head_width": 16,
        "hidden": 128,
        "convolutions": 2,
        "decoder_convolutions": 2,
        "latent": 3,
    },
    aligned=True,
)
