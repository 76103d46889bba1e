"""How many jets a second a cluster scores: a model of workers, scheduler, client and storage."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np
import numpy.typing as npt

__all__ = ["Costs", "Rates", "asking_cost", "chunk_cost", "limits", "slowest"]


@dataclass(frozen=True)
class Costs:
    """What scoring takes, as it was measured."""

    chunk_s: float
    """Seconds of a worker for a chunk of no events."""
    event_s: float
    """Seconds of a worker for an event more."""
    task_s: float
    """Seconds of the one process that asks, for a chunk of no events."""
    write_s: float
    """Seconds of that process for an event more: none where rows do not come back to it."""
    requests: float
    """Of a chunk, to the storage, one after the other."""
    event_bytes: float
    """Read from the storage, for an event."""
    chunks: int = 1
    """Of a task, for which the scheduler takes its time."""


@dataclass(frozen=True)
class Rates:
    """What others publish, of machines that are not here."""

    storage_bytes_per_s: float = 25e9
    """200 Gbit/s, which facilities reached reading CMS NanoAOD over XRootD: A. Held et al., arXiv:2503.15464."""
    task_s: float = 1e-3
    """Of Dask's scheduler, for a task: about 1 ms (https://distributed.dask.org)."""
    round_trip_s: float = 1e-3
    """Between a batch node and the storage of the same centre; over a continent 20e-3 and more."""


def chunk_cost(events: npt.ArrayLike, seconds: npt.ArrayLike) -> tuple[float, float]:
    """Seconds of a chunk of no events, and of an event more: a line through what chunks of some sizes took.

    Relative deviations are minimised, as chunks of all sizes are measured equally well; neither is negative.

    Parameters
    ----------
    events, seconds : array (chunks,)
        At least two sizes.
    """
    events, seconds = np.asarray(events, float), np.asarray(seconds, float)
    sides = np.stack([1 / seconds, events / seconds], axis=1)
    fixed, each = np.linalg.lstsq(sides, np.ones(len(seconds)), rcond=None)[0]
    if fixed < 0:
        fixed, each = 0.0, (events / seconds).sum() / ((events / seconds) ** 2).sum()
    elif each < 0:
        fixed, each = (1 / seconds).sum() / (1 / seconds**2).sum(), 0.0
    return float(fixed), float(each)


def asking_cost(chunks: npt.ArrayLike, cpu: npt.ArrayLike) -> tuple[float, float]:
    """CPU seconds of the process that asks for a chunk, and what all runs have alike; neither is negative.

    Parameters
    ----------
    chunks, cpu : array (runs,)
        Of runs over the same files, in chunks of two sizes or more.
    """
    from scipy.optimize import nnls

    chunks = np.asarray(chunks, float)
    each, alike = nnls(np.stack([chunks, np.ones(len(chunks))], axis=1), np.asarray(cpu, float))[0]
    return float(each), float(alike)


def limits(costs: Costs, rates: Rates, workers: int, chunk: int) -> dict[str, float]:
    """Events a second that each part could do, if all others waited for it.

    Parameters
    ----------
    chunk : int
        Events.
    """
    task_s = costs.chunk_s + chunk * costs.event_s + costs.requests * rates.round_trip_s
    return {
        "workers": workers * chunk / task_s,
        "scheduler": costs.chunks * chunk / rates.task_s if rates.task_s else inf,
        "client": chunk / max(costs.task_s + chunk * costs.write_s, 1e-12),
        "storage": rates.storage_bytes_per_s / costs.event_bytes,
    }


def slowest(costs: Costs, rates: Rates, workers: int, chunk: int) -> tuple[str, float]:
    """The part that all wait for, and how many events a second it lets through."""
    rates_of = limits(costs, rates, workers, chunk)
    name = min(rates_of, key=lambda part: rates_of[part])
    return name, rates_of[name]
