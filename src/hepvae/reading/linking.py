"""From the columns of a file to jets with their constituents, as its layout links them."""

from __future__ import annotations

import awkward as ak
import numpy as np

from ..errors import DataError
from ..jets.selection import dijet_events, load_vector
from .layouts import CONSTITUENT_COLUMNS, EVENT_COLUMNS, JET_COLUMNS, Collections, Counts, Formula, JetByJet

__all__ = ["dijets", "single_jets"]

#: How far mjj of the file and that of the momenta may be apart, and for which share of the events they may be.
MJJ_TOLERANCE, MJJ_EXCEPTIONS = 0.02, 0.1


def dijets(columns: dict, layout: Collections | JetByJet, first_entry: int, where: str):
    """Dijet events of one chunk, with the number of their entry in the file as ``entry``.

    Parameters
    ----------
    columns : dict of str to awkward array
        The branches of the layout, and those of EVENT_COLUMNS that are there.
    first_entry : int
        Number of the first entry in the file.
    where : str
        File and tree, for messages.

    Raises
    ------
    DataError
        An index is out of range, lengths differ, or mjj of the file is not that of its jets.
    """
    jets, candidates, links = _taken_apart(columns, layout, first_entry, where)
    jets_per_event = ak.to_numpy(ak.num(jets["pt"]))
    # Where each jet stands among all jets of the chunk: the links are followed by it below.
    jets["place"] = ak.unflatten(np.arange(jets_per_event.sum()), jets_per_event)
    per_event = {name: columns[name] for name in EVENT_COLUMNS if name in columns}
    per_event["entry"] = np.arange(first_entry, first_entry + len(jets_per_event))
    if getattr(layout, "mjj", None):
        per_event["mjj of the file"] = columns[layout.mjj]
    events = dijet_events(ak.zip(jets), **per_event)
    if "mjj of the file" in events.fields:
        _check_mjj(events, layout.mjj, where)
        events = events[[field for field in events.fields if field != "mjj of the file"]]

    chosen = ak.to_numpy(ak.flatten(events.jets.place, axis=None))
    constituents = _constituents(candidates, links, chosen, jets_per_event.sum())
    flat = ak.flatten(events.jets, axis=1)
    momenta = ak.contents.RegularArray(_jets(flat, constituents), 2, zeros_length=len(events))
    return ak.zip(
        {field: ak.Array(momenta) if field == "jets" else events[field] for field in events.fields}, depth_limit=1
    )


def single_jets(columns: dict, layout: JetByJet, first_entry: int, where: str):
    """Jets (entries,) of one chunk of a layout with one jet an entry."""
    jets, candidates, links = _taken_apart(columns, layout, first_entry, where)
    flat = ak.zip({name: ak.flatten(column) for name, column in jets.items()})
    return ak.Array(_jets(flat, _constituents(candidates, links, np.arange(len(flat)), len(flat))))


def _jets(flat, constituents):
    load_vector()
    return ak.contents.RecordArray(
        [*(ak.contents.NumpyArray(ak.to_numpy(flat[c])) for c in JET_COLUMNS), constituents],
        [*JET_COLUMNS, "constituents"],
        parameters={"__record__": "Momentum4D"},
    )


def _constituents(candidates: dict, links, chosen: np.ndarray, number_of_jets: int):
    """Constituents (jets, var) of the chosen jets, by their place among all jets of the chunk."""
    link_jet, candidate = links
    slot = np.full(number_of_jets, -1)
    slot[chosen] = np.arange(len(chosen))
    link_slot = slot[link_jet]
    used = np.flatnonzero(link_slot >= 0)
    order = used[np.argsort(link_slot[used], kind="stable")]
    counts = np.bincount(link_slot[used], minlength=len(chosen))
    return ak.contents.ListOffsetArray(
        ak.index.Index64(np.concatenate([[0], np.cumsum(counts)])),
        ak.contents.RecordArray(
            [ak.contents.NumpyArray(_flat(candidates[c])[candidate[order]]) for c in CONSTITUENT_COLUMNS],
            list(CONSTITUENT_COLUMNS),
            parameters={"__record__": "Momentum3D"},
        ),
    )


def _value(column, columns: dict):
    """A column of a layout: a branch, or a formula of branches."""
    if isinstance(column, Formula):
        return column.of(*(_value(part, columns) for part in column.columns))
    return columns[column]


def _float32(array):
    return ak.values_astype(array, np.float32)


def _taken_apart(columns: dict, layout, first_entry: int, where: str):
    """Jets and candidates (events, var) of a chunk, and its links: places of their jets and their candidates."""
    if isinstance(layout, Collections):
        jets = {c: _value(layout.jets[c], columns) for c in JET_COLUMNS}
        candidates = {c: _value(layout.candidates[c], columns) for c in CONSTITUENT_COLUMNS}
        for what, collection in (("jets", jets), ("candidates", candidates)):
            _check_lengths(what, collection, first_entry, where)
        return jets, candidates, _links(columns, layout, jets["pt"], candidates["pt"], first_entry, where)
    jets = {
        c: _float32(ak.concatenate([_value(jet[c], columns)[:, np.newaxis] for jet in layout.jets], axis=1))
        for c in JET_COLUMNS
    }
    each = [{c: _float32(_value(jet[c], columns)) for c in CONSTITUENT_COLUMNS} for jet in layout.constituents]
    for i, constituents in enumerate(each, start=1):
        _check_lengths(f"the constituents of jet {i}", constituents, first_entry, where)
    counts = np.stack([ak.to_numpy(ak.num(constituents["pt"])) for constituents in each], axis=1)
    candidates = {c: ak.concatenate([one[c] for one in each], axis=1) for c in CONSTITUENT_COLUMNS}
    link_jet = np.repeat(np.arange(counts.size), counts.ravel())
    # What is padded with zeros has no more constituents than before.
    there = _flat(candidates["pt"]) != 0
    return jets, candidates, (link_jet[there], np.flatnonzero(there))


def _check_lengths(what: str, collection: dict, first_entry: int, where: str) -> None:
    """Raise `DataError` where the columns of a collection are not of one length in each entry."""
    expected = ak.to_numpy(ak.num(collection["pt"]))
    for name, column in collection.items():
        unequal = np.flatnonzero(ak.to_numpy(ak.num(column)) != expected)
        if len(unequal):
            raise DataError(
                f"{where}: pt and {name} of {what} differ in length in entry {first_entry + unequal[0]}"
            )


def _links(columns: dict, layout: Collections, jet_pt, candidate_pt, first_entry: int, where: str):
    """Places of jet and candidate of each link, among all of the chunk.

    Links may come in any order, and jets may share candidates. An index of -1 means no link, as
    everywhere in NanoAOD; any other index out of range is an error.
    """
    to_candidate = columns[layout.candidate_of_link]
    links_per_event = ak.to_numpy(ak.num(to_candidate))
    jets_per_event, candidates_per_event = ak.to_numpy(ak.num(jet_pt)), ak.to_numpy(ak.num(candidate_pt))
    jet_start = np.concatenate([[0], np.cumsum(jets_per_event)])
    candidate_start = np.concatenate([[0], np.cumsum(candidates_per_event)])
    event = np.repeat(np.arange(len(links_per_event)), links_per_event)

    def differ(branch: str, lengths: np.ndarray) -> None:
        unequal = np.flatnonzero(links_per_event != lengths)
        if len(unequal):
            raise DataError(
                f"{where}: {branch} and {layout.candidate_of_link} differ in length"
                f" in entry {first_entry + unequal[0]}"
            )

    def checked(branch: str, index: np.ndarray, size: np.ndarray) -> np.ndarray:
        index = index.astype(np.int64)
        wrong = np.flatnonzero((index < -1) | (index >= size[event]))
        if len(wrong):
            k = wrong[0]
            raise DataError(
                f"{where}: {branch} is {index[k]} in entry {first_entry + event[k]},"
                f" expected -1 to {size[event[k]] - 1}"
            )
        return index

    if isinstance(layout.jet_of_link, Counts):
        branch = layout.jet_of_link.branch
        counts = ak.values_astype(columns[branch], np.int64)
        negative = np.flatnonzero(ak.to_numpy(ak.any(counts < 0, axis=1)))
        if len(negative):
            raise DataError(f"{where}: {branch} is negative in entry {first_entry + negative[0]}")
        differ(branch, ak.to_numpy(ak.sum(counts, axis=1)))
        counts = _flat(counts)
        to_jet = np.repeat(np.arange(len(counts)), counts) - jet_start[event]
    else:
        to_jet = columns[layout.jet_of_link]
        differ(layout.jet_of_link, ak.to_numpy(ak.num(to_jet)))
        to_jet = checked(layout.jet_of_link, _flat(to_jet), jets_per_event)
    to_candidate = checked(layout.candidate_of_link, _flat(to_candidate), candidates_per_event)
    linked = (to_jet >= 0) & (to_candidate >= 0)
    return (jet_start[event] + to_jet)[linked], (candidate_start[event] + to_candidate)[linked]


def _check_mjj(events, branch: str, where: str) -> None:
    """Columns under wrong names, or of other units, must not become scores."""
    theirs, ours = ak.to_numpy(events["mjj of the file"]), ak.to_numpy(events.mjj)
    apart = np.abs(theirs - ours) > MJJ_TOLERANCE * np.abs(theirs)
    if apart.sum() > MJJ_EXCEPTIONS * len(apart):
        first = np.flatnonzero(apart)[0]
        raise DataError(
            f"{where}: {branch} is {theirs[first]:.6g} in entry {events.entry[first]}, and mjj of its two jets"
            f" {ours[first]:.6g} GeV: are columns named wrongly?"
        )


def _flat(array) -> np.ndarray:
    return ak.to_numpy(ak.flatten(array))
