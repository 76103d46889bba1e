"""``hepvae report``."""

from __future__ import annotations

import click

from ..execution.command import Command, option
from ..output.text import terminal_text
from . import options


@click.command("report", cls=Command)
@click.argument("folder", metavar="DIR")
@option("--check", is_flag=True, help="read all parts, and compare their checksums")
@options.allow_failed_option
def report(folder: str, check: bool, allow_failed: int) -> int:
    """Add up what hepvae score has written to the folder DIR, and list the inputs that have no part."""
    from ..scoring.collected import collected

    found = collected(folder, check=check)
    click.echo(terminal_text(str(found.report), keep="\n"))
    if check:
        parts = len(found.parts) - len(found.missing)
        click.echo(f"{parts} {'part has its' if parts == 1 else 'parts have their'} recorded checksum")
    for name, (total, cross_section) in found.weights().items():
        if name:
            known = "" if cross_section is None else f", cross-section {cross_section:g} pb"
            click.echo(terminal_text(f"{name}: sum of weights {total:g}{known}"))
    return options.missing_status(found, allow_failed)
