"""Another training of a model, shortened: would it change what the study found?"""

from __future__ import annotations

from typing import Any

from ..models.bundled import sample_path
from ..models.card import ModelCard
from ..training import TrainingOptions, train
from .processes import Answer

__all__ = ["EVENTS", "measure"]

#: Enough to be another model, few enough to be quick: time does not know weights, and this is what is shown.
EPOCHS, EVENTS = 2, 1500


def measure(card: dict[str, Any], output: str, seed: int) -> Answer:
    """Train a model of a card from another seed into a model directory; gives its validation loss."""
    of = ModelCard.from_dict(card)
    architecture: Any = of.architecture  # which a card has checked, as its distance
    distance: Any = of.distance
    options = TrainingOptions(beta=of.beta, distance=distance, max_events=EVENTS, epochs=EPOCHS, seed=seed)
    trained = train(
        sample_path("qcdSide"),
        architecture,
        output,
        options,
        spec=of.spec,
        hyperparameters=of.hyperparameters,
        overwrite=True,
    )
    return {"validation_loss": min(trained.history["val_loss"])}
