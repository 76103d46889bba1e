"""Models that run: runtimes, and the inferers that give jets to them."""

from __future__ import annotations

from .inferer import Inferer
from .loading import RUNTIMES, load_inferer, model_file, model_path, named_model, runtime_names
from .runtime import Runtime

__all__ = [
    "RUNTIMES",
    "Inferer",
    "Runtime",
    "load_inferer",
    "model_file",
    "model_path",
    "named_model",
    "runtime_names",
]
