"""Layers that the architectures share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

__all__ = ["Destandardise", "Mask", "Standardise", "feature_of"]


class _PerFeature(keras.layers.Layer):
    """A fixed mean and standard deviation for each feature.

    They are plain floats of the configuration, made into constants while the graph is traced: tensors
    held by the layer would become extra inputs of an exported graph.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], **kwargs: Any) -> None:
        super().__init__(trainable=False, **kwargs)
        self.mean = [float(v) for v in mean]
        self.std = [float(v) for v in std]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mean": self.mean, "std": self.std}


@keras.saving.register_keras_serializable("hepvae")
class Standardise(_PerFeature):
    """(x - mean) / std for each feature."""

    def call(self, x: Any) -> Any:
        return (x - ops.convert_to_tensor(self.mean, x.dtype)) / ops.convert_to_tensor(self.std, x.dtype)


@keras.saving.register_keras_serializable("hepvae")
class Destandardise(_PerFeature):
    """x * std + mean for each feature."""

    def call(self, x: Any) -> Any:
        return x * ops.convert_to_tensor(self.std, x.dtype) + ops.convert_to_tensor(self.mean, x.dtype)


def feature_of(particles: Any, i: int) -> Any:
    """One feature (jets, n_particles) of particles: LiteRT's fast kernels keep an axis that is cut."""
    return ops.squeeze(particles[..., i : i + 1], -1)


class Mask(keras.layers.Layer):
    """1 where there is a constituent (pt > 0), 0 where there is padding: (jets, n_particles)."""

    def __init__(self, pt: int, **kwargs: Any) -> None:
        super().__init__(trainable=False, **kwargs)
        self.pt = pt

    def call(self, particles: Any) -> Any:
        return ops.cast(feature_of(particles, self.pt) > 0, particles.dtype)
