"""One cell of the study: one model on one runtime at one batch size, measured in a process of its own.

``python -m hepvae.bench.measure`` takes a cell as JSON on standard input and prints its measurement
as JSON. A process of its own is what makes the memory figures mean something: in a shared one the
first large batch hides all that come after.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import HepvaeError
from ..inferers import load_inferer

__all__ = ["Cell", "measure"]


@dataclass(frozen=True)
class Cell:
    """What to measure."""

    model: str
    path: str
    """The model file."""
    runtime: str
    batch_size: int
    run: int
    """Number of the repetition, from 1."""
    jets: str
    """A .npy file of padded jets, used batch after batch, round and round."""
    threads: int
    seconds: float
    """Time at least so long, after the warm-up."""
    min_calls: int = 10
    warm_up_calls: int = 3


def resident() -> dict[str, int]:
    """Resident memory of this process in bytes, now and at its peak (Linux: /proc/self/status)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kilobytes = {
        key: int(value.split()[0])
        for key, _, value in (line.partition(":") for line in lines)
        if key.startswith("Vm")
    }
    return {"now": 1024 * kilobytes["VmRSS"], "peak": 1024 * kilobytes["VmHWM"]}


def forget_peak() -> None:
    """Let the peak of the resident memory begin at what it is now (Linux: proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def measure(cell: Cell) -> dict:
    """Measure a cell in this process.

    Returns
    -------
    dict
        A record of ``results.json``. Latencies are those of whole calls of the inferer, as a user
        makes them, after the warm-up calls; the first call, which also lets the runtime prepare
        itself, and the loading of the model are given apart. ``rss_inference_bytes`` is the peak of the
        memory during all calls over what it was before the first, ``rss_growth_bytes`` what is left
        of it after the last.
    """
    jets = np.load(cell.jets)
    if len(jets) < cell.batch_size:
        jets = np.concatenate([jets] * -(-cell.batch_size // len(jets)))
    batches = [jets[i : i + cell.batch_size] for i in range(0, len(jets) - cell.batch_size + 1, cell.batch_size)]
    before_load = resident()["now"]
    start = time.perf_counter()
    inferer = load_inferer(cell.path, runtime=cell.runtime, threads=cell.threads, batch_size=cell.batch_size)
    load_s = time.perf_counter() - start
    load_peak = resident()["peak"]
    forget_peak()
    before_inference = resident()["now"]
    start = time.perf_counter()
    inferer(batches[0])
    first_call_s = time.perf_counter() - start
    for i in range(cell.warm_up_calls):
        inferer(batches[i % len(batches)])

    latencies = []
    begin = time.perf_counter()
    while len(latencies) < cell.min_calls or time.perf_counter() - begin < cell.seconds:
        batch = batches[len(latencies) % len(batches)]
        start = time.perf_counter()
        inferer(batch)
        latencies.append(time.perf_counter() - start)
    memory = resident()
    median, p90, p99 = np.percentile(latencies, [50, 90, 99])
    n_jets = len(latencies) * cell.batch_size
    return {
        "model": cell.model,
        "runtime": cell.runtime,
        "source": "local",
        "pipeline": "numpy",
        "run": cell.run,
        "batch_size": cell.batch_size,
        "n_jets": n_jets,
        "latency_s": {"median": median, "p90": p90, "p99": p99},
        "jets_per_s": n_jets / sum(latencies),
        "rss_peak_bytes": max(load_peak, memory["peak"]),
        "rss_inference_bytes": memory["peak"] - before_inference,
        "rss_growth_bytes": memory["now"] - before_inference,
        "rss_model_bytes": before_inference - before_load,
        "calls": len(latencies),
        "load_s": load_s,
        "first_call_s": first_call_s,
        "threads": inferer.threads,
    }


def main() -> int:
    cell = Cell(**json.load(sys.stdin))
    try:
        record = measure(cell)
    except HepvaeError as error:
        print(f"hepvae.bench: {error}", file=sys.stderr)
        return 1
    print(json.dumps(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
