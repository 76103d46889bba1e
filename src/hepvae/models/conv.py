"""The Conv-VAE of the study (vande, particle VAE): 1D convolutions along the particles of a jet."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import keras
from keras import layers

from ..errors import OptionError
from ..jets.spec import InputSpec
from . import Architecture
from .card import ModelCard
from .jet_model import Destandardise, Standardise

__all__ = ["CONV"]


def build(
    card: ModelCard, *, latent: int, filters: list[int], kernel: int, dense: list[int]
) -> tuple[keras.Model, keras.Model]:
    """Build encoder (particles to z_mean, z_log_var) and decoder (z to particles).

    The convolution over the three features of each particle has a kernel as wide as the features: it
    is a dense layer on the last axis. Its mirror in the decoder is another.
    """
    features, convolved = card.spec.shape[1], _convolved(card.spec, filters, kernel)
    embedding, *filters = filters
    style = {"activation": "elu", "kernel_initializer": "he_uniform"}

    x = inputs = keras.Input(card.spec.shape, name="particles")
    x = Standardise(card.mean, card.std, name="standardise")(x)
    x = layers.Dense(embedding, **style, name="embed")(x)
    for i, width in enumerate(filters):
        x = layers.Conv1D(width, kernel, **style, name=f"conv_{i}")(x)
    x = layers.AveragePooling1D(2, name="pool")(x)
    x = layers.Flatten(name="flatten")(x)
    for i, width in enumerate(dense):
        x = layers.Dense(width, **style, name=f"dense_{i}")(x)
    encoder = keras.Model(
        inputs,
        {
            "z_mean": layers.Dense(latent, name="z_mean")(x),
            "z_log_var": layers.Dense(latent, name="z_log_var")(x),
        },
        name="encoder",
    )

    x = inputs = keras.Input((latent,), name="z")
    for i, width in enumerate(reversed(dense)):
        x = layers.Dense(width, **style, name=f"dense_{i}")(x)
    x = layers.Dense(convolved // 2 * filters[-1], **style, name="unflatten")(x)
    x = layers.Reshape((convolved // 2, filters[-1]), name="reshape")(x)
    x = layers.UpSampling1D(2, name="unpool")(x)
    for i, width in enumerate([*reversed(filters[:-1]), embedding]):
        x = layers.Conv1DTranspose(width, kernel, **style, name=f"conv_{i}")(x)
    x = layers.Dense(features, name="unembed")(x)
    x = Destandardise(card.mean, card.std, name="destandardise")(x)
    return encoder, keras.Model(inputs, x, name="decoder")


def _convolved(spec: InputSpec, filters: list[int], kernel: int) -> int:
    """Particles that the convolutions leave; OptionError where they cannot be halved."""
    convolved = spec.n_particles - (len(filters) - 1) * (kernel - 1)
    if len(filters) < 2 or convolved < 2 or convolved % 2:
        raise OptionError(
            f"conv with {len(filters) - 1} convolutions of kernel {kernel} leaves {convolved} of"
            f" {spec.n_particles} particles: expected at least one convolution, and an even number, to be halved"
            " by the pooling"
        )
    return convolved


def least_weights(spec: InputSpec, values: Mapping[str, Any]) -> int:
    """Weights of encoder and decoder without their biases."""
    widths, dense, kernel = values["filters"], values["dense"], values["kernel"]
    flat = _convolved(spec, widths, kernel) // 2 * widths[-1]
    once = spec.shape[1] * widths[0]
    once += sum(kernel * a * b for a, b in pairwise(widths)) + sum(a * b for a, b in pairwise([flat, *dense]))
    return int(2 * once + 3 * dense[-1] * values["latent"])


#: With the values of the study.
CONV = Architecture(build, least_weights, {"latent": 12, "filters": [12, 16, 20], "kernel": 3, "dense": [204, 48]})
