"""What a study shows, in sentences that follow from intervals: without one, nothing is claimed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .cells import Record
from .comparisons import Comparison, batch_time, grouped, rate_ratio, round_times, select
from .intervals import process_deviations

__all__ = ["findings"]

#: A batch size is large enough if the interval of its rate is above this share of the highest.
CLOSE = 0.9


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
