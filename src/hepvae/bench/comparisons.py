"""What records say about each other: ratios of times with their intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .cells import KEYS, Record
from .intervals import Ratio, log_ratios, middle, process_deviations, run_deviations, time_ratio, unpaired_ratio

__all__ = [
    "Comparison",
    "batch_time",
    "compare",
    "delay_shares",
    "deviations_of_runs",
    "grouped",
    "rate_ratio",
    "round_times",
    "select",
]

Floats = npt.NDArray[np.float64]
#: The records of a run of the side, and of the same run of the reference.
Pairs = list[tuple[Record, Record]]


@dataclass(frozen=True)
class Comparison:
    """Two sides of the same cell."""

    cell: Record
    """What they have in common, by the names of `KEYS`."""
    side: str
    """The runtime, or training, ..."""
    reference: str
    """... and the one it is compared with."""
    ratio: Ratio
    """Time of ``side`` over that of ``reference``."""
    reference_s: float
    """`batch_time` of the reference, in seconds."""


def select(records: Iterable[Record], **wanted: object) -> list[Record]:
    """Records with some values."""
    return [r for r in records if all(r[name] == value for name, value in wanted.items())]


def grouped(records: Iterable[Record], *names: str) -> dict[tuple[Any, ...], list[Record]]:
    """Records by some of their values."""
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        groups.setdefault(tuple(record[name] for name in names), []).append(record)
    return groups


def round_times(records: Iterable[Record]) -> list[Floats]:
    """For each run, the time of each round: seconds of a batch."""
    return [np.asarray(record["blocks_s"], np.float64) for record in records]


def batch_time(records: Sequence[Record]) -> float:
    """Seconds per batch of the runs of a cell: the one time in tables, figures, rates and ratios.

    The geometric mean over runs of the `middle` of their rounds. A round is the mean over its calls, or, of a
    stream, over the batches of a pass.
    """
    return float(np.exp(np.mean([np.log(middle(r["blocks_s"])) for r in records])))


def rate_ratio(records: Sequence[Record], others: Sequence[Record], deviations: Floats) -> Ratio:
    """Jets per second of the runs of a cell over those of another that was not timed in turns with it.

    Parameters
    ----------
    records, others : list of dict
        The runs of either.
    deviations : array
        Of fresh processes, as `process_deviations` gives them.
    """
    side, reference = ([np.asarray(r["blocks_s"]) / r["batch_size"] for r in runs] for runs in (others, records))
    return unpaired_ratio(side, reference, (deviations, deviations))


def delay_shares(records: Sequence[Record]) -> list[Record]:
    """For each stream through XRootD: its rate over that of the same stream from this disk, a `Ratio`."""
    names = ("model", "runtime", "batch_size", "rtt_ms")
    cells = grouped(select(records, pipeline="tf.data", training=""), *names, "source")
    deviations = process_deviations(list(map(round_times, cells.values())))
    shares = []
    for (*key, source), far in cells.items():
        near = cells.get((*key[:-1], 0.0, "local"))
        if source != "local" and near:
            shares.append({**dict(zip(names, key)), "share": rate_ratio(far, near, deviations)})
    return shares


def _sides(records: Sequence[Record], varied: str, reference: str) -> dict[tuple[tuple[Any, ...], str], Pairs]:
    """For each cell and side of it: the records of the runs that side and reference have in common."""
    cells: dict[tuple[Any, ...], dict[str, dict[int, Record]]] = {}
    for record in records:
        cell = cells.setdefault(tuple(record[name] for name in _shared(varied)), {})
        cell.setdefault(record[varied], {})[record["run"]] = record
    pairs = {}
    for key, cell in cells.items():
        for side in cell:
            runs = sorted(set(cell[side]) & set(cell.get(reference, ())))
            if side != reference and runs:
                pairs[key, side] = [(cell[side][run], cell[reference][run]) for run in runs]
    return pairs


def _shared(varied: str) -> list[str]:
    return [name for name in KEYS if name not in (varied, "run")]


def deviations_of_runs(records: Sequence[Record], varied: str, reference: str) -> Floats:
    """How far ratios differ between fresh processes, over all cells: see `run_deviations`."""
    return run_deviations([_log_ratios(pairs) for pairs in _sides(records, varied, reference).values()])


def _log_ratios(pairs: Pairs) -> list[Floats]:
    return [log_ratios(side["blocks_s"], reference["blocks_s"]) for side, reference in pairs]


def compare(
    records: Sequence[Record], varied: str, reference: str, deviations: Floats | None = None
) -> list[Comparison]:
    """Compare the sides of each cell that were timed in turns.

    Parameters
    ----------
    records : list of dict
        As in ``results.json``.
    varied : {"runtime", "training"}
        What the sides differ in.
    reference : str
        The side that others are divided by.
    deviations : array, optional
        Of fresh processes; by default those of these records.
    """
    if deviations is None:
        deviations = deviations_of_runs(records, varied, reference)
    return [
        Comparison(
            cell=dict(zip(_shared(varied), key)),
            side=side,
            reference=reference,
            ratio=time_ratio(_log_ratios(pairs), deviations),
            reference_s=batch_time([other for _, other in pairs]),
        )
        for (key, side), pairs in _sides(records, varied, reference).items()
    ]
