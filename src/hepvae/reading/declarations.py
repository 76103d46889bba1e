"""What a file layout is: names of columns, formulas, and the ways in which a file may have them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

from ..errors import LayoutError
from ..jets.quality import JET_RADIUS
from ..options import nearest

__all__ = [
    *("CONSTITUENT_COLUMNS", "EVENT_COLUMNS", "IDENTIFIERS", "JET_COLUMNS", "Collections", "Counts", "FirstOf"),
    *("Formula", "JetByJet", "Named", "OneJet", "Schema", "branches_of"),
]

#: Columns that tell an event from all others, and those of one value an event; read where the file has them.
IDENTIFIERS = ("run", "luminosityBlock", "event")

EVENT_COLUMNS = (*IDENTIFIERS, "genWeight")

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
    def jet_prefix(self) -> str:
        """What the names of the columns of jets begin with."""
        return self.jet_branches.format("")


@dataclass(frozen=True)
class OneJet:
    """Branches of one jet of an entry, and of its constituents."""

    columns: Named
    """By the names of `JET_COLUMNS`."""
    constituents: Named
    """By the names of `CONSTITUENT_COLUMNS`."""
    jet_branches: str
    """Names of further columns."""
    constituent_branches: str
    """Likewise of its constituents."""
    further: Named = field(default_factory=dict)
    """Columns of its constituents that are formulas, used where they are needed."""

    def with_columns(self, constituents: Collection[str], jets: Collection[str]) -> OneJet:
        """The same with further columns."""
        known = {name: self.further.get(name, self.constituent_branches.format(name)) for name in constituents}
        of_jet = self.columns | _further(self.jet_branches, jets)
        return replace(self, columns=of_jet, constituents=self.constituents | known)


@dataclass(frozen=True)
class JetByJet:
    """Branches of their own for each jet of an entry."""

    jets: tuple[OneJet, ...]
    mjj: str | FirstOf | None = None
    """A branch with the mjj of the two jets, which must agree with their momenta; `None` where there is none."""
    jet_radius: float = JET_RADIUS

    @property
    def jet_prefix(self) -> str | None:
        """What the names of the columns of jets begin with, where an entry is one jet."""
        return self.jets[0].jet_branches.format("") if len(self.jets) == 1 else None


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
        return isinstance(self.layout, JetByJet) and len(self.layout.jets) == 1

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
            each = tuple(jet.with_columns(constituents, jets) for jet in layout.jets)
            schema = replace(self, layout=replace(layout, jets=each))
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
        for name in _parts(part):
            yield from branches_of(getattr(part, name), every)


def _parts(declaration: Any) -> list[str]:
    """Names of the fields that may name branches."""
    return [one.name for one in fields(declaration) if one.name not in NO_BRANCHES]


def _fitted(part: Any, present: Collection[str]) -> Any:
    if isinstance(part, FirstOf):
        ways = (_fitted(way, present) for way in part.ways)
        return min(ways, key=lambda way: sum(branch not in present for branch in branches_of(way)))
    if isinstance(part, dict):
        return {name: _fitted(one, present) for name, one in part.items()}
    if isinstance(part, tuple):
        return tuple(_fitted(one, present) for one in part)
    if is_dataclass(part) and not isinstance(part, type):
        return replace(part, **{name: _fitted(getattr(part, name), present) for name in _parts(part)})
    return part
