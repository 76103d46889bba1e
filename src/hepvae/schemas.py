"""How each file layout names jets, constituents and the links between them: a table of declarations."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from dataclasses import dataclass

from .errors import LayoutError, OptionError

__all__ = ["EVENT_COLUMNS", "SCHEMAS", "Schema", "find_schema", "nearest"]

#: Columns of one value an event, read where the file has them.
EVENT_COLUMNS = ("run", "luminosityBlock", "event", "genWeight")

JET_COLUMNS = ("pt", "eta", "phi", "mass")
CONSTITUENT_COLUMNS = ("pt", "eta", "phi")


@dataclass(frozen=True)
class Schema:
    """One file layout: a collection of jets, one of candidates, and one of links between the two.

    A link says that candidate ``candidate_index`` is a constituent of jet ``jet_index``, both counted
    within the event.
    """

    name: str
    tree: str
    jets: str
    candidates: str
    links: str
    jet_index: str
    candidate_index: str

    def jet(self, column: str) -> str:
        return f"{self.jets}_{column}"

    def candidate(self, column: str) -> str:
        return f"{self.candidates}_{column}"

    @property
    def link_to_jet(self) -> str:
        return f"{self.links}_{self.jet_index}"

    @property
    def link_to_candidate(self) -> str:
        return f"{self.links}_{self.candidate_index}"

    @property
    def branches(self) -> tuple[str, ...]:
        """The branches that a file must have; nothing but these and EVENT_COLUMNS is read."""
        return (
            *(self.jet(c) for c in JET_COLUMNS),
            *(self.candidate(c) for c in CONSTITUENT_COLUMNS),
            self.link_to_jet,
            self.link_to_candidate,
        )


SCHEMAS = {
    schema.name: schema
    for schema in (
        Schema("nanoaodv15", "Events", "FatJet", "PFCand", "FatJetPFCand", "jetIdx", "pfCandIdx"),
        Schema("pfnano", "Events", "FatJet", "PFCands", "FatJetPFCands", "jetIdx", "pFCandsIdx"),
    )
}


def nearest(name: str, names: Collection[str]) -> str:
    """``"; nearest: 'a'"`` with the most similar of ``names``, or ``""`` where none is similar."""
    lowered = {n.lower(): n for n in names}
    close = difflib.get_close_matches(name.lower(), lowered, n=1)
    return f"; nearest: {lowered[close[0]]!r}" if close else ""


def find_schema(branches: Collection[str], where: str, schema: str = "auto") -> Schema:
    """The layout of a tree with these branches.

    Parameters
    ----------
    branches : collection of str
        What the tree has.
    where : str
        File and tree, for the message.
    schema : str
        A name of `SCHEMAS`, or ``"auto"`` to look at the branches.

    Raises
    ------
    OptionError
        There is no such schema.
    LayoutError
        Branches are missing; the message names the first, and the nearest name the tree has.
    """
    if schema != "auto" and schema not in SCHEMAS:
        raise OptionError(f"schema {schema!r} is unknown: expected auto, {', '.join(SCHEMAS)}")
    candidates = SCHEMAS.values() if schema == "auto" else [SCHEMAS[schema]]
    present = set(branches)
    missing = {s.name: [b for b in s.branches if b not in present] for s in candidates}
    closest = min(candidates, key=lambda s: len(missing[s.name]))
    lost = missing[closest.name]
    if lost:
        more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
        raise LayoutError(
            f"{where}: no branch {lost[0]!r}{more} of the {closest.name} layout{nearest(lost[0], present)}"
        )
    return closest
