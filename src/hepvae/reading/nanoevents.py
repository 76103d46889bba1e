"""Events of coffea (NanoEvents) as dijet events: the layouts of files, under the names of its collections."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np

from ..errors import LayoutError
from ..jets.spec import InputSpec
from .layouts import EVENT_COLUMNS, RAW_FACTOR, Schema, SchemaName, find_schema
from .linking import Linking, settle_weights, weight_columns

__all__ = ["aligned", "dijets_of", "is_nanoevents", "needed"]

WHERE = "NanoEvents"
#: What to do where the links do not fit the jets.
WITH_CONSTITUENTS = (
    "were they corrected, cut or sorted? take hepvae.with_constituents(events) before that, which keeps"
    " constituents with their jet"
)
#: The collection of jets of all layouts that coffea makes NanoEvents of.
JETS = "FatJet"


def is_nanoevents(events: Any) -> bool:
    """Whether these are events of coffea, and not those of `read_dijets`."""
    return JETS in ak.fields(events)


def dijets_of(events: ak.Array, schema: SchemaName = "auto", spec: InputSpec | None = None) -> ak.Array:
    """Dijet events, as `read_dijets` gives them, of NanoEvents.

    Only the columns of the layout are touched, so that of virtual arrays only these are read.

    Parameters
    ----------
    events : awkward array, (events,) records
        With the collections of a layout of `hepvae.reading.layouts`, whole: links count jets and candidates as
        they are in the file, and after ``events["FatJet"] = events.FatJet[...]`` they no longer do. Events may
        be chosen before.

    Returns
    -------
    awkward array
        Events with fewer than two jets, and those that are None, are left out; ``entry`` is the place of each
        in ``events``.

    Raises
    ------
    LayoutError
        Collections are missing.
    """
    there = np.flatnonzero(~ak.to_numpy(ak.is_none(events))) if _may_miss(events) else None
    if there is not None:
        events = ak.drop_none(events, axis=0)
    found, places = _layout(events, schema, spec)
    columns = {name: _column(events, place) for name, place in places.items()}
    found, _ = settle_weights(
        found,
        columns.keys(),
        len(events),
        lambda names, start, stop: {n: columns[n][start:stop] for n in names},
        WHERE,
    )
    columns = {name: column for name, column in columns.items() if name != RAW_FACTOR}
    found = _with_columns(found, spec, places)
    dijets = Linking(found.layout, WHERE, WITH_CONSTITUENTS).dijets(columns, 0)
    if there is not None:
        dijets = ak.with_field(dijets, there[ak.to_numpy(dijets.entry)], "entry")
    return dijets


def needed(events: ak.Array, schema: SchemaName = "auto", spec: InputSpec | None = None) -> list[ak.Array]:
    """The columns of NanoEvents that `dijets_of` touches; of other events, all."""
    if not is_nanoevents(events):
        return [events]
    return [_column(events, place) for place in _layout(events, schema, spec)[1].values()]


def _with_columns(found: Schema, spec: InputSpec | None, places: dict[str, tuple[str, ...]]) -> Schema:
    return found if spec is None else found.with_columns(spec.columns, spec.jet_columns, places.keys(), WHERE)


def _layout(
    events: ak.Array, schema: SchemaName, spec: InputSpec | None
) -> tuple[Schema, dict[str, tuple[str, ...]]]:
    """The layout of NanoEvents, and where each of its columns is."""
    places = _places(events)
    found = find_schema(places.keys(), WHERE, schema)
    if found.single_jets:
        raise LayoutError(f"{WHERE}: have one jet an entry ({found.name} layout): expected events with two jets")
    per_event = [column for column in EVENT_COLUMNS if places.get(column) == (column,)]
    branches = (*_with_columns(found, spec, places).branches, *weight_columns(found, places), *per_event)
    return found, {name: places[name] for name in branches}


def aligned(dijets: ak.Array, count: int) -> ak.Array:
    """One row for each of ``count`` events, at the ``entry`` of each dijet; None where there is none."""
    index = np.full(count, -1, np.int64)
    index[ak.to_numpy(dijets.entry)] = np.arange(len(dijets))
    rows = dijets[[field for field in dijets.fields if field != "entry"]]
    return ak.Array(ak.contents.IndexedOptionArray.simplified(ak.index.Index64(index), rows.layout))


def _may_miss(events: ak.Array) -> bool:
    return bool(events.layout.is_option)


def _places(events: ak.Array) -> dict[str, tuple[str, ...]]:
    """Where the columns of a layout are, by the names that its files have."""
    places: dict[str, tuple[str, ...]] = {}
    for name in ak.fields(events):
        inner = ak.fields(events[name])
        places |= {f"{name}_{field}": (name, field) for field in inner} if inner else {name: (name,)}
    return places


def _column(events: ak.Array, place: tuple[str, ...]) -> ak.Array:
    for name in place:
        events = events[name]
    # Without the names that coffea gives to records and fields: what is made of it has ours.
    return ak.without_parameters(events)
