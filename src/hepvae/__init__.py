"""Anomaly scores of dijet events from variational autoencoders, on TensorFlow or ONNX Runtime."""

from __future__ import annotations

__version__ = "0.1.0"

from .batches import to_tf_dataset
from .bundled import model_path, sample_path
from .dijets import iterate_dijets, read_dijets
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
from .export import export_onnx
from .inferers import load_inferer
from .padding import pad_particles
from .scoring import score_dijets, score_files
from .selection import dijet_events, select_dijets
from .spec import InputSpec

__all__ = [
    "DataError",
    "FileError",
    "HepvaeError",
    "InputSpec",
    "LayoutError",
    "MissingPackageError",
    "ModelError",
    "OptionError",
    "SpecError",
    "UnscoredJetsWarning",
    "dijet_events",
    "export_onnx",
    "iterate_dijets",
    "load_inferer",
    "model_path",
    "pad_particles",
    "read_dijets",
    "sample_path",
    "score_dijets",
    "score_files",
    "select_dijets",
    "to_tf_dataset",
]


def __dir__():
    return [*__all__, "__version__"]
