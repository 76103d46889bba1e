"""Ragged dijet events from ROOT files: `read_dijets` and `iterate_dijets`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from numbers import Integral

import awkward as ak
import numpy as np

from .errors import DataError, FileError, HepvaeError, LayoutError, OptionError, TransientError
from .faults import ACCESS, Access, file_error
from .remote import forget_connections
from .reports import FileReport
from .schemas import CONSTITUENT_COLUMNS, EVENT_COLUMNS, JET_COLUMNS, SCHEMAS, Schema, find_schema
from .selection import dijet_events
from .sources import Source, open_tree, resolve

__all__ = ["check_columns", "iterate_dijets", "iterate_source", "iterate_sources", "read_dijets"]

DEFAULT_TREE = next(iter(SCHEMAS.values())).tree


def read_dijets(files, *, schema="auto", tree=None, entry_start=None, entry_stop=None):
    """Read dijet events with their constituents into memory.

    Parameters
    ----------
    files : str, path, list of them, or mapping of path to tree
        ROOT files (TTree or RNTuple), local, globs, or ``root://``.
    schema : str
        ``"auto"`` looks at the branches; or ``"nanoaodv15"``, ``"pfnano"``.
    tree : str, optional
        Name of the tree (default ``Events``).
    entry_start, entry_stop : int, optional
        Range of entries, counted through all files in their order.

    Returns
    -------
    awkward array, (events,) records
        ``jets``: exactly 2 by falling pt, ``Momentum4D`` of ``pt``, ``eta``, ``phi``, ``mass`` (GeV,
        radians), each with ``constituents``: var ``Momentum3D`` of ``pt``, ``eta``, ``phi`` in the
        order of the file's links; ``mjj`` (GeV), ``deta``; ``run``, ``luminosityBlock``, ``event``,
        ``genWeight`` where the file has them. Events with fewer than two jets are left out.

    Raises
    ------
    FileError, LayoutError, DataError
        A file cannot be read, lacks the tree or a branch, or holds an index out of range.
    """
    chunks = iterate_dijets(
        files, step_size=None, schema=schema, tree=tree, entry_start=entry_start, entry_stop=entry_stop
    )
    return ak.concatenate(list(chunks))


def iterate_dijets(
    files, *, step_size="100 MB", schema="auto", tree=None, entry_start=None, entry_stop=None
) -> Iterator:
    """Read dijet events chunk by chunk, in bounded memory.

    Parameters are those of `read_dijets`, and

    step_size : str, int or None
        Uncompressed size of a chunk, or number of entries; None reads a file at once.

    Yields
    ------
    awkward array
        As `read_dijets` gives. A chunk may be empty; there is at least one.
    """
    start, stop = entry_start or 0, np.inf if entry_stop is None else entry_stop
    if start < 0 or stop < start:
        raise OptionError(f"entry range {entry_start}:{entry_stop}: expected 0 <= start <= stop")
    offset, columns = 0, None
    for i, source in enumerate(resolve(files, tree)):
        if i and offset >= stop:
            return
        report = FileReport(source.path)
        entries = (max(start - offset, 0), stop - offset)
        for events in iterate_source(source, report, step_size=step_size, schema=schema, entries=entries):
            columns = columns or events.fields
            check_columns(source.path, columns, events.fields)
            yield events
        offset += report.entries


def check_columns(path: str, columns, found) -> None:
    """Raise `LayoutError` where a file has other columns of events than those before it."""
    differing = sorted(set(columns).symmetric_difference(found))
    if differing:
        raise LayoutError(
            f"{path}: has other columns than the files before it: {', '.join(differing)} in some only"
        )


def iterate_source(
    source: Source,
    report: FileReport,
    *,
    step_size="100 MB",
    schema="auto",
    entries=(0, np.inf),
    access: Access = ACCESS,
) -> Iterator:
    """The chunks of one file, counted in ``report``; every error names the file.

    What fails for a reason that may pass is tried again on the file opened anew, and goes on with the chunk
    that failed: no chunk is given twice.
    """
    done, failures = None, 0
    while True:
        try:
            for last, events in _chunks(source, report, step_size, schema, entries, done, access):
                yield events
                done, failures = last, 0
            return
        except TransientError as error:
            failures += 1
            if failures == access.attempts:
                if failures == 1:
                    raise
                raise TransientError(f"{error} (after {failures} attempts)") from error
            report.retried.append(str(error))
            forget_connections(source.path)
            access.wait(failures)


def iterate_sources(sources: list[Source], reports: list[FileReport], **reading) -> Iterator:
    """The chunks of some files, one file after the other; one that fails does not end the work.

    Parameters
    ----------
    reports : list of FileReport
        One for each; that of a file that fails has its failure.
    **reading
        As for `iterate_source`.

    Yields
    ------
    FileReport, awkward array or None
        The report of the file, and a chunk; None after the last of a file, also of one that failed.
    """
    for source, report in zip(sources, reports):
        try:
            for events in iterate_source(source, report, **reading):
                yield report, events
        except HepvaeError as error:
            report.failure = str(error)
        yield report, None


def _chunks(source: Source, report: FileReport, step_size, schema, entries, done: int | None, access: Access):
    """Chunks after the entry ``done`` (None: all), each with the entry after its last."""
    with open_tree(source, DEFAULT_TREE, access) as tree:
        where = f"{source.path}: tree {source.tree or DEFAULT_TREE!r}"
        names = set(tree.keys(recursive=False))  # recursion takes 15 s on a large RNTuple
        found = find_schema(names, where, schema)
        if done is not None and (tree.num_entries, found.name) != (report.entries, report.schema):
            raise FileError(f"{source.path}: is another file now than when its first entries were read")
        report.schema, report.entries = found.name, tree.num_entries
        branches = [*found.branches, *(c for c in EVENT_COLUMNS if c in names)]
        start, stop = (int(min(entry, tree.num_entries)) for entry in entries)
        if done is not None:
            start = done
            if start >= stop:
                return
        step = _entries_per_step(tree, step_size, branches)
        for first in range(start, stop, step) if stop > start else [start]:
            last = min(first + step, max(stop, start))
            try:
                columns = _columns(tree, branches, first, last)
            # Whatever a corrupt basket makes uproot or a decompressor raise, it is this file's fault.
            except Exception as error:
                raise file_error(where, error, f"entries {first} to {last} cannot be read") from error
            events = _build(columns, found, branches, first, where)
            report.events_read += last - first
            report.events_without_dijet += last - first - len(events)
            report.events_not_finite += int(np.count_nonzero(~np.isfinite(ak.to_numpy(events.mjj))))
            yield last, events


def _columns(tree, branches, start: int, stop: int):
    """Some branches by name."""
    if hasattr(tree, "branches"):
        return tree.arrays(filter_name=branches, entry_start=start, entry_stop=stop)
    # An RNTuple: here arrays() looks at every pair of fields, 15 s on a NanoAOD file (uproot 5.7).
    return {name: tree[name].array(entry_start=start, entry_stop=stop) for name in branches}


SIZE = re.compile(r"(\d+(?:\.\d+)?) *([kMGT]?)B", re.IGNORECASE)
POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def _entries_per_step(tree, step_size, branches) -> int:
    if step_size is None:
        return max(tree.num_entries, 1)
    match = SIZE.fullmatch(step_size) if isinstance(step_size, str) else None
    if match:
        number_of_bytes = int(float(match[1]) * 1000 ** POWERS[match[2].lower()])
        return max(_entries_of_size(tree, number_of_bytes, branches), 1)
    if isinstance(step_size, Integral) and step_size >= 1:
        return int(step_size)
    raise OptionError(f"step_size {step_size!r}: expected a size like '100 MB' or a number of entries")


def _entries_of_size(tree, number_of_bytes: int, branches) -> int:
    if hasattr(tree, "branches"):
        # From the header of the tree: num_entries_for() of uproot reads every basket's key for this,
        # over a network one after the other.
        entries, size = tree.num_entries, sum(tree[name].member("fTotBytes") for name in branches)
    else:
        entries = min(tree.num_entries, 100)
        size = sum(column.nbytes for column in _columns(tree, branches, 0, entries).values())
    return number_of_bytes * entries // max(size, 1)


def _build(columns, schema: Schema, branches, first_entry: int, where: str):
    """Dijet events from the flat columns of one chunk."""
    pt = columns[schema.jet("pt")]
    jets_per_event = ak.to_numpy(ak.num(pt))
    jet = {c: columns[schema.jet(c)] for c in JET_COLUMNS}
    # Where each jet stands among all jets of the chunk: the links are followed by it below.
    jet["place"] = ak.unflatten(np.arange(jets_per_event.sum()), jets_per_event)
    per_event = {c: columns[c] for c in branches if c in EVENT_COLUMNS}
    events = dijet_events(ak.zip(jet), **per_event)

    offsets, candidate = _follow_links(columns, schema, events.jets.place, first_entry, where)
    constituents = ak.contents.ListOffsetArray(
        ak.index.Index64(offsets),
        ak.contents.RecordArray(
            [ak.contents.NumpyArray(_flat(columns[schema.candidate(c)])[candidate]) for c in CONSTITUENT_COLUMNS],
            list(CONSTITUENT_COLUMNS),
            parameters={"__record__": "Momentum3D"},
        ),
    )
    flat = ak.flatten(events.jets, axis=1)
    jets = ak.Array(
        ak.contents.RegularArray(
            ak.contents.RecordArray(
                [*(ak.contents.NumpyArray(ak.to_numpy(flat[c])) for c in JET_COLUMNS), constituents],
                [*JET_COLUMNS, "constituents"],
                parameters={"__record__": "Momentum4D"},
            ),
            2,
            zeros_length=len(events),
        )
    )
    return ak.zip({field: jets if field == "jets" else events[field] for field in events.fields}, depth_limit=1)


def _follow_links(columns, schema: Schema, places, first_entry: int, where: str):
    """Candidates of the chosen jets: offsets (jets + 1) and the place of each in the candidates.

    Links may come in any order, and jets may share candidates. An index of -1 means no link, as
    everywhere in NanoAOD; any other index out of range is an error.
    """
    to_jet, to_candidate = columns[schema.link_to_jet], columns[schema.link_to_candidate]
    jets_per_event = ak.to_numpy(ak.num(columns[schema.jet("pt")]))
    candidates_per_event = ak.to_numpy(ak.num(columns[schema.candidate("pt")]))
    links_per_event = ak.to_numpy(ak.num(to_jet))
    unequal = np.flatnonzero(links_per_event != ak.to_numpy(ak.num(to_candidate)))
    if len(unequal):
        raise DataError(
            f"{where}: {schema.link_to_jet} and {schema.link_to_candidate} differ in length"
            f" in entry {first_entry + unequal[0]}"
        )
    event = np.repeat(np.arange(len(links_per_event)), links_per_event)
    to_jet, to_candidate = _flat(to_jet).astype(np.int64), _flat(to_candidate).astype(np.int64)
    for branch, index, size in (
        (schema.link_to_jet, to_jet, jets_per_event),
        (schema.link_to_candidate, to_candidate, candidates_per_event),
    ):
        wrong = np.flatnonzero((index < -1) | (index >= size[event]))
        if len(wrong):
            k = wrong[0]
            raise DataError(
                f"{where}: {branch} is {index[k]} in entry {first_entry + event[k]},"
                f" expected -1 to {size[event[k]] - 1}"
            )

    chosen = ak.to_numpy(ak.flatten(places, axis=None))
    slot = np.full(jets_per_event.sum() + 1, -1)
    slot[chosen] = np.arange(len(chosen))
    jet_start = np.concatenate([[0], np.cumsum(jets_per_event)])
    candidate_start = np.concatenate([[0], np.cumsum(candidates_per_event)])
    link_slot = np.where(to_jet < 0, -1, slot[jet_start[event] + to_jet])
    used = np.flatnonzero((link_slot >= 0) & (to_candidate >= 0))
    link_slot = link_slot[used]
    order = np.argsort(link_slot, kind="stable")
    candidate = (candidate_start[event] + to_candidate)[used][order]
    counts = np.bincount(link_slot, minlength=len(chosen))
    return np.concatenate([[0], np.cumsum(counts)]), candidate


def _flat(array) -> np.ndarray:
    return ak.to_numpy(ak.flatten(array))
