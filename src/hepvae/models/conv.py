"""The Conv-VAE of the study (vande, particle VAE): 1D convolutions along the particles of a jet."""

from __future__ import annotations

import keras
from keras import layers

from ..errors import OptionError
from . import Architecture
from .card import ModelCard
from .layers import Destandardise, Standardise

__all__ = ["CONV"]


def build(card: ModelCard, *, latent, filters, kernel, dense) -> tuple[keras.Model, keras.Model]:
    """Build encoder (particles to z_mean, z_log_var) and decoder (z to particles).

    The convolution over the three features of each particle has a kernel as wide as the features: it
    is a dense layer on the last axis. Its mirror in the decoder is another.
    """
    embedding, *filters = filters
    particles, features = card.spec.shape
    convolved = particles - len(filters) * (kernel - 1)
    if convolved < 2 or convolved % 2:
        raise OptionError(
            f"conv with {len(filters)} convolutions of kernel {kernel} leaves {convolved} of {particles}"
            " particles: expected an even number, to be halved by the pooling"
        )
    style = {"activation": "elu", "kernel_initializer": "he_uniform"}

    x = inputs = keras.Input((particles, features), name="particles")
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


#: With the values of the study.
CONV = Architecture(build, {"latent": 12, "filters": [12, 16, 20], "kernel": 3, "dense": [204, 48]})
