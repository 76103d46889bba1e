"""The table of architectures: name to the function that builds encoder and decoder."""

from __future__ import annotations

from importlib import import_module

from ..errors import OptionError

__all__ = ["ARCHITECTURES", "builder"]

#: name: "module:function"; the function takes a `ModelCard` and gives (encoder, decoder).
ARCHITECTURES = {
    "conv": "hepvae.models.conv:build",
}


def builder(name: str):
    """The building function of an architecture."""
    if name not in ARCHITECTURES:
        raise OptionError(f"model {name!r} is unknown: expected one of {', '.join(ARCHITECTURES)}")
    module, _, function = ARCHITECTURES[name].partition(":")
    return getattr(import_module(module), function)
