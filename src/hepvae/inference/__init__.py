"""Loaded models, one class for each runtime, found by name in one table.

A third party adds a runtime by an entry point of the group ``hepvae.inferers``: its name is the name
of the runtime, its object a subclass of `hepvae.inference.base.Inferer`.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from inspect import Parameter, signature
from pathlib import Path

from ..errors import MissingPackageError, ModelError, OptionError
from ..models.bundled import MODELS, model_folder
from .base import Inferer

__all__ = [
    "ENTRY_POINTS",
    "RUNTIMES",
    "Inferer",
    "load_inferer",
    "model_file",
    "model_path",
    "named_model",
    "runtime_class",
    "runtime_names",
]

#: The runtimes that come with hepvae. For a file that several could load, the first one does.
RUNTIMES = {
    "onnxruntime": "hepvae.inference.onnxruntime:OnnxRuntimeInferer",
    "tensorflow": "hepvae.inference.tensorflow:TensorFlowInferer",
    "tensorflow-xla": "hepvae.inference.tensorflow_xla:XlaInferer",
    "openvino": "hepvae.inference.openvino:OpenVinoInferer",
}

ENTRY_POINTS = "hepvae.inferers"


def runtime_names() -> list[str]:
    """Names of all runtimes: ours, then those of third parties."""
    return list(dict.fromkeys([*RUNTIMES, *(point.name for point in entry_points(group=ENTRY_POINTS))]))


def runtime_class(name: str) -> type[Inferer]:
    """The class of a runtime.

    Raises
    ------
    OptionError
        There is no such runtime; the message lists those there are.
    """
    if name in RUNTIMES:
        module, _, attribute = RUNTIMES[name].partition(":")
        return getattr(import_module(module), attribute)
    for point in entry_points(group=ENTRY_POINTS, name=name):
        try:
            return point.load()
        except ImportError as error:
            raise MissingPackageError(f"runtime {name!r} ({point.value}) cannot be loaded: {error}") from error
    raise OptionError(f"runtime {name!r} is unknown: expected one of {', '.join(runtime_names())}")


def load_inferer(path, *, runtime: str | None = None, **options) -> Inferer:
    """Load a model on a runtime.

    Parameters
    ----------
    path : str or path
        A model file (``.onnx``, ``.keras``) or a model directory.
    runtime : str, optional
        Name of the runtime; by default the one that the kind of the file is for, and
        ``onnxruntime`` before ``tensorflow`` for a directory that holds both files.
    **options
        Of the runtime's class: ``threads``, ``block_size``, ``parallel`` and ``engine`` for all (see
        `Inferer`), ``providers`` (execution providers), ``arena`` and ``spinning`` for ``onnxruntime``,
        ``device`` for ``tensorflow``.

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
    """
    chosen, path = _chosen(Path(path), [runtime] if runtime else runtime_names())
    taken = _options(chosen)
    for name in options:
        if name not in taken:
            raise OptionError(
                f"runtime {chosen.runtime} takes no option {name!r}: expected some of {', '.join(taken)}"
            )
    return chosen(path, **options)


def model_file(path, runtime: str) -> Path:
    """The file that a runtime would load of a model file or directory; ModelError where there is none."""
    return _chosen(Path(path), [runtime])[1]


def _chosen(path: Path, names: list[str]) -> tuple[type[Inferer], Path]:
    """The first of some runtimes that has a file, and the file; later ones are not even loaded."""
    if not path.exists():
        raise ModelError(f"{path}: no such model file")
    suffixes = []
    for name in names:
        runtime = runtime_class(name)
        for suffix in runtime.suffixes:
            file = path / f"model{suffix}" if path.is_dir() else path
            if file.is_file() and file.suffix == suffix:
                return runtime, file
            suffixes.append(suffix)
    if path.is_dir():
        raise ModelError(f"{path}: expected {' or '.join(f'model{suffix}' for suffix in suffixes)} in it")
    raise ModelError(f"{path}: expected a model file of kind {', '.join(suffixes)}")


def _options(runtime: type[Inferer]) -> list[str]:
    """The keyword options of a runtime's class and its bases."""
    names = [
        parameter.name
        for parent in runtime.__mro__
        if "__init__" in vars(parent)
        for parameter in signature(parent.__init__).parameters.values()
        if parameter.kind is Parameter.KEYWORD_ONLY
    ]
    return list(dict.fromkeys(names))


def model_path(name: str, *, runtime: str = "onnxruntime") -> Path:
    """The file of a bundled model, one of `hepvae.models.bundled.MODELS`, for a runtime."""
    folder = model_folder(name)
    for suffix in runtime_class(runtime).suffixes:
        if folder.joinpath(f"model{suffix}").is_file():
            return folder / f"model{suffix}"
    raise ModelError(f"model {name!r} is not bundled for the runtime {runtime}")


def named_model(name_or_path: str, *, runtime: str | None = None) -> Path:
    """What a user names: a bundled model, or the path of a model file or directory of their own."""
    if name_or_path not in MODELS:
        return Path(name_or_path)
    return model_path(name_or_path, **({"runtime": runtime} if runtime else {}))
