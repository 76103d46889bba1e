"""Whether the runtimes agree, and the scores that they give: from the losses of all jets.

The losses are those of the very processes that were timed.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..conversion.parity import Parity, compare_losses
from ..models.card import ModelCard
from ..scoring.strategy import ScoreStrategy
from .cells import Cell, Plan
from .inputs import Sample
from .timing import Opened

Floats = npt.NDArray[np.float32]
#: Scores and weights of events.
SampleScores = tuple[npt.NDArray[Any], npt.NDArray[Any]]

__all__ = ["Accuracy", "parity_of", "scores_of"]

#: The losses are taken in batches of the smallest size of the study from here on.
BATCH = 64
#: Jets on which the runtimes are compared for a training of this study; the models given have all.
JETS_OF_A_TRAINING = 2048


class Accuracy:
    """The losses of all jets by each model and runtime.

    Parameters
    ----------
    plan : Plan
    folder : path
        Where they are kept.
    """

    def __init__(self, plan: Plan, folder: Path):
        self._folder = folder
        self.cells = {(c.model, c.training, c.runtime): c for unit in plan.units() for c in unit}
        """One cell of each model, training and runtime."""
        self._batches: dict[tuple[str, str, str], int] = {}
        for unit in plan.units():
            for c in unit:
                key = (c.model, c.training, c.runtime)
                self._batches[key] = min(self._batches.get(key, c.batch_size), c.batch_size, key=_suitable)

    def _file(self, model: str, training: str, runtime: str) -> Path:
        name = hashlib.sha256(json.dumps([model, training, runtime]).encode()).hexdigest()[:16]
        return self._folder / f"{name}.npz"

    def take(self, opened: Opened) -> None:
        """Have the process of a cell write its losses, if it is the one to do so."""
        cell: Cell = opened.cell
        key = (cell.model, cell.training, cell.runtime)
        to = self._file(*key)
        if cell.batch_size == self._batches[key] and not to.exists():
            opened.ask("losses", to=str(to), jets=JETS_OF_A_TRAINING if cell.training else None)

    def losses(self, model: str, training: str) -> dict[str, dict[str, Floats]]:
        """Losses of all jets by name, for each runtime that gave them."""
        runtimes = [runtime for m, t, runtime in self.cells if (m, t) == (model, training)]
        files = {runtime: self._file(model, training, runtime) for runtime in runtimes}
        return {runtime: dict(np.load(file)) for runtime, file in files.items() if file.exists()}


def _suitable(size: int) -> tuple[bool, int]:
    """Sizes from `BATCH` on before smaller ones, of these the smallest, of others the largest."""
    return (size < BATCH, abs(size - BATCH))


def parity_of(losses: dict[str, dict[str, Floats]]) -> dict[str, Parity]:
    """Comparison of each further runtime with the first."""
    first, *others = losses
    return {other: compare_losses(losses[first], losses[other]) for other in others}


def scores_of(losses: dict[str, Floats], card: ModelCard, samples: dict[str, Sample]) -> dict[str, SampleScores]:
    """Scores and weights of the events of each sample in the signal region.

    Parameters
    ----------
    losses : dict of str to array (jets,)
        Of all jets, in the order of the samples.
    card : ModelCard
        Of the model.
    """
    scored, start = {}, 0
    of_pairs = {name: values.reshape(-1, 2) for name, values in losses.items()}
    scores = ScoreStrategy().score_of(of_pairs, card)
    for name, sample in samples.items():
        chosen = start // 2 + sample.event
        inside = chosen < len(scores)  # of many jets, not all were read
        start += sample.n_jets
        if inside.any():
            scored[name] = scores[chosen[inside]], sample.weight[inside]
    return scored
