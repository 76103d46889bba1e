"""What files hold, before anything is made of it: `inspect_files`."""

from __future__ import annotations

from contextlib import closing

from ..execution.ahead import read_ahead
from ..execution.progress import event_bar
from ..jets.health import Health
from ..options import check_whole_number
from ..reading.access import ACCESS, Access
from ..reading.dijets import iterate_sources
from ..reading.options import ReadOptions
from ..reading.reports import FileReport
from ..reading.sources import resolve

__all__ = ["inspect_files"]


def inspect_files(
    files, *, n_particles: int = 100, tree=None, schema="auto", step_size="100 MB", access: Access = ACCESS
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
    n_particles = check_whole_number("n_particles", n_particles)
    options = ReadOptions(tree, schema, step_size, access)
    sources = resolve(files, tree, access, keep_failures=True)
    reports = [FileReport(source.path, health=Health(n_particles)) for source in sources]
    chunks = iterate_sources(sources, reports, options, single_jets=True)
    with event_bar("reading", reports) as look, closing(read_ahead(chunks)) as ahead:
        for report, events in ahead:
            look()
            if events is not None:
                report.health.add(events)
                report.events_kept += len(events) if "jets" in events.fields else 0
    return reports
