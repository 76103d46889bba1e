"""How each file layout names jets, their constituents and what links them: a table of declarations."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..errors import LayoutError, OptionError
from ..jets.kinematics import mass, pseudorapidity, wrapped
from ..jets.quality import JET_RADIUS
from ..options import check_choice, check_number, nearest
from .declarations import (
    CONSTITUENT_COLUMNS,
    EVENT_COLUMNS,
    JET_COLUMNS,
    Collections,
    Counts,
    FirstOf,
    Formula,
    JetByJet,
    Named,
    OneJet,
    Schema,
    branches_of,
)

__all__ = ["FAT_JETS", "SCHEMAS", "JetCollection", "SchemaName", "find_schema", "known_branches"]

#: Columns that scored files have, and no layout.
SCORED = frozenset({"score", "mjj", "j1_pt", "j2_pt"})


def known_branches() -> set[str]:
    """All branches that a layout may have, by any of its ways."""
    return {
        *EVENT_COLUMNS,
        *(name for schema in SCHEMAS.values() for name in branches_of(schema.layout, every=True)),
    }


def _named(pattern: str, columns: tuple[str, ...]) -> Named:
    return {column: pattern.format(column) for column in columns}


@dataclass(frozen=True)
class JetCollection:
    """A collection of jets of NanoAOD, and the collections that its constituents are found by.

    Raises
    ------
    OptionError
        A name is none, or the radius is not a number above 0.
    """

    name: str = "FatJet"
    candidates: str | None = None
    """Collection of candidates; None: ``PFCand`` or ``PFCands``, by the layout."""
    links: str | None = None
    """Collection of links; None: the names of the other two in one, as ``FatJetPFCand``."""
    radius: float | None = None
    """Of the jets; None: of ``AK<n>`` in the name n / 10, of ``Jet...`` and ``SubJet...`` 0.4, of others 0.8."""

    def __post_init__(self) -> None:
        for what in ("name", "candidates", "links"):
            value = getattr(self, what)
            if not (value is None and what != "name") and not (isinstance(value, str) and value.isidentifier()):
                called = "jets" if what == "name" else what
                raise OptionError(f"{called} is {value!r}: expected the name of a collection, as 'FatJet'")
        if self.radius is not None:
            radius = check_number("jet_radius", self.radius, lowest=1e-3, highest=10)
            object.__setattr__(self, "radius", radius)

    @property
    def jet_radius(self) -> float:
        """The radius that was given, or that of the name."""
        if self.radius is not None:
            return self.radius
        by_name = re.search(r"(?:AK|CA)(\d+)", self.name, re.IGNORECASE)
        if by_name and int(by_name[1]):
            return int(by_name[1]) / 10
        return 0.4 if self.name.startswith(("Jet", "SubJet")) else JET_RADIUS


#: The large-radius jets of NanoAOD.
FAT_JETS = JetCollection()


def _nano(jets: JetCollection, candidates: str, candidate_index: str) -> Collections:
    """NanoAOD with constituents.

    Those of CMS's own NanoAODv15 have a pt that is PUPPI weighted already, and come without a weight; PFNano and
    private productions keep the pt of the candidate, and its weight beside it. PUPPI jets have the weighted ones
    as constituents (on PFNano, the mass of the sum of those is that of the raw jet), CHS jets the others.
    Where a file has the weight, `hepvae.reading.linking.settle_weights` decides.
    """
    candidates = jets.candidates or candidates
    links = jets.links or f"{jets.name}{candidates}"
    # NanoAOD names an index after the collection that it counts, with a small first letter.
    indices = dict.fromkeys((candidate_index, f"{candidates[0].lower()}{candidates[1:]}Idx"))
    momenta = _named(f"{candidates}_{{}}", CONSTITUENT_COLUMNS)
    weighted = Formula(operator.mul, (f"{candidates}_pt", f"{candidates}_puppiWeight"))
    return Collections(
        jets=_named(f"{jets.name}_{{}}", JET_COLUMNS),
        candidates={**momenta, "pt": FirstOf(weighted, momenta["pt"])},
        jet_of_link=FirstOf(
            f"{links}_jetIdx", Counts(f"{jets.name}_nConstituents"), Counts(f"{jets.name}_nPFCand")
        ),
        candidate_of_link=FirstOf(*(f"{links}_{index}" for index in indices)),
        jet_radius=jets.jet_radius,
        jet_branches=f"{jets.name}_{{}}",
        candidate_branches=f"{candidates}_{{}}",
    )


def _nano_schemas(jets: JetCollection) -> dict[str, Schema]:
    """The layouts that have collections, for one of jets."""
    return {
        "nanoaodv15": Schema("nanoaodv15", _nano(jets, "PFCand", "pfCandIdx")),
        "pfnano": Schema("pfnano", _nano(jets, "PFCands", "pFCandsIdx")),
    }


def _plain(jet: str) -> OneJet:
    of_jet, of_constituents = f"{jet}_{{}}", f"{jet}_constituents_{{}}"
    columns = _named(of_jet, JET_COLUMNS), _named(of_constituents, CONSTITUENT_COLUMNS)
    return OneJet(*columns, of_jet, of_constituents)


def _angle(of: Callable[..., Any], *angles: Any) -> Formula:
    return Formula(wrapped, (Formula(of, angles),))


def _study(jet: str) -> OneJet:
    """A jet of the study's HDF5 files; `hepvae.reading.tables.hdf5` names the columns of its particles."""
    names: Named = {"pt": f"{jet}Pt", "eta": f"{jet}Eta", "phi": f"{jet}Phi", "mass": f"{jet}M"}
    if jet == "j2":  # most files have its direction only in the differences, jet 1 minus jet 2
        names["eta"] = FirstOf("j2Eta", Formula(operator.sub, ("j1Eta", "DeltaEtaJJ")))
        names["phi"] = FirstOf("j2Phi", _angle(operator.sub, "j1Phi", "DeltaPhiJJ"))
    particles: Named = {
        "pt": f"{jet}_particles_pt",
        "eta": FirstOf(f"{jet}_particles_eta", Formula(operator.add, (f"{jet}_particles_deta", names["eta"]))),
        "phi": FirstOf(f"{jet}_particles_phi", _angle(operator.add, f"{jet}_particles_dphi", names["phi"])),
    }
    return OneJet(names, particles, f"{jet}_{{}}", f"{jet}_particles_{{}}")


def _jetclass() -> OneJet:
    jet = {**_named("jet_{}", ("pt", "eta", "phi")), "mass": Formula(mass, ("jet_pt", "jet_eta", "jet_energy"))}
    momentum = ("part_px", "part_py", "part_pz")
    constituents: Named = {
        "pt": Formula(np.hypot, momentum[:2]),
        # part_deta has another sign for jets of negative eta.
        "eta": Formula(pseudorapidity, momentum),
        "phi": Formula(np.arctan2, momentum[1::-1]),
    }
    # Files have energies, and no masses of constituents.
    of_mass = Formula(mass, (constituents["pt"], constituents["eta"], "part_energy"))
    return OneJet(jet, constituents, "jet_{}", "part_{}", further={"mass": of_mass})


def _lhco() -> Collections:
    """Of the LHC Olympics; `hepvae.reading.tables.lhco` clusters its particles, and names the columns."""
    return Collections(
        jets=_named("LHCOJet_{}", JET_COLUMNS),
        candidates=_named("LHCOParticle_{}", CONSTITUENT_COLUMNS),
        jet_of_link=Counts("LHCOJet_nConstituents"),
        candidate_of_link="LHCOJetParticle_particleIdx",
        jet_radius=1.0,
        jet_branches="LHCOJet_{}",
        candidate_branches="LHCOParticle_{}",
    )


#: What a user may name: a layout, or ``auto`` to look at the branches.
SchemaName = Literal["auto", "nanoaodv15", "pfnano", "dijets", "study", "jetclass", "lhco"]

#: Every layout that is known, in the order in which a file is held against them.
SCHEMAS = {
    schema.name: schema
    for schema in (
        *_nano_schemas(FAT_JETS).values(),
        Schema("dijets", JetByJet((_plain("j1"), _plain("j2")))),
        Schema("study", JetByJet((_study("j1"), _study("j2")), mjj=FirstOf("mJJ", None))),
        Schema("jetclass", JetByJet((_jetclass(),))),
        Schema("lhco", _lhco(), event_columns=(*EVENT_COLUMNS, "label")),
    )
}


def find_schema(
    branches: Collection[str], where: str, schema: SchemaName = "auto", jets: JetCollection = FAT_JETS
) -> Schema:
    """The layout of a tree with these branches.

    Parameters
    ----------
    branches : collection of str
        What the tree has.
    where : str
        File and tree, for the message.
    schema : str
        A name of `SCHEMAS`, or ``"auto"`` to look at the branches.
    jets : JetCollection
        Which of the collections of jets; only NanoAOD has other ones than the default.

    Raises
    ------
    OptionError
        There is no such schema, or it has no collections.
    LayoutError
        Branches are missing; the message names the first, and the nearest name the tree has, or
        what was looked for and what was found where the tree is like none of the layouts.
    """
    check_choice("schema", schema, ("auto", *SCHEMAS))
    known = SCHEMAS if jets == FAT_JETS else _nano_schemas(jets)
    if schema != "auto" and schema not in known:
        raise OptionError(f"schema {schema!r} has no collection {jets.name!r}: expected {' or '.join(known)}")
    candidates = [one.fitted(branches) for one in (known.values() if schema == "auto" else [known[schema]])]
    missing = {one.name: [b for b in one.branches if b not in branches] for one in candidates}
    closest = min(candidates, key=lambda one: len(missing[one.name]) / len(one.branches))
    lost = missing[closest.name]
    if not lost:
        return closest
    if SCORED.issubset(branches):
        raise LayoutError(
            f"{where}: is a scored file, without constituents: expected the files that were scored;"
            " hepvae plot, rescore and search take scored files"
        )
    if len(lost) == len(closest.branches):
        looked_for = ", ".join(f"{one.name} ({missing[one.name][0]!r}, ...)" for one in candidates)
        first_names = ", ".join(repr(name) for name in sorted(branches)[:5])
        more = f" and {len(branches) - 5} more" if len(branches) > 5 else ""
        raise LayoutError(
            f"{where}: unknown layout: looked for {looked_for}; found {first_names or 'no branch'}{more}"
        )
    more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
    raise LayoutError(
        f"{where}: no branch {lost[0]!r}{more} of the {closest.name} layout{nearest(lost[0], branches)}"
    )
