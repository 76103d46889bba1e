"""From ragged constituents to padded arrays."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from ..errors import DataError, SpecError, UnscoredJetsWarning
from ..execution.threads import default_threads, on_threads
from .features import Feature
from .kinematics import wrapped
from .spec import MOMENTA, InputSpec

__all__ = ["NOMINAL_PT", "RADIUS", "FlatJets", "fields_of", "flatten_jets", "pad_into", "pad_particles"]

#: Parameter of constituents: the radius of their jets, where it is not the usual one.
RADIUS = "jet_radius"
#: Column of jets whose constituents follow the pt of the jet: the pt at which they are as they are stored.
NOMINAL_PT = "pt_of_constituents"

#: Jets that a thread pads before it takes others.
AT_ONCE = 2048


@dataclass(frozen=True)
class FlatJets:
    """Constituents of all jets one behind the other, in flat arrays."""

    shape: tuple[int, ...]
    """Shape of the jets: (jets,) or (events, 2)."""
    counts: npt.NDArray[Any]
    """int64 (jets,): constituents of each jet."""
    pt: npt.NDArray[Any]
    """float32 (constituents,), GeV."""
    eta: npt.NDArray[Any]
    """float32 (constituents,)."""
    phi: npt.NDArray[Any]
    """float32 (constituents,), radians."""
    axis: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None
    """eta and phi, float32 (jets,), of the jet axes; None where only constituents were given."""
    constituents: ak.Array | None = None
    """As they were given, with further columns."""
    jets: ak.Array | None = None
    """Likewise; None where only constituents were given."""

    @property
    def radius(self) -> float | None:
        """Of the jets; None where they do not say."""
        return None if self.constituents is None else self.constituents.layout.purelist_parameter(RADIUS)

    @property
    def jet(self) -> npt.NDArray[Any]:
        """int64 (constituents,): number of the jet that each constituent belongs to."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    @cached_property
    def starts(self) -> npt.NDArray[Any]:
        """int64 (jets,): the first constituent of each jet."""
        return np.asarray(np.cumsum(self.counts) - self.counts)

    @cached_property
    def directions(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """eta and phi, float32 (jets,), that relative coordinates refer to."""
        return self.axis or _momentum_axis(self)

    def constituent(self, name: str) -> npt.NDArray[Any]:
        """A column of the constituents, float32 (constituents,).

        Raises
        ------
        SpecError
            They have no such column, or it is not one number each.
        """
        if name in MOMENTA:
            return np.asarray(getattr(self, name))
        return self._column("constituents", self.constituents, name, len(self.pt))

    def of_jet(self, name: str) -> npt.NDArray[Any]:
        """A column of the jets, float32 (jets,); as `constituent`."""
        if self.jets is None:
            raise SpecError(f"feature needs {name} of the jet, and only constituents were given: expected jets")
        return self._column("jets", self.jets, name, len(self.counts))

    def _column(self, of: str, records: Any, name: str, count: int) -> npt.NDArray[Any]:
        fields = () if records is None else ak.fields(records)
        # A branch of the collection by its whole name, as files have it.
        field = name if name in fields else name.partition("_")[2]
        if field not in fields:
            raise SpecError(
                f"no {name!r} in the {of}, which the model takes: expected events read with it, as by"
                f" read_dijets(files, spec=inferer.spec); found {', '.join(fields) or 'none'}"
            )
        column = records[field]
        if column.ndim != records.ndim or _has_options(column.layout):
            raise SpecError(f"{name} of the {of} is not one number each")
        return _single(ak.to_numpy(ak.flatten(column, axis=None)))

    def computed(self, row: Feature) -> npt.NDArray[Any]:
        """A feature by the function of its row, float32 (constituents,) or (jets,); computed once.

        Raises
        ------
        SpecError
            The function, a third party's, gives something else.
        """
        if row not in self._computed:
            assert row.compute is not None, "rows without a function are computed by the kernels"
            values = _single(row.compute(self))
            count = len(self.pt) if row.level == "constituents" else len(self.counts)
            if values.shape != (count,):
                raise SpecError(f"feature {row.name!r} gives shape {values.shape}: expected {(count,)}")
            self._computed[row] = values
        return self._computed[row]

    @cached_property
    def _computed(self) -> dict[Feature, npt.NDArray[Any]]:
        return {}

    @cached_property
    def observables(self) -> npt.NDArray[Any]:
        """Multiplicity, pt dispersion and girth, float64 (jets, 3), of all constituents with pt."""
        there = self.pt > 0
        jet = self.jet[there]
        pt, eta, phi = (values[there].astype(np.float64) for values in (self.pt, self.eta, self.phi))
        with np.errstate(invalid="ignore"):
            deta, dphi = (values - axis[jet] for values, axis in zip((eta, phi), self.directions))
            distance = np.sqrt(wrapped(dphi) ** 2 + deta**2)
            sums = (np.bincount(jet, weights, len(self.counts)) for weights in (pt, pt**2, pt * distance))
            total, squares, width = sums
            number, some = np.bincount(jet, minlength=len(self.counts)), np.where(total > 0, total, 1)
            return np.stack([number, np.sqrt(squares) / some, width / some], axis=1)

    @cached_property
    def subjettiness(self) -> npt.NDArray[Any]:
        """tau_1 to tau_4 of `substructure`, float64 (jets, 4)."""
        from .substructure import subjettiness

        return subjettiness(self.starts, self.counts, self.pt, self.eta, self.phi)

    @cached_property
    def energy(self) -> npt.NDArray[Any]:
        """Energy of the jets, float32 (jets,), GeV."""
        pt, eta, mass = (self.of_jet(name).astype(np.float64) for name in ("pt", "eta", "mass"))
        return _single(np.hypot(pt * np.cosh(eta), mass))


def fields_of(array: object, expected: str) -> list[str]:
    """The fields of an awkward array; `SpecError` where it is none."""
    if not isinstance(array, ak.Array):
        lazy = " of dask: compute it first" if hasattr(array, "dask") else ""
        raise SpecError(f"expected {expected}, as an awkward array; found {type(array).__name__}{lazy}")
    return list(ak.fields(array))


def flatten_jets(events_or_constituents: ak.Array) -> FlatJets:
    """Take events (with ``jets``), jets (with ``constituents``) or bare constituents apart."""
    array = events_or_constituents
    fields = fields_of(array, "events with jets, jets with constituents, or constituents")
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
            eta, phi = (_single(ak.to_numpy(jets[c], allow_missing=False).ravel()) for c in ("eta", "phi"))
            axis = eta, phi
    except ValueError as error:
        raise DataError(
            "jets are missing (None) or of uneven number: expected (jets, var) or (events, 2, var)"
        ) from error
    momenta = {c: _single(ak.to_numpy(ak.flatten(constituents[c], axis=None))) for c in ("pt", "eta", "phi")}
    if jets is not None and NOMINAL_PT in fields:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            new, nominal = (np.float64(ak.to_numpy(jets[c]).ravel()) for c in ("pt", NOMINAL_PT))
            momenta["pt"] = _single(momenta["pt"] * np.repeat(new / nominal, counts.ravel()))
    return FlatJets(
        shape=counts.shape,
        counts=counts.ravel().astype(np.int64),
        **momenta,
        axis=axis,
        constituents=constituents,
        jets=jets,
    )


def _single(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """In float32: what a model takes, and what is to be finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray(values, np.float32)


def _present(constituents: ak.Array) -> ak.Array:
    """Constituents that are there: neither they nor a value of theirs is None."""
    if not _has_options(constituents.layout):
        return constituents
    missing = [ak.is_none(constituents[c], axis=-1) for c in ("pt", "eta", "phi")]
    missing = missing[0] | missing[1] | missing[2]
    return constituents[~missing] if ak.any(missing, axis=None) else constituents


def _has_options(layout: Any) -> bool:
    """Whether something in an array may be None."""
    if layout.is_option or layout.is_union:
        return True
    if layout.is_record:
        return any(_has_options(content) for content in layout.contents)
    return _has_options(layout.content) if layout.is_list or layout.is_indexed else False


def pad_particles(events_or_constituents: ak.Array, spec: InputSpec) -> npt.NDArray[Any]:
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
        The array has none of these forms, or the specification is none.

    Warns
    -----
    UnscoredJetsWarning
        Jets have no constituents: a model scores their zeros as it does any jet.

    Examples
    --------
    >>> events = hepvae.read_dijets(hepvae.sample_path("GtoWW15na"), entry_stop=100)
    >>> hepvae.pad_particles(events, hepvae.InputSpec(n_particles=50)).shape
    (100, 2, 50, 3)
    """
    if not isinstance(spec, InputSpec):
        raise SpecError(f"spec is {type(spec).__name__}: expected an InputSpec, as inferer.spec")
    jets = flatten_jets(events_or_constituents)
    _check(jets)
    empty = np.count_nonzero(jets.counts == 0)
    if empty and not spec.jet_features:
        message = f"{empty} of {len(jets.counts)} jets have no constituents, and are padded to zeros only"
        warnings.warn(
            f"{message}: score_dijets and score_jets give such jets NaN", UnscoredJetsWarning, stacklevel=2
        )
    chosen = np.arange(len(jets.counts))
    padded = np.empty((len(chosen), *spec.shape), np.float32)
    parts = [slice(i, i + AT_ONCE) for i in range(0, len(chosen), AT_ONCE)]
    on_threads(parts, lambda part: _fill(jets, chosen[part], spec, padded[part]), default_threads())
    return padded.reshape(*jets.shape, *spec.shape)


def _check(jets: FlatJets) -> None:
    """Raise `DataError` where a value is none that can be padded."""
    with np.errstate(over="ignore", invalid="ignore"):
        sums = [np.add.reduce(values) for values in (jets.pt, jets.eta, jets.phi, *(jets.axis or ()))]
    if np.isfinite(sums).all() and jets.pt.min(initial=0) >= 0:
        return
    for name in ("pt", "eta", "phi"):
        values = getattr(jets, name)
        wrong = np.flatnonzero(~np.isfinite(values))
        if len(wrong):
            raise DataError(f"constituent {name} is {values[wrong[0]]} in jet {jets.jet[wrong[0]]}")
    for name, values in zip(("eta", "phi"), jets.axis or ()):
        wrong = np.flatnonzero(~np.isfinite(values))
        if len(wrong):
            raise DataError(f"{name} of the axis of jet {wrong[0]} is {values[wrong[0]]}")
    wrong = np.flatnonzero(jets.pt < 0)
    if len(wrong):
        raise DataError(
            f"constituent pt is {jets.pt[wrong[0]]} in jet {jets.jet[wrong[0]]}: expected no negative pt"
        )


def pad_into(jets: FlatJets, chosen: npt.NDArray[Any], spec: InputSpec, length: int) -> npt.NDArray[Any]:
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
    padded = np.empty((len(chosen), length, spec.shape[1]), np.float32)
    _fill(jets, chosen, spec, padded)
    return padded


def _fill(jets: FlatJets, chosen: npt.NDArray[Any], spec: InputSpec, padded: npt.NDArray[Any]) -> None:
    none = np.empty(0, np.float32)
    if spec.momenta_only:
        from .padding_kernels import pad

        relative = spec.coordinates == "relative"
        eta, phi = jets.directions if relative else (none, none)
        features = np.array([MOMENTA.index(name) for name in spec.features], np.int64)
        pad(jets.starts, jets.counts, chosen, jets.pt, jets.eta, jets.phi, eta, phi, features, relative, padded)
        return
    if spec.features:
        _fill_features(jets, chosen, spec, padded)
    for i, row in enumerate(spec.rows[len(spec.features) :], start=len(spec.features)):
        padded[:, :, i] = jets.computed(row)[chosen, None]


def _fill_features(jets: FlatJets, chosen: npt.NDArray[Any], spec: InputSpec, padded: npt.NDArray[Any]) -> None:
    from .feature_kernels import CODES, FIRST_COLUMN, pad_features

    none = np.empty(0, np.float32)
    rows = spec.rows[: len(spec.features)]
    columns = [jets.computed(row) for row in rows if row.compute is not None]
    numbers = iter(range(FIRST_COLUMN, FIRST_COLUMN + len(columns)))
    codes = np.array([CODES[row.name] if row.compute is None else next(numbers) for row in rows], np.int64)
    compiled = [row for row in rows if row.compute is None]
    pad_features(
        jets.starts,
        jets.counts,
        chosen,
        *(jets.pt, jets.eta, jets.phi),
        jets.constituent("mass") if any("mass" in row.columns for row in compiled) else none,
        *jets.directions,
        jets.of_jet("pt") if any("pt" in row.jet_columns for row in compiled) else none,
        jets.energy if any("mass" in row.jet_columns for row in compiled) else none,
        np.stack(columns) if columns else np.empty((0, 0), np.float32),
        codes,
        spec.coordinates == "relative",
        padded,
    )


def _momentum_axis(jets: FlatJets) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """eta and phi of the summed momenta of each jet (0 where it has no constituents)."""
    jet, number = jets.jet, len(jets.counts)
    pt, eta, phi = (np.asarray(a, np.float64) for a in (jets.pt, jets.eta, jets.phi))
    px = np.bincount(jet, pt * np.cos(phi), number)
    py = np.bincount(jet, pt * np.sin(phi), number)
    pz = np.bincount(jet, pt * np.sinh(eta), number)
    total = np.hypot(px, py)
    eta = np.arcsinh(np.divide(pz, total, out=np.zeros(number), where=total > 0))
    return _single(eta), _single(np.arctan2(py, px))
