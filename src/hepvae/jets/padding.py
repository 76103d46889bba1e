"""From ragged constituents to padded arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import awkward as ak
import numpy as np

from ..errors import DataError, SpecError
from ..execution.threads import default_threads, on_threads
from .spec import FEATURES, InputSpec

__all__ = ["FlatJets", "flatten_jets", "pad_into", "pad_particles"]


#: Jets that a thread pads before it takes others.
AT_ONCE = 2048


@dataclass(frozen=True)
class FlatJets:
    """Constituents of all jets one behind the other, in flat arrays."""

    shape: tuple[int, ...]
    """Shape of the jets: (jets,) or (events, 2)."""
    counts: np.ndarray
    """int64 (jets,): constituents of each jet."""
    pt: np.ndarray
    """float32 (constituents,), GeV."""
    eta: np.ndarray
    """float32 (constituents,)."""
    phi: np.ndarray
    """float32 (constituents,), radians."""
    axis: tuple[np.ndarray, np.ndarray] | None
    """eta and phi, float32 (jets,), of the jet axes; None where only constituents were given."""

    @property
    def jet(self) -> np.ndarray:
        """int64 (constituents,): number of the jet that each constituent belongs to."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    @cached_property
    def starts(self) -> np.ndarray:
        """int64 (jets,): the first constituent of each jet."""
        return np.cumsum(self.counts) - self.counts

    @cached_property
    def directions(self) -> tuple[np.ndarray, np.ndarray]:
        """eta and phi, float32 (jets,), that relative coordinates refer to."""
        return self.axis or _momentum_axis(self)

    def unscorable(self) -> np.ndarray:
        """uint8 (jets,): why a jet cannot be scored, as `padding_kernels` numbers it; 0 where it can."""
        from .padding_kernels import examine

        none = np.empty(0, np.float32)
        return examine(self.starts, self.counts, self.pt, self.eta, self.phi, *(self.axis or (none, none)))


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
            axis = tuple(_single(ak.to_numpy(jets[c], allow_missing=False).ravel()) for c in ("eta", "phi"))
    except ValueError as error:
        raise DataError(
            "jets are missing (None) or of uneven number: expected (jets, var) or (events, 2, var)"
        ) from error
    return FlatJets(
        shape=counts.shape,
        counts=counts.ravel().astype(np.int64),
        **{c: _single(ak.to_numpy(ak.flatten(constituents[c], axis=None))) for c in ("pt", "eta", "phi")},
        axis=axis,
    )


def _single(values: np.ndarray) -> np.ndarray:
    """In float32: what a model takes, and what is to be finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray(values, np.float32)


def _present(constituents):
    """Constituents that are there: neither they nor a value of theirs is None."""
    if not _has_options(constituents.layout):
        return constituents
    missing = [ak.is_none(constituents[c], axis=-1) for c in ("pt", "eta", "phi")]
    missing = missing[0] | missing[1] | missing[2]
    return constituents[~missing] if ak.any(missing, axis=None) else constituents


def _has_options(layout) -> bool:
    """Whether something in an array may be None."""
    if layout.is_option or layout.is_union:
        return True
    if layout.is_record:
        return any(_has_options(content) for content in layout.contents)
    return _has_options(layout.content) if layout.is_list or layout.is_indexed else False


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
    jets = flatten_jets(events_or_constituents)
    _check(jets)
    chosen = np.arange(len(jets.counts))
    padded = np.empty((len(chosen), *spec.shape), np.float32)
    parts = [slice(i, i + AT_ONCE) for i in range(0, len(chosen), AT_ONCE)]
    on_threads(parts, lambda part: _fill(jets, chosen[part], spec, padded[part]), default_threads())
    return padded.reshape(*jets.shape, *spec.shape)


def _check(jets: FlatJets) -> None:
    """Raise `DataError` where a value is none that can be padded."""
    with np.errstate(over="ignore", invalid="ignore"):
        sums = [np.add.reduce(values) for values in (jets.pt, jets.eta, jets.phi)]
    if np.isfinite(sums).all() and jets.pt.min(initial=0) >= 0:
        return
    for name in ("pt", "eta", "phi"):
        values = getattr(jets, name)
        wrong = np.flatnonzero(~np.isfinite(values))
        if len(wrong):
            raise DataError(f"constituent {name} is {values[wrong[0]]} in jet {jets.jet[wrong[0]]}")
    wrong = np.flatnonzero(jets.pt < 0)
    if len(wrong):
        raise DataError(
            f"constituent pt is {jets.pt[wrong[0]]} in jet {jets.jet[wrong[0]]}: expected no negative pt"
        )


def pad_into(jets: FlatJets, chosen: np.ndarray, spec: InputSpec, length: int) -> np.ndarray:
    """Pad some jets, which hold no value that is not finite and no negative pt.

    Parameters
    ----------
    jets : FlatJets
    chosen : int64 array
        Numbers of the jets.
    spec : InputSpec
    length : int
        Of the particle axis of what is made; constituents beyond it are left out.

    Returns
    -------
    numpy array, float32 (chosen, length, n_features)
    """
    padded = np.empty((len(chosen), length, len(spec.features)), np.float32)
    _fill(jets, chosen, spec, padded)
    return padded


def _fill(jets: FlatJets, chosen: np.ndarray, spec: InputSpec, padded: np.ndarray) -> None:
    from .padding_kernels import pad

    relative = spec.coordinates == "relative"
    none = np.empty(0, np.float32)
    directions = jets.directions if relative else (none, none)
    features = np.array([FEATURES.index(name) for name in spec.features], np.int64)
    pad(jets.starts, jets.counts, chosen, jets.pt, jets.eta, jets.phi, *directions, features, relative, padded)


def _momentum_axis(jets: FlatJets):
    """eta and phi of the summed momenta of each jet (0 where it has no constituents)."""
    jet, number = jets.jet, len(jets.counts)
    pt, eta, phi = (np.asarray(a, np.float64) for a in (jets.pt, jets.eta, jets.phi))
    px = np.bincount(jet, pt * np.cos(phi), number)
    py = np.bincount(jet, pt * np.sin(phi), number)
    pz = np.bincount(jet, pt * np.sinh(eta), number)
    total = np.hypot(px, py)
    eta = np.arcsinh(np.divide(pz, total, out=np.zeros(number), where=total > 0))
    return _single(eta), _single(np.arctan2(py, px))
