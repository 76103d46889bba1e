"""What a study compares, and in which order."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from .cells import Cell, Matrix, Record, SourceName, unit_key
from .timing import Effort

__all__ = ["Plan", "full_matrices"]

#: Sizes at which what is not inference is varied: the source, the pipeline, the training.
CHOSEN_SIZES = (1, 64, 512)
#: Added to the round trip to a server.
DELAYS_MS = (1.0, 10.0, 50.0)


@dataclass(frozen=True)
class Plan:
    """What to compare."""

    matrices: tuple[Matrix, ...]
    effort: Effort = field(default_factory=Effort)
    input: tuple[str, ...] | None = None
    """Files to take jets from; None: the bundled samples."""
    trainings: int = 0
    """Further trainings of each model, from other seeds."""

    @property
    def models(self) -> tuple[str, ...]:
        """Bundled names or model paths, as the user wrote them."""
        return tuple(dict.fromkeys(model for matrix in self.matrices for model in matrix.models))

    @property
    def runtimes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(runtime for matrix in self.matrices for runtime in matrix.runtimes))

    def units(self) -> list[tuple[Cell, ...]]:
        """Cells that are timed in turns, run by run."""
        cells_of: dict[tuple[Any, ...], dict[Cell, None]] = {}
        for matrix in self.matrices:
            for unit in matrix.units():
                cells_of.setdefault(unit_key(unit[0].keys), {}).update(dict.fromkeys(unit))
        order = {model: i for i, model in enumerate(self.models)}
        return sorted((tuple(cells) for cells in cells_of.values()), key=lambda unit: _place(unit[0], order))

    @property
    def settings(self) -> Record:
        """How long to measure, and which files were given, in plain values."""
        return {"effort": asdict(self.effort), "input": self.input}

    def to_dict(self) -> Record:
        """The plan in plain values."""
        return asdict(self)


def _place(cell: Cell, order: dict[str, int]) -> tuple[Any, ...]:
    return cell.run, order[cell.model], cell.source, cell.rtt_ms, cell.pipeline, cell.batch_size


def seeds(number: int) -> tuple[str, ...]:
    """Names of the trainings: the model as it was given, and further ones."""
    return ("", *(f"seed {i}" for i in range(1, number + 1)))


def full_matrices(
    models: tuple[str, ...], runtimes: tuple[str, ...], *, runs: int, trainings: int
) -> tuple[Matrix, ...]:
    """Everything: all batch sizes from memory; sources, delays, pipelines and trainings at chosen ones."""
    sizes = tuple(2**i for i in range(13))
    far: tuple[tuple[SourceName, float], ...] = tuple(("xrootd", rtt) for rtt in DELAYS_MS)
    return (
        Matrix(models, runtimes, sizes, runs=runs),
        Matrix(models, runtimes, CHOSEN_SIZES, (("local", 0.0), ("xrootd", 0.0)), ("numpy", "tf.data"), runs=1),
        Matrix(models, runtimes, CHOSEN_SIZES[-1:], far, ("tf.data",), runs=1),
        Matrix(models, runtimes, CHOSEN_SIZES, trainings=seeds(trainings), runs=1),
    )
