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
from keras import layers, ops

from ..errors import OptionError
from ..jets.spec import InputSpec
from . import Architecture
from .card import ModelCard
from .graph_layers import LOG_VAR, Attention, NodeFeatures, dense, number_code
from .jet_model import Mask
from .losses import ANGLE_UNIT, points

__all__ = ["SLOTS"]

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
    z_mean, z_log_var = dense(values["latent"], "z_mean"), layers.Dense(values["latent"], **LOG_VAR)
    real = ops.expand_dims(mask, 2)
    latent = {"z_mean": z_mean(nodes) * real, "z_log_var": z_log_var(nodes) * real}
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
