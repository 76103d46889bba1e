"""The command line, ``hepvae COMMAND``: each module is imported when one of its commands runs."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ..execution.command import Group, run
from ..version import __version__

__all__ = ["main"]

#: Where each command is, and what it does in one line.
COMMANDS = {
    "score": ("hepvae.cli.score:score", "score the events of ROOT files"),
    "report": ("hepvae.cli.scored:report", "what hepvae score has written to a folder, and what is missing"),
    "merge": ("hepvae.cli.scored:merge", "one scored file of the parts in a folder"),
    "rescore": ("hepvae.cli.scored:rescore", "another score of the losses in a scored file, without a model"),
    "inspect": ("hepvae.cli.inspect:inspect", "what ROOT files hold, and what a model would see of it"),
    "plot": ("hepvae.cli.plot:plot", "anomaly-score histograms of scored files"),
    "model": ("hepvae.cli.models:model", "the card of a model"),
    "search": ("hepvae.cli.search:search", "search dijets for a resonance in slices of the score, with limits"),
    "train": ("hepvae.cli.train:train", "train a model on dijets"),
    "export": ("hepvae.cli.models:export", "write model.onnx and model.tflite of a model directory"),
    "adopt": ("hepvae.cli.models:adopt", "a model directory of a model that others trained"),
    "tune": ("hepvae.cli.models:tune", "measure how a model is run fastest on this machine, and keep it"),
    "bench": ("hepvae.bench.command:bench", "compare runtimes: time, memory, parity, anomaly scores"),
    "bench-compare": ("hepvae.bench.compare:bench_compare", "two studies of hepvae bench, as ratios"),
    "serve-local": ("hepvae.cli.serve_local:serve_local", "serve a folder through root:// on this machine"),
}


@click.group(
    cls=Group, lazy=COMMANDS, no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="hepvae", message="%(prog)s %(version)s")
def commands() -> None:
    """Anomaly scores of dijet events from VAEs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``hepvae``; gives the exit status."""
    return run(commands, arguments)
