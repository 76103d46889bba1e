"""``hepvae plot``."""

from __future__ import annotations

from pathlib import Path

import click

from ..execution.command import PATH, Command, Number, Whole, option
from ..output.text import terminal_text

#: No figure shows more.
MOST_BINS = 10_000


@click.command("plot", cls=Command)
@click.argument("scored", nargs=-1, required=True, type=PATH)
@option("--output", type=PATH, default="anomaly_score.png", help="the figure")
@option("--bins", type=Whole(1, MOST_BINS), default=40, help="of the score")
@option("--label", default="Simulation", help="text above the axes")
@option("--energy", type=Number(0), default=13, help="TeV")
def plot(scored: tuple[Path, ...], output: Path, bins: int, label: str, energy: float) -> int:
    """Draw anomaly-score histograms of SCORED, files of hepvae score; each is a sample."""
    from ..plots import plot_scores
    from ..plots.histograms import score_histogram
    from ..reading.sources import distinct_names
    from ..scoring.formats import read_scores

    samples = {name: read_scores(path) for name, path in zip(distinct_names(scored), scored)}
    plot_scores(score_histogram(samples, bins=bins), figure_path=output, label=label, energy=energy)
    click.echo(terminal_text(str(output)))
    return 0
