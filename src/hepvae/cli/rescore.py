"""``hepvae rescore``."""

from __future__ import annotations

from pathlib import Path

import click

from ..execution.command import Command
from ..execution.option_types import PATH
from ..output.text import terminal_text
from ..scoring.strategy import ScoreStrategy
from . import options


@click.command("rescore", cls=Command)
@click.argument("scored", type=PATH)
@options.scored_output_option
@options.strategy_options
@options.overwrite_option
def rescore(scored: Path, output: Path, strategy: ScoreStrategy, overwrite: bool) -> int:
    """Write another score of the losses in SCORED, a file of hepvae score, without a model."""
    from ..scoring.rescoring import write_rescored

    used, of_jet = write_rescored(scored, output, strategy, overwrite=overwrite)
    click.echo(terminal_text(f"{output}: score is {used.name} of {of_jet}"))
    return 0
