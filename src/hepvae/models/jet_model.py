"""What all models that hepvae trains have: a card, losses of each jet, and their means while they are trained.

And the layers that their architectures share.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from ..errors import ModelError
from . import architecture
from .card import ModelCard

__all__ = ["Destandardise", "JetModel", "Mask", "Standardise", "feature_of"]


class JetModel(keras.Model):
    """A model whose configuration is its `ModelCard`: the .keras file carries it, and the model is built from it.

    What subclasses give of padded jets is a dict with the losses of the card, (jets,) each; ``loss`` is trained.

    Raises
    ------
    ModelError
        The card names other losses than the architecture has.
    """

    #: Of the particles, where the model leaves out padding.
    mask: Any = None
    #: Whether it takes jets of any number of particles, as none of its losses depends on padding.
    any_length = False

    def __init__(self, card: ModelCard, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        expected = architecture(card.architecture).losses
        if card.losses != expected:
            raise ModelError(
                f"its card has losses {', '.join(card.losses)}: expected {', '.join(expected)},"
                f" those of {card.architecture}"
            )
        self.card = card
        self._means = {name: keras.metrics.Mean(name=name) for name in card.losses}

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        for name, mean in self._means.items():
            mean.update_state(y_pred[name])
        return ops.mean(y_pred["loss"])

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        return self.get_metrics_result()

    @property
    def metrics(self) -> list[Any]:
        return list(self._means.values())

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "card": self.card.to_dict()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(ModelCard.from_dict(config["card"]), name=config.get("name"))


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
