"""``hepvae model``."""

from __future__ import annotations

from collections.abc import Mapping

import click

from ..execution.command import Command, option
from ..inference import load_inferer, named_model
from ..output.text import terminal_text
from . import options


@click.command("model", cls=Command)
@click.argument("name", metavar="MODEL")
@options.runtime_option
@option("--json", "as_json", is_flag=True, help="the whole card as JSON")
def model(name: str, runtime: str | None, as_json: bool) -> int:
    """Show the card of MODEL, a bundled name or a path: what it takes, what it was trained on."""
    inferer = load_inferer(named_model(name, runtime=runtime), runtime=runtime)
    card = inferer.card
    if as_json:
        click.echo(card.to_json())
        return 0
    spec = card.spec
    axis = " to the jet axis" if spec.coordinates == "relative" else ""
    rows = {
        "file": inferer.path,
        "sha256": inferer.sha256,
        "runtime": inferer.runtime,
        "architecture": card.architecture,
        "particles": f"{spec.n_particles}, by falling pt" if spec.features else "",
        "features": f"{', '.join(spec.features)} ({spec.coordinates}{axis})" if spec.features else "",
        "features of jets": ", ".join(spec.jet_features),
        "mean": ", ".join(f"{value:.4g}" for value in card.mean),
        "std": ", ".join(f"{value:.4g}" for value in card.std),
        "loss": f"reco_loss + {card.beta:g} kl_loss, distance of {card.distance}"
        if "kl_loss" in card.losses
        else ", ".join(card.losses),
        **card.hyperparameters,
        **card.provenance,
    }
    for key, value in rows.items():
        if value == "":  # of a model of another kind
            continue
        text, lines = _plain(value), ""
        if key == "card":  # of an adopted model, as its file has it
            text, lines = text.rstrip().replace("\n", f"\n{'':<22}"), "\n"
        click.echo(terminal_text(f"{key.replace('_', ' '):<22}{text}", keep=lines))
    return 0


def _plain(value: object) -> str:
    """As people write it: no braces, and no more digits than count."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key.replace('_', ' ')} {_plain(one)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
