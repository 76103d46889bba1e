"""Networks that others trained, as they come: Keras 3 and 2, SavedModel, ONNX.

Their code runs only where the user trusts it.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import sys
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import HepvaeError, MissingPackageError, ModelError, OptionError, one_line
from ..extras import require
from ..inference.onnx_graph import read_model
from ..models.contract import TRAINED
from ..models.saved_model import load_saved_model
from .network import Network, OnnxNetwork, Shape

__all__ = ["TensorFlowNetwork", "load_network"]

#: Configurations of models are kilobytes.
MOST_CONFIGURATION = 2**26


@dataclass
class TensorFlowNetwork(Network):
    """A network that TensorFlow can call while it traces a graph."""

    call: Callable[[Mapping[str, Any]], Any]
    """From tensors by name to outputs: a tensor, a sequence, or by name."""
    inputs: dict[str, Shape | None]
    """Empty where it does not tell, as outputs."""
    outputs: dict[str, Shape | None]
    tool: str
    where: str
    keep: object = None
    """What must live as long as the network."""

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Outputs by name, in their order."""
        values = self.call(inputs)
        if isinstance(values, Mapping):
            return dict(values)
        parts = list(values) if isinstance(values, (list, tuple)) else [values]
        names = list(self.outputs) if len(self.outputs) == len(parts) else [str(i) for i in range(len(parts))]
        return dict(zip(names, parts))


def dims(shape: Any) -> Shape | None:
    try:
        return tuple(None if d is None else int(d) for d in shape)
    except (TypeError, ValueError):
        return None


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
    return _read_keras(path, custom, trust_code)


def _of_object(model: Any) -> Network:
    names = [f"{base.__module__}.{base.__qualname__}" for base in type(model).__mro__]
    if any(name.startswith("onnx.") and name.endswith("ModelProto") for name in names):
        return OnnxNetwork(model, "model")
    if any(name.startswith(("keras.", "tf_keras.")) for name in names):
        module = "tf_keras" if any(name.startswith("tf_keras.") for name in names) else "keras"
        version = getattr(sys.modules.get(module), "__version__", "")
        return _keras_network(model, f"{module} {version}", getattr(model, "name", "model"))
    raise ModelError(f"model is a {names[0]}: expected a path, a Keras model or an ONNX ModelProto")


def _saved_model(path: Path) -> TensorFlowNetwork:
    """A SavedModel, by its serving signature."""
    loaded, signatures = load_saved_model(path)
    name = "serving_default" if "serving_default" in signatures else next(iter(signatures), None)
    if name is None:
        raise ModelError(f"{path}: has no signature to serve: expected one, as Keras' model.export writes it")
    signature = signatures[name]
    specs = signature.structured_input_signature[1]
    inputs = {key: dims(spec.shape) for key, spec in sorted(specs.items())}
    outputs = {key: dims(spec.shape) for key, spec in sorted(signature.structured_outputs.items())}
    tool = f"tensorflow {getattr(loaded, 'tensorflow_version', '')}".strip()
    return TensorFlowNetwork(lambda values: signature(**values), inputs, outputs, tool, str(path), loaded)


def _read_keras(path: Path, custom: Mapping[str, Any] | Path | str | None, trust_code: bool) -> TensorFlowNetwork:
    """A ``.keras`` or ``.h5`` file; see `load_network`."""
    require("tensorflow", str(path))
    names = _names(custom)
    trusted = trust_code or custom is not None
    if path.suffix == ".keras":
        configuration, keras, tool = _keras_archive(path)
    else:
        configuration, keras, tool = _keras_h5(path)
    if not trusted:
        _check_code(configuration, path)
    try:
        with warnings.catch_warnings():  # on what it was compiled with, and how old its format is
            warnings.simplefilter("ignore")
            loaded = keras.models.load_model(str(path), custom_objects=names, compile=False, safe_mode=not trusted)
    # Keras raises whatever its reading of a foreign file runs into, the code in it included.
    except Exception as error:
        hint = "a model with code of its own needs --custom FILE.py, or --trust-code"
        if trusted:
            hint = "expected all names that its code needs in --custom FILE.py"
        raise ModelError(f"{path}: Keras cannot load it: {one_line(error)}; {hint}") from error
    return _keras_network(loaded, tool, str(path))


def _names(custom: Mapping[str, Any] | Path | str | None) -> dict[str, Any]:
    if custom is None:
        return {}
    if isinstance(custom, Mapping):
        return dict(custom)
    path = Path(custom)
    if not path.is_file():
        raise OptionError(f"{path}: no such file with custom names")
    spec = importlib.util.spec_from_file_location(f"hepvae_custom_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise OptionError(f"{path}: expected a Python file with custom names")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        if error.name == "tf_keras":
            require("tf_keras", str(path))
        raise MissingPackageError(f"{path}: cannot be imported: {one_line(error)}") from error
    except Exception as error:  # whatever the code of a user runs into
        raise OptionError(f"{path}: fails when it is imported: {one_line(error)}") from error
    return {name: value for name, value in vars(module).items() if not name.startswith("__")}


def _keras_archive(path: Path) -> tuple[Any, Any, str]:
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo("config.json").file_size > MOST_CONFIGURATION:
                raise ModelError(f"{path}: config.json is larger than {MOST_CONFIGURATION >> 20} MiB")
            configuration = json.loads(archive.read("config.json"))
            about = json.loads(archive.read("metadata.json")) if "metadata.json" in archive.namelist() else {}
            weights = archive.read("model.weights.h5")
    except ModelError:
        raise
    except Exception as error:  # zipfile and JSON, of a damaged file
        raise ModelError(f"{path}: not a .keras file: {one_line(error)}") from error
    if configuration.get("registered_name") in TRAINED:
        raise ModelError(
            f"{path}: is a model that hepvae trained: expected 'hepvae export', which adopts it as it is"
        )
    _check_weights(weights, path)
    version = str(about.get("keras_version", "3"))
    keras = require("tf_keras", str(path)) if version.startswith("2.") else require("keras", str(path))
    return configuration, keras, f"keras {version}"


def _keras_h5(path: Path) -> tuple[Any, Any, str]:
    try:
        with require("h5py", str(path)).File(path) as file:
            configuration, version = file.attrs.get("model_config"), file.attrs.get("keras_version", "2")
    except OSError as error:
        raise ModelError(f"{path}: not an HDF5 file: {one_line(error)}") from error
    _check_weights(path.read_bytes(), path)
    if configuration is None:
        raise ModelError(f"{path}: has weights only: expected a whole model (model.save, not save_weights)")
    version = version.decode() if isinstance(version, bytes) else str(version)
    try:
        parsed = json.loads(configuration)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: its configuration is not JSON: {one_line(error)}") from error
    keras = require("keras" if version.startswith("3") else "tf_keras", str(path))
    return parsed, keras, f"keras {version}"


def _check_weights(weights: bytes, path: Path) -> None:
    """Refuse those that are in other files, or give more than the file holds."""
    from ..models.vae import check_weights

    try:
        check_weights(weights)
    except Exception as error:  # h5py, of a damaged file
        raise ModelError(f"{path}: {error if isinstance(error, HepvaeError) else one_line(error)}") from error


def _check_code(configuration: Any, path: Path) -> None:
    """Refuse code in a configuration: ``Lambda`` layers, and classes that are not Keras' own."""
    left = [configuration]
    while left:
        part = left.pop()
        if isinstance(part, Mapping):
            name, module = part.get("class_name"), part.get("module")
            foreign = isinstance(module, str) and module.split(".")[0] not in ("keras", "tf_keras", "builtins")
            if name in ("Lambda", "__lambda__", "function") or foreign:
                given = part.get("config")
                which = f" {given.get('name')!r}" if isinstance(given, Mapping) else ""
                raise ModelError(
                    f"{path}: {name}{which}"
                    " brings code along, which would run: add --trust-code if you know where the file comes from,"
                    " or --custom FILE.py with the names that it needs"
                )
            left += part.values()
        elif isinstance(part, list):
            left += part


def _keras_network(model: Any, tool: str, where: str) -> TensorFlowNetwork:
    require("tensorflow", where)
    keras = sys.modules.get("keras")
    if keras is not None and tool.startswith("keras 3") and keras.backend.backend() != "tensorflow":
        raise ModelError(f"{where}: Keras runs on {keras.backend.backend()}: set KERAS_BACKEND=tensorflow")
    symbolic = getattr(model, "inputs", None)
    inputs = {t.name.partition(":")[0]: dims(t.shape) for t in symbolic or ()}
    outputs: dict[str, Shape | None] = {}
    if symbolic:
        tensors = list(getattr(model, "outputs", None) or ())
        named = list(getattr(model, "output_names", None) or ())
        if len(set(named)) != len(tensors):
            named = [str(i) for i in range(len(tensors))]
        outputs = {name: dims(t.shape) for name, t in zip(named, tensors)}
    arguments = _call_arguments(model)

    def call(values: Mapping[str, Any]) -> Any:
        tensors: Any = dict(values) if len(values) > 1 else next(iter(values.values()))
        if inputs and len(values) > 1:
            structure = getattr(model, "_inputs_struct", None)
            tensors = [values[name] for name in inputs] if not isinstance(structure, dict) else tensors
        return model(tensors, **arguments)

    return TensorFlowNetwork(call, inputs, outputs, tool, where, model)


def _call_arguments(model: Any) -> dict[str, bool]:
    try:
        parameters = inspect.signature(model.call).parameters.values()
    except (TypeError, ValueError):
        return {}
    takes = any(p.name == "training" or p.kind is p.VAR_KEYWORD for p in parameters)
    return {"training": False} if takes else {}
