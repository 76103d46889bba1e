"""``hepvae tune``."""

from __future__ import annotations

import click

from ..execution.command import Command
from ..inference import named_model
from ..output.text import terminal_text
from . import options


@click.command("tune", cls=Command)
@options.model_option
@options.runtime_option
@options.threads_option
def tune(model: str, runtime: str | None, threads: int | None) -> int:
    """Measure how a model is run fastest on this machine, and keep it."""
    from ..inference.tune import tune as measure

    tuned = measure(named_model(model, runtime=runtime), runtime=runtime, threads=threads)
    click.echo(f"{'block size':>10}  {'threads on':<10}  us/jet")
    for tuning, seconds in sorted(tuned.seconds.items(), key=lambda both: both[1]):
        chosen = "  chosen" if tuning == tuned.chosen else ""
        click.echo(f"{tuning.block_size:>10}  {tuning.parallel:<10}  {1e6 * seconds:6.1f}{chosen}")
    if tuned.table is not None:
        click.echo(
            terminal_text(f"{tuned.table}: what {tuned.runtime} uses for such a model on this machine from now on")
        )
    return 0
