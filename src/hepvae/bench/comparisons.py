"""What records say about each other: ratios of times with their intervals, and what follows from these."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .cells import KEYS, Record
from .intervals import Ratio, log_ratios, middle, process_deviations, run_deviations, time_ratio, unpaired_ratio

__all__ = [
    *("Comparison", "batch_time", "compare", "delay_shares", "deviations_of_runs", "findings", "grouped"),
    *("rate_ratio", "round_times", "select"),
]

Floats = npt.NDArray[np.float64]
#: The records of a run of the side, and of the same run of the reference.
Pairs = list[tuple[Record, Record]]

#: A batch size is large enough if the interval of its rate is above this share of the highest.
CLOSE = 0.9


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
    """For each stream through XRootD: its rate over that of the same stream from this disk.

    Each share has ``model``, ``runtime``, ``batch_size``, ``rtt_ms`` and ``share``, a `Ratio`.
    """
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


def findings(
    records: Sequence[Record], comparisons: Sequence[Comparison], place: str, left_out: str = ""
) -> list[str]:
    """Where a runtime is faster, where no difference is seen, and which batch size to use.

    Parameters
    ----------
    records : list of dict
        Cells of one source and pipeline, of the models as they were given.
    comparisons : list of Comparison
        Of runtimes, of the same cells.
    place : str
        What the cells have in common.
    left_out : str
        The cells of the study that are not among them.

    Returns
    -------
    list of str
        What the sentences are about, then the sentences.
    """
    sentences = []
    by_model: dict[tuple[str, str], list[Comparison]] = {}
    for c in comparisons:
        by_model.setdefault((c.cell["model"], c.side), []).append(c)
    for (model, side), part in by_model.items():
        sentences += _gain(model, side, sorted(part, key=lambda c: int(c.cell["batch_size"])))
    for model in dict.fromkeys(r["model"] for r in records):
        sentences += _advice(model, select(records, model=model))
    about = f"Measured with {place}" + (f"; {left_out} have sections of their own." if left_out else ".")
    return [about, *(sentences or ["Too few rounds and runs for intervals: no difference is claimed."])]


def _gain(model: str, side: str, part: list[Comparison]) -> list[str]:
    """Where one runtime takes longer than the reference, and where not."""
    known = [c for c in part if c.ratio.has_interval]
    if not known:
        return []
    slower, faster = [c for c in known if c.ratio.low > 1], [c for c in known if c.ratio.high < 1]
    unclear = [c for c in known if not c.ratio.difference_seen]
    clauses = []
    for cells, word in ((slower, "longer than"), (faster, "less time than")):
        if cells:
            values = [c.ratio.value for c in cells]
            times = f"{min(values):.2g} to {max(values):.2g}" if len(cells) > 1 else str(cells[0].ratio)
            clauses.append(f"takes {word} {part[0].reference} at {_sizes(cells)} (time ratio {times})")
    if unclear:
        clauses.append(f"no difference is seen at {_sizes(unclear)}")
    sentences = [f"{model}: {side} {_listed(clauses)}."]
    if len(slower) > 1:
        most = max(slower, key=lambda c: c.ratio.low)
        if all(most.ratio.low > c.ratio.high for c in known if c is not most):
            size = most.cell["batch_size"]
            sentences.append(f"{model}: the ratio to {side} is largest at batch size {size}, {most.ratio}.")
    return sentences


def _advice(model: str, records: Sequence[Record]) -> list[str]:
    """The cell with the highest rate, and what is known of smaller batches: the smallest that is close to it."""
    cells = grouped(records, "batch_size", "runtime")
    rate = {(size, runtime): size / batch_time(runs) for (size, runtime), runs in cells.items()}
    best = max(rate, key=lambda key: rate[key])
    deviations = process_deviations(list(map(round_times, cells.values())))
    shares = {key: rate_ratio(runs, cells[best], deviations) for key, runs in cells.items() if key != best}
    if not all(share.has_interval for share in shares.values()) or not shares:
        return []
    highest = f"{model}: the highest rate is {rate[best]:,.0f} jets/s, in batches of {best[0]} on {best[1]}"
    smaller = {key: share for key, share in shares.items() if key[0] < best[0]}
    equal = [f"{size} on {runtime}" for (size, runtime), s in shares.items() if size >= best[0] and s.high >= 1]
    if equal:
        highest += f" (not significantly higher than {_listed(equal)})"

    def reached(key: tuple[Any, ...]) -> str:
        share = smaller[key]
        return f"{key[0]} on {key[1]} reach {share.value:.0%} ({share.low:.0%} to {share.high:.0%})"

    close = [key for key, share in smaller.items() if share.low >= CLOSE]
    unclear = [key for key, share in smaller.items() if share.high >= CLOSE]
    if close:
        key = min(close, key=lambda key: (key[0], -rate[key]))
        memory = np.median([r["rss_peak_bytes"] for r in cells[key]]) / 1e6
        return [f"{highest}; batches of {reached(key)} of it, with {memory:,.0f} MB."]
    if unclear:
        key = max(unclear, key=lambda key: rate[key])
        return [f"{highest}; whether smaller batches reach {CLOSE:.0%} of it is open: those of {reached(key)}."]
    return [f"{highest}; smaller batches reach less than {CLOSE:.0%} of it." if smaller else f"{highest}."]


def _sizes(cells: Sequence[Comparison]) -> str:
    sizes = [str(c.cell["batch_size"]) for c in cells]
    return f"batch size{'s' * (len(sizes) > 1)} {_listed(sizes)}"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
