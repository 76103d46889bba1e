"""Timing cells in turns: A B, B A, A B, ..., so that a machine that drifts touches all of them alike."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import HepvaeError
from .cells import Cell, Effort, Record
from .intervals import middle
from .processes import Answer, Process

__all__ = ["BEFORE", "Opened", "open_cells", "time_in_turns"]

#: In the place of a runtime: another checkout of hepvae, as that runs its model.
BEFORE = "hepvae before"


#: So long the calls at the start of a turn are not timed: the caches hold another process's data, and its
#: threads may still spin.
READY_S = 0.03
#: Of calls longer than this, three rounds have to do.
VERY_LONG_CALL_S, FEW_ROUNDS = 1.0, 3
#: Before a turn all wait: threads of ONNX Runtime that have nothing to do go on in circles, and hold a core.
PAUSE_S = 0.02
WARM_UP_CALLS = 20


@dataclass
class Opened:
    """A cell with its process, or why it has none."""

    cell: Cell
    process: Process | None = None
    information: Answer = field(default_factory=dict)
    """What the worker says of its model; empty where it failed."""
    failure: str | None = None

    def ask(self, name: str, **arguments: Any) -> Answer | None:
        """What the process answers; None, and a failure from then on, where it cannot."""
        if self.failure is not None or self.process is None:
            return None
        try:
            return self.process.ask(name, **arguments)
        except HepvaeError as error:
            self.failure = str(error)
            return None

    def end(self) -> None:
        if self.process is not None:
            self.process.end()


def open_cells(
    cells: Iterable[tuple[Cell, str]],
    *,
    threads: int,
    at_once: int = 1,
    before: Path | None = None,
    on_dask: bool = False,
) -> list[Opened]:
    """Start a process for each cell and let it open its model.

    Parameters
    ----------
    cells : iterable of (Cell, str)
        With the model file of each.
    threads : int
        That a runtime may use.
    at_once : int
        Processes that start at the same time.
    before : path, optional
        Another checkout of hepvae, for cells whose runtime is `BEFORE`.
    on_dask : bool
        Each in a worker of Dask.
    """

    def opened(cell: Cell, path: str) -> Opened:
        what = {"runtime": cell.runtime, "pipeline": cell.pipeline, "batch_size": cell.batch_size}
        checkout = before if cell.runtime == BEFORE else None
        one = Opened(cell, Process(before=checkout, on_dask=on_dask, path=path, threads=threads, **what))
        one.information = one.ask("open") or {}
        return one

    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(lambda both: opened(*both), cells))


def time_in_turns(unit: list[Opened], effort: Effort, *, jets: str, files: list[str]) -> list[Record]:
    """Records of the cells that could be measured; the others have a failure.

    Latencies are those of whole calls of the inferer, as a user makes them; for a stream, from asking for a
    batch to having its losses. ``blocks_s`` has the time per batch of each round: the mean over its calls, or, for
    a stream, the whole pass over its number of batches. ``jets_per_s`` is the batch size over `middle` of them.

    Parameters
    ----------
    jets : str
        A .npy file of padded jets.
    files : list of str
        The same jets, to be streamed.
    """
    warm = {}
    for one in unit:
        answer = one.ask("warm_up", jets=jets, files=files, seconds=0.2 * effort.seconds, calls=WARM_UP_CALLS)
        if answer:
            warm[one.cell] = answer
    streams = unit[0].cell.pipeline == "tf.data"
    calls = {cell: max(1, round(effort.block_s / answer["call_s"])) for cell, answer in warm.items()}
    rounds = effort.passes if streams else _rounds(effort, warm, calls, unit[0].cell.batch_size)
    blocks: dict[Cell, list[Answer]] = {cell: [] for cell in warm}
    for i in range(rounds):
        for one in _order(unit, i):
            if one.failure is None:
                time.sleep(PAUSE_S)
                ready = int(READY_S / warm[one.cell]["call_s"])
                answer = one.ask("block", calls=calls[one.cell], ready=ready, seconds=effort.pass_s)
                if answer:
                    blocks[one.cell].append(answer)
    records = []
    for one in unit:
        memory = one.ask("memory")
        if memory:
            records.append(_record(one, blocks[one.cell], {**memory, **warm[one.cell]}))
    return records


def _order(unit: list[Opened], i: int) -> list[Opened]:
    """Whose turn it is in a round: forth and back, and of three or more each comes first as often as the others.

    Whoever is last in a round and first in the next finds its data still in the caches.
    """
    start = i // 2 % len(unit)
    turned = unit[start:] + unit[:start]
    return turned if i % 2 == 0 else turned[::-1]


def _rounds(effort: Effort, warm: dict[Cell, Answer], calls: dict[Cell, int], batch_size: int) -> int:
    least, most = effort.rounds
    if not warm:
        return 0
    if max(answer["call_s"] for answer in warm.values()) > VERY_LONG_CALL_S:
        least = min(least, FEW_ROUNDS)
    rounds = min(
        max(least, *(ceil(effort.seconds / (calls[cell] * answer["call_s"])) for cell, answer in warm.items())),
        most,
    )
    if batch_size == 1 and effort.single_stream_calls:
        rounds = max(rounds, ceil(effort.single_stream_calls / min(calls.values())))
    return int(rounds)


def _record(one: Opened, blocks: list[Answer], measured: Answer) -> Record:
    """A record of results.json."""
    latencies = np.concatenate([block["latencies"] for block in blocks])
    median, p90, p99 = np.percentile(latencies, [50, 90, 99])
    per_batch = [block["per_batch_s"] for block in blocks]
    n_jets = sum(block.get("n_jets", one.cell.batch_size * len(block["latencies"])) for block in blocks)
    measured = {**one.information, **measured}
    del measured["call_s"], measured["card"]
    return {
        **one.cell.keys,
        "n_jets": n_jets,
        "timed_calls": len(latencies),
        "latency_s": {"median": float(median), "p90": float(p90), "p99": float(p99)},
        "jets_per_s": one.cell.batch_size / float(middle(per_batch)),
        "blocks_s": per_batch,
        **measured,
    }
