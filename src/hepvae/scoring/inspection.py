"""What files hold, before anything is scored: `inspect_files`."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

from ..execution.progress import event_bar
from ..execution.threads import read_ahead
from ..jets.health import Health
from ..options import check_whole_number
from ..reading.dijets import iterate_sources
from ..reading.options import ReadOptions
from ..reading.reports import FileReport
from ..reading.sources import Files, resolve

__all__ = ["inspect_files"]

READ = ReadOptions()


def inspect_files(files: Files, read: ReadOptions = READ, n_particles: int = 100) -> list[FileReport]:
    """Look at every dijet of some files.

    Parameters
    ----------
    files : as for `read_dijets`
    read : ReadOptions
    n_particles : int
        Constituents that a model takes of a jet.

    Returns
    -------
    list of FileReport
        One for each file: entries, events without two jets, and the `Health` of the jets of all others, or of all
        jets where an entry is one. A file that cannot be read has its failure.

    Raises
    ------
    FileError, OptionError
        No file matches, or the number is none.
    """
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
