"""The features of constituents and of jets that a model may take: a table, one row a feature."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import entry_points
from typing import Any, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

from ..errors import MissingPackageError, SpecError

__all__ = ["ALIASES", "ENTRY_POINTS", "FEATURES", "Feature", "Level", "RaggedJets", "feature"]

#: Third parties add rows: the object of an entry point of this group is a `Feature`, or several.
ENTRY_POINTS = "hepvae.features"

Level = Literal["constituents", "jet"]
Array = npt.NDArray[Any]


class RaggedJets(Protocol):
    """What the formula of a row gets: the constituents of all jets in flat arrays (see `padding.FlatJets`)."""

    counts: npt.NDArray[np.int64]

    def constituent(self, name: str) -> npt.NDArray[np.float32]:
        """A column of the constituents, (constituents,)."""

    def of_jet(self, name: str) -> npt.NDArray[np.float32]:
        """A column of the jets, (jets,)."""


@dataclass(frozen=True)
class Feature:
    """One row of the table."""

    name: str
    level: Level
    formula: str
    """For people."""
    unit: str = ""
    columns: tuple[str, ...] = ()
    """Of the constituents, besides pt, eta and phi."""
    jet_columns: tuple[str, ...] = ()
    """Of the jets, besides eta and phi."""
    compute: Callable[[Any], Array] | None = None
    """From `RaggedJets` to one value for each constituent, or each jet; None: the compiled loop has it."""


def _row(
    level: Level,
    name: str,
    formula: str,
    unit: str = "",
    *,
    columns: str = "",
    jet_columns: str = "",
    compute: Callable[[Any], Array] | None = None,
) -> Feature:
    return Feature(name, level, formula, unit, tuple(columns.split()), tuple(jet_columns.split()), compute)


def _ids(name: str, formula: str, *ids: int) -> Feature:
    def compute(jets: RaggedJets) -> Array:
        return np.isin(np.abs(jets.constituent("pdgId")), ids)

    return _constituent(name, formula, columns="pdgId", compute=compute)


def _substructure(name: str, jets: Any) -> Array:
    from .substructure import substructure  # numba takes long to import

    return substructure(jets, name)


def _ratio(upper: str, lower: str, jets: RaggedJets) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(jets.of_jet(upper), np.float64) / jets.of_jet(lower)


def _column(level: Level, name: str) -> Callable[[RaggedJets], Array]:
    return lambda jets: jets.constituent(name) if level == "constituents" else jets.of_jet(name)


def _log_pt(jets: RaggedJets) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(jets.of_jet("pt"))


_constituent, _jet = partial(_row, "constituents"), partial(_row, "jet")

_ROWS = (
    _constituent("eta", "pseudorapidity; relative: deta"),
    _constituent("phi", "azimuth; relative: dphi", "rad"),
    _constituent("pt", "transverse momentum", "GeV"),
    _constituent("deta", "eta - eta(jet)"),
    _constituent("dphi", "phi - phi(jet), in [-pi, pi]", "rad"),
    _constituent("delta_r", "sqrt(deta^2 + dphi^2)"),
    _constituent("log_pt", "ln(pt / GeV)"),
    _constituent("pt_fraction", "pt / pt(jet)", jet_columns="pt"),
    _constituent("log_pt_fraction", "ln(pt / pt(jet))", jet_columns="pt"),
    _constituent("px", "pt cos(phi)", "GeV"),
    _constituent("py", "pt sin(phi)", "GeV"),
    _constituent("pz", "pt sinh(eta)", "GeV"),
    _constituent("energy", "sqrt((pt cosh(eta))^2 + mass^2)", "GeV", columns="mass"),
    _constituent("log_energy", "ln(energy / GeV)", columns="mass"),
    _constituent("energy_fraction", "energy / energy(jet)", columns="mass", jet_columns="pt mass"),
    _constituent("log_energy_fraction", "ln(energy / energy(jet))", columns="mass", jet_columns="pt mass"),
    _constituent("mass", "mass", "GeV", columns="mass", compute=_column("constituents", "mass")),
    _constituent("charge", "electric charge", "e", columns="charge", compute=_column("constituents", "charge")),
    _constituent("pdgId", "number of its kind", columns="pdgId", compute=_column("constituents", "pdgId")),
    _ids("is_electron", "|pdgId| = 11", 11),
    _ids("is_muon", "|pdgId| = 13", 13),
    _ids("is_photon", "|pdgId| = 22, or 2 (electromagnetic in the forward calorimeter)", 22, 2),
    _ids("is_charged_hadron", "|pdgId| of one", 211, 321, 2212, 3112, 3222, 3312, 3334),
    _ids(
        "is_neutral_hadron",
        "|pdgId| of one, or 1 (hadronic in the forward calorimeter)",
        *(130, 310, 311, 2112, 3122, 3322, 1),
    ),
    _jet("pt", "transverse momentum", "GeV", jet_columns="pt", compute=_column("jet", "pt")),
    _jet("log_pt", "ln(pt / GeV)", jet_columns="pt", compute=_log_pt),
    _jet("eta", "pseudorapidity", compute=_column("jet", "eta")),
    _jet("phi", "azimuth", "rad", compute=_column("jet", "phi")),
    _jet("mass", "mass", "GeV", jet_columns="mass", compute=_column("jet", "mass")),
    _jet("multiplicity", "number of constituents with pt", compute=lambda jets: jets.observables[:, 0]),
    _jet("pt_dispersion", "sqrt(sum pt^2) / sum pt", compute=lambda jets: jets.observables[:, 1]),
    _jet("girth", "sum(pt delta_r) / sum pt", compute=lambda jets: jets.observables[:, 2]),
    _jet(
        "tau21",
        "tau_2 / tau_1 (N-subjettiness, beta = 1, exclusive kT axes, constituents massless)",
        compute=partial(_substructure, "tau21"),
    ),
    _jet("tau32", "tau_3 / tau_2, likewise", compute=partial(_substructure, "tau32")),
    _jet("tau43", "tau_4 / tau_3, likewise", compute=partial(_substructure, "tau43")),
    _jet(
        "softdrop_mass",
        "mass after soft drop (beta = 0, z_cut = 0.1, Cambridge-Aachen, constituents massless)",
        "GeV",
        compute=partial(_substructure, "softdrop_mass"),
    ),
)

#: By level and name. Besides these: any other column of the candidates, any branch of the collection of jets,
#: and the ratio of two (``FatJet_tau2/FatJet_tau1``).
FEATURES: Mapping[Level, Mapping[str, Feature]] = {
    level: {row.name: row for row in _ROWS if row.level == level} for level in get_args(Level)
}

#: Names that weaver-core's data cards have for rows of the table.
ALIASES = {
    **{
        f"part_{name}": name
        for name in ("deta", "dphi", "pt", "px", "py", "pz", "energy", "mass", "charge", "mask")
    },
    "part_etarel": "deta",
    "part_phirel": "dphi",
    "part_deltaR": "delta_r",
    "part_pt_log": "log_pt",
    "part_ptrel": "pt_fraction",
    "part_logptrel": "log_pt_fraction",
    "part_e": "energy",
    "part_e_log": "log_energy",
    "part_erel": "energy_fraction",
    "part_logerel": "log_energy_fraction",
    "part_isElectron": "is_electron",
    "part_isMuon": "is_muon",
    "part_isPhoton": "is_photon",
    "part_isChargedHadron": "is_charged_hadron",
    "part_isNeutralHadron": "is_neutral_hadron",
}


@cache
def _foreign_rows() -> dict[tuple[str, str], Feature]:
    """The rows of third parties."""
    rows: dict[tuple[str, str], Feature] = {}
    for point in entry_points(group=ENTRY_POINTS):
        try:
            loaded = point.load()
        except ImportError as error:
            raise MissingPackageError(
                f"features {point.name!r} ({point.value}) cannot be loaded: {error}"
            ) from error
        for row in loaded if isinstance(loaded, Iterable) else (loaded,):
            if not isinstance(row, Feature) or row.compute is None:
                raise SpecError(
                    f"features {point.name!r} ({point.value}): expected a Feature with a function to compute it"
                )
            rows[row.level, row.name] = row
    return rows


def feature(name: str, level: Level) -> Feature:
    """A row of the table, a third party's, or one for a column that the file has.

    Raises
    ------
    SpecError
        It is no name of a column, or nearly that of a row.
    """
    if name in FEATURES[level]:
        return FEATURES[level][name]
    if (level, name) in _foreign_rows():
        return _foreign_rows()[level, name]
    names = name.split("/") if level == "jet" else [name]
    known = [*FEATURES[level], *(n for of, n in _foreign_rows() if of == level)]
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
    if close or len(names) > 2 or not all(part.isidentifier() for part in names):
        nearest = f"; nearest: {close[0]!r}" if close else ""
        raise SpecError(
            f"feature {name!r} of level {level!r} is unknown: expected one of {', '.join(known)},"
            f" or a column of the file{nearest}"
        )
    if len(names) == 2:
        upper, lower = names
        return Feature(name, level, name, jet_columns=(upper, lower), compute=partial(_ratio, upper, lower))
    where: dict[str, Any] = {"columns" if level == "constituents" else "jet_columns": (name,)}
    return Feature(name, level, f"the column {name}", compute=_column(level, name), **where)
