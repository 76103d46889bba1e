"""The table of architectures: name to what builds encoder and decoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module

from ..errors import OptionError

__all__ = ["ARCHITECTURES", "MASKED", "Architecture", "architecture", "hyperparameters"]

#: name: "module:attribute" of an `Architecture`.
ARCHITECTURES = {
    "conv": "hepvae.models.conv:CONV",
    "graph": "hepvae.models.graph:GRAPH",
    "edge": "hepvae.models.graph:EDGE",
    "edge-dense": "hepvae.models.graph:EDGE_DENSE",
}

#: Those that mask padding: the decoder takes ``mask`` beside ``z``, and the losses leave padding out.
MASKED = frozenset({"graph", "edge", "edge-dense"})


@dataclass(frozen=True)
class Architecture:
    """How the encoder and the decoder of a kind of VAE are built."""

    build: Callable
    """Takes a `ModelCard` and the hyperparameters by name, gives (encoder, decoder). The encoder takes
    particles and gives ``z_mean`` and ``z_log_var``; the decoder takes ``z``."""
    defaults: Mapping
    """All hyperparameters with their default values."""


def architecture(name: str) -> Architecture:
    """An architecture of the table."""
    if name not in ARCHITECTURES:
        raise OptionError(f"model {name!r} is unknown: expected one of {', '.join(ARCHITECTURES)}")
    module, _, attribute = ARCHITECTURES[name].partition(":")
    return getattr(import_module(module), attribute)


def hyperparameters(name: str, changed: Mapping | None = None) -> dict:
    """All hyperparameters of an architecture: the defaults, and what is changed of them."""
    defaults = architecture(name).defaults
    for key in changed or ():
        if key not in defaults:
            raise OptionError(f"{name} has no hyperparameter {key!r}: expected one of {', '.join(defaults)}")
    return {**defaults, **(changed or {})}
