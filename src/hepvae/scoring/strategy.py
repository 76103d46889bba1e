"""From the losses of two jets to the score of the event: the strategies."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import ModelError, OptionError
from ..models import MASKED
from ..models.card import ModelCard, StrategyName
from ..options import check_choice, check_number

__all__ = ["CONVENTIONS", "STRATEGIES", "Convention", "ScoreStrategy", "Strategy", "StrategyName"]

Floats = npt.NDArray[np.floating[Any]]
#: A function takes the losses of jets 1 and 2, (events,) each, as those of `STRATEGIES` do.
Strategy = StrategyName | Callable[[Any, Any], Any]
Convention = Literal["mean", "sum"]

#: How the losses of jet 1 and jet 2 become the score of the event.
STRATEGIES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "min": np.minimum,
    "max": np.maximum,
    "sum": np.add,
    "j1": lambda jet1, jet2: jet1,
    "j2": lambda jet1, jet2: jet2,
}

#: Losses are means over particles and over the latent axis; the selection of the study takes sums of both.
CONVENTIONS: tuple[Convention, ...] = ("mean", "sum")


def _adds(losses: Container[str]) -> bool:
    """Whether the score of a jet is the sum of both losses of a VAE."""
    return "reco_loss" in losses and "kl_loss" in losses


@dataclass(frozen=True)
class ScoreStrategy:
    """How the six losses of an event become its score; stored with the scores.

    Raises
    ------
    OptionError
        A name is unknown, or the weight is not finite.
    """

    strategy: Strategy | None = None
    """Over the two jets, one of `STRATEGIES`, or a function like those; ``min`` requires both to be anomalous.
    None: the one that the card of the model names."""
    kl_weight: float | None = None
    """Score of a jet = reco_loss + kl_weight * kl_loss; None: the beta that the model was trained with."""
    convention: Convention = "mean"
    """One of `CONVENTIONS`: of both losses, before they are added."""

    def __post_init__(self) -> None:
        if self.strategy is not None and not callable(self.strategy):
            check_choice("strategy", self.strategy, STRATEGIES)
        check_choice("convention", self.convention, CONVENTIONS)
        if self.kl_weight is not None:
            weight = check_number("kl_weight", self.kl_weight)
            if not math.isfinite(weight):
                raise OptionError(f"kl_weight is {self.kl_weight!r}: expected a finite number")
            object.__setattr__(self, "kl_weight", weight)

    def of(self, card: ModelCard) -> ScoreStrategy:
        """The same with the weight and the strategy that it has for a model.

        Raises
        ------
        OptionError
            Its losses have no sums: a model that masks padding takes means over as many constituents as a jet
            has, and says nothing of their number.
        """
        if self.convention == "sum" and card.architecture in MASKED:
            raise OptionError(
                f"convention 'sum': {card.architecture} takes means over the constituents of each jet:"
                " expected convention 'mean'"
            )
        if self.convention == "sum" and "latent" not in card.hyperparameters:
            raise OptionError("convention 'sum': the model does not say how many latent dimensions it has")
        strategy = card.strategy if self.strategy is None else self.strategy
        if self.kl_weight is None:
            return replace(self, strategy=strategy, kl_weight=card.beta)
        if "kl_loss" not in card.losses and self.kl_weight != card.beta:
            raise OptionError(
                f"kl_weight is {self.kl_weight:g}: the model has no kl_loss, it gives {', '.join(card.losses)}"
            )
        return replace(self, strategy=strategy)

    def score_of(self, losses: Mapping[str, Floats], card: ModelCard) -> Floats:
        """Score of each event, from all that a model gives its jets.

        Parameters
        ----------
        losses : mapping of str to array, (events, 2)
            By the names of the card. A jet's score is reco_loss + kl_weight * kl_loss where there are both, else
            its ``loss``, else the one number that the model gives.
        card : ModelCard

        Returns
        -------
        array, (events,)
            Of the dtype of the losses.

        Raises
        ------
        OptionError
            The strategy is a function that does not give one number for each event.
        """
        of = self.of(card)
        strategy, weight = of.strategy or card.strategy, of.kl_weight
        if _adds(losses):
            reco_loss, kl_loss = losses["reco_loss"], losses["kl_loss"]
            number = reco_loss.dtype.type
            if self.convention == "sum":
                reco_loss = number(card.spec.n_particles) * reco_loss
                kl_loss = number(card.hyperparameters["latent"]) * kl_loss
            jet = reco_loss + number(weight) * kl_loss
        else:
            jet = losses["loss" if "loss" in losses else card.losses[0]]
        if not callable(strategy):
            return STRATEGIES[strategy](jet[:, 0], jet[:, 1])
        score = np.asarray(strategy(jet[:, 0], jet[:, 1]))
        if score.shape != (len(jet),) or score.dtype.kind not in "iuf":
            raise OptionError(
                f"strategy {self.name!r} gives {score.dtype} {score.shape}: expected a number for each of"
                f" {len(jet)} events"
            )
        return score.astype(jet.dtype)

    def of_jet(self, card: ModelCard) -> str:
        """What the score of a jet is, for messages."""
        if _adds(card.losses):
            return f"reco_loss + {self.of(card).kl_weight:g} kl_loss ({self.convention}s)"
        return "loss" if "loss" in card.losses else card.losses[0]

    @property
    def name(self) -> str:
        """That of `STRATEGIES`, or that of the function."""
        if not callable(self.strategy):
            return self.strategy or "of the model"
        named = self.strategy if hasattr(self.strategy, "__name__") else type(self.strategy)
        return f"{getattr(named, '__module__', None) or 'numpy'}.{getattr(named, '__qualname__', named.__name__)}"

    def to_dict(self) -> dict[str, Any]:
        """A dict of plain values, for JSON: a function is ``custom``, and its name beside it."""
        plain = {**self.__dict__}
        return plain | {"strategy": "custom", "function": self.name} if callable(self.strategy) else plain

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ScoreStrategy:
        """The strategy that `to_dict` wrote, also before there were conventions; of a function, `ModelError`."""
        if "function" in values:
            raise ModelError(
                f"score strategy is the function {values['function']!r}: expected one of {', '.join(STRATEGIES)},"
                " as hepvae rescore gives the losses"
            )
        try:
            return cls(**{name: values[name] for name in cls.__dataclass_fields__ if name in values})
        except (TypeError, OptionError) as error:
            raise ModelError(f"score strategy: {error}") from error
