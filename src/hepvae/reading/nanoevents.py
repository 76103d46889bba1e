"""Events of coffea (NanoEvents): their jets with constituents, by the layouts of files."""

from __future__ import annotations

import logging
from functools import partial
from importlib import import_module
from typing import Any
from urllib.parse import unquote

import awkward as ak
import numpy as np

from ..errors import HepvaeError, LayoutError
from ..jets.padding import NOMINAL_PT
from ..jets.selection import dijets
from ..jets.spec import InputSpec
from ..options import check_flag
from .declarations import EVENT_COLUMNS, JET_COLUMNS, Collections, Formula, Schema
from .layouts import FAT_JETS, JetCollection, find_schema
from .lazy import is_lazy, of_partition
from .linking import Linking, settle_weights, weight_columns
from .sources import Source
from .tables import open_table

__all__ = ["aligned", "constituents_of", "dijets_of", "is_nanoevents", "needed", "with_constituents"]

log = logging.getLogger(__name__)

WHERE = "NanoEvents"
#: So many of a chunk decide on its PUPPI weights without a warning.
LEAST_JETS = 20
#: What to do where the links do not fit the jets.
WITH_CONSTITUENTS = (
    "were they corrected, cut or sorted? take hepvae.with_constituents(events) before that, which keeps"
    " constituents with their jet"
)


def is_nanoevents(events: Any) -> bool:
    """Whether these are events of coffea, and not those of `read_dijets`."""
    return FAT_JETS.name in ak.fields(events)


def dijets_of(events: ak.Array, spec: InputSpec | None = None) -> ak.Array:
    """Dijet events, as `read_dijets` gives them, of NanoEvents.

    Only the columns of the layout are touched, so that of virtual arrays only these are read.

    Parameters
    ----------
    events : awkward array, (events,) records
        With the collections of a layout of `hepvae.reading.layouts`, whole: links count jets and candidates as
        they are in the file, and after ``events["FatJet"] = events.FatJet[...]`` they no longer do, unless the
        jets carry their constituents (`with_constituents`): those are taken. Events may be chosen before.

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
    there = np.flatnonzero(~ak.to_numpy(ak.is_none(events))) if events.layout.is_option else None
    if there is not None:
        events = ak.drop_none(events, axis=0)
    if _carry_constituents(events):
        jets = events[FAT_JETS.name]
        of_jets = {name: ak.without_parameters(jets[name]) for name in _jet_fields(jets, spec)}
        # Whose parameters say what is the radius of the jets.
        of_jets["constituents"] = jets["constituents"]
        per_event = {name: events[name] for name in _event_columns(_places(events))}
        result = dijets(ak.zip({"jets": ak.zip(of_jets, depth_limit=2), **per_event}, depth_limit=1))
    else:
        linking, columns = _linking(events, spec)
        result = linking.dijets(columns, 0)
    if there is not None:
        result = ak.with_field(result, there[ak.to_numpy(result.entry)], "entry")
    return result


def _carry_constituents(events: ak.Array) -> bool:
    return is_nanoevents(events) and "constituents" in ak.fields(events[FAT_JETS.name])


def _jet_fields(jets: ak.Array, spec: InputSpec | None) -> list[str]:
    """What is needed of jets that carry their constituents."""
    prefix = f"{FAT_JETS.name}_"
    further = [] if spec is None else [name.removeprefix(prefix) for name in spec.jet_columns]
    scaled = [NOMINAL_PT] if NOMINAL_PT in ak.fields(jets) else []
    return [*JET_COLUMNS, *further, *scaled, "constituents"]


def _event_columns(places: dict[str, tuple[str, ...]]) -> list[str]:
    return [column for column in EVENT_COLUMNS if places.get(column) == (column,)]


def constituents_of(events: ak.Array, jets: JetCollection, spec: InputSpec | None) -> ak.Array:
    """The constituents (events, var, var) of all jets of a collection of NanoEvents; None where an event is None.

    Raises
    ------
    LayoutError, DataError
        Collections are missing, or do not belong together.
    """
    missing = ak.to_numpy(ak.is_none(events)) if events.layout.is_option else None
    if missing is not None:
        events = ak.drop_none(events, axis=0)
    linking, columns = _linking(events, spec, jets)
    constituents = linking.jets(columns, 0).jets.constituents
    if missing is None:
        return constituents
    index = np.where(missing, -1, np.cumsum(~missing) - 1)
    return ak.Array(ak.contents.IndexedOptionArray(ak.index.Index64(index), constituents.layout))


def with_constituents(
    events: ak.Array,
    jets: str = "FatJet",
    *,
    candidates: str | None = None,
    links: str | None = None,
    scale_constituents: bool = False,
    jet_radius: float | None = None,
    spec: InputSpec | None = None,
) -> ak.Array:
    """The jets of NanoEvents, each with its constituents inside.

    Links count jets and candidates as they are in the file, so this comes before the jets are corrected, cut or
    sorted. From then on constituents go with their jet, whatever is done to the jets.

    Parameters
    ----------
    events : awkward array, (events,) records
        NanoEvents of coffea: eager, virtual or lazy (dask-awkward). Only the columns that are needed are read:
        momenta of jets and candidates, and the links. Events may be chosen before.
    jets : str
        The collection: ``FatJet``, ``Jet``, ``FatJetPuppi``, ... of NanoAODv15 or PFNano with its links.
    candidates, links : str, optional
        Collections of candidates and of links; by default ``PFCand`` and ``FatJetPFCand``, or ``PFCands`` and
        ``FatJetPFCands``.
    scale_constituents : bool
        Constituents follow the pt that the jet is given later: where they are padded, their pt is multiplied by
        the jet's pt over its pt now, which is kept as ``pt_of_constituents``. By default a correction of the jet
        does not change its constituents.
    jet_radius : float, optional
        Radius parameter of the jets, within which the sum of the constituents of each lies; by default 0.4 for
        ``Jet`` and ``SubJet``, n / 10 for names with ``AK<n>``, else 0.8.
    spec : InputSpec, optional
        Of a model (``inferer.spec``): further columns of constituents that it takes are read as well.

    Returns
    -------
    awkward array, (events, var) records
        ``events[jets]`` with a field ``constituents``: var ``Momentum3D`` of ``pt``, ``eta``, ``phi`` (GeV,
        radians), in the order of the links. Other fields and behaviours are kept.

    Raises
    ------
    LayoutError
        There are no such collections.
    DataError
        Links do not fit the jets, or too many jets have constituents that are not their own: the jets were cut or
        sorted before.
    OptionError
        An option is out of range.

    Examples
    --------
    >>> import awkward as ak, numpy as np
    >>> links = ak.zip({"jetIdx": [[1, 0, 1]], "pfCandIdx": [[0, 1, 2]]})
    >>> candidates = ak.zip({"pt": [[1.0, 4.0, 2.0]], "eta": [[0.1, 2.0, 0.3]], "phi": [[0.0, 1.0, 0.0]]})
    >>> fat_jets = ak.zip({"pt": [[4.0, 3.0]], "eta": [[2.0, 0.2]], "phi": [[1.0, 0.0]], "mass": [[0.0, 0.1]]})
    >>> collections = {"FatJet": fat_jets, "PFCand": candidates, "FatJetPFCand": links}
    >>> jets = hepvae.with_constituents(ak.zip(collections, depth_limit=1))
    >>> jets = jets[ak.argsort(jets.pt, ascending=True)]
    >>> jets.constituents.pt.tolist()
    [[[1.0, 2.0], [4.0]]]
    """
    scale = check_flag("scale_constituents", scale_constituents)
    collection = JetCollection(jets, candidates, links, jet_radius)
    of_events = partial(_with_constituents, jets=collection, scale=scale, spec=spec)
    if not is_lazy(events):
        return of_events(events)
    dask_awkward: Any = import_module("dask_awkward")
    return dask_awkward.map_partitions(of_events, events)


def _with_constituents(events: ak.Array, jets: JetCollection, scale: bool, spec: InputSpec | None) -> ak.Array:
    """`with_constituents` of one chunk; of a chunk that is a type only (typetracer), its type."""
    # Other fields of the jets stay as they are, and are read where they are used.
    of_events = partial(constituents_of, jets=jets, spec=spec)
    constituents = of_partition(events, of_events, partial(needed, jets=jets, spec=spec))
    collection = events[jets.name]
    _let_field_precede(type(collection))
    if scale:
        collection = ak.with_field(collection, ak.without_parameters(collection["pt"]), NOMINAL_PT)
    return ak.with_field(collection, constituents, "constituents")


class _FieldFirst:
    """A property of coffea's jets, which a field of its name precedes."""

    def __init__(self, coffeas: Any):
        self._coffeas = coffeas

    def __get__(self, jets: Any, kind: type | None = None) -> Any:
        if jets is not None and "constituents" in ak.fields(jets):
            return jets["constituents"]
        return self._coffeas.__get__(jets, kind)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coffeas, name)  # of its lazy form


def _let_field_precede(kind: type) -> None:
    """Let ``jets.constituents`` be the field.

    coffea's own classes of jets have a property of this name, for PFNano only, which fails on NanoAODv15. Only
    jets that have the field see a difference. A class of our own in its place would not outlive ``ak.with_field``
    of events, since the classes of those win.
    """
    for one in kind.__mro__:
        coffeas = one.__dict__.get("constituents")
        if coffeas is not None and not isinstance(coffeas, _FieldFirst):
            type.__setattr__(one, "constituents", _FieldFirst(coffeas))


def _linking(
    events: ak.Array, spec: InputSpec | None, jets: JetCollection | None = None
) -> tuple[Linking, dict[str, ak.Array]]:
    """What links the jets of NanoEvents and their constituents, and the columns that it needs."""
    layout, places = _layout(events, spec, jets)
    columns = {name: _column(events, place) for name, place in places.items()}
    raw_factors = weight_columns(layout, columns)
    if isinstance(layout.layout, Collections) and isinstance(layout.layout.candidates["pt"], Formula):
        layout = _settled(events, layout, columns)
    columns = {name: column for name, column in columns.items() if name not in raw_factors}
    return Linking(_with_columns(layout, spec, places).layout, WHERE, WITH_CONSTITUENTS), columns


#: What was decided of files, by UUID, tree and layout.
_OF_FILES: dict[tuple[str, str, str], Schema] = {}


def _settled(events: ak.Array, layout: Schema, columns: dict[str, ak.Array]) -> Schema:
    """The layout with one way to the pt, see `settle_weights`: the same for all chunks of a file.

    As when files are read, the first entries of the file decide, which coffea says where events are. Where it does
    not (on Dask, and of arrays from elsewhere), or the file is gone, those of the chunk; few jets are warned of.
    """
    source, uuid = _file_of(events)
    if source is not None:
        key = uuid, str(source.tree), repr(layout)
        try:
            if key not in _OF_FILES:
                with open_table(source) as table:
                    _OF_FILES[key], weights, _ = settle_weights(
                        layout, table.names, table.num_entries, table.read, table.where
                    )
                log.info("%s: %s", source.path, weights)
            return _OF_FILES[key]
        except HepvaeError as error:
            log.warning("%s: PUPPI weights are decided on for a chunk: %s", WHERE, error)
    layout, weights, jets = settle_weights(
        layout,
        columns.keys(),
        len(events),
        lambda names, start, stop: {n: columns[n][start:stop] for n in names},
        WHERE,
    )
    level = logging.WARNING if jets < LEAST_JETS and weights is not None else logging.INFO
    log.log(level, "%s: %s; decided by %d jets of this chunk", WHERE, weights, jets)
    return layout


def _file_of(events: ak.Array) -> tuple[Source | None, str]:
    """The file of NanoEvents and its UUID, where coffea says which it is."""
    factory: Any = events.attrs.get("@events_factory")
    try:
        uuid, tree, _ = factory._partition_key.split("/")
        path = factory._mapping._fileopener._uuid_pfnmap[uuid]
    except (AttributeError, KeyError, TypeError, ValueError):  # of another version of coffea
        return None, ""
    if not isinstance(path, str) or path.endswith(".parquet"):
        return None, ""
    return Source(path, unquote(tree).strip("/").partition(";")[0]), uuid


def needed(events: ak.Array, spec: InputSpec | None = None, jets: JetCollection | None = None) -> list[ak.Array]:
    """The columns of NanoEvents that `dijets_of` touches, or `constituents_of` of ``jets``; of others, all."""
    if jets is None and not is_nanoevents(events):
        return [events]
    if jets is None and _carry_constituents(events):
        fat_jets = events[FAT_JETS.name]
        of_events = [events[name] for name in _event_columns(_places(events))]
        return [*(fat_jets[name] for name in _jet_fields(fat_jets, spec)), *of_events]
    return [_column(events, place) for place in _layout(events, spec, jets)[1].values()]


def _with_columns(layout: Schema, spec: InputSpec | None, places: dict[str, tuple[str, ...]]) -> Schema:
    return layout if spec is None else layout.with_columns(spec.columns, spec.jet_columns, places.keys(), WHERE)


def _layout(
    events: ak.Array, spec: InputSpec | None, jets: JetCollection | None
) -> tuple[Schema, dict[str, tuple[str, ...]]]:
    """The layout of NanoEvents, and where each of its columns is; those of the events only for dijets."""
    places = _places(events)
    layout = find_schema(places.keys(), WHERE, jets=jets or FAT_JETS)
    if layout.single_jets:
        raise LayoutError(f"{WHERE}: have one jet an entry ({layout.name} layout): expected events with two jets")
    per_event = [] if jets else _event_columns(places)
    branches = (*_with_columns(layout, spec, places).branches, *weight_columns(layout, places), *per_event)
    return layout, {name: places[name] for name in branches}


def aligned(dijets: ak.Array, count: int) -> ak.Array:
    """One row for each of ``count`` events, at the ``entry`` of each dijet; None where there is none."""
    index = np.full(count, -1, np.int64)
    index[ak.to_numpy(dijets.entry)] = np.arange(len(dijets))
    rows = dijets[[field for field in dijets.fields if field != "entry"]]
    return ak.Array(ak.contents.IndexedOptionArray.simplified(ak.index.Index64(index), rows.layout))


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
    # Without the names that coffea gives to records and fields: arrays built from it have ours.
    return ak.without_parameters(events)
