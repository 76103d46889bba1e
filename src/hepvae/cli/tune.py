"""``hepvae tune``."""

from __future__ import annotations

import click

from ..execution.command import Command, option
from ..execution.option_types import Choice
from ..inference import runtime_names
from ..output.text import terminal_text
from . import options


@click.command("tune", cls=Command)
@options.model_option
@option("--runtime", type=Choice(runtime_names()), help="the only one to measure  [default: all]")
@options.threads_option
def tune(model: str, runtime: str | None, threads: int | None) -> int:
    """Measure how a model is run fastest on this machine, and keep it.

    Of a model directory, all runtimes that it has a file for.
    """
    from ..inference.tune import tune as measure

    tuned = measure(model, runtime=runtime, threads=threads)
    for name, reason in tuned.refused.items():
        click.echo(terminal_text(f"{name}: not measured: {reason}"))
    click.echo(f"{'runtime':<14}  {'block size':>10}  {'threads on':<10}  us/jet")
    for setting, seconds in sorted(tuned.seconds.items(), key=lambda both: both[1]):
        chosen, tuning = "  chosen" if setting == tuned.chosen else "", setting.tuning
        click.echo(
            f"{terminal_text(setting.runtime):<14}  {tuning.block_size:>10}  {tuning.parallel:<10}"
            f"  {1e6 * seconds:6.1f}{chosen}"
        )
    if tuned.table is not None:
        click.echo(terminal_text(f"{tuned.table}: used for such a model on this machine from now on"))
    return 0
