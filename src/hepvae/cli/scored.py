"""Commands on what ``hepvae score`` has written: ``hepvae report``, ``merge`` and ``rescore``."""

from __future__ import annotations

from pathlib import Path

import click

from ..execution.command import Command, option, say
from ..execution.option_types import PATH
from ..scoring.strategy import ScoreStrategy
from . import options


@click.command("report", cls=Command)
@click.argument("folder", metavar="DIR")
@option("--check", is_flag=True, help="read all parts, and compare their checksums")
@options.allow_failed_option
def report(folder: str, check: bool, allow_failed: int) -> int:
    """Add up what hepvae score has written to the folder DIR, and list the inputs that have no part."""
    from ..scoring.collected import collected

    found = collected(folder, check=check)
    say(str(found.report), keep="\n")
    if check:
        parts = len(found.parts) - len(found.missing)
        say(f"{parts} {'part has its' if parts == 1 else 'parts have their'} recorded checksum")
    for name, (total, cross_section) in found.weights().items():
        if name:
            known = "" if cross_section is None else f", cross-section {cross_section:g} pb"
            say(f"{name}: sum of weights {total:g}{known}")
    return options.missing_status(found, allow_failed)


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
    say(f"{output}: {len(found.parts) - len(found.missing)} parts of {folder}")
    return 0


@click.command("rescore", cls=Command)
@click.argument("scored", type=PATH)
@options.scored_output_option
@options.strategy_options
@options.overwrite_option
def rescore(scored: Path, output: Path, strategy: ScoreStrategy, overwrite: bool) -> int:
    """Write another score of the losses in SCORED, a file of hepvae score, without a model."""
    from ..scoring.rescoring import rescore_file

    used, of_jet = rescore_file(scored, output, strategy, overwrite=overwrite)
    say(f"{output}: score is {used.name} of {of_jet}")
    return 0
