"""How a model is trained: checked when it is made, passed whole, recorded in the model."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import OptionError
from ..jets.selection import Region
from ..models.losses import DISTANCES, DistanceName
from ..options import check_choice, check_number, check_whole_number

__all__ = ["TrainingOptions"]

#: Of numbers that have no other bound: finite.
MOST = 1e30


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How a model is trained.

    Raises
    ------
    OptionError
        A number is out of its range, or there is no such distance.

    Examples
    --------
    >>> TrainingOptions(epochs=0)
    Traceback (most recent call last):
    hepvae.errors.OptionError: epochs is 0: expected a whole number, 1 or more
    """

    beta: float = 0.01
    """Weight of the KL term."""
    distance: DistanceName = "features"
    """Between two particles, see `losses.DISTANCES`."""
    region: Region | None = "sideband"
    """Events to train on; None: all."""
    max_events: int | None = None
    """Use the first so many."""
    epochs: int = 40
    """At most."""
    batch_size: int = 256
    """Jets of a step."""
    learning_rate: float = 1e-3
    """Of Adam, the largest: it falls along a cosine to a hundredth."""
    warm_up: float = 0
    """Epochs in which the learning rate rises from nothing."""
    clip_norm: float | None = None
    """Longest gradient of a batch; longer ones are shortened (default: by the distance). The loss is in GeV^2: a
    jet of one hard constituent may have 10^5 times that of others, and Adam would take small steps long after."""
    patience: int = 5
    """Epochs without a lower validation loss after which the training ends."""
    validation_split: float = 0.1
    """Share of the events to validate on: above 0, at most 0.5."""
    seed: int = 1
    """Of weights, shuffling and latent noise."""

    def __post_init__(self) -> None:
        check_choice("distance", self.distance, DISTANCES)
        for name in ("epochs", "batch_size", "patience"):
            check_whole_number(name, getattr(self, name))
        check_whole_number("seed", self.seed, lowest=0)
        if self.max_events is not None:
            check_whole_number("max_events", self.max_events)
        for name, highest in (("validation_split", 0.5), ("learning_rate", MOST), ("clip_norm", MOST)):
            value = getattr(self, name)
            if value is not None and not 0 < check_number(name, value) <= highest:
                raise OptionError(f"{name} is {value!r}: expected a number above 0, at most {highest:g}")
        check_number("beta", self.beta, lowest=0, highest=MOST)
        check_number("warm_up", self.warm_up, lowest=0, highest=self.epochs)

    @property
    def longest_gradient(self) -> float:
        """``clip_norm``, or that of the distance."""
        return DISTANCES[self.distance].clip_norm if self.clip_norm is None else self.clip_norm
