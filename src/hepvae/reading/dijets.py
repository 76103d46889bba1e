"""Ragged dijet events from ROOT files: `read_dijets` and `iterate_dijets`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from numbers import Integral

import awkward as ak
import numpy as np

from ..errors import DataError, FileError, HepvaeError, LayoutError, OptionError, TransientError
from . import linking as assembly
from .access import ACCESS, Access, file_error
from .layouts import EVENT_COLUMNS, SCHEMAS, find_schema
from .remote import forget_connections
from .reports import FileReport
from .sources import Source, resolve
from .tables import Table, open_table

__all__ = ["check_columns", "iterate_dijets", "iterate_source", "iterate_sources", "read_dijets"]


def read_dijets(files, *, schema="auto", tree=None, entry_start=None, entry_stop=None):
    """Read dijet events with their constituents into memory.

    Parameters
    ----------
    files : str, path, list of them, or mapping of path to tree
        ROOT files (TTree or RNTuple) or HDF5 files of the study; local, folders, globs, or ``root://``.
    schema : str
        ``"auto"`` looks at the branches; or a name of `hepvae.reading.layouts.SCHEMAS`.
    tree : str, optional
        Name of the tree (default: ``Events``, or the only one there is).
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
    offset, columns, nothing = 0, None, None
    for i, source in enumerate(resolve(files, tree)):
        if i and offset >= stop:
            break
        report = FileReport(source.path)
        entries = (max(start - offset, 0), stop - offset)
        for events in iterate_source(source, report, step_size=step_size, schema=schema, entries=entries):
            events = events[[field for field in events.fields if field != "entry"]]
            # No matter which columns there are of no events.
            if len(events) == 0 and events.fields != columns:
                nothing = events
                continue
            columns = columns or events.fields
            check_columns(source.path, columns, events.fields)
            yield events
        offset += report.entries
    if columns is None:
        yield nothing


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
    single_jets: bool = False,
) -> Iterator:
    """The chunks of one file, counted in ``report``; every error names the file.

    They are those of `iterate_dijets`, with the number of the entry in the file as ``entry``. Of a file with one
    jet an entry they are jets, if ``single_jets`` allows for them.

    What fails for a reason that may pass is tried again on the file opened anew, and goes on with the chunk
    that failed: no chunk is given twice.
    """
    done, failures = None, 0
    while True:
        try:
            for last, events in _chunks(source, report, step_size, schema, entries, done, access, single_jets):
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


def _chunks(
    source: Source, report: FileReport, step_size, schema, entries, done: int | None, access: Access, single_jets
):
    """Chunks after the entry ``done`` (None: all), each with the entry after its last."""
    with open_table(source, access) as table:
        try:
            found = find_schema(table.names, table.where, schema)
        except LayoutError:
            # Of simulation that no event came through: no matter what it lacks.
            if table.num_entries or not any(set(one.branches) & set(table.names) for one in SCHEMAS.values()):
                raise
            found = None
        name = found and found.name
        if done is not None and (table.num_entries, name) != (report.entries, report.schema):
            raise FileError(f"{source.path}: is another file now than when its first entries were read")
        report.schema, report.entries = name, table.num_entries
        per_event = [column for column in EVENT_COLUMNS if column in table.names]
        if found is None:
            yield 0, _no_events(table.read(per_event, 0, 0), table.where)
            return
        if found.single_jets and not single_jets:
            raise LayoutError(
                f"{table.where}: has one jet an entry ({name} layout): expected events with two jets"
            )
        branches = [*found.branches, *per_event]
        start, stop = (int(min(entry, table.num_entries)) for entry in entries)
        if done is not None:
            start = done
            if start >= stop:
                return
        step = _entries_per_step(table, step_size, branches)
        assemble = assembly.single_jets if found.single_jets else assembly.dijets
        for first in range(start, stop, step) if stop > start else [start]:
            last = min(first + step, max(stop, start))
            try:
                found_here = assemble(table.read(branches, first, last), found.layout, first, table.where)
            except DataError:
                raise
            # Whatever a corrupt basket makes uproot, a decompressor or awkward raise, it is this file's fault.
            except Exception as error:
                raise file_error(table.where, error, f"entries {first} to {last} cannot be read") from error
            report.events_read += last - first
            if not found.single_jets:
                report.events_without_dijet += last - first - len(found_here)
                report.events_not_finite += int(np.count_nonzero(~np.isfinite(ak.to_numpy(found_here.mjj))))
            yield last, found_here


def _no_events(per_event: dict, where: str):
    """Of a file that has no entries, and not all branches."""
    schema = next(iter(SCHEMAS.values())).fitted(())
    nothing = ak.Array(
        ak.contents.ListOffsetArray(ak.index.Index64([0]), ak.contents.NumpyArray(np.empty(0, "f4")))
    )
    return assembly.dijets({**dict.fromkeys(schema.branches, nothing), **per_event}, schema.layout, 0, where)


SIZE = re.compile(r"(\d+(?:\.\d+)?) *([kMGT]?)B", re.IGNORECASE)
POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def _entries_per_step(table: Table, step_size, branches) -> int:
    if step_size is None:
        return max(table.num_entries, 1)
    match = SIZE.fullmatch(step_size) if isinstance(step_size, str) else None
    if match:
        number_of_bytes = int(float(match[1]) * 1000 ** POWERS[match[2].lower()])
        return max(number_of_bytes * table.num_entries // max(table.size(branches), 1), 1)
    if isinstance(step_size, Integral) and step_size >= 1:
        return int(step_size)
    raise OptionError(f"step_size {step_size!r}: expected a size like '100 MB' or a number of entries")
