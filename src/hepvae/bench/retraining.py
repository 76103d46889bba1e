"""Another training of a model, shortened: would it change what the study found?

``python -m hepvae.bench.retraining`` takes the request as JSON on standard input. A process of its own,
because TensorFlow keeps what it took.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from ..errors import HepvaeError
from ..models.bundled import sample_path
from ..models.card import ModelCard
from ..training import TrainingOptions, train

__all__ = ["EVENTS"]

#: Enough to be another model, few enough to be quick: time does not know weights, and this is what is shown.
EPOCHS, EVENTS = 2, 1500


def main() -> int:
    request = json.load(sys.stdin)
    card = ModelCard.from_dict(request["card"])
    architecture: Any = card.architecture  # which a card has checked, as its distance
    distance: Any = card.distance
    try:
        trained = train(
            sample_path("qcdSide"),
            architecture,
            request["output"],
            TrainingOptions(
                beta=card.beta,
                distance=distance,
                max_events=EVENTS,
                epochs=EPOCHS,
                seed=request["seed"],
            ),
            spec=card.spec,
            hyperparameters=card.hyperparameters,
            overwrite=True,
        )
    except HepvaeError as error:
        print(f"hepvae.bench: {error}", file=sys.stderr)
        return 1
    print(json.dumps({"validation_loss": min(trained.history["val_loss"])}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
