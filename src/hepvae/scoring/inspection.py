"""What files hold, before anything is scored: `inspect_files`."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

from ..execution.progress import event_bar
from ..execution.threads import read_ahead
from ..jets.health import Health
from ..options import check_whole_number
from ..reading.dijets import iterate_sources
from ..reading.layouts import SchemaName
from ..reading.options import STEP_SIZE, ReadOptions
from ..reading.reports import FileReport
from ..reading.sources import Files, resolve
from ..storage.access import ACCESS, Access

__all__ = ["inspect_files", "inspect_sources"]


def inspect_files(
    files: Files,
    *,
    n_particles: int = 100,
    tree: str | None = None,
    schema: SchemaName = "auto",
    step_size: str | int | None = STEP_SIZE,
    access: Access = ACCESS,
) -> list[FileReport]:
    """Look at every dijet of some files.

    Parameters
    ----------
    files, tree, schema, step_size
        As for `iterate_dijets`.
    n_particles : int
        Constituents that a model takes of a jet.
    access : Access
        How patiently files are read.

    Returns
    -------
    list of FileReport
        One for each file: entries, events without two jets, and the `Health` of the jets of all others, or of all
        jets where an entry is one. A file that cannot be read has its failure.
    """
    return inspect_sources(files, ReadOptions(tree, schema, step_size, access), n_particles)


def inspect_sources(files: Files, read: ReadOptions, n_particles: int) -> list[FileReport]:
    """As `inspect_files`, with options that are there."""
    n_particles = check_whole_number("n_particles", n_particles)
    sources = resolve(files, read.tree, read.access, keep_failures=True)
    reports = [FileReport(source.name, health=Health(n_particles)) for source in sources]
    chunks = iterate_sources(sources, reports, replace(read, single_jets=True))
    with event_bar("reading", reports) as look, closing(read_ahead(chunks)) as ahead:
        for report, events in ahead:
            look()
            if events is not None:
                report.health.add(events)
                report.events_kept += len(events) if "jets" in events.fields else 0
    return reports
