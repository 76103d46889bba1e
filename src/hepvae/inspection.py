"""What files hold, before anything is made of it: `inspect_files`."""

from __future__ import annotations

from pathlib import Path

from .dijets import iterate_source
from .errors import HepvaeError, OptionError
from .health import Health
from .progress import progress_bar
from .reports import FileReport
from .sources import resolve

__all__ = ["inspect_files"]


def inspect_files(
    files, *, n_particles: int = 100, tree=None, schema="auto", step_size="100 MB"
) -> list[FileReport]:
    """Look at every dijet of some files.

    Parameters
    ----------
    files, tree, schema, step_size
        As for `iterate_dijets`.
    n_particles : int
        Constituents that a model takes of a jet.

    Returns
    -------
    list of FileReport
        One for each file: entries, events without two jets, and the `Health` of the jets of all others. A file
        that cannot be read has its failure.
    """
    if not isinstance(n_particles, int) or n_particles < 1:
        raise OptionError(f"n_particles is {n_particles!r}: expected a positive whole number")
    sources = resolve(files, tree)
    reports = []
    with progress_bar("reading", len(sources)) as advance:
        for source in sources:
            advance(description=f"reading {Path(source.path).name}")
            report = FileReport(source.path, health=Health(n_particles))
            try:
                for events in iterate_source(source, report, step_size=step_size, schema=schema):
                    report.health.add(events)
                    report.events_kept += len(events)
            except HepvaeError as error:
                report.failure = str(error)
            reports.append(report)
            advance(1)
    return reports
