"""How many jets a second a cluster scores: a model of workers, scheduler, client and storage."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np
import numpy.typing as npt

__all__ = ["Costs", "Rates", "chunk_cost", "limits", "slowest"]


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


def chunk_cost(sizes: npt.ArrayLike, seconds: npt.ArrayLike, *, relative: bool = True) -> tuple[float, float]:
    """What all took alike, and what each more took, neither negative: a line through what was measured.

    Parameters
    ----------
    sizes, seconds : array (runs,)
        At least two sizes: events of a chunk and its seconds, or chunks of a run over the same files and its.
    relative : bool
        Minimise relative deviations, as chunks of all sizes are measured equally well; not of times from which
        something was subtracted.
    """
    from scipy.optimize import nnls

    sizes, seconds = np.asarray(sizes, float), np.asarray(seconds, float)
    weight = 1 / seconds if relative else np.ones(len(seconds))
    alike, each = nnls(np.stack([weight, sizes * weight], axis=1), seconds * weight)[0]
    return float(alike), float(each)


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
