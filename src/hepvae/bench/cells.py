"""What is measured: a cell for each model, runtime, batch size, source, pipeline and run."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

__all__ = ["KEYS", "PIPELINES", "SOURCES", "Cell", "Matrix", "Record", "SourceName", "cell_key", "unit_key"]

#: A cell that was measured, as in ``results.json``.
Record = dict[str, Any]
SourceName = Literal["local", "xrootd"]
PipelineName = Literal["numpy", "tf.data"]

#: Where the files lie: on this disk, or behind an XRootD server.
SOURCES: tuple[SourceName, ...] = ("local", "xrootd")
#: How jets come to the inferer: from an array in memory, or streamed from the files by `to_tf_dataset`.
PIPELINES: tuple[PipelineName, ...] = ("numpy", "tf.data")

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
