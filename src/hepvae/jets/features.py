"""The features of constituents and of jets that a model may take: a table, one row a feature."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Literal, Protocol

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


def _of(
    level: Level,
    name: str,
    formula: str,
    unit: str = "",
    columns: str = "",
    jet_columns: str = "",
    compute: Callable[[Any], Array] | None = None,
) -> Feature:
    return Feature(name, level, formula, unit, tuple(columns.split()), tuple(jet_columns.split()), compute)


def _ids(name: str, formula: str, *ids: int) -> Feature:
    def compute(jets: RaggedJets) -> Array:
        return np.isin(np.abs(jets.constituent("pdgId")), ids)

    return _of("constituents", name, formula, "", "pdgId", "", compute)


def _observable(number: int) -> Callable[[Any], Array]:
    def compute(jets: Any) -> Array:
        result: Array = jets.observables[:, number]
        return result

    return compute


def _substructure(name: Literal["tau21", "tau32", "tau43", "softdrop_mass"]) -> Callable[[Any], Array]:
    def compute(jets: Any) -> Array:
        from .substructure import substructure

        return substructure(jets, name)

    return compute


def _ratio(first: str, second: str) -> Callable[[RaggedJets], Array]:
    def compute(jets: RaggedJets) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(jets.of_jet(first), np.float64) / jets.of_jet(second)

    return compute


def _column(level: Level, name: str) -> Callable[[RaggedJets], Array]:
    return lambda jets: jets.constituent(name) if level == "constituents" else jets.of_jet(name)


def _log_pt(jets: RaggedJets) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(jets.of_jet("pt"))


#: By level and name. Besides these: any other column of the candidates, any branch of the collection of jets,
#: and the ratio of two (``FatJet_tau2/FatJet_tau1``).
FEATURES: Mapping[Level, Mapping[str, Feature]] = {
    "constituents": {
        row.name: row
        for row in (
            _of("constituents", "eta", "pseudorapidity; relative: deta"),
            _of("constituents", "phi", "azimuth; relative: dphi", "rad"),
            _of("constituents", "pt", "transverse momentum", "GeV"),
            _of("constituents", "deta", "eta - eta(jet)"),
            _of("constituents", "dphi", "phi - phi(jet), in [-pi, pi]", "rad"),
            _of("constituents", "delta_r", "sqrt(deta^2 + dphi^2)"),
            _of("constituents", "log_pt", "ln(pt / GeV)"),
            _of("constituents", "pt_fraction", "pt / pt(jet)", "", "", "pt"),
            _of("constituents", "log_pt_fraction", "ln(pt / pt(jet))", "", "", "pt"),
            _of("constituents", "px", "pt cos(phi)", "GeV"),
            _of("constituents", "py", "pt sin(phi)", "GeV"),
            _of("constituents", "pz", "pt sinh(eta)", "GeV"),
            _of("constituents", "energy", "sqrt((pt cosh(eta))^2 + mass^2)", "GeV", "mass"),
            _of("constituents", "log_energy", "ln(energy / GeV)", "", "mass"),
            _of("constituents", "energy_fraction", "energy / energy(jet)", "", "mass", "pt mass"),
            _of("constituents", "log_energy_fraction", "ln(energy / energy(jet))", "", "mass", "pt mass"),
            _of("constituents", "mass", "mass", "GeV", "mass", "", _column("constituents", "mass")),
            _of("constituents", "charge", "electric charge", "e", "charge", "", _column("constituents", "charge")),
            _of("constituents", "pdgId", "number of its kind", "", "pdgId", "", _column("constituents", "pdgId")),
            _ids("is_electron", "|pdgId| = 11", 11),
            _ids("is_muon", "|pdgId| = 13", 13),
            _ids("is_photon", "|pdgId| = 22, or 2 (electromagnetic in the forward calorimeter)", 22, 2),
            _ids("is_charged_hadron", "|pdgId| of one", 211, 321, 2212, 3112, 3222, 3312, 3334),
            _ids(
                "is_neutral_hadron",
                "|pdgId| of one, or 1 (hadronic in the forward calorimeter)",
                *(130, 310, 311, 2112, 3122, 3322, 1),
            ),
        )
    },
    "jet": {
        row.name: row
        for row in (
            _of("jet", "pt", "transverse momentum", "GeV", "", "pt", _column("jet", "pt")),
            _of("jet", "log_pt", "ln(pt / GeV)", "", "", "pt", _log_pt),
            _of("jet", "eta", "pseudorapidity", "", "", "", _column("jet", "eta")),
            _of("jet", "phi", "azimuth", "rad", "", "", _column("jet", "phi")),
            _of("jet", "mass", "mass", "GeV", "", "mass", _column("jet", "mass")),
            _of("jet", "multiplicity", "number of constituents with pt", "", "", "", _observable(0)),
            _of("jet", "pt_dispersion", "sqrt(sum pt^2) / sum pt", "", "", "", _observable(1)),
            _of("jet", "girth", "sum(pt delta_r) / sum pt", "", "", "", _observable(2)),
            _of(
                "jet",
                "tau21",
                "tau_2 / tau_1 (N-subjettiness, beta = 1, exclusive kT axes, constituents massless)",
                "",
                "",
                "",
                _substructure("tau21"),
            ),
            _of("jet", "tau32", "tau_3 / tau_2, likewise", "", "", "", _substructure("tau32")),
            _of("jet", "tau43", "tau_4 / tau_3, likewise", "", "", "", _substructure("tau43")),
            _of(
                "jet",
                "softdrop_mass",
                "mass after soft drop (beta = 0, z_cut = 0.1, Cambridge-Aachen, constituents massless)",
                "GeV",
                "",
                "",
                _substructure("softdrop_mass"),
            ),
        )
    },
}

#: Names that weaver-core's data cards have for rows of the table.
ALIASES = {
    "part_deta": "deta",
    "part_dphi": "dphi",
    "part_etarel": "deta",
    "part_phirel": "dphi",
    "part_deltaR": "delta_r",
    "part_pt": "pt",
    "part_pt_log": "log_pt",
    "part_ptrel": "pt_fraction",
    "part_logptrel": "log_pt_fraction",
    "part_px": "px",
    "part_py": "py",
    "part_pz": "pz",
    "part_e": "energy",
    "part_energy": "energy",
    "part_e_log": "log_energy",
    "part_erel": "energy_fraction",
    "part_logerel": "log_energy_fraction",
    "part_mass": "mass",
    "part_charge": "charge",
    "part_isElectron": "is_electron",
    "part_isMuon": "is_muon",
    "part_isPhoton": "is_photon",
    "part_isChargedHadron": "is_charged_hadron",
    "part_isNeutralHadron": "is_neutral_hadron",
    "part_mask": "mask",
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
        return Feature(name, level, name, "", (), (names[0], names[1]), _ratio(*names))
    where: dict[str, Any] = {"columns" if level == "constituents" else "jet_columns": (name,)}
    return Feature(name, level, f"the column {name}", compute=_column(level, name), **where)
