"""Networks that others trained, as they come: Keras, SavedModel, ONNX; opened without running their code."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ModelError, one_line
from ..extras import require
from ..inference.onnx_graph import read_model
from ..models.saved_model import check_saved_model
from .keras_networks import keras_network, read_keras
from .network import Network, TensorFlowNetwork, dims
from .onnx_network import OnnxNetwork

__all__ = ["load_network"]


def load_network(model: Any, *, custom: Mapping[str, Any] | Path | str | None, trust_code: bool) -> Network:
    """Open a network.

    Parameters
    ----------
    model : path or object
        A ``.keras``, ``.h5`` or ``.onnx`` file, a SavedModel folder; or a Keras model, or a ``ModelProto``.
    custom : dict or path, optional
        Names that the code of a Keras file needs, or a Python file that defines them.
    trust_code : bool
        Whether a Keras file may bring code along (``Lambda`` layers, custom layers).

    Raises
    ------
    ModelError
        It cannot be read, or has what is refused.
    """
    if not isinstance(model, (str, Path)):
        return _of_object(model)
    path = Path(model)
    if path.is_dir():
        return _saved_model(path)
    if not path.is_file():
        raise ModelError(f"{path}: no such model file, nor a SavedModel folder")
    if path.suffix == ".onnx":
        return OnnxNetwork(read_model(path), str(path))
    if path.suffix not in (".keras", ".h5", ".hdf5"):
        raise ModelError(f"{path}: expected .keras, .h5, .onnx or the folder of a SavedModel")
    return read_keras(path, custom, trust_code)


def _of_object(model: Any) -> Network:
    kind = type(model)
    names = [f"{base.__module__}.{base.__qualname__}" for base in kind.__mro__]
    if any(name.startswith("onnx.") and name.endswith("ModelProto") for name in names):
        return OnnxNetwork(model, "model")
    if any(name.startswith(("keras.", "tf_keras.")) for name in names):
        module = "tf_keras" if any(name.startswith("tf_keras.") for name in names) else "keras"
        version = getattr(sys.modules.get(module), "__version__", "")
        return keras_network(model, f"{module} {version}", getattr(model, "name", "model"))
    raise ModelError(f"model is a {names[0]}: expected a path, a Keras model or an ONNX ModelProto")


def _saved_model(path: Path) -> TensorFlowNetwork:
    """A SavedModel, by its serving signature, as a graph: no code is read back."""
    check_saved_model(path)
    tf = require("tensorflow", str(path))
    try:
        loaded = tf.saved_model.load(str(path))
    except Exception as error:  # whatever TensorFlow's reading of a damaged folder runs into
        raise ModelError(f"{path}: not a model that TensorFlow can load: {one_line(error)}") from error
    signatures = getattr(loaded, "signatures", {})
    name = "serving_default" if "serving_default" in signatures else next(iter(signatures), None)
    if name is None:
        raise ModelError(f"{path}: has no signature to serve: expected one, as Keras' model.export writes it")
    signature = signatures[name]
    specs = signature.structured_input_signature[1]
    inputs = {key: dims(spec.shape) for key, spec in sorted(specs.items())}
    outputs = {key: dims(spec.shape) for key, spec in sorted(signature.structured_outputs.items())}

    def call(values: Mapping[str, Any]) -> Any:
        return signature(**values)

    version = getattr(loaded, "tensorflow_version", "")
    return TensorFlowNetwork(call, inputs, outputs, f"tensorflow {version}".strip(), str(path), loaded)
