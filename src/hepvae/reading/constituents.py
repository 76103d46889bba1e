"""Jets of NanoEvents that carry their constituents: `with_constituents`."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import awkward as ak

from ..jets.padding import NOMINAL_PT
from ..jets.spec import InputSpec
from ..options import check_flag
from .layouts import JetCollection
from .lazy import is_lazy, type_of
from .nanoevents import constituents_of, needed

__all__ = ["with_constituents"]


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
    of_events = _WithConstituents(JetCollection(jets, candidates, links, jet_radius), scale, spec)
    if not is_lazy(events):
        return of_events(events)
    dask_awkward: Any = import_module("dask_awkward")
    return dask_awkward.map_partitions(of_events, events)


@dataclass(frozen=True)
class _WithConstituents:
    """`with_constituents` of one chunk; of a chunk that is a type only (typetracer), its type."""

    jets: JetCollection
    scale: bool
    spec: InputSpec | None

    def __call__(self, events: ak.Array) -> ak.Array:
        if ak.backend(events) == "typetracer":
            # Which columns are to be read, dask-awkward sees from those that are touched. Other fields of the jets
            # stay as they are, and are read where they are used.
            for column in needed(events, self.spec, self.jets):
                ak.typetracer.touch_data(column)
            constituents = type_of(self._constituents, events)
        else:
            constituents = self._constituents(events)
        jets = events[self.jets.name]
        _let_field_precede(type(jets))
        if self.scale:
            jets = ak.with_field(jets, ak.without_parameters(jets["pt"]), NOMINAL_PT)
        return ak.with_field(jets, constituents, "constituents")

    def _constituents(self, events: ak.Array) -> ak.Array:
        return constituents_of(events, self.jets, self.spec)


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
