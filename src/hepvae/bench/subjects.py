"""The models of a study: their files, the names that tables have for them, and what they say of themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..errors import ModelError
from ..inference import model_file, named_model
from ..inference.transport import digest
from ..models.card import ModelCard
from ..reading.sources import distinct_names
from .cells import Cell
from .plan import Plan
from .timing import open_cells

__all__ = ["Subjects"]


class Subjects:
    """The models of a study.

    Parameters
    ----------
    plan : Plan
    threads : int
        That a runtime may use.
    retrained : path
        Folder of the model directories that the study makes.

    Raises
    ------
    ModelError
        A model has no file for a runtime of the plan.
    """

    def __init__(self, plan: Plan, threads: int, retrained: Path):
        self.threads, self._retrained = threads, retrained
        self.files = {(m, r): model_file(named_model(m, runtime=r), r) for m in plan.models for r in plan.runtimes}
        self.short = dict(zip(plan.models, distinct_names(plan.models)))
        """Name in tables, by what the user wrote."""
        self.cards: dict[str, ModelCard] = {}
        """By what the user wrote, once known."""

    def digests(self) -> dict[str, str]:
        """What the files hold, so that another model of the same name is another study."""
        return {f"{m} {r}": digest(file) for (m, r), file in self.files.items()}

    def folder(self, cell: Cell) -> Path:
        """Where a training of the study has its model directory."""
        return self._retrained / self.short[cell.model].replace("/", "_") / cell.training.replace(" ", "-")

    def file(self, cell: Cell) -> str:
        """The model file of a cell."""
        if cell.training:
            return str(model_file(self.folder(cell), cell.runtime))
        return str(self.files[cell.model, cell.runtime])

    def card(self, cell: Cell) -> ModelCard:
        """What the model of a cell says of itself."""
        if cell.model not in self.cards:
            (one,) = open_cells([(cell, self.file(replace(cell, training="")))], threads=self.threads)
            one.end()
            if one.failure:
                raise ModelError(one.failure)
            self.cards[cell.model] = ModelCard.from_dict(one.information["card"])
        return self.cards[cell.model]
