"""What records say about each other: ratios of times with their intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from .cells import KEYS
from .intervals import Ratio, log_ratios, run_deviations, time_ratio

__all__ = ["Comparison", "compare", "deviations_of_runs", "median_time", "select"]


@dataclass(frozen=True)
class Comparison:
    """Two sides of the same cell."""

    cell: dict
    """What they have in common, by the names of `KEYS`."""
    side: str
    """The runtime, or training, ..."""
    reference: str
    """... and the one it is compared with."""
    ratio: Ratio
    """Time of ``side`` over that of ``reference``."""
    saved_s: float
    """Time per batch of ``side`` minus that of ``reference``, in seconds."""
    runs: int


def select(records: Iterable[dict], **wanted) -> list[dict]:
    """Records with some values."""
    return [r for r in records if all(r[name] == value for name, value in wanted.items())]


def median_time(records: Sequence[dict]) -> float:
    """Seconds per batch: the median over the runs of the medians over their rounds."""
    return float(np.median([np.median(r["blocks_s"]) for r in records])) if records else float("nan")


def _sides(records: Sequence[dict], varied: str, reference: str) -> dict[tuple, dict]:
    """For each cell and side of it: the records of the runs that side and reference have in common."""
    cells: dict[tuple, dict[str, dict[int, dict]]] = {}
    for record in records:
        cell = cells.setdefault(tuple(record[name] for name in _shared(varied)), {})
        cell.setdefault(record[varied], {})[record["run"]] = record
    found = {}
    for key, cell in cells.items():
        for side in cell:
            runs = sorted(set(cell[side]) & set(cell.get(reference, ())))
            if side != reference and runs:
                found[key, side] = [(cell[side][run], cell[reference][run]) for run in runs]
    return found


def _shared(varied: str) -> list[str]:
    return [name for name in KEYS if name not in (varied, "run")]


def deviations_of_runs(records: Sequence[dict], varied: str, reference: str) -> np.ndarray:
    """How far ratios differ between fresh processes, over all cells: see `run_deviations`."""
    return run_deviations([_log_ratios(pairs) for pairs in _sides(records, varied, reference).values()])


def _log_ratios(pairs) -> list[np.ndarray]:
    return [log_ratios(side["blocks_s"], reference["blocks_s"]) for side, reference in pairs]


def compare(records: Sequence[dict], varied: str, reference: str, deviations=None) -> list[Comparison]:
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
            saved_s=median_time([one for one, _ in pairs]) - median_time([other for _, other in pairs]),
            runs=len(pairs),
        )
        for (key, side), pairs in _sides(records, varied, reference).items()
    ]
