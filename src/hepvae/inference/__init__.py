"""Models that run: runtimes, and the inferers that give jets to them."""

from __future__ import annotations

from .inferer import Inferer
from .loading import (
    ENTRY_POINTS,
    RUNTIMES,
    load_inferer,
    model_file,
    model_path,
    named_model,
    runtime_class,
    runtime_names,
)
from .runtime import InferenceOptions, Runtime

__all__ = [
    "ENTRY_POINTS",
    "RUNTIMES",
    "InferenceOptions",
    "Inferer",
    "Runtime",
    "load_inferer",
    "model_file",
    "model_path",
    "named_model",
    "runtime_class",
    "runtime_names",
]
