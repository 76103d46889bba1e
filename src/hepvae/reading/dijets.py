"""Ragged dijet events from ROOT files: `read_dijets` and `iterate_dijets`."""

from __future__ import annotations

import math
from collections.abc import Collection, Generator, Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase

import awkward as ak
import numpy as np

from ..errors import DataError, FileError, HepvaeError, LayoutError, OptionError, TransientError, without_tokens
from ..jets.spec import InputSpec
from ..options import check_whole_number, nearest
from ..storage.access import Attempts, file_error
from .declarations import EVENT_COLUMNS, Schema
from .layouts import SCHEMAS, SchemaName, find_schema
from .linking import Linking, settle_weights
from .options import STEP_SIZE, ReadOptions
from .reports import FileReport
from .sources import Files, Source, resolve
from .tables import Table, open_table

__all__ = ["check_columns", "iterate_dijets", "iterate_files", "iterate_source", "iterate_sources", "read_dijets"]


def read_dijets(
    files: Files,
    *,
    schema: SchemaName = "auto",
    tree: str | None = None,
    entry_start: int | None = None,
    entry_stop: int | None = None,
    columns: Iterable[str] = (),
    spec: InputSpec | None = None,
) -> ak.Array:
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
    columns : list of str
        Further branches to carry along, by name or pattern (``"HLT_*"``): those of the jets, as
        ``FatJet_msoftdrop``, on the jets (as ``msoftdrop``), others on the events.
    spec : InputSpec, optional
        Of a model (``inferer.spec``): further columns of constituents and jets that it takes are read as well.

    Returns
    -------
    awkward array, (events,) records
        ``jets``: exactly 2 by falling pt, ``Momentum4D`` of ``pt``, ``eta``, ``phi``, ``mass`` (GeV,
        radians), each with ``constituents``: var ``Momentum3D`` of ``pt``, ``eta``, ``phi`` in the
        order of the file's links; ``mjj`` (GeV), ``deta``; ``run``, ``luminosityBlock``, ``event``,
        ``genWeight`` where the file has them, and the ``columns``. Events with fewer than two jets are left out.

    Raises
    ------
    FileError, LayoutError, DataError
        A file cannot be read, lacks the tree or a branch, or holds an index out of range.

    Examples
    --------
    >>> events = hepvae.read_dijets(hepvae.sample_path("GtoWW15na"), entry_stop=100)
    >>> len(events), events.fields
    (100, ['jets', 'mjj', 'deta', 'run', 'luminosityBlock', 'event', 'genWeight'])
    >>> str(events.jets.constituents.pt.type)
    '100 * 2 * var * float32'
    """
    options = ReadOptions(tree, schema, None, carried=columns).of_spec(spec)
    return ak.concatenate(list(iterate_files(files, options, entry_start, entry_stop)))


def iterate_dijets(
    files: Files,
    *,
    step_size: str | int | None = STEP_SIZE,
    schema: SchemaName = "auto",
    tree: str | None = None,
    entry_start: int | None = None,
    entry_stop: int | None = None,
    columns: Iterable[str] = (),
    spec: InputSpec | None = None,
) -> Iterator[ak.Array]:
    """Read dijet events chunk by chunk, in bounded memory.

    Parameters are those of `read_dijets`, and

    step_size : str, int or None
        Uncompressed size of a chunk, or number of entries; None reads a file at once.

    Yields
    ------
    awkward array
        As `read_dijets` gives. A chunk may be empty; there is at least one.

    Raises
    ------
    FileError, OptionError
        At the call, before anything is read: nothing matches, or an option is out of range.

    Examples
    --------
    >>> chunks = hepvae.iterate_dijets(hepvae.sample_path("GtoWW15na"), step_size=1000)
    >>> [len(chunk) for chunk in chunks]
    [1000, 1000, 61]
    """
    options = ReadOptions(tree, schema, step_size, carried=columns).of_spec(spec)
    return iterate_files(files, options, entry_start, entry_stop)


def iterate_files(
    files: Files, options: ReadOptions, entry_start: int | None, entry_stop: int | None
) -> Iterator[ak.Array]:
    """The chunks of some files, without the number of their entries; parameters are checked at the call."""
    start = 0 if entry_start is None else check_whole_number("entry_start", entry_start, lowest=0)
    stop = math.inf if entry_stop is None else check_whole_number("entry_stop", entry_stop, lowest=0)
    if stop < start:
        raise OptionError(f"entry_stop is {entry_stop}: expected at least entry_start, {entry_start}")
    return _events_of(resolve(files, options.tree, options.access), options, start, stop)


def _events_of(sources: list[Source], options: ReadOptions, start: int, stop: float) -> Iterator[ak.Array]:
    """Events of the entries from ``start`` to ``stop``, counted through all files."""
    offset, columns, nothing = 0, None, None
    for i, source in enumerate(sources):
        if i and offset >= stop:
            break
        report = FileReport(source.path)
        entries = max(start - offset, 0), stop - offset
        for events in iterate_source(source, report, options, entries=entries):
            events = events[[field for field in events.fields if field != "entry"]]
            fields = [*events.fields, *(f"jet {field}" for field in events.jets.fields)]
            # No matter which columns there are of no events.
            if len(events) == 0 and fields != columns:
                nothing = events
                continue
            columns = columns or fields
            check_columns(source.path, columns, fields)
            yield events
        offset += report.entries
    if columns is None:
        yield nothing


def check_columns(path: str, columns: Iterable[str], present: Iterable[str]) -> None:
    """Raise `LayoutError` where a file has other columns of events than those before it."""
    differing = sorted(set(columns).symmetric_difference(present))
    if differing:
        raise LayoutError(
            f"{path}: has other columns than the files before it: {', '.join(differing)} in some only"
        )


def iterate_source(
    source: Source,
    report: FileReport,
    options: ReadOptions,
    *,
    entries: tuple[int, float] = (0, math.inf),
) -> Generator[ak.Array, None, None]:
    """The chunks of one file, counted in ``report``; every error names the file.

    They are those of `iterate_dijets`, or where the options say so of `iterate_jets`, with the number of the entry
    in the file as ``entry``; or jets, of a file with one jet an entry, where the options have them given.
    ``entries`` are counted from the first that a fileset names.

    What fails for a reason that may pass is tried again on the file opened anew, and goes on with the chunk
    that failed: no chunk is given twice.
    """
    if source.failure is not None:
        raise FileError(source.failure)
    report.also_named = [without_tokens(name) for name in source.also]
    done, attempts = None, Attempts(options.access, source.path)
    while True:
        try:
            for last, events in _chunks(source, report, options, entries, done):
                yield events
                done = last
                attempts.succeed()
            return
        except TransientError as error:
            attempts.wait_after(error)
            report.retried.append(str(error))


def iterate_sources(
    sources: list[Source], reports: list[FileReport], options: ReadOptions
) -> Generator[tuple[FileReport, ak.Array | None], None, None]:
    """The chunks of some files, one file after the other; one that fails does not end the work.

    Parameters
    ----------
    reports : list of FileReport
        One for each; that of a file that fails has its failure.
    options : ReadOptions

    Yields
    ------
    FileReport, awkward array or None
        The report of the file, and a chunk; None after the last of a file, also of one that failed.
    """
    for source, report in zip(sources, reports):
        try:
            for events in iterate_source(source, report, options):
                yield report, events
        except HepvaeError as error:
            report.failure = str(error)
        yield report, None


def _chunks(
    source: Source,
    report: FileReport,
    options: ReadOptions,
    entries: tuple[int, float],
    done: int | None,
) -> Iterator[tuple[int, ak.Array]]:
    """Chunks after the entry ``done`` (None: all), each with the entry after its last."""
    with open_table(source, options.access) as table:
        schema: Schema | None
        try:
            schema = find_schema(table.names, table.where, options.schema, options.jets)
        except LayoutError:
            # Of simulation that no event came through: no matter what it lacks.
            if table.num_entries or not any(set(one.branches) & set(table.names) for one in SCHEMAS.values()):
                raise
            schema = None
        name = None if schema is None else schema.name
        if source.entries not in (None, table.num_entries):
            raise FileError(f"{table.where}: has {table.num_entries} entries, its fileset says {source.entries}")
        begin, end = source.span or (0, table.num_entries)
        if end > table.num_entries:
            raise FileError(f"{table.where}: has {table.num_entries} entries, its fileset names those up to {end}")
        if done is not None and (end - begin, name) != (report.entries, report.schema):
            raise FileError(f"{source.path}: is another file now than when its first entries were read")
        report.schema, report.entries = name, end - begin
        if source.dataset is not None and report.generated_weights is None:
            generated = table.generated_weights()
            # Of some entries: their share of all.
            report.generated_weights = generated and generated * (end - begin) / max(table.num_entries, 1)
        per_event = [
            column for column in (schema.event_columns if schema else EVENT_COLUMNS) if column in table.names
        ]
        if schema is None:
            yield 0, _no_events(table.read(per_event, 0, 0), options, table.where)
            return
        if schema.single_jets and not options.single_jets and not options.all_jets:
            raise LayoutError(
                f"{table.where}: has one jet an entry ({name} layout): expected events with two jets"
            )
        with _as_fault_of(table, "columns cannot be read"):
            schema, report.weights, _ = settle_weights(
                schema, table.names, table.num_entries, table.read, table.where
            )
        if options.columns or options.jet_columns:
            schema = schema.with_columns(options.columns, options.jet_columns, table.names, table.where)
        carried = _matching(options.carried, table.names, table.where)
        branches = list(dict.fromkeys([*schema.branches, *per_event, *carried]))
        start, stop = (int(min(begin + entry, end)) for entry in entries)
        if done is not None:
            start = done
            if start >= stop:
                return
        step = _entries_per_step(table, options, branches)
        linking = Linking(schema.layout, table.where)
        assemble = linking.dijets
        if options.all_jets or schema.single_jets:
            assemble = linking.jets if options.all_jets else linking.single_jets
        for first in range(start, stop, step) if stop > start else [start]:
            last = min(first + step, max(stop, start))
            with _as_fault_of(table, f"entries {first} to {last} cannot be read"):
                columns = table.read(branches, first, last)
                events = assemble(columns, first)
            report.events_read += last - first
            if "genWeight" in columns:
                report.sum_of_weights += float(np.sum(ak.to_numpy(columns["genWeight"]), dtype=np.float64))
            if assemble == linking.dijets:
                report.events_without_dijet += last - first - len(events)
                report.events_not_finite += int(np.count_nonzero(~np.isfinite(ak.to_numpy(events.mjj))))
            yield last, events


@contextmanager
def _as_fault_of(table: Table, doing: str) -> Iterator[None]:
    """Whatever a corrupt basket makes uproot, a decompressor or awkward raise, it is this file's fault."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        raise file_error(table.where, error, doing) from error


#: Of the events that are given, besides the columns of a file.
RESERVED = ("jets", "mjj", "deta", "entry", "constituents")


def _matching(patterns: Iterable[str], names: Collection[str], where: str) -> list[str]:
    """The branches that some names and patterns stand for, sorted within a pattern."""
    matching: list[str] = []
    for pattern in patterns:
        names_of_pattern = [pattern] if pattern in names else sorted(n for n in names if fnmatchcase(n, pattern))
        if not names_of_pattern:
            raise LayoutError(f"{where}: no branch {pattern!r} to carry along{nearest(pattern, names)}")
        matching += names_of_pattern
    for name in matching:
        if name in RESERVED:
            raise LayoutError(f"{where}: branch {name!r} cannot be carried along: there is a column of this name")
    return matching


def _no_events(per_event: dict[str, ak.Array], options: ReadOptions, where: str) -> ak.Array:
    """Of a file that has no entries, and not all branches."""
    schema = next(iter(SCHEMAS.values())).fitted(())
    schema = schema.with_columns(options.columns, options.jet_columns, None, where)
    nothing = ak.Array(
        ak.contents.ListOffsetArray(ak.index.Index64([0]), ak.contents.NumpyArray(np.empty(0, "f4")))
    )
    columns = {**dict.fromkeys(schema.branches, nothing), **per_event}
    linking = Linking(schema.layout, where)
    return linking.jets(columns, 0) if options.all_jets else linking.dijets(columns, 0)


def _entries_per_step(table: Table, options: ReadOptions, branches: list[str]) -> int:
    if options.step_bytes is not None:
        return max(options.step_bytes * table.num_entries // max(table.size(branches), 1), 1)
    return int(options.step_size or max(table.num_entries, 1))
