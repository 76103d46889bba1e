"""The table of architectures: name to the functions that build encoder and decoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

from ..errors import OptionError
from ..extras import require
from ..jets.spec import InputSpec
from ..options import check_choice, check_whole_number, nearest
from .card import StrategyName
from .losses import LOSSES

__all__ = ["ARCHITECTURES", "MASKED", "Architecture", "ArchitectureName", "architecture", "hyperparameters"]

ArchitectureName = Literal["conv", "graph", "edge", "edge-dense", "graph-slots", "density"]

#: name: "module:attribute" of an `Architecture`.
ARCHITECTURES: dict[str, str] = {
    "conv": "hepvae.models.conv:CONV",
    "graph": "hepvae.models.graph:GRAPH",
    "edge": "hepvae.models.graph:EDGE",
    "edge-dense": "hepvae.models.graph:EDGE_DENSE",
    "graph-slots": "hepvae.models.slots:SLOTS",
    "density": "hepvae.models.density:DENSITY",
}

#: Those that mask padding: the decoder takes ``mask`` beside ``z``, and the losses leave padding out.
MASKED = frozenset({"graph", "edge", "edge-dense", "graph-slots"})

#: Smallest values of hyperparameters; of all others 1. An ``edge`` without neighbours is no edge convolution.
LEAST = {"convolutions": 0, "decoder_convolutions": 0, "codes": 2}
#: Layers of one kind: more are no model, but a card that takes hours to build.
MOST_LAYERS = 64


@dataclass(frozen=True)
class Architecture:
    """How a kind of model is built."""

    build: Callable[..., Any]
    """Takes a `ModelCard` and the hyperparameters by name. Of a VAE it gives (encoder, decoder): the encoder takes
    particles and gives ``z_mean`` and ``z_log_var``; the decoder takes ``z``. Else it gives the network."""
    least_weights: Callable[[InputSpec, Mapping[str, Any]], int]
    """Takes a spec and the hyperparameters; how many weights the model has at least, to bound its memory before
    it is built: within a small factor of their number."""
    defaults: Mapping[str, Any]
    """All hyperparameters with their default values."""
    spec: InputSpec = field(default_factory=InputSpec)
    """What it takes, unless the user says otherwise."""
    losses: tuple[str, ...] = LOSSES
    """What it gives a jet; a VAE these."""
    strategy: StrategyName = "min"
    """From the losses of two jets to a score, unless the user says otherwise."""
    aligned: bool = False
    """Whether place i of what is made is constituent i of the input. Training then takes the distance of these
    pairs: never below that of nearest neighbours, and with no matrix of them."""

    @property
    def is_vae(self) -> bool:
        """Whether it has an encoder and a decoder."""
        return self.losses == LOSSES


def architecture(name: str) -> Architecture:
    """An architecture of the table.

    Raises
    ------
    OptionError
        There is none of this name.
    MissingPackageError
        TensorFlow is not installed.
    """
    module, _, attribute = ARCHITECTURES[check_choice("model", name, ARCHITECTURES)].partition(":")
    require("tensorflow", f"model {name}")
    row: Architecture = getattr(import_module(module), attribute)
    return row


def hyperparameters(name: str, changed: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """All hyperparameters of an architecture: the defaults, and what is changed of them.

    Raises
    ------
    OptionError
        There is no such hyperparameter, or it is not a whole number, or a list of them, in its range.
    """
    defaults = architecture(name).defaults
    for key, value in (changed or {}).items():
        if key not in defaults:
            known = ", ".join(defaults) + nearest(key, defaults)
            raise OptionError(f"{name} has no hyperparameter {key!r}: expected one of {known}")
        low = LEAST.get(key, min(1, defaults[key]) if key == "neighbours" else 1)
        if isinstance(defaults[key], list):
            if not isinstance(value, (list, tuple)) or not 1 <= len(value) <= MOST_LAYERS:
                raise OptionError(
                    f"{name}: {key} is {value!r}: expected a list of 1 to {MOST_LAYERS} whole numbers"
                )
            for number in value:
                check_whole_number(f"{name}: {key}", number)
        else:
            most = MOST_LAYERS if key.endswith("convolutions") else None
            check_whole_number(f"{name}: {key}", value, lowest=low, highest=most)
    return {**defaults, **(changed or {})}
