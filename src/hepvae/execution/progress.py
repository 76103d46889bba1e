"""A progress bar on a terminal, nothing in a pipe."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

__all__ = ["event_bar", "progress_bar"]

#: Between two looks at what was read.
LOOK_S = 0.1


@contextmanager
def progress_bar(description: str, total: float | None = None) -> Iterator[Callable[..., None]]:
    """Show a bar on standard error while the block runs.

    Yields
    ------
    callable
        Takes how much was done since, and optionally ``description`` and ``total``.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(description, total=total)
        yield lambda done=0, **changes: progress.update(task, advance=done, **changes)


@contextmanager
def event_bar(description: str, reports: Sequence[Any]) -> Iterator[Callable[[], None]]:
    """A bar over the events of some files, while they are read.

    Parameters
    ----------
    reports : list of FileReport
        Those of files that are not open yet have no entries: they are taken for as long as the others.

    Yields
    ------
    callable
        To be called when there may be news.
    """
    shown, looked = 0, -LOOK_S
    with progress_bar(description) as advance:

        def look() -> None:
            nonlocal shown, looked
            if time.monotonic() - looked < LOOK_S:  # of ten thousand files each look takes its time
                return
            looked = time.monotonic()
            opened = [report.entries for report in reports if report.schema is not None]
            read = sum(report.events_read for report in reports)
            unknown = [report for report in reports if report.schema is None and report.failure is None]
            total = sum(opened) + len(unknown) * sum(opened) // max(len(opened), 1)
            advance(read - shown, total=max(total, read) or None)
            shown = read

        yield look
