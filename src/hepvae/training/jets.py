"""The jets of a training: padded once, kept in a file, read batch by batch in any order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError, FileError, LayoutError
from ..execution.progress import event_bar
from ..jets.selection import Region, Selection
from ..jets.spec import InputSpec
from ..output.files import whole_file
from ..reading.batches import padded_jets
from ..reading.options import ReadOptions
from ..reading.reports import FileReport
from ..reading.sources import Source

__all__ = ["Batch", "StoredJets", "batches", "lengths", "normalisation", "store_jets"]

#: Particles that jets are cut to for a step, and the whole length. Each is a graph of its own.
LENGTHS = (32, 48, 64, 80)
#: Jets that are looked at together, where all are.
CHUNK = 8192

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class StoredJets:
    """Padded jets in a file, those of an entry next to each other.

    Memory is taken for the number of particles of each jet, and for what is asked for.
    """

    path: Path
    spec: InputSpec
    together: int
    """Jets of an entry: two of an event, one of files that hold single jets."""
    particles: npt.NDArray[np.uint16]
    """Places that each jet needs: up to its last constituent."""
    record: dict[str, Any]
    """Files and what was counted, for the provenance."""

    @property
    def entries(self) -> int:
        return len(self.particles) // self.together

    def read(self, jets: Indices, length: int) -> npt.NDArray[np.float32]:
        """Some jets, cut: float32 (jets, length, n_features).

        Not mapped into memory: pages of a mapped file count as memory of the process.
        """
        n_particles, n_features = self.spec.shape
        values = np.zeros((len(jets), length, n_features), np.float32)
        size = n_particles * n_features * values.itemsize
        try:
            with open(self.path, "rb", buffering=0) as file:
                for row, jet in zip(values, jets.tolist()):
                    file.seek(jet * size)
                    if file.readinto(row.data.cast("B")) != row.nbytes:
                        raise FileError(f"{self.path}: ends before jet {jet}: expected {len(self.particles)} jets")
        except OSError as error:
            if isinstance(error, FileError):
                raise
            raise FileError(f"{self.path}: cannot be read: {error.strerror}") from error
        return values


@dataclass(frozen=True)
class Batch:
    """Jets of one step."""

    jets: Indices
    length: int
    """Particles that they are cut to."""


def store_jets(
    folder: Path, sources: Sequence[Source], spec: InputSpec, *, region: Region | None, max_events: int | None
) -> StoredJets:
    """Write padded jets of the selected events of all files, without events with a jet that cannot be scored."""
    counts: list[npt.NDArray[np.uint16]] = []
    reports = [FileReport(source.path) for source in sources]
    files_read = []
    events_kept = stored = together = 0
    selection = Selection(region=region)
    with (
        whole_file(folder / "jets.float32") as path,
        open(path, "wb") as file,
        event_bar("reading", reports) as look,
    ):
        for source, report in zip(sources, reports):
            if max_events is not None and stored >= (together or 2) * max_events:
                break
            for jets in padded_jets(source, report, spec, ReadOptions(), selection):
                look()
                of_this = 1 if report.single_jets else 2
                together = together or of_this
                if of_this != together:
                    raise LayoutError(
                        f"{source.path}: has {of_this} jets an entry, the files before it {together}"
                    )
                if max_events is not None:
                    jets = jets[: together * max_events - stored]
                file.write(np.ascontiguousarray(jets).data)
                counts.append(needed(jets))
                stored += len(jets)
                if max_events is not None and stored >= together * max_events:
                    break
            events_kept += report.events_kept
            files_read.append({"path": Path(source.path).name, "events": report.events_read})
    particles = np.concatenate([*counts, np.empty(0, np.uint16)])
    together = together or 2
    record = {
        "files": files_read,
        "region": region,
        "events_selected": events_kept,
        "events_used": len(particles) // together,
    }
    with whole_file(folder / "particles.npy") as path:
        np.save(path, particles)
    with whole_file(folder / "sample.json") as path:  # last: it says that the others are there
        path.write_text(json.dumps({"together": together, "record": record}))
    return StoredJets(folder / "jets.float32", spec, together, particles, record)


def stored_jets(folder: Path, spec: InputSpec) -> StoredJets | None:
    """What `store_jets` left, if it was done."""
    if not (folder / "sample.json").is_file():
        return None
    try:
        sample = json.loads((folder / "sample.json").read_text())
        particles = np.load(folder / "particles.npy", allow_pickle=False)
        return StoredJets(folder / "jets.float32", spec, sample["together"], particles, sample["record"])
    except (OSError, ValueError, KeyError) as error:
        raise FileError(f"{folder}: not what a training left: expected --overwrite, to begin anew") from error


def needed(jets: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Places that jets need: up to the last that is not padding."""
    places = (jets != 0).any(axis=2)
    last = jets.shape[1] - np.argmax(places[:, ::-1], axis=1)
    return np.where(places.any(axis=1), last, 0).astype(np.uint16)


def lengths(spec: InputSpec, least: int) -> tuple[int, ...]:
    """Particles that jets of a masked model are cut to.

    Parameters
    ----------
    least : int
        Fewest that the model takes.
    """
    return (*(length for length in LENGTHS if least <= length < spec.n_particles), spec.n_particles)


def batches(
    jets: Indices,
    particles: npt.NDArray[np.uint16],
    size: int,
    lengths: Sequence[int],
    random: np.random.Generator | None = None,
) -> list[Batch]:
    """Batches of jets of similar numbers of particles, each cut to one of some lengths.

    What does not fill a batch goes to the next length, so that one batch at most is smaller than the others.

    Parameters
    ----------
    lengths : sequence of int
        Rising; the last is enough for all.
    random : numpy Generator, optional
        Shuffles jets within their length, and batches; without one all are in order.
    """
    if random is not None:
        jets = random.permutation(jets)
    found, left = [], jets[:0]
    shortest = 0
    for length in lengths:
        here = np.concatenate([left, jets[(particles[jets] >= shortest) & (particles[jets] <= length)]])
        shortest = length + 1
        end = len(here) if length == lengths[-1] else len(here) // size * size
        found += [Batch(here[i : min(i + size, end)], length) for i in range(0, end, size)]
        left = here[end:]
    if random is None:
        return found
    return [found[i] for i in random.permutation(len(found))]


def normalisation(stored: StoredJets, jets: Indices) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each feature over the constituents of some jets, padding left out."""
    count = 0
    mean = squares = np.zeros(stored.spec.shape[1])
    for start in range(0, len(jets), CHUNK):
        values = stored.read(jets[start : start + CHUNK], stored.spec.n_particles)
        real = values[(values != 0).any(axis=2)].astype(np.float64)
        if len(real) == 0:
            continue
        # Chan, Golub, LeVeque (1979): moments of two parts to those of both, without a cancellation.
        step = real.mean(axis=0) - mean
        count += len(real)
        mean = mean + step * len(real) / count
        squares = squares + real.var(axis=0) * len(real) + step**2 * len(real) * (count - len(real)) / count
    std = np.sqrt(squares / max(count, 1))
    if not (std > 0).all():
        raise DataError(f"standard deviations of the features are {std.tolist()}: expected them positive")
    return tuple(mean.tolist()), tuple(std.tolist())
