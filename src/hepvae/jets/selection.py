"""From ragged jets to dijet events: the two jets, mjj, deta, and the study's selection."""

from __future__ import annotations

import math
from functools import cache
from numbers import Real

import awkward as ak
import numpy as np

from ..errors import OptionError

__all__ = [
    "REGIONS",
    "all_cuts",
    "check_selection",
    "dijet_events",
    "load_vector",
    "select_dijets",
    "select_jets",
]

#: The regions of deta = |eta1 - eta2| and what a region keeps, given the cut.
REGIONS = {
    "signal": lambda deta, cut: deta < cut,
    "sideband": lambda deta, cut: deta >= cut,
}


@cache
def load_vector():
    """The package vector, whose momenta the jets of this one are; it takes long to import."""
    import vector

    vector.register_awkward()
    return vector


def check_selection(region: str | None = None, **cuts) -> None:
    """Raise `OptionError` where there is no such region or a cut is not a number."""
    for name, value in cuts.items():
        if not isinstance(value, Real) or math.isnan(value):
            raise OptionError(f"{name} is {value!r}: expected a number")
    if region is not None and region not in REGIONS:
        raise OptionError(f"region {region!r} is unknown: expected one of {', '.join(REGIONS)}, or None")


def all_cuts(**cuts) -> dict[str, float]:
    """The cuts of `select_dijets`, with its own values where none is given."""
    own = {name: value for name, value in select_dijets.__kwdefaults__.items() if name != "region"}
    return {**own, **cuts}


def dijet_events(jets, **columns):
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
    """
    two = ak.num(jets) >= 2
    jets = jets[two]
    pt = ak.where(np.isnan(jets.pt), -np.inf, jets.pt)  # NaN would come first
    order = ak.argsort(pt, axis=1, ascending=False, stable=True)[:, :2]
    jets = ak.with_name(ak.to_regular(jets[order], axis=1), "Momentum4D")
    mjj, deta = _mjj_deta(jets)
    return ak.zip(
        {"jets": jets, "mjj": mjj, "deta": deta, **{k: v[two] for k, v in columns.items()}},
        depth_limit=1,
    )


def _mjj_deta(jets):
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


def select_dijets(events, *, pt_min=200.0, eta_max=2.4, mjj_min=1200.0, region=None, deta_cut=1.4):
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
    """
    check_selection(region, pt_min=pt_min, eta_max=eta_max, mjj_min=mjj_min, deta_cut=deta_cut)
    passed = ak.all(_pass(events.jets, pt_min, eta_max), axis=1) & (events.mjj > mjj_min)
    if region is not None:
        passed = passed & REGIONS[region](events.deta, deta_cut)
    return events[passed]


def _pass(jets, pt_min: float, eta_max: float):
    return (jets["pt"] > pt_min) & (abs(jets["eta"]) < eta_max)  # as attributes they would go through vector


def select_jets(jets, *, pt_min=200.0, eta_max=2.4):
    """Keep the jets (jets,) that pass the cuts of `select_dijets` on each of the two."""
    check_selection(pt_min=pt_min, eta_max=eta_max)
    return jets[_pass(jets, pt_min, eta_max)]
