"""The Graph-VAEs: the constituents of a jet are the nodes of a graph.

One family. The encoder is blind to the order of the constituents; its convolutions run over the fully
connected graph (``graph``, the study's form) or over nearest neighbours in (eta, phi) (``edge``, and
``edge-dense`` with more of everything). The decoder is told the number of constituents, makes a node for
each from z and the node's rank, and runs convolutions over their fully connected graph. No weight depends
on n_particles, and no loss on the padding.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import keras
from keras import layers, ops

from ..errors import OptionError
from ..jets.spec import InputSpec
from . import Architecture
from .card import ModelCard
from .graph_layers import (
    LOG_VAR,
    EdgeConvolution,
    GraphConvolution,
    JetDense,
    NearestNeighbours,
    NodeFeatures,
    Particles,
    RankCode,
    Readout,
    dense,
    number_code,
)
from .jet_model import Mask, feature_of

__all__ = ["EDGE", "EDGE_DENSE", "GRAPH"]


def build(card: ModelCard, **values: Any) -> tuple[keras.Model, keras.Model]:
    """Build encoder (particles to z_mean, z_log_var) and decoder (z and mask to particles)."""
    lost = [f for f in ("eta", "phi", "pt") if f not in card.spec.features]
    if lost:
        raise OptionError(
            f"{card.architecture} needs {lost[0]} among the features: found {', '.join(card.spec.features)}"
        )
    return _encoder(card, values), _decoder(card, values)


def least_weights(spec: InputSpec, values: Mapping[str, Any]) -> int:
    """Weights of encoder and decoder without their biases and those of their first layers."""
    width, units, latent, terms = values["width"], values["units"], values["latent"], values["codes"] + 2
    encoder = 2 * values["convolutions"] * width**2 + (terms + values["heads"]) * width
    encoder += sum(a * b for a, b in pairwise([values["heads"] * terms, *units, 2 * latent]))
    wide = values["decoder_width"]
    decoder = 2 * values["decoder_convolutions"] * wide**2 + (terms + 2 * units[0]) * wide
    decoder += sum(a * b for a, b in pairwise([latent, *reversed(units), terms * spec.shape[1]]))
    return int(encoder + decoder)


def _encoder(card: ModelCard, values: Mapping[str, Any]) -> keras.Model:
    eta, phi, pt = (card.spec.features.index(f) for f in ("eta", "phi", "pt"))
    particles = keras.Input((None, len(card.spec.features)), name="particles")
    mask = Mask(pt, name="mask")(particles)
    features = NodeFeatures(card.mean, card.std, pt, name="features")(particles)
    code = RankCode(values["codes"], name="code")(mask, feature_of(particles, pt))
    nodes = ops.elu(
        dense(values["width"], "scale")(features) * dense(values["width"], "rank")(code)
        + dense(values["width"], "shift")(features)
    )
    k = min(values["neighbours"], card.spec.n_particles)
    graph = NearestNeighbours(k, eta, phi, name="neighbours")(particles, mask) if k else [mask]
    convolution = EdgeConvolution if k else GraphConvolution
    for i in range(values["convolutions"]):
        nodes = convolution(values["width"], name=f"convolution_{i}")(nodes, *graph)
    nodes = ops.concatenate([nodes, features], axis=2)
    x = Readout(values["heads"], name="readout")(nodes, code, mask)
    for i, units in enumerate(values["units"]):
        x = JetDense(units, activation="elu", name=f"dense_{i}")(x)
    z_mean, z_log_var = JetDense(values["latent"], name="z_mean"), JetDense(values["latent"], **LOG_VAR)
    latent = {"z_mean": z_mean(x), "z_log_var": z_log_var(x)}
    return keras.Model(particles, latent, name="encoder")


def _decoder(card: ModelCard, values: Mapping[str, Any]) -> keras.Model:
    n_features, width = len(card.spec.features), values["decoder_width"]
    z = keras.Input((values["latent"],), name="z")
    mask = keras.Input((None,), name="mask")
    x = ops.concatenate([z, number_code(mask)], axis=1)
    for i, units in enumerate(reversed(values["units"])):
        x = JetDense(units, activation="elu", name=f"dense_{i}")(x)
    code = RankCode(values["codes"], name="code")(mask)

    # Coarse: features as smooth functions of the rank, whose coefficients are made from z. Fine: what the
    # convolutions add. Both begin at nothing, as the loss is in GeV^2: a first guess that is far off would
    # drive the weights to where nothing is learned.
    terms = values["codes"] + 2
    coefficients = JetDense(terms * n_features, kernel_initializer="zeros", name="coarse")(x)
    coefficients = ops.reshape(coefficients, (-1, terms, n_features))
    nodes = ops.elu(
        ops.expand_dims(JetDense(width, name="scale")(x), 1) * dense(width, "rank")(code)
        + ops.expand_dims(JetDense(width, name="shift")(x), 1)
    )
    for i in range(values["decoder_convolutions"]):
        nodes = GraphConvolution(width, name=f"convolution_{i}")(nodes, mask)
    fine = layers.Dense(n_features, kernel_initializer="zeros", name="fine")(nodes)
    pt = card.spec.features.index("pt")
    particles = Particles(card.mean, card.std, pt, name="particles")(code, coefficients, fine, mask)
    return keras.Model({"z": z, "mask": mask}, particles, name="decoder")


#: ``neighbours`` 0 is the fully connected graph.
GRAPH = Architecture(
    build,
    least_weights,
    {
        "neighbours": 0,
        "width": 32,
        "convolutions": 2,
        "heads": 8,
        "units": [128, 48],
        "latent": 12,
        "codes": 16,
        "decoder_width": 48,
        "decoder_convolutions": 2,
    },
)

EDGE = Architecture(build, least_weights, {**GRAPH.defaults, "neighbours": 8})

EDGE_DENSE = Architecture(
    build,
    least_weights,
    {
        **GRAPH.defaults,
        "neighbours": 16,
        "width": 48,
        "heads": 32,
        "units": [512, 256],
        "latent": 24,
        "decoder_width": 96,
        "decoder_convolutions": 3,
    },
)
