"""Scores of lazy arrays (dask-awkward): computed on the workers, of a type that is known before."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import awkward as ak

__all__ = ["is_lazy", "map_lazily", "of_partition"]

OfEvents = Callable[[ak.Array], ak.Array]
Needed = Callable[[ak.Array], list[ak.Array]]


def is_lazy(events: Any) -> bool:
    """Whether events are an array of dask-awkward, which is not imported to find out."""
    dask_awkward = sys.modules.get("dask_awkward")
    return dask_awkward is not None and isinstance(events, dask_awkward.Array)


def map_lazily(of_events: OfEvents, events: Any, needed: Needed) -> Any:
    """A function of events for each partition of a lazy array; ``needed`` gives the columns that it touches.

    The type of its result is that of no events: no model runs to find it, and no file is read.
    """
    dask_awkward: Any = import_module("dask_awkward")
    of_each = partial(of_partition, of_events=of_events, needed=needed)
    return dask_awkward.map_partitions(of_each, events, meta=type_of(of_events, events._meta))


def of_partition(events: ak.Array, of_events: OfEvents, needed: Needed) -> ak.Array:
    """A function of the events of a partition; of a partition that is a type only, its type."""
    if ak.backend(events) != "typetracer":
        return of_events(events)
    # Which columns are to be read, dask-awkward sees from those that are touched.
    for column in needed(events):
        ak.typetracer.touch_data(column)
    return type_of(of_events, events)


def type_of(of_events: OfEvents, events: ak.Array) -> ak.Array:
    """The type (a typetracer) of a function's result, of no events."""
    # Not ak.typetracer.length_zero_if_typetracer, which touches all columns.
    nothing = ak.Array(events.layout.form.length_zero_array(), behavior=events.behavior)
    return ak.Array(of_events(nothing).layout.to_typetracer(forget_length=True))
