"""What a model file says of itself: the one record of spec, normalisation, beta and provenance."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from ..errors import HepvaeError, ModelError, one_line
from ..jets.spec import MOST_PARTICLES, InputSpec
from ..options import check_choice, check_whole_number
from .contract import CARD_KEY, LEAST_PARTICLES_KEY, OURS, RECO_LOSS_KEY, RECO_LOSSES, RECONSTRUCTION, RecoLoss
from .losses import LOSSES, check_distance

__all__ = ["ADOPTED", "STRATEGY_NAMES", "ModelCard", "Reconstruction", "StrategyName", "read_metadata"]

#: How the losses of two jets become the score of their event, see `scoring.strategy`.
StrategyName = Literal["min", "max", "sum", "j1", "j2"]
STRATEGY_NAMES: tuple[StrategyName, ...] = get_args(StrategyName)

FORMAT = 1
#: Architecture of models that others trained.
ADOPTED = "adopted"
#: More at once nobody takes, and a broken file must not be taken for memory.
MOST_JETS = 100_000


@dataclass(frozen=True)
class Reconstruction:
    """What a model reconstructs of a jet."""

    values: Literal["physical", "network"] = "physical"
    """Whether they are those of a padded array, or transformed as the network has them."""
    features: tuple[str, ...] = ()
    """Columns of the last axis; none: those of the spec."""
    n_particles: int = 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one jet; empty: that of the spec."""
        return (self.n_particles, len(self.features)) if self.features else ()


@dataclass(frozen=True)
class ModelCard:
    """Everything a VAE is besides its weights."""

    architecture: str
    """Name in the table of `hepvae.models`."""
    spec: InputSpec
    """What the model takes."""
    mean: tuple[float, ...]
    """Mean of each feature over the constituents, or the jets, of the training set."""
    std: tuple[float, ...]
    """Standard deviation of each feature, likewise."""
    beta: float = 0.01
    """loss = reco_loss + beta * kl_loss."""
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    """What the architecture was built with."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """Training sample, settings, seed, versions."""
    distance: str = "features"
    """Between two particles, one of `losses.DISTANCES`."""
    losses: tuple[str, ...] = LOSSES
    """Names of what the model gives one jet, in the order of every table and file."""
    reconstruction: Reconstruction | None = Reconstruction()
    """What it gives of each jet; None: nothing."""
    batch_size: int | None = None
    """Jets that it takes at once; None: any number."""
    strategy: StrategyName = "min"
    """From the losses of two jets to a score, unless the user says otherwise."""

    @property
    def outputs(self) -> dict[str, tuple[int, ...]]:
        """Names of all outputs, and the shape of each for one jet; all are float32."""
        outputs: dict[str, tuple[int, ...]] = dict.fromkeys(self.losses, ())
        if self.reconstruction is not None:
            outputs[RECONSTRUCTION] = self.reconstruction.shape or self.spec.shape
        return outputs

    @property
    def reconstructs_momenta(self) -> bool:
        """Whether the model takes and gives back eta, phi and pt of constituents, so that jets can be compared."""
        given = self.reconstruction
        features = ("eta", "phi", "pt")
        plain = given is not None and given.values == "physical" and not given.features
        return plain and sorted(self.spec.features) == sorted(features)

    @property
    def without_distances(self) -> tuple[str, ...]:
        """The outputs that the others follow from, where hepvae computes the distances of particles."""
        return (*(name for name in self.losses if name == "kl_loss"), RECONSTRUCTION)

    def with_provenance(self, **provenance: object) -> ModelCard:
        """The same card with more provenance."""
        return replace(self, provenance={**self.provenance, **provenance})

    def to_dict(self) -> dict[str, Any]:
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
            **self._own_outputs(),
        }

    @property
    def _is_vae(self) -> bool:
        """Whether its outputs are those of a VAE of hepvae."""
        return self.architecture != ADOPTED and self.losses == LOSSES

    def _own_outputs(self) -> dict[str, Any]:
        """What cards of the VAEs that hepvae trained do not have."""
        of = self.reconstruction
        outputs = {
            "losses": list(self.losses),
            "reconstruction": of and {**asdict(of), "features": list(of.features)},
            "batch_size": self.batch_size,
        }
        return (outputs if not self._is_vae else {}) | (
            {"strategy": self.strategy} if self.strategy != "min" else {}
        )

    @classmethod
    def from_dict(cls, values: Any) -> ModelCard:
        """The card that `to_dict` wrote."""
        if not isinstance(values, dict):
            raise ModelError(f"model card is {values!r}: expected a table of values")
        values = dict(values)
        if values.pop("format", None) != FORMAT:
            raise ModelError(f"model card: expected format {FORMAT}: a newer hepvae wrote it, perhaps")
        kinds = {"architecture": str, "distance": str, "hyperparameters": dict, "provenance": dict}
        for name, kind in kinds.items():
            if not isinstance(values.get(name, kind()), kind):
                raise ModelError(f"model card: {name} is {values[name]!r}: expected a {kind.__name__}")
        try:
            own = _own_outputs(values) if values["architecture"] == ADOPTED or "losses" in values else {}
            check_choice("strategy", values.get("strategy", "min"), STRATEGY_NAMES)
            card = cls(
                **{
                    **values,
                    **own,
                    "spec": InputSpec.from_dict(values["spec"]),
                    "mean": tuple(float(v) for v in values["mean"]),
                    "std": tuple(float(v) for v in values["std"]),
                    "beta": float(values["beta"]),
                }
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ModelError(f"model card: {error}") from error
        check_distance(card.distance, card.spec)
        expected = 0 if card.architecture == ADOPTED else card.spec.shape[1]
        if not len(card.mean) == len(card.std) == expected:
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
        except HepvaeError as error:
            raise ModelError(f"{where}: {error}") from error
        except (ValueError, RecursionError) as error:
            raise ModelError(f"{where}: its card is not JSON: {one_line(error)}") from error


def read_metadata(metadata: Mapping[str, Any], path: Path) -> tuple[ModelCard, int, RecoLoss | None]:
    """What the metadata of a model file say: its card, fewest particles, and what its ``reco_loss`` is, if known.

    Raises
    ------
    ModelError
        The card or the number of particles is none.
    """
    if not isinstance(metadata.get(CARD_KEY), str):
        raise ModelError(f"{path}: no {CARD_KEY!r} in its metadata: {OURS}")
    card = ModelCard.from_json(metadata[CARD_KEY], str(path))
    least = str(metadata.get(LEAST_PARTICLES_KEY, "1"))
    if not least.isdecimal() or not 1 <= int(least[:9]) <= MOST_PARTICLES:
        raise ModelError(f"{path}: {LEAST_PARTICLES_KEY} is {least!r}: expected a number of particles")
    return card, int(least), next((name for name in RECO_LOSSES if name == metadata.get(RECO_LOSS_KEY)), None)


def _own_outputs(values: dict[str, Any]) -> dict[str, Any]:
    """Fields of a `ModelCard` that the VAEs of hepvae do not have."""
    losses, of, batch_size = tuple(values["losses"]), values["reconstruction"], values["batch_size"]
    if not losses or not all(isinstance(name, str) and name.isidentifier() for name in losses):
        raise ValueError(f"losses are {losses!r}: expected names")
    if batch_size is not None:
        batch_size = check_whole_number("batch_size", batch_size, highest=MOST_JETS)
    if of is not None:
        check_choice("values of the reconstruction", of["values"], ("physical", "network"))
        n_particles = check_whole_number("n_particles", of["n_particles"], highest=MOST_PARTICLES)
        of = Reconstruction(of["values"], tuple(of["features"]), n_particles)
    return {"losses": losses, "reconstruction": of, "batch_size": batch_size}
