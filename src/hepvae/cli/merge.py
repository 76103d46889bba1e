"""``hepvae merge``."""

from __future__ import annotations

from pathlib import Path

import click

from ..execution.command import Command
from ..execution.option_types import PATH
from ..output.text import terminal_text
from . import options


@click.command("merge", cls=Command)
@click.argument("folder", metavar="DIR")
@click.argument("output", type=PATH, metavar="OUTPUT")
@options.overwrite_option
@options.allow_failed_option
def merge(folder: str, output: Path, overwrite: bool, allow_failed: int) -> int:
    """Make one scored file, OUTPUT, of the parts that hepvae score has written to the folder DIR.

    What the parts hold compressed is copied as it is.
    """
    from ..scoring.collected import collected, merge_parts

    found = collected(folder, check=True)
    if status := options.missing_status(found, allow_failed):
        return status
    merge_parts(found, output, overwrite=overwrite)
    click.echo(terminal_text(f"{output}: {len(found.parts) - len(found.missing)} parts of {folder}"))
    return 0
