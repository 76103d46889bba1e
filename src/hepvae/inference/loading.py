"""From a path or a bundled name to a loaded model; the table of runtimes.

A third party adds a runtime by an entry point of the group ``hepvae.inferers``: its name is the name of the
runtime, its object a subclass of `Runtime`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import fields
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from ..errors import MissingPackageError, ModelError, OptionError
from ..models.bundled import MODELS, model_folder
from ..models.contract import OURS, SAVED_MODEL
from ..options import check_names, nearest
from .inferer import Inferer
from .runtime import Runtime
from .tuning import fastest_runtime

__all__ = [
    "ENTRY_POINTS",
    "RUNTIMES",
    "load_inferer",
    "model_file",
    "model_path",
    "named_model",
    "runtime_class",
    "runtime_names",
]

_logger = logging.getLogger(__name__)

#: The runtimes that come with hepvae. Of those that could load a file, or one in a directory, the first one does,
#: unless `hepvae tune` measured that another one is faster.
RUNTIMES = {
    "onnxruntime": "hepvae.inference.onnxruntime:OnnxRuntime",
    "litert": "hepvae.inference.litert:LiteRt",
    "tensorflow": "hepvae.inference.tensorflow:TensorFlow",
    "tensorflow-xla": "hepvae.inference.tensorflow:TensorFlowXla",
    "openvino": "hepvae.inference.openvino:OpenVino",
}

ENTRY_POINTS = "hepvae.inferers"


def runtime_names() -> list[str]:
    """Names of all runtimes: ours, then those of third parties."""
    return list(dict.fromkeys([*RUNTIMES, *(point.name for point in entry_points(group=ENTRY_POINTS))]))


def runtime_class(name: str) -> type[Runtime]:
    """The class of a runtime.

    Raises
    ------
    OptionError
        There is no such runtime; the message lists those there are. Or it is no subclass of `Runtime`.
    MissingPackageError
        The package of a third party cannot be imported.
    """
    if name in RUNTIMES:
        module, _, attribute = RUNTIMES[name].partition(":")
        runtime: type[Runtime] = getattr(import_module(module), attribute)
        return runtime
    for point in entry_points(group=ENTRY_POINTS, name=name):
        try:
            loaded = point.load()
        except (ImportError, AttributeError) as error:
            raise MissingPackageError(f"runtime {name!r} ({point.value}) cannot be loaded: {error}") from error
        if not isinstance(loaded, type) or not issubclass(loaded, Runtime):
            raise OptionError(f"runtime {name!r} ({point.value}): expected a subclass of hepvae.Runtime")
        return loaded
    raise OptionError(f"runtime {name!r} is unknown: expected one of {', '.join(runtime_names())}")


def load_inferer(path: str | Path, *, runtime: str | None = None, **options: Any) -> Inferer:
    """Load a model on a runtime.

    Parameters
    ----------
    path : str or path
        A model file (``.onnx``, ``.tflite``, ``.keras``, a ``saved_model`` folder), a model directory, or the name
        of a bundled model.
    runtime : str, optional
        Name of the runtime; by default the one that the kind of the file is for. For a directory or a bundled
        model the one that ``hepvae tune`` measured to be the fastest for such a model on this machine, else the
        first of ``onnxruntime``, ``litert``, ``tensorflow`` that has a file in it.
    **options
        Of the runtime: ``threads``, ``block_size``, ``parallel``, ``batching``, ``compiled_distances`` and
        ``travels`` for all (see `InferenceOptions`), ``providers`` (execution providers), ``arena`` and
        ``spinning`` for ``onnxruntime``, ``device`` for ``tensorflow``.

    Returns
    -------
    Inferer
        Called on a padded array it gives the losses of each jet.

    Raises
    ------
    ModelError
        The file is missing or no model that this runtime can load.
    OptionError
        The runtime is unknown, or does not take or grant an option.
    MissingPackageError
        The package of the runtime is not installed.

    Examples
    --------
    >>> inferer = hepvae.load_inferer("conv")
    >>> inferer.runtime, inferer.spec.shape
    ('onnxruntime', (100, 3))
    >>> events = hepvae.read_dijets(hepvae.sample_path("GtoWW15na"), entry_stop=100)
    >>> losses = inferer(hepvae.pad_particles(events, inferer.spec))
    >>> sorted(losses), losses["loss"].shape
    (['kl_loss', 'loss', 'reco_loss'], (100, 2))
    """
    path = named_model(path, runtime=runtime)
    kind, file = _chosen(path, [runtime] if runtime else runtime_names())
    check_names(f"runtime {kind.name}", options, [field.name for field in fields(kind.options)])
    inferer = Inferer(kind, file, kind.options(**options))
    if runtime is None and path.is_dir():
        fastest = fastest_runtime(inferer.card)
        if fastest and fastest != kind.name:
            try:
                return load_inferer(path, runtime=fastest, **options)
            except (MissingPackageError, ModelError, OptionError) as error:
                _logger.info(f"{path}: not on {fastest}, which was measured as the fastest: {error}")
    return inferer


def model_file(path: str | Path, runtime: str) -> Path:
    """The file that a runtime would load of a model file or directory; ModelError where there is none."""
    return _chosen(Path(path), [runtime])[1]


def _chosen(path: Path, names: Sequence[str]) -> tuple[type[Runtime], Path]:
    """The first of some runtimes that has a file, and the file; later ones are not even loaded."""
    if not path.exists():
        known = ""
        if path.parent == Path() and not path.suffix:
            known = f", nor a bundled model: {', '.join(MODELS)}{nearest(path.name, MODELS)}"
        raise ModelError(f"{path}: no such model file{known}")
    suffixes = []
    for name in names:
        runtime = runtime_class(name)
        for suffix in runtime.suffixes:
            file = path / _file_name(suffix) if path.is_dir() and path.name != SAVED_MODEL else path
            if file.name == suffix == SAVED_MODEL and file.joinpath("saved_model.pb").is_file():
                return runtime, file
            if file.is_file() and file.suffix == suffix:
                return runtime, file
            suffixes.append(suffix)
    if path.is_dir():
        raise ModelError(f"{path}: expected {' or '.join(map(_file_name, dict.fromkeys(suffixes)))} in it")
    raise ModelError(f"{path}: is no model file of kind {', '.join(dict.fromkeys(suffixes))}: {OURS}")


def _file_name(suffix: str) -> str:
    """Of a file of this kind in a model directory."""
    return suffix if suffix == SAVED_MODEL else f"model{suffix}"


def model_path(name: str, *, runtime: str = "onnxruntime") -> Path:
    """The file of a bundled model, one of `hepvae.models.bundled.MODELS`, for a runtime.

    Examples
    --------
    >>> hepvae.model_path("conv").name, hepvae.model_path("conv", runtime="tensorflow").name
    ('model.onnx', 'model.keras')
    """
    return model_file(model_folder(name), runtime)


def named_model(name_or_path: str | Path, *, runtime: str | None = None) -> Path:
    """What a user names: a bundled model (``./conv`` is a path), or the path of a model file or directory."""
    if name_or_path not in MODELS:
        return Path(name_or_path)
    return model_path(str(name_or_path), runtime=runtime) if runtime else model_folder(str(name_or_path))
