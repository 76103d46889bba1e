"""``hepvae train``."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import click

from ..execution.command import Command, built, option, say
from ..execution.option_types import PATH, Choice, Number, Whole
from ..execution.session import effective_options
from ..jets.selection import REGIONS, Region
from ..models import ARCHITECTURES, ArchitectureName
from ..models.losses import DISTANCES
from ..output.files import whole_file
from ..training.options import TrainingOptions
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


training_options = built(
    "training",
    TrainingOptions,
    option("--max-events", type=Whole(), help="use the first so many"),
    option("--epochs", type=Whole(), default=TrainingOptions.epochs, help="at most"),
    option("--batch-size", type=Whole(), default=TrainingOptions.batch_size, help="jets"),
    option("--learning-rate", type=Number(), default=TrainingOptions.learning_rate, help="of Adam, the largest"),
    option("--warm-up", type=Number(0), default=TrainingOptions.warm_up, help="epochs in which it rises from 0"),
    option("--clip-norm", type=Number(), help="longest gradient of a batch  [default: by the distance]"),
    option(
        "--patience", type=Whole(), default=TrainingOptions.patience, help="epochs without a lower validation loss"
    ),
    option("--beta", type=Number(), default=TrainingOptions.beta, help="weight of the KL term"),
    option(
        "--distance",
        type=Choice(DISTANCES),
        default=TrainingOptions.distance,
        help="between two particles: in eta, phi and pt; of the momenta transverse to the jet axis; or of"
        " directions and relative pt, weighted by pt",
    ),
    option("--validation-split", type=Number(), default=TrainingOptions.validation_split, help="share of events"),
    option("--seed", type=Whole(0), default=TrainingOptions.seed, help="of weights and of the order of jets"),
)


@click.command("train", cls=Command)
@options.files_argument
@option("--model", required=True, type=Choice(ARCHITECTURES), help="architecture")
@option("--output", required=True, type=PATH, help="the model directory")
@option(
    "--region",
    "events",
    type=Choice([*REGIONS, "all"]),
    default=TrainingOptions.region,
    help="events to train on; all of files with single jets",
)
@training_options
@option(
    "--hyperparameter",
    "hyperparameters",
    multiple=True,
    callback=_hyperparameters,
    metavar="NAME=VALUE",
    help="of the model, like neighbours=12 or units=[256,64]; more than once  [default: those of its table]",
)
@option("--resume", is_flag=True, help="go on where an interrupted run of this command was")
@options.overwrite_option
def train(
    files: tuple[str, ...],
    model: ArchitectureName,
    output: Path,
    events: Region | Literal["all"],
    training: TrainingOptions,
    hyperparameters: list[Hyperparameter],
    resume: bool,
    overwrite: bool,
) -> int:
    """Train a model on the dijets of FILES, and export it."""
    from ..plots import plot_history
    from ..training import train as train_model

    trained = train_model(
        files,
        model,
        output,
        replace(training, region=None if events == "all" else events),
        hyperparameters=dict(hyperparameters),
        resume=resume,
        overwrite=overwrite,
    )
    plot_history(trained.history, distance=training.distance, figure_path=output / "history.png", title=model)
    with whole_file(output / "options.toml") as temporary:
        temporary.write_text(
            "".join(f"{key} = {json.dumps(value)}\n" for key, value in effective_options().items())
        )
    provenance = trained.model.card.provenance
    say(
        f"{output}: {model} trained on {provenance['training_jets']} jets,"
        f" best epoch {provenance['best_epoch']} of {provenance['epochs']},"
        f" validation loss {provenance['validation_loss']:.4g}"
    )
    say(f"TensorFlow against ONNX Runtime, {trained.parity}")
    return 0
