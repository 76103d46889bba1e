"""What records say about each other: ratios of times with their intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .cells import KEYS, Record
from .intervals import Ratio, log_ratios, middle, process_deviations, run_deviations, time_ratio, unpaired_ratio

__all__ = ["Comparison", "batch_time", "compare", "delay_shares", "deviations_of_runs", "rate_ratio", "select"]

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


def batch_time(records: Sequence[Record]) -> float:
    """Seconds per batch of the runs of a cell: the one time in tables, figures, rates and ratios.

    The geometric mean over runs of the `middle` of their rounds. A round is the mean over its calls, or, of a
    stream, over the batches of a pass.
    """
    return float(np.exp(np.mean([np.log(middle(r["blocks_s"])) for r in records])))


def rate_ratio(records: Sequence[Record], others: Sequence[Record], deviations: Floats | None = None) -> Ratio:
    """Jets per second of the runs of a cell over those of another that was not timed in turns with it.

    Parameters
    ----------
    records, others : list of dict
        The runs of either.
    deviations : array, optional
        Of fresh processes, as `process_deviations` gives them; by default those of these records.
    """
    side, reference = ([np.asarray(r["blocks_s"]) / r["batch_size"] for r in runs] for runs in (others, records))
    if deviations is None:
        deviations = process_deviations([side, reference])
    return unpaired_ratio(side, reference, (deviations, deviations))


def delay_shares(records: Sequence[Record]) -> list[Record]:
    """For each stream through XRootD: its rate over that of the same stream from this disk, a `Ratio`."""
    streams = select(records, pipeline="tf.data", training="")
    cells: dict[tuple[Any, ...], list[Record]] = {}
    for r in streams:
        place = (r["source"], r["rtt_ms"])
        cells.setdefault((r["model"], r["runtime"], r["batch_size"], *place), []).append(r)
    deviations = process_deviations([[np.asarray(r["blocks_s"]) for r in runs] for runs in cells.values()])
    shares = []
    for (model, runtime, size, source, rtt_ms), far in cells.items():
        near = cells.get((model, runtime, size, "local", 0.0))
        if source != "local" and near:
            about = {"model": model, "runtime": runtime, "batch_size": size, "rtt_ms": rtt_ms}
            shares.append({**about, "share": rate_ratio(far, near, deviations)})
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
