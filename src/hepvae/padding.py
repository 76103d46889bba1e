"""From ragged constituents to padded arrays."""

from __future__ import annotations

from dataclasses import dataclass

import awkward as ak
import numpy as np

from .errors import DataError, SpecError
from .kinematics import wrapped
from .spec import InputSpec

__all__ = ["FlatJets", "flatten_jets", "pad_flat", "pad_particles"]


@dataclass(frozen=True)
class FlatJets:
    """Constituents of all jets one behind the other, in flat arrays."""

    shape: tuple[int, ...]
    """Shape of the jets: (jets,) or (events, 2)."""
    counts: np.ndarray
    """int64 (jets,): constituents of each jet."""
    pt: np.ndarray
    """(constituents,), GeV."""
    eta: np.ndarray
    """(constituents,)."""
    phi: np.ndarray
    """(constituents,), radians."""
    axis: tuple[np.ndarray, np.ndarray] | None
    """eta and phi (jets,) of the jet axes; None where only constituents were given."""

    @property
    def jet(self) -> np.ndarray:
        """int64 (constituents,): number of the jet that each constituent belongs to."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def take(self, chosen: np.ndarray) -> FlatJets:
        """Some of the jets, by their numbers; their shape is (jets,)."""
        start = np.cumsum(self.counts) - self.counts
        counts = self.counts[chosen]
        before = np.cumsum(counts) - counts
        index = np.repeat(start[chosen] - before, counts) + np.arange(counts.sum())
        axis = None if self.axis is None else tuple(a[chosen] for a in self.axis)
        return FlatJets((len(chosen),), counts, self.pt[index], self.eta[index], self.phi[index], axis)


def flatten_jets(events_or_constituents) -> FlatJets:
    """Take events (with ``jets``), jets (with ``constituents``) or bare constituents apart."""
    array = events_or_constituents
    fields = ak.fields(array)
    if "jets" in fields:
        array = array["jets"]
        fields = ak.fields(array)
    jets = array if "constituents" in fields else None
    constituents = array if jets is None else jets["constituents"]
    lost = {"pt", "eta", "phi"}.difference(ak.fields(constituents))
    if lost:
        raise SpecError(
            f"no field {sorted(lost)[0]!r} in the constituents: expected events with jets, jets with"
            f" constituents, or constituents with pt, eta, phi; found {', '.join(ak.fields(array)) or 'none'}"
        )
    if constituents.ndim not in (2, 3):
        raise SpecError(f"constituents have {constituents.ndim} axes: expected (jets, var) or (events, 2, var)")

    constituents = _present(constituents)
    try:
        counts = ak.to_numpy(ak.num(constituents, axis=-1), allow_missing=False)
        axis = None
        if jets is not None:
            axis = tuple(ak.to_numpy(jets[c], allow_missing=False).ravel() for c in ("eta", "phi"))
    except ValueError as error:
        raise DataError(
            "jets are missing (None) or of uneven number: expected (jets, var) or (events, 2, var)"
        ) from error
    return FlatJets(
        shape=counts.shape,
        counts=counts.ravel().astype(np.int64),
        **{c: ak.to_numpy(ak.flatten(constituents[c], axis=None)) for c in ("pt", "eta", "phi")},
        axis=axis,
    )


def _present(constituents):
    """Constituents that are there: neither they nor a value of theirs is None."""
    missing = [ak.is_none(constituents[c], axis=-1) for c in ("pt", "eta", "phi")]
    missing = missing[0] | missing[1] | missing[2]
    return constituents[~missing] if ak.any(missing, axis=None) else constituents


def pad_particles(events_or_constituents, spec: InputSpec) -> np.ndarray:
    """Pad constituents into the input of a model.

    Parameters
    ----------
    events_or_constituents : awkward array
        Events or jets as `read_dijets` gives them, or bare constituents (jets, var) or (events, 2,
        var) with ``pt``, ``eta``, ``phi``. Bare constituents have no jet axis: relative coordinates
        then refer to the direction of the sum of their momenta.
    spec : InputSpec
        What the model takes.

    Returns
    -------
    numpy array, float32
        (jets, n_particles, n_features), or (events, 2, n_particles, n_features) for events:
        constituents by falling pt (equal pt: in their order), zeros behind them.

    Raises
    ------
    DataError
        A value is not finite or a pt is negative.
    SpecError
        The array has none of these forms.
    """
    return pad_flat(flatten_jets(events_or_constituents), spec)


def pad_flat(jets: FlatJets, spec: InputSpec) -> np.ndarray:
    """`pad_particles` of jets that were taken apart already."""
    jet = jets.jet
    for name in ("pt", "eta", "phi"):
        wrong = np.flatnonzero(~np.isfinite(getattr(jets, name)))
        if len(wrong):
            raise DataError(f"constituent {name} is {getattr(jets, name)[wrong[0]]} in jet {jet[wrong[0]]}")
    wrong = np.flatnonzero(jets.pt < 0)
    if len(wrong):
        raise DataError(f"constituent pt is {jets.pt[wrong[0]]} in jet {jet[wrong[0]]}: expected no negative pt")

    start = np.cumsum(jets.counts) - jets.counts
    position = np.arange(len(jet)) - start[jet]
    rising = (jets.pt[1:] > jets.pt[:-1]) & (jet[1:] == jet[:-1])
    order = np.lexsort((-jets.pt, jet)) if rising.any() else np.arange(len(jet))
    used = position < spec.n_particles
    order, row, column = order[used], jet[used], position[used]

    padded = np.zeros((len(jets.counts), *spec.shape), np.float32)
    for i, feature in enumerate(spec.features):
        values = getattr(jets, feature)[order].astype(np.float32, copy=False)
        if spec.coordinates == "relative" and feature != "pt":
            eta, phi = _momentum_axis(jets) if jets.axis is None else jets.axis
            if feature == "eta":
                values = values - eta.astype(np.float32, copy=False)[row]
            else:
                values = wrapped(values - phi.astype(np.float32, copy=False)[row])
        padded[row, column, i] = values
    return padded.reshape(*jets.shape, *spec.shape)


def _momentum_axis(jets: FlatJets):
    """eta and phi of the summed momenta of each jet (0 where it has no constituents)."""
    jet, number = jets.jet, len(jets.counts)
    pt, eta, phi = (np.asarray(a, np.float64) for a in (jets.pt, jets.eta, jets.phi))
    px = np.bincount(jet, pt * np.cos(phi), number)
    py = np.bincount(jet, pt * np.sin(phi), number)
    pz = np.bincount(jet, pt * np.sinh(eta), number)
    total = np.hypot(px, py)
    return np.arcsinh(np.divide(pz, total, out=np.zeros(number), where=total > 0)), np.arctan2(py, px)
