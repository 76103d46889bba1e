"""Anomaly scores of dijet events from variational autoencoders, on TensorFlow or ONNX Runtime."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .version import __version__ as __version__

if TYPE_CHECKING:
    from .conversion.adoption import adopt
    from .conversion.export import export_litert, export_onnx
    from .errors import (
        DataError,
        FileError,
        HepvaeError,
        LayoutError,
        MissingPackageError,
        ModelError,
        OptionError,
        SpecError,
        UnscoredJetsWarning,
    )
    from .inference import Runtime, load_inferer, model_path
    from .jets.padding import pad_particles
    from .jets.selection import dijet_events, dijets, select_dijets
    from .jets.spec import InputSpec
    from .models.bundled import sample_path
    from .reading.batches import to_tf_dataset
    from .reading.dijets import iterate_dijets, read_dijets
    from .reading.jets import iterate_jets, read_jets
    from .reading.nanoevents import with_constituents
    from .scoring.cached import CachedInferer
    from .scoring.files import score_files
    from .scoring.jets import score_jets
    from .scoring.score import score_dijets

__all__ = [
    "CachedInferer",
    "DataError",
    "FileError",
    "HepvaeError",
    "InputSpec",
    "LayoutError",
    "MissingPackageError",
    "ModelError",
    "OptionError",
    "Runtime",
    "SpecError",
    "UnscoredJetsWarning",
    "adopt",
    "dijet_events",
    "dijets",
    "export_litert",
    "export_onnx",
    "iterate_dijets",
    "iterate_jets",
    "load_inferer",
    "model_path",
    "pad_particles",
    "read_dijets",
    "read_jets",
    "sample_path",
    "score_dijets",
    "score_files",
    "score_jets",
    "select_dijets",
    "to_tf_dataset",
    "with_constituents",
]

#: The module of each public name, imported on first use: ``import hepvae`` and the command line start at once.
_MODULES = {
    "adopt": "conversion.adoption",
    "export_onnx": "conversion.export",
    "export_litert": "conversion.export",
    "DataError": "errors",
    "FileError": "errors",
    "HepvaeError": "errors",
    "LayoutError": "errors",
    "MissingPackageError": "errors",
    "ModelError": "errors",
    "OptionError": "errors",
    "SpecError": "errors",
    "UnscoredJetsWarning": "errors",
    "Runtime": "inference",
    "load_inferer": "inference",
    "model_path": "inference",
    "pad_particles": "jets.padding",
    "dijet_events": "jets.selection",
    "dijets": "jets.selection",
    "select_dijets": "jets.selection",
    "InputSpec": "jets.spec",
    "sample_path": "models.bundled",
    "to_tf_dataset": "reading.batches",
    "with_constituents": "reading.nanoevents",
    "iterate_dijets": "reading.dijets",
    "read_dijets": "reading.dijets",
    "iterate_jets": "reading.jets",
    "read_jets": "reading.jets",
    "CachedInferer": "scoring.cached",
    "score_files": "scoring.files",
    "score_jets": "scoring.jets",
    "score_dijets": "scoring.score",
}

# Who uses the library decides what is shown of its log; the command line does.
logging.getLogger(__name__).addHandler(logging.NullHandler())


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


if not TYPE_CHECKING:  # else a name that does not exist would have a type

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f".{_MODULES[name]}", __name__), name)
        return value
