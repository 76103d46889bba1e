"""How each file layout names jets, their constituents and what links them: a table of declarations."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Literal

from ..errors import LayoutError, OptionError
from ..jets.kinematics import angle_difference, angle_sum, azimuth, mass, pseudorapidity, transverse_momentum
from ..jets.quality import JET_RADIUS
from ..options import check_choice, check_number, nearest

__all__ = [
    "CONSTITUENT_COLUMNS",
    "EVENT_COLUMNS",
    "FAT_JETS",
    "IDENTIFIERS",
    "JET_COLUMNS",
    "SCHEMAS",
    "Collections",
    "Counts",
    "FirstOf",
    "Formula",
    "JetByJet",
    "JetCollection",
    "Schema",
    "SchemaName",
    "branches_of",
    "find_schema",
    "known_branches",
]

#: Columns that tell an event from all others, and those of one value an event; read where the file has them.
IDENTIFIERS = ("run", "luminosityBlock", "event")
EVENT_COLUMNS = (*IDENTIFIERS, "genWeight")

#: Columns that scored files have, and no layout.
SCORED = frozenset({"score", "mjj", "j1_pt", "j2_pt"})

#: Fields of a declaration that name branches which only some models need.
NO_BRANCHES = ("jet_branches", "candidate_branches", "constituent_branches", "further")

JET_COLUMNS = ("pt", "eta", "phi", "mass")
CONSTITUENT_COLUMNS = ("pt", "eta", "phi")


@dataclass(frozen=True)
class Formula:
    """A column that a file does not have, computed from others."""

    of: Callable[..., Any]
    columns: tuple[Any, ...]


@dataclass(frozen=True)
class Counts:
    """A branch that says how many constituents each jet has, which then come jet by jet."""

    branch: str


@dataclass(frozen=True)
class FirstOf:
    """What is written in more than one way: the first counts that the file has."""

    ways: tuple[Any, ...]

    def __init__(self, *ways: Any):
        object.__setattr__(self, "ways", ways)


Named = dict[str, str | Formula | FirstOf]


@dataclass(frozen=True)
class Collections:
    """The jets of an event in one collection, candidates in another, and links between the two.

    A link says that a candidate, counted within the event, is a constituent of a jet. Jets may share
    candidates. Links come in any order where they name their jet, and jet by jet where jets have `Counts`.
    """

    jets: Named
    """By the names of `JET_COLUMNS`."""
    candidates: Named
    """By the names of `CONSTITUENT_COLUMNS`."""
    jet_of_link: str | Counts | FirstOf
    candidate_of_link: str | FirstOf
    jet_radius: float = JET_RADIUS
    jet_branches: str = "FatJet_{}"
    """Names of further columns of the jets."""
    candidate_branches: str = "PFCand_{}"
    """Likewise of the candidates."""

    @property
    def jets_per_entry(self) -> None:
        """As many as there are."""
        return None

    @property
    def jet_prefix(self) -> str:
        """What the names of the columns of jets begin with."""
        return self.jet_branches.format("")

    @property
    def raw_factor(self) -> str:
        """Of NanoAOD: one minus the pt of a jet before corrections over that after them."""
        return f"{self.jet_prefix}rawFactor"


@dataclass(frozen=True)
class JetByJet:
    """Branches of their own for each jet of an entry, and for its constituents."""

    jets: tuple[Named, ...]
    """For each jet, by the names of `JET_COLUMNS`."""
    constituents: tuple[Named, ...]
    """For each jet, by the names of `CONSTITUENT_COLUMNS`."""
    mjj: str | FirstOf | None = None
    """A branch with the mjj of the two jets, which must agree with their momenta; `None` where there is none."""
    jet_radius: float = JET_RADIUS
    jet_branches: tuple[str, ...] = ()
    """Names of further columns, for each jet."""
    constituent_branches: tuple[str, ...] = ()
    """Likewise of its constituents."""
    further: tuple[Named, ...] = ()
    """For each jet: columns of its constituents that are formulas, used where they are needed."""

    @property
    def jets_per_entry(self) -> int:
        return len(self.jets)

    @property
    def jet_prefix(self) -> str | None:
        """What the names of the columns of jets begin with, where an entry is one jet."""
        return self.jet_branches[0].format("") if len(self.jets) == 1 else None


@dataclass(frozen=True)
class Schema:
    """One file layout."""

    name: str
    layout: Collections | JetByJet
    event_columns: tuple[str, ...] = EVENT_COLUMNS
    """Columns of one value an event that are read where the file has them."""

    @property
    def branches(self) -> tuple[str, ...]:
        """The branches that are read, besides ``event_columns``; of a `FirstOf`, those of its first way."""
        return tuple(dict.fromkeys(branches_of(self.layout)))

    def fitted(self, present: Collection[str]) -> Schema:
        """The same with one way for each `FirstOf`: the first of those that lack least."""
        return replace(self, layout=_fitted(self.layout, present))

    @property
    def single_jets(self) -> bool:
        """Whether an entry is one jet, and no event."""
        return self.layout.jets_per_entry == 1

    def with_columns(
        self, constituents: Collection[str], jets: Collection[str], present: Collection[str] | None, where: str
    ) -> Schema:
        """The same with further columns of constituents and of jets, by their names in the collection.

        ``present`` are the branches of the file; None: they are not looked for.

        Raises
        ------
        LayoutError
            The file has no such branch; the message names it, and the nearest.
        """
        layout = self.layout
        if isinstance(layout, Collections):
            pt, of_candidates = layout.candidates["pt"], dict(layout.candidates)
            for name in constituents:
                branch = layout.candidate_branches.format(name)
                # PUPPI scales the whole momentum.
                if name == "mass" and isinstance(pt, Formula):
                    of_candidates[name] = replace(pt, columns=(branch, *pt.columns[1:]))
                else:
                    of_candidates[name] = branch
            of_jets = layout.jets | _further(layout.jet_branches, jets)
            schema = replace(self, layout=replace(layout, jets=of_jets, candidates=of_candidates))
        else:
            each = []
            formulas = layout.further or ({},) * len(layout.jets)
            for pattern, known, columns in zip(layout.constituent_branches, formulas, layout.constituents):
                each.append(columns | {name: known.get(name, pattern.format(name)) for name in constituents})
            both = zip(layout.jet_branches, layout.jets)
            of_each = tuple(columns | _further(pattern, jets) for pattern, columns in both)
            schema = replace(self, layout=replace(layout, jets=of_each, constituents=tuple(each)))
        for branch in schema.branches:
            if present is not None and branch not in present:
                raise LayoutError(
                    f"{where}: no branch {branch!r}, which the model needs for"
                    f" {', '.join((*constituents, *jets))}{nearest(branch, present)}"
                )
        return schema


def _further(pattern: str, names: Collection[str]) -> dict[str, str]:
    """Columns of jets by short names; a branch may be named as the file has it, or without its collection."""
    prefix = pattern.format("")
    short = [name.removeprefix(prefix) for name in names]
    return {name: pattern.format(name) for name in short}


def branches_of(part: Any, every: bool = False) -> Iterator[str]:
    """The branches named in a part of a declaration; of a `FirstOf`, those of its first way, or of every one."""
    if isinstance(part, str):
        yield part
    elif isinstance(part, FirstOf):
        for way in part.ways if every else part.ways[:1]:
            yield from branches_of(way, every)
    elif isinstance(part, (dict, tuple)):
        for one in part.values() if isinstance(part, dict) else part:
            yield from branches_of(one, every)
    elif is_dataclass(part):
        for field in fields(part):
            if field.name not in NO_BRANCHES:
                yield from branches_of(getattr(part, field.name), every)


def _fitted(part: Any, present: Collection[str]) -> Any:
    if isinstance(part, FirstOf):
        ways = (_fitted(way, present) for way in part.ways)
        return min(ways, key=lambda way: sum(branch not in present for branch in branches_of(way)))
    if isinstance(part, dict):
        return {name: _fitted(one, present) for name, one in part.items()}
    if isinstance(part, tuple):
        return tuple(_fitted(one, present) for one in part)
    if is_dataclass(part) and not isinstance(part, type):
        named = [field.name for field in fields(part) if field.name not in NO_BRANCHES]
        return replace(part, **{name: _fitted(getattr(part, name), present) for name in named})
    return part


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


def _plain(jet: str) -> tuple[Named, Named]:
    return _named(f"{jet}_{{}}", JET_COLUMNS), _named(f"{jet}_constituents_{{}}", CONSTITUENT_COLUMNS)


def _study(jet: str) -> tuple[Named, Named]:
    """A jet of the study's HDF5 files; `hepvae.reading.tables.hdf5` names the columns of its particles."""
    names: Named = {"pt": f"{jet}Pt", "eta": f"{jet}Eta", "phi": f"{jet}Phi", "mass": f"{jet}M"}
    if jet == "j2":  # most files have its direction only in the differences, jet 1 minus jet 2
        names["eta"] = FirstOf("j2Eta", Formula(operator.sub, ("j1Eta", "DeltaEtaJJ")))
        names["phi"] = FirstOf("j2Phi", Formula(angle_difference, ("j1Phi", "DeltaPhiJJ")))
    particles: Named = {
        "pt": f"{jet}_particles_pt",
        "eta": FirstOf(f"{jet}_particles_eta", Formula(operator.add, (f"{jet}_particles_deta", names["eta"]))),
        "phi": FirstOf(f"{jet}_particles_phi", Formula(angle_sum, (f"{jet}_particles_dphi", names["phi"]))),
    }
    return names, particles


def _jetclass() -> tuple[Named, Named]:
    jet = {**_named("jet_{}", ("pt", "eta", "phi")), "mass": Formula(mass, ("jet_pt", "jet_eta", "jet_energy"))}
    momentum = ("part_px", "part_py", "part_pz")
    constituents: Named = {
        "pt": Formula(transverse_momentum, momentum[:2]),
        # part_deta has another sign for jets of negative eta.
        "eta": Formula(pseudorapidity, momentum),
        "phi": Formula(azimuth, momentum[:2]),
    }
    return jet, constituents


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


#: Mass of a constituent of JetClass, which has energies.
_JETCLASS_FURTHER: Named = {
    "mass": Formula(mass, (_jetclass()[1]["pt"], _jetclass()[1]["eta"], "part_energy")),
}


def _jet_by_jet(
    *jets: tuple[Named, Named],
    names: tuple[str, str],
    mjj: FirstOf | None = None,
    further: tuple[Named, ...] = (),
) -> JetByJet:
    """``names``: patterns of further columns of jet 1 and of its constituents."""
    of_jet, of_constituents = (
        tuple(pattern.replace("j1", f"j{i}", 1) for i in range(1, len(jets) + 1)) for pattern in names
    )
    return JetByJet(
        tuple(jet for jet, _ in jets),
        tuple(constituents for _, constituents in jets),
        mjj,
        jet_branches=of_jet,
        constituent_branches=of_constituents,
        further=further,
    )


#: What a user may name: a layout, or ``auto`` to look at the branches.
SchemaName = Literal["auto", "nanoaodv15", "pfnano", "dijets", "study", "jetclass", "lhco"]

#: Every layout that is known, in the order in which a file is held against them.
SCHEMAS = {
    schema.name: schema
    for schema in (
        *_nano_schemas(FAT_JETS).values(),
        Schema("dijets", _jet_by_jet(_plain("j1"), _plain("j2"), names=("j1_{}", "j1_constituents_{}"))),
        Schema(
            "study",
            _jet_by_jet(_study("j1"), _study("j2"), mjj=FirstOf("mJJ", None), names=("j1_{}", "j1_particles_{}")),
        ),
        Schema("jetclass", _jet_by_jet(_jetclass(), names=("jet_{}", "part_{}"), further=(_JETCLASS_FURTHER,))),
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
