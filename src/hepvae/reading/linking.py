"""From the columns of a file to jets with their constituents, as its layout links them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..jets.padding import RADIUS
from ..jets.quality import JET_RADIUS, examine_jets, too_many_not_own
from ..jets.reasons import NOT_OWN
from ..jets.selection import dijet_events, load_vector
from .declarations import EVENT_COLUMNS, JET_COLUMNS, Collections, Counts, Formula, JetByJet, Schema, branches_of

__all__ = ["Linking", "settle_weights", "weight_columns"]

Columns = Mapping[str, ak.Array]
Places = npt.NDArray[np.int64]

#: How far mjj of the file and that of the momenta may be apart, and for which share of the events they may be.
MJJ_TOLERANCE, MJJ_EXCEPTIONS = 0.02, 0.1

MJJ_OF_FILE, PLACE = "mjj of the file", "place of the jet"

#: What to do about jets whose constituents are not theirs, in a file.
OTHER_FILE = "were its jets cut, sorted or replaced without the links? take the file from before that"


@dataclass
class Linking:
    """Jets with their constituents, chunk by chunk of one table."""

    layout: Collections | JetByJet
    where: str
    """File and tree, for messages."""
    advice: str = OTHER_FILE
    """For messages: what to do where links do not fit the jets."""
    _jets: int = field(default=0, init=False)
    _not_own: int = field(default=0, init=False)

    def dijets(self, columns: Columns, first_entry: int) -> ak.Array:
        """Dijet events of one chunk, with the number of their entry in the file as ``entry``.

        Parameters
        ----------
        columns : dict of str to awkward array
            The branches of the layout, and others that are carried along: on the jets where their names are those
            of columns of jets, as ``FatJet_msoftdrop``, without what these begin with; else on the events.
        first_entry : int
            Number of the first entry in the file.

        Raises
        ------
        DataError
            A column has another form than the layout says, an index is out of range, lengths differ, mjj of the
            file is not that of its jets, or too many jets have constituents that are not their own.
        """
        jets, candidates, links = self._flattened(columns, first_entry)
        jets_per_event = ak.to_numpy(ak.num(jets["pt"]))
        # Where each jet stands among all jets of the chunk: the links are followed by it below.
        jets[PLACE] = ak.unflatten(np.arange(jets_per_event.sum()), jets_per_event)
        per_event = self._of_events(columns, first_entry, len(jets_per_event))
        mjj = getattr(self.layout, "mjj", None)
        if mjj is not None:
            per_event[MJJ_OF_FILE] = columns[mjj]
        events = dijet_events(ak.zip(jets, depth_limit=2), **per_event)
        if mjj is not None:
            self._check_mjj(events, mjj)
            events = events[[name for name in events.fields if name != MJJ_OF_FILE]]

        chosen = ak.to_numpy(ak.flatten(events.jets[PLACE], axis=None))
        constituents = self._constituents(candidates, links, chosen, jets_per_event.sum())
        flat = ak.flatten(events.jets, axis=1)
        flat = _jets_with({name: flat[name] for name in jets if name != PLACE}, constituents)
        self._check_own(flat, np.repeat(ak.to_numpy(events.entry), 2))
        pairs = ak.Array(ak.contents.RegularArray(flat, 2, zeros_length=len(events)))
        return ak.zip({name: pairs if name == "jets" else events[name] for name in events.fields}, depth_limit=1)

    def jets(self, columns: Columns, first_entry: int) -> ak.Array:
        """All jets of one chunk, in the order of the file; as `dijets`.

        Returns
        -------
        awkward array, (entries,) records
            ``jets``: var ``Momentum4D``, each with ``constituents``; ``entry``, and the columns of events.
        """
        jets, candidates, links = self._flattened(columns, first_entry)
        jets_per_entry = ak.to_numpy(ak.num(jets["pt"]))
        number = jets_per_entry.sum()
        flat = _jets_with(
            {name: ak.flatten(column) for name, column in jets.items()},
            self._constituents(candidates, links, np.arange(number), number),
        )
        self._check_own(flat, first_entry + np.repeat(np.arange(len(jets_per_entry)), jets_per_entry))
        offsets = ak.index.Index64(np.concatenate([[0], np.cumsum(jets_per_entry)]))
        per_event = self._of_events(columns, first_entry, len(jets_per_entry))
        return ak.zip({"jets": ak.contents.ListOffsetArray(offsets, flat), **per_event}, depth_limit=1)

    def single_jets(self, columns: Columns, first_entry: int) -> ak.Array:
        """Jets (entries,) of one chunk of a layout with one jet an entry; as `dijets`."""
        return ak.flatten(self.jets(columns, first_entry).jets)

    def _carried(self, columns: Columns) -> dict[str, str]:
        """Columns besides those of the layout that belong to jets, and their names there."""
        prefix, own = self.layout.jet_prefix, set(branches_of(self.layout))
        depth = 2 if isinstance(self.layout, Collections) else 1
        return {
            name: name.removeprefix(prefix)
            for name, column in columns.items()
            if prefix and name.startswith(prefix) and name not in own and column.ndim >= depth
        }

    def _of_events(self, columns: Columns, first_entry: int, entries: int) -> dict[str, Any]:
        """Columns of the events, with the number of their entry in the file."""
        of_others = {*branches_of(self.layout), *self._carried(columns)}
        carried = {name: column for name, column in columns.items() if name not in of_others}
        return {**carried, "entry": np.arange(first_entry, first_entry + entries)}

    def _check_own(self, jets: Any, entry: Places) -> None:
        """Jets whose constituents lie elsewhere are no accident where there are many, in the chunks so far."""
        not_own = examine_jets(ak.Array(jets), self.layout.jet_radius).reason == NOT_OWN
        self._jets += len(not_own)
        self._not_own += np.count_nonzero(not_own)
        if not_own.any() and too_many_not_own(self._not_own, self._jets):
            raise DataError(
                f"{self.where}: the constituents of {self._not_own} of {self._jets} jets are not their own, they"
                f" lie outside of the radius of {self.layout.jet_radius} (last in entry {entry[not_own][-1]}):"
                f" {self.advice}"
            )

    def _flattened(
        self, columns: Columns, first_entry: int
    ) -> tuple[dict[str, ak.Array], dict[str, ak.Array], tuple[Places, Places]]:
        """Jets and candidates (events, var) of a chunk, and its links: places of jets and of candidates."""
        layout = self.layout
        self._check_forms(columns)
        if isinstance(layout, Collections):
            jets = {c: _value(column, columns) for c, column in layout.jets.items()}
            candidates = {c: _value(column, columns) for c, column in layout.candidates.items()}
            jets |= {field: columns[name] for name, field in self._carried(columns).items()}
            for what, collection in (("jets", jets), ("candidates", candidates)):
                self._check_lengths(what, collection, first_entry)
            return jets, candidates, self._links(columns, layout, jets["pt"], candidates["pt"], first_entry)
        jets = {
            c: _float32(
                ak.concatenate([_value(j.columns[c], columns)[:, np.newaxis] for j in layout.jets], axis=1)
            )
            for c in layout.jets[0].columns
        }
        jets |= {field: columns[name][:, np.newaxis] for name, field in self._carried(columns).items()}
        each = [{c: _float32(_value(v, columns)) for c, v in jet.constituents.items()} for jet in layout.jets]
        for i, constituents in enumerate(each, start=1):
            self._check_lengths(f"the constituents of jet {i}", constituents, first_entry)
        counts = np.stack([ak.to_numpy(ak.num(constituents["pt"])) for constituents in each], axis=1)
        candidates = {c: ak.concatenate([one[c] for one in each], axis=1) for c in each[0]}
        link_jet = np.repeat(np.arange(counts.size), counts.ravel())
        # What is padded with zeros has no more constituents than before.
        there = _flat(candidates["pt"]) != 0
        return jets, candidates, (link_jet[there], np.flatnonzero(there))

    def _check_forms(self, columns: Columns) -> None:
        """Raise `DataError` where a column is no number, or no list of numbers, for each entry."""
        one_number: set[str] = {*EVENT_COLUMNS}
        if isinstance(self.layout, JetByJet):
            one_number |= {name for jet in self.layout.jets for name in branches_of(jet.columns)}
            one_number |= {*branches_of(self.layout.mjj)}
        own = {*EVENT_COLUMNS, *branches_of(self.layout)}
        for name, column in columns.items():
            expected = 1 if name in one_number else 2
            if name in own and _depth(column) != expected:
                what = "one number" if expected == 1 else "a list of numbers"
                raise DataError(
                    f"{self.where}: branch {name!r} has {column.type.content} for each entry: expected {what}"
                )

    def _check_lengths(self, what: str, collection: dict[str, ak.Array], first_entry: int) -> None:
        """Raise `DataError` where the columns of a collection are not of one length in each entry."""
        expected = ak.to_numpy(ak.num(collection["pt"]))
        for name, column in collection.items():
            unequal = np.flatnonzero(ak.to_numpy(ak.num(column)) != expected)
            if len(unequal):
                raise DataError(
                    f"{self.where}: pt and {name} of {what} differ in length in entry {first_entry + unequal[0]}"
                )

    def _links(
        self, columns: Columns, layout: Collections, jet_pt: ak.Array, candidate_pt: ak.Array, first_entry: int
    ) -> tuple[Places, Places]:
        """Places of jet and candidate of each link, among all of the chunk.

        Links may come in any order, and jets may share candidates. An index of -1 means no link, as
        everywhere in NanoAOD; any other index out of range is an error.
        """
        assert isinstance(layout.candidate_of_link, str), "a layout is fitted to its file before"
        to_candidate = columns[layout.candidate_of_link]
        links_per_event = ak.to_numpy(ak.num(to_candidate))
        jets_per_event, candidates_per_event = ak.to_numpy(ak.num(jet_pt)), ak.to_numpy(ak.num(candidate_pt))
        jet_start = np.concatenate([[0], np.cumsum(jets_per_event)])
        candidate_start = np.concatenate([[0], np.cumsum(candidates_per_event)])
        event = np.repeat(np.arange(len(links_per_event)), links_per_event)

        def differ(branch: str, lengths: Places) -> None:
            unequal = np.flatnonzero(links_per_event != lengths)
            if len(unequal):
                raise DataError(
                    f"{self.where}: {branch} and {layout.candidate_of_link} differ in length"
                    f" in entry {first_entry + unequal[0]}: {self.advice}"
                )

        def checked(branch: str, index: Places, size: Places, collection: str) -> Places:
            index = index.astype(np.int64)
            wrong = np.flatnonzero((index < -1) | (index >= size[event]))
            if len(wrong):
                k = wrong[0]
                cut = f"; the {collection} were cut: {self.advice}" if index[k] > 0 else ""
                raise DataError(
                    f"{self.where}: {branch} is {index[k]} in entry {first_entry + event[k]},"
                    f" expected -1 to {size[event[k]] - 1}{cut}"
                )
            return index

        if isinstance(layout.jet_of_link, Counts):
            branch = layout.jet_of_link.branch
            counts = ak.values_astype(columns[branch], np.int64)
            negative = np.flatnonzero(ak.to_numpy(ak.any(counts < 0, axis=1)))
            if len(negative):
                raise DataError(f"{self.where}: {branch} is negative in entry {first_entry + negative[0]}")
            differ(branch, ak.to_numpy(ak.sum(counts, axis=1)))
            counts = _flat(counts)
            to_jet = np.repeat(np.arange(len(counts)), counts) - jet_start[event]
        else:
            assert isinstance(layout.jet_of_link, str), "a layout is fitted to its file before"
            to_jet = columns[layout.jet_of_link]
            differ(layout.jet_of_link, ak.to_numpy(ak.num(to_jet)))
            to_jet = checked(layout.jet_of_link, _flat(to_jet), jets_per_event, "jets")
        to_candidate = checked(layout.candidate_of_link, _flat(to_candidate), candidates_per_event, "candidates")
        linked = (to_jet >= 0) & (to_candidate >= 0)
        return (jet_start[event] + to_jet)[linked], (candidate_start[event] + to_candidate)[linked]

    def _constituents(
        self, candidates: dict[str, ak.Array], links: tuple[Places, Places], chosen: Places, number_of_jets: int
    ) -> Any:
        """Constituents (jets, var) of the chosen jets, by their place among all jets of the chunk; a layout.

        The radius of the jets is a parameter of theirs, where it is not the usual one.
        """
        link_jet, candidate = links
        slot = np.full(number_of_jets, -1)
        slot[chosen] = np.arange(len(chosen))
        link_slot = slot[link_jet]
        used = np.flatnonzero(link_slot >= 0)
        places = candidate[used[np.argsort(link_slot[used], kind="stable")]]
        counts = np.bincount(link_slot[used], minlength=len(chosen))
        radius, kind = self.layout.jet_radius, "Momentum4D" if "mass" in candidates else "Momentum3D"
        return ak.contents.ListOffsetArray(
            ak.index.Index64(np.concatenate([[0], np.cumsum(counts)])),
            ak.contents.RecordArray(
                [ak.contents.NumpyArray(_flat(values)[places]) for values in candidates.values()],
                list(candidates),
                parameters={"__record__": kind} | ({} if radius == JET_RADIUS else {RADIUS: radius}),
            ),
        )

    def _check_mjj(self, events: ak.Array, branch: Any) -> None:
        """Columns under wrong names, or of other units, must not become scores."""
        theirs, ours = ak.to_numpy(events[MJJ_OF_FILE]), ak.to_numpy(events.mjj)
        apart = np.abs(theirs - ours) > MJJ_TOLERANCE * np.abs(theirs)
        if apart.sum() > MJJ_EXCEPTIONS * len(apart):
            first = np.flatnonzero(apart)[0]
            raise DataError(
                f"{self.where}: {branch} is {theirs[first]:.6g} in entry {events.entry[first]}, and mjj of its two"
                f" jets {ours[first]:.6g} GeV: are columns named wrongly?"
            )


def weight_columns(schema: Schema, present: Collection[str]) -> list[str]:
    """What `settle_weights` needs besides the branches of a layout.

    Of NanoAOD, one minus the pt of a jet before corrections over that after them.
    """
    raw_factor = f"{schema.layout.jet_prefix}rawFactor"
    return [raw_factor] if _weighted(schema) is not None and raw_factor in present else []


def settle_weights(
    schema: Schema,
    present: Collection[str],
    entries: int,
    read: Callable[[list[str], int, int], Columns],
    where: str,
) -> tuple[Schema, str | None, int]:
    """Decide whether the pt of candidates is to be multiplied by the PUPPI weight that a file has beside it.

    The pt of PFNano is that of the candidate, that of NanoAODv15 is weighted already; files of private productions
    are of either kind. The jets are PUPPI jets: what adds up to the raw pt of the jets is right.

    Parameters
    ----------
    schema : Schema
        As `find_schema` gives it.
    present : collection of str
        Columns of the file; the raw pt is pt * (1 - rawFactor) where it has that.
    entries : int
        Of the file; so many are read that some jets have constituents.
    read : callable of names, start, stop

    Returns
    -------
    Schema
        With one way to the pt.
    str or None
        What was decided, for the report; None where the file has no weight.
    int
        Number of jets that decided.
    """
    weighted = _weighted(schema)
    if weighted is None:
        return schema, None, 0
    assert isinstance(schema.layout, Collections), "only these have weights"
    pt, weight = weighted.columns
    plain = replace(schema, layout=replace(schema.layout, candidates={**schema.layout.candidates, "pt": pt}))
    for first in range(0, entries, ENTRIES_FOR_WEIGHTS):
        names = [*schema.branches, *weight_columns(schema, present)]
        columns = read(names, first, min(first + ENTRIES_FOR_WEIGHTS, entries))
        of_jets = [_pt_ratios(one.layout, columns, first, where) for one in (schema, plain)]
        if all(map(len, of_jets)):
            jets = min(map(len, of_jets))
            ratios = [float(np.median(one)) for one in of_jets]
            times, as_is = (abs(np.log(ratio)) for ratio in ratios)
            sums = f"constituents add up to {ratios[0]:.3f} of the raw jet pt, {ratios[1]:.3f} without it"
            if times <= as_is:
                return schema, f"{pt} is multiplied by {weight}: {sums}", jets
            return plain, f"{pt} is not multiplied by {weight}: {sums}", jets
    return schema, f"{pt} is multiplied by {weight}: no jet has constituents", 0


#: Entries that are looked at for the weights, at once.
ENTRIES_FOR_WEIGHTS = 1000


def _weighted(schema: Schema) -> Formula | None:
    pt = schema.layout.candidates["pt"] if isinstance(schema.layout, Collections) else None
    return pt if isinstance(pt, Formula) else None


def _pt_ratios(
    layout: Collections | JetByJet, columns: Columns, first_entry: int, where: str
) -> npt.NDArray[np.float64]:
    """Summed pt of a jet's constituents over its raw pt, of the jets that have constituents."""
    jets, candidates, (link_jet, candidate) = Linking(layout, where)._flattened(columns, first_entry)
    raw = jets["pt"] * (1 - jets["rawFactor"]) if "rawFactor" in jets else jets["pt"]
    raw = _flat(raw).astype(np.float64)
    total = np.bincount(link_jet, _flat(candidates["pt"])[candidate], len(raw))
    some = (total > 0) & (raw > 0) & np.isfinite(total)
    ratios: npt.NDArray[np.float64] = total[some] / raw[some]
    return ratios


def _jets_with(flat: Mapping[str, ak.Array], constituents: Any) -> Any:
    """Jets (jets,) of some columns and their constituents, as a layout."""
    load_vector()
    names = [*JET_COLUMNS, *(name for name in flat if name not in JET_COLUMNS)]
    of_jets = [
        ak.contents.NumpyArray(ak.to_numpy(flat[c])) if flat[c].ndim == 1 else flat[c].layout for c in names
    ]
    return ak.contents.RecordArray(
        [*of_jets, constituents], [*names, "constituents"], parameters={"__record__": "Momentum4D"}
    )


def _value(column: Any, columns: Columns) -> ak.Array:
    """A column of a layout: a branch, or a formula of branches."""
    if isinstance(column, Formula):
        return column.of(*(_value(part, columns) for part in column.columns))
    return columns[column]


def _depth(column: ak.Array) -> int | None:
    """Axes of an array of numbers; None of one of something else."""
    form, axes = column.layout.form, 1
    while not form.is_numpy:
        if form.is_list and form.parameter("__array__") is None:
            axes += 1
        elif not form.is_option and not form.is_indexed:
            return None
        form = form.content
    return axes + len(form.inner_shape) if np.dtype(form.primitive).kind in "iufb" else None


def _float32(array: ak.Array) -> ak.Array:
    return ak.values_astype(array, np.float32)


def _flat(array: ak.Array) -> npt.NDArray[Any]:
    return np.asarray(ak.to_numpy(ak.flatten(array)))
