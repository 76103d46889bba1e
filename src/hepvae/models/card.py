"""What a model file says of itself: the one record of spec, normalisation, beta and provenance."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace

from ..errors import HepvaeError, ModelError
from ..jets.spec import InputSpec
from .contract import RECONSTRUCTION
from .losses import LOSSES, check_distance

__all__ = ["ModelCard"]

FORMAT = 1


@dataclass(frozen=True)
class ModelCard:
    """Everything a VAE is besides its weights."""

    architecture: str
    """Name in the table of `hepvae.models`."""
    spec: InputSpec
    """What the model takes."""
    mean: tuple[float, ...]
    """Mean of each feature over the constituents of the training set."""
    std: tuple[float, ...]
    """Standard deviation of each feature, likewise."""
    beta: float = 0.01
    """loss = reco_loss + beta * kl_loss."""
    hyperparameters: dict = field(default_factory=dict)
    """What the architecture was built with."""
    provenance: dict = field(default_factory=dict)
    """Training sample, settings, seed, versions."""
    distance: str = "features"
    """Between two particles, one of `losses.DISTANCES`."""

    @property
    def losses(self) -> tuple[str, ...]:
        """Names of what the model gives one jet, in the order of every table and file."""
        return LOSSES

    @property
    def outputs(self) -> dict[str, tuple[int, ...]]:
        """Names of all outputs, and the shape of each for one jet; all are float32."""
        return {**dict.fromkeys(self.losses, ()), RECONSTRUCTION: self.spec.shape}

    def with_provenance(self, **provenance) -> ModelCard:
        """The same card with more provenance."""
        return replace(self, provenance={**self.provenance, **provenance})

    def to_dict(self) -> dict:
        """A dict of plain values, for JSON."""
        return {
            "format": FORMAT,
            "architecture": self.architecture,
            "spec": self.spec.to_dict(),
            "mean": list(self.mean),
            "std": list(self.std),
            "beta": self.beta,
            "distance": self.distance,
            "hyperparameters": dict(self.hyperparameters),
            "provenance": dict(self.provenance),
        }

    @classmethod
    def from_dict(cls, values: dict) -> ModelCard:
        """The card that `to_dict` wrote."""
        if not isinstance(values, dict):
            raise ModelError(f"model card is {values!r}: expected a table of values")
        values = dict(values)
        if values.pop("format", None) != FORMAT:
            raise ModelError(f"model card: expected format {FORMAT}; made by a newer hepvae?")
        try:
            card = cls(
                **{
                    **values,
                    "spec": InputSpec.from_dict(values["spec"]),
                    "mean": tuple(float(v) for v in values["mean"]),
                    "std": tuple(float(v) for v in values["std"]),
                    "beta": float(values["beta"]),
                }
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"model card: {error}") from error
        check_distance(card.distance, card.spec)
        if not len(card.mean) == len(card.std) == len(card.spec.features):
            raise ModelError("model card: mean and std must have one value for each feature")
        if not all(value > 0 for value in card.std):
            raise ModelError(f"model card: std is {card.std}: expected positive values")
        if not all(math.isfinite(value) for value in (*card.mean, *card.std, card.beta)):
            raise ModelError("model card: mean, std and beta must be finite")
        return card

    def to_json(self) -> str:
        """The card as JSON."""
        return json.dumps(self.to_dict(), indent=1)

    @classmethod
    def from_json(cls, text: str, where: str) -> ModelCard:
        """The card that `to_json` wrote; errors name ``where`` it was found."""
        try:
            return cls.from_dict(json.loads(text))
        except (json.JSONDecodeError, HepvaeError) as error:
            raise ModelError(f"{where}: {error}") from error
