"""What a study measures: a cell for each model, runtime, batch size, source, pipeline and run, and how long."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from itertools import product
from typing import Any, Literal

__all__ = [
    *("KEYS", "PASS_S", "PIPELINES", "SOURCES", "Cell", "Effort", "Matrix", "PipelineName", "Plan", "Record"),
    *("SourceName", "cell_key", "full_matrices", "seeds", "unit_key"),
]

#: A cell that was measured, as in ``results.json``.
Record = dict[str, Any]
SourceName = Literal["local", "xrootd"]
PipelineName = Literal["numpy", "tf.data"]

#: Where the files lie: on this disk, or behind an XRootD server.
SOURCES: tuple[SourceName, ...] = ("local", "xrootd")
#: How jets come to the inferer: from an array in memory, or streamed from the files by `to_tf_dataset`.
PIPELINES: tuple[PipelineName, ...] = ("numpy", "tf.data")

#: Sizes at which what is not inference is varied: the source, the pipeline, the training.
CHOSEN_SIZES = (1, 64, 512)
#: Added to the round trip to a server.
DELAYS_MS = (1.0, 10.0, 50.0)
#: A pass through files that are streamed ends after so many seconds, or with the files.
PASS_S = 2.0

#: What tells the cells of a study apart, in the order of every table.
KEYS = ("model", "training", "runtime", "source", "rtt_ms", "pipeline", "batch_size", "run")
#: Cells that differ in these alone are timed in turns.
IN_TURNS = ("training", "runtime")


@dataclass(frozen=True)
class Cell:
    """One thing to measure, in a process of its own."""

    model: str
    """As tables call it."""
    training: str
    """Which training of it: "" for the model as it was given, "seed N" for one of this study."""
    runtime: str
    source: SourceName
    rtt_ms: float
    """Added to the round trip to the XRootD server."""
    pipeline: PipelineName
    batch_size: int
    run: int
    """Number of the repetition, from 1."""

    @property
    def keys(self) -> Record:
        """The part of a record that says which cell it is."""
        return {name: getattr(self, name) for name in KEYS}

    def __str__(self) -> str:
        source = self.source + (f" +{self.rtt_ms:g} ms" if self.rtt_ms else "")
        parts = [self.model, self.training, self.runtime, source, self.pipeline, f"batch {self.batch_size}"]
        return ", ".join([*(p for p in parts if p), f"run {self.run}"])


@dataclass(frozen=True)
class Matrix:
    """All combinations of some values."""

    models: tuple[str, ...]
    runtimes: tuple[str, ...]
    batch_sizes: tuple[int, ...]
    sources: tuple[tuple[SourceName, float], ...] = (("local", 0.0),)
    """Source and milliseconds added to its round trip."""
    pipelines: tuple[PipelineName, ...] = ("numpy",)
    trainings: tuple[str, ...] = ("",)
    runs: int = 1

    def units(self) -> list[tuple[Cell, ...]]:
        """Cells, those together that are timed in turns."""
        outer = product(
            range(1, self.runs + 1), self.models, self.sources, self.pipelines, sorted(self.batch_sizes)
        )
        return [
            tuple(
                Cell(model, training, runtime, source, rtt, pipeline, batch_size, run)
                for training in self.trainings
                for runtime in self.runtimes
            )
            for run, model, (source, rtt), pipeline, batch_size in outer
        ]


def cell_key(record: Record) -> tuple[Any, ...]:
    """What tells a record, or the keys of a cell, from those of other cells."""
    return tuple(record[name] for name in KEYS)


def unit_key(record: Record) -> tuple[Any, ...]:
    """What the cells have in common that are timed in turns."""
    return tuple(record[name] for name in KEYS if name not in IN_TURNS)


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    seconds: float = 1.0
    """For each cell, after the warm-up."""
    block_s: float = 0.1
    """A turn: a round gives each cell one. Shared machines change their speed within tenths of a second, which
    longer turns feel more; shorter ones feel the change of turns."""
    rounds: tuple[int, int] = (10, 40)
    """At least, unless a call takes very long, and at most, unless single-stream queries ask for more."""
    single_stream_calls: int = 0
    """At least so many calls at batch size 1; MLPerf's rules ask for 1,024."""
    passes: int = 5
    """Through the files, where they are streamed."""
    pass_s: float = PASS_S
    """A pass may end so early."""


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
