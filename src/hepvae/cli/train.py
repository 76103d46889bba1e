"""``hepvae train``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, NamedTuple

import click

from ..execution.command import PATH, Choice, Command, Number, Whole, effective_options, option
from ..jets.selection import REGIONS, Region
from ..models import ARCHITECTURES, ArchitectureName
from ..models.losses import DISTANCES
from ..output.files import whole_file
from ..output.text import terminal_text
from . import options


class Hyperparameter(NamedTuple):
    """One of a model."""

    name: str
    value: object

    def __str__(self) -> str:
        return f"{self.name}={json.dumps(self.value)}"


def _hyperparameters(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> list[Hyperparameter]:
    values = []
    for text in texts:
        name, _, value = text.partition("=")
        try:
            values.append(Hyperparameter(name, json.loads(value)))
        except json.JSONDecodeError as error:
            raise click.BadParameter(
                f"{text!r}: expected NAME=VALUE, like width=64 or units=[256,64]", ctx, param
            ) from error
    return values


@click.command("train", cls=Command)
@options.files_argument
@option("--model", required=True, type=Choice(ARCHITECTURES), help="architecture")
@option("--output", required=True, type=PATH, help="the model directory")
@option(
    "--region",
    type=Choice([*REGIONS, "all"]),
    default="sideband",
    help="events to train on; all of files with single jets",
)
@option("--max-events", type=Whole(), help="use the first so many")
@option("--epochs", type=Whole(), default=40, help="at most")
@option("--batch-size", type=Whole(), default=256, help="jets")
@option("--learning-rate", type=Number(), default=1e-3, help="of the optimiser, at first")
@option("--beta", type=Number(), default=0.01, help="weight of the KL term")
@option(
    "--distance",
    type=Choice(DISTANCES),
    default="features",
    help="between two particles: in eta, phi and pt; of the momenta transverse to the jet axis; or of directions"
    " and relative pt, weighted by pt",
)
@option("--validation-split", type=Number(), default=0.1, help="share of events")
@option(
    "--hyperparameter",
    "hyperparameters",
    multiple=True,
    callback=_hyperparameters,
    metavar="NAME=VALUE",
    help="of the model, like neighbours=12 or units=[256,64]; more than once  [default: those of its table]",
)
@option("--seed", type=Whole(0), default=1, help="of weights and of the order of jets")
@options.overwrite_option
def train(
    files: tuple[str, ...],
    model: ArchitectureName,
    output: Path,
    region: Region | Literal["all"],
    hyperparameters: list[Hyperparameter],
    **settings: Any,
) -> int:
    """Train a model on the dijets of FILES, and export it."""
    from ..conversion.training import train as train_model
    from ..plots import plot_history

    trained: Any = train_model(
        files,
        model,
        output,
        hyperparameters=dict(hyperparameters),
        region=None if region == "all" else region,
        **settings,
    )
    plot_history(trained.history, figure_path=output / "history.png", title=model)
    with whole_file(output / "options.toml") as temporary:
        temporary.write_text(
            "".join(f"{key} = {json.dumps(value)}\n" for key, value in effective_options().items())
        )
    provenance = trained.model.card.provenance
    click.echo(
        terminal_text(
            f"{output}: {model} trained on {provenance['training_jets']} jets,"
            f" best epoch {provenance['best_epoch']} of {provenance['epochs']},"
            f" validation loss {provenance['validation_loss']:.4g}"
        )
    )
    click.echo(f"TensorFlow against ONNX Runtime, {trained.parity}")
    return 0
