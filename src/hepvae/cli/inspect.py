"""``hepvae inspect``."""

from __future__ import annotations

import click

from ..execution.command import Command, option, say
from ..execution.option_types import Whole
from ..output.text import console
from ..reading.options import ReadOptions
from ..reading.reports import FileReport
from . import options


@click.command("inspect", cls=Command)
@options.files_argument
@options.read_options
@option("--n-particles", type=Whole(), default=100, help="that a model takes of a jet")
@options.allow_failed_option
def inspect(files: tuple[str, ...], read: ReadOptions, n_particles: int, allow_failed: int) -> int:
    """Show what ROOT files hold, and what a model would see of it.

    FILES are paths, folders, patterns, root:// addresses, or @list.txt.
    """
    from ..scoring.inspection import inspect_files

    reports = inspect_files(files, read, n_particles)
    good = [report for report in reports if report.failure is None]
    if good:
        _print_table(good, n_particles)
    for report in good:
        remarks = [report.weights] if report.weights else []
        remarks += [f"{number} jets {reason}" for reason, number in report.health.unscorable.items()]
        if report.events_not_finite:
            remarks.append(f"{report.events_not_finite} events have a jet whose momentum is not finite")
        for what in remarks:
            say(f"{report.path}: {what}")
    return options.failed_status(reports, allow_failed)


def _print_table(reports: list[FileReport], n_particles: int) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    columns = ("file", "layout", "events", "dijets", "jets", "not scorable", f"> {n_particles}", "pt kept")
    for name in (*columns, "sum pt / jet pt"):
        table.add_column(name, justify="left" if name in ("file", "layout") else "right", overflow="fold")
    for report in reports:
        health = report.health
        mean, deviation = health.pt_ratio
        measured = (f"{health.truncated_share:.1%}", f"{health.pt_kept:.2%}", f"{mean:.3f} +- {deviation:.3f}")
        table.add_row(
            report.path,
            report.schema or "",
            *("", "") if report.single_jets else (str(report.events_read), str(report.events_kept)),
            str(health.jets),
            str(health.jets - health.good),
            *(measured if health.good else ("", "", "")),
        )
    console().print(table)
