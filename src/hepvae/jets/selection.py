"""From ragged jets to dijet events: the two jets, mjj, deta, and the study's selection."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any, Literal, TypedDict, get_args

import awkward as ak
import numpy as np
import numpy.typing as npt

from ..errors import SpecError
from ..options import check_choice, check_number
from .padding import fields_of

__all__ = [
    "REGIONS",
    "Cuts",
    "Order",
    "Region",
    "Selection",
    "dijet_events",
    "dijets",
    "load_vector",
    "select_dijets",
]

Region = Literal["signal", "sideband"]
Order = Literal["pt", "mass", "given"]

#: The regions of deta = |eta1 - eta2| and what a region keeps, given the cut.
REGIONS: dict[str, Callable[[Any, float], Any]] = {
    "signal": lambda deta, cut: deta < cut,
    "sideband": lambda deta, cut: deta >= cut,
}


@cache
def load_vector() -> ModuleType:
    """The package vector, whose momenta the jets of this one are; it takes long to import."""
    import vector

    vector.register_awkward()
    return vector


class Cuts(TypedDict, total=False):
    """Keywords of the cuts of a `Selection`."""

    pt_min: float
    eta_max: float
    mjj_min: float
    deta_cut: float


@dataclass(frozen=True)
class Selection:
    """Which dijet events are kept: the study's cuts, each of them an option.

    Raises
    ------
    OptionError
        A cut is not a number in its range, or there is no such region.
    """

    pt_min: float = 200.0
    """GeV; both jets have a larger pt."""
    eta_max: float = 2.4
    """Both jets have a smaller |eta|."""
    mjj_min: float = 1200.0
    """GeV; the invariant mass of the two jets is larger."""
    region: Region | None = None
    """``signal`` (deta < deta_cut), ``sideband`` (deta >= deta_cut), or both (None)."""
    deta_cut: float = 1.4
    """Border of the two regions."""

    def __post_init__(self) -> None:
        for name, lowest in (("pt_min", -math.inf), ("eta_max", 0), ("mjj_min", -math.inf), ("deta_cut", 0)):
            object.__setattr__(self, name, check_number(name, getattr(self, name), lowest=lowest))
        if self.region is not None:
            check_choice("region", self.region, REGIONS)

    def select(self, events: ak.Array) -> ak.Array:
        """The events that pass, in their order; ``events`` as `read_dijets` gives them."""
        if not {"jets", "mjj", "deta"}.issubset(fields_of(events, "dijet events")):
            raise SpecError(
                "no fields 'jets', 'mjj', 'deta': expected dijet events, as read_dijets and dijets give"
            )
        passed = ak.all(self._pass(events.jets), axis=1) & (events.mjj > self.mjj_min)
        if self.region is not None:
            passed = passed & REGIONS[self.region](events.deta, self.deta_cut)
        return events[passed]

    def select_jets(self, jets: ak.Array) -> ak.Array:
        """Of single jets (jets,), those that pass the cuts on each of the two."""
        return jets[self._pass(jets)]

    def _pass(self, jets: ak.Array) -> ak.Array:
        # as attributes they would go through vector
        return (jets["pt"] > self.pt_min) & (abs(jets["eta"]) < self.eta_max)


def dijet_events(jets: ak.Array, **columns: Any) -> ak.Array:
    """Take the two jets of largest pt of each event, with their mjj and deta.

    Parameters
    ----------
    jets : awkward array, (events, var) records
        ``pt``, ``eta``, ``phi``, ``mass`` (GeV, radians) and what else belongs to a jet. Two jets of
        equal pt keep their order.
    **columns : arrays, (events,)
        Carried along, one value an event.

    Returns
    -------
    awkward array of records
        ``jets`` (exactly 2, by falling pt), ``mjj`` (GeV, float32), ``deta`` (float32) and the
        columns. Events with fewer than two jets are left out.

    Examples
    --------
    >>> import awkward as ak
    >>> jets = {"pt": [[500, 600, 300], [700]], "eta": [[0.5, -0.25, 2], [0]], "phi": [[0, 3, 1], [0]]}
    >>> events = hepvae.dijet_events(ak.zip(jets | {"mass": [[80, 90, 10], [20]]}))
    >>> events.jets.pt.tolist(), events.deta.tolist()
    ([[600, 500]], [0.75])
    """
    two = ak.num(jets) >= 2
    jets = jets[two]
    jets = jets[_falling(jets["pt"])[:, :2]]
    return _of_two(jets, {name: column[two] for name, column in columns.items()})


def dijets(events_or_jets: ak.Array, *, order: Order = "pt") -> ak.Array:
    """Dijet events of any jets with constituents, after your own corrections, cuts and sorting.

    Parameters
    ----------
    events_or_jets : awkward array
        Jets (events, var) as `with_constituents` gives them; or events with ``jets``, as `read_jets` gives them,
        whose other columns are carried along. Jets and events may be missing (None).
    order : {"pt", "mass", "given"}
        ``pt``: the two jets of largest pt, jet 1 has the larger. ``mass``: the same two, jet 1 has the larger
        mass. ``given``: the first two jets as they come.

    Returns
    -------
    awkward array of records
        As `read_dijets` gives them: ``jets`` (exactly 2, ``Momentum4D``, with all fields that they had), ``mjj``
        (GeV), ``deta``, and the columns of the events. Events with fewer than two jets are left out; ``entry`` is
        the place of each in ``events_or_jets``.

    Raises
    ------
    OptionError
        There is no such order.
    SpecError
        There are no jets with constituents.

    Examples
    --------
    >>> entries = hepvae.read_jets(hepvae.sample_path("GtoWW15na"), entry_stop=100)
    >>> by_mass = hepvae.dijets(entries.jets[entries.jets.mass > 60], order="mass")
    >>> len(by_mass), by_mass.fields
    (92, ['jets', 'mjj', 'deta', 'entry'])
    """
    check_choice("order", order, get_args(Order))
    fields = fields_of(events_or_jets, "jets, or events with jets")
    jets = events_or_jets["jets"] if "jets" in fields else events_or_jets
    carried = [name for name in fields if name not in COMPUTED] if "jets" in fields else []
    if "constituents" not in ak.fields(jets) or jets.ndim != 2:
        raise SpecError(
            f"expected jets (events, var) with constituents, as with_constituents gives them; found {jets.type}"
        )
    jets = ak.fill_none(ak.drop_none(jets, axis=1), [], axis=0)
    two = np.flatnonzero(ak.to_numpy(ak.num(jets)) >= 2)
    jets = jets[two]
    jets = jets[:, :2] if order == "given" else jets[_falling(jets["pt"])[:, :2]]
    if order == "mass":
        jets = jets[_falling(jets["mass"])]
    columns = {name: events_or_jets[name][two] for name in carried}
    return _of_two(jets, {**columns, "entry": two})


#: Columns of dijet events that are computed.
COMPUTED = ("jets", "mjj", "deta", "entry")


def _falling(values: ak.Array) -> ak.Array:
    """Places of values by falling value; equal ones keep their order, NaN comes last."""
    return ak.argsort(ak.where(np.isnan(values), -np.inf, values), axis=1, ascending=False, stable=True)


def _of_two(jets: ak.Array, columns: dict[str, Any]) -> ak.Array:
    """Events of two jets each, with mjj and deta."""
    # Not ak.to_regular, which has no size for no events.
    pairs = ak.contents.RegularArray(ak.flatten(jets, axis=1).layout, 2, zeros_length=len(jets))
    jets = ak.with_name(ak.Array(pairs, behavior=jets.behavior), "Momentum4D")
    mjj, deta = _mjj_deta(jets)
    return ak.zip({"jets": jets, "mjj": mjj, "deta": deta, **columns}, depth_limit=1)


def _mjj_deta(jets: ak.Array) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    # In float64: the sum of two float32 four-vectors loses digits of a small mass.
    vector = load_vector()
    p4 = {
        name: np.asarray(ak.flatten(jets[name], axis=None), np.float64).reshape(-1, 2)
        for name in ("pt", "eta", "phi", "mass")
    }
    first, second = (vector.array({k: v[:, i] for k, v in p4.items()}) for i in (0, 1))
    mjj = (first + second).mass
    deta = np.abs(p4["eta"][:, 0] - p4["eta"][:, 1])
    return mjj.astype(np.float32), deta.astype(np.float32)


def select_dijets(
    events: ak.Array,
    *,
    pt_min: float = Selection.pt_min,
    eta_max: float = Selection.eta_max,
    mjj_min: float = Selection.mjj_min,
    region: Region | None = None,
    deta_cut: float = Selection.deta_cut,
) -> ak.Array:
    """Keep the events that pass the study's dijet selection.

    Both jets have pt > ``pt_min`` (GeV) and \\|eta\\| < ``eta_max``, and mjj > ``mjj_min`` (GeV).

    Parameters
    ----------
    events : awkward array
        As `read_dijets` gives them: ``jets``, ``mjj``, ``deta``.
    region : {"signal", "sideband", None}
        Keep deta < ``deta_cut``, deta >= ``deta_cut``, or both.

    Returns
    -------
    awkward array
        The events that pass, in their order.

    Raises
    ------
    OptionError
        ``region`` is none of those, or a cut is not a number.
    SpecError
        These are no dijet events.

    Examples
    --------
    >>> events = hepvae.read_dijets(hepvae.sample_path("GtoWW15na"), entry_stop=100)
    >>> len(hepvae.select_dijets(events, region="signal")), len(hepvae.select_dijets(events, region="sideband"))
    (46, 54)
    """
    return Selection(pt_min, eta_max, mjj_min, region, deta_cut).select(events)
