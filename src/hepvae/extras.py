"""Packages that are imported on first use, in an order that works, with what to install where they are missing."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from types import ModuleType

from .errors import MissingPackageError

__all__ = ["quiet_stderr", "quiet_tensorflow", "require", "versions"]

#: What XRootD's client should do sooner than its defaults; variables like XRD_CONNECTIONWINDOW take precedence.
XROOTD_TIMES_S = {
    # An attempt to connect that fails at once is repeated when its window is over, after 120 s: longer than a
    # server needs to come back.
    "ConnectionWindow": 10,
    # After five of these it takes the server for dead, and sends it nothing for 1800 s.
    "StreamErrorWindow": 30,
    # It looks for requests that are over their time every 15 s.
    "TimeoutResolution": 1,
}

#: Modules that are imported on use, and the extra of hepvae that installs each; "": a dependency of hepvae.
EXTRAS = {
    "ai_edge_litert": "",
    "coffea.processor": "coffea",
    "distributed": "dask",
    "fastjet": "lhco",
    "fsspec_xrootd": "xrootd",
    "h5py": "hdf5",
    "lightgbm": "search",
    "onnx": "",
    "onnxruntime": "",
    "openvino": "openvino",
    "pyarrow": "parquet",
    "sklearn": "search",
    "tensorflow": "tensorflow",
    "tf2onnx": "tensorflow",
    "tf_keras": "keras2",
}

_openvino_lock = threading.Lock()


def require(name: str, what: str) -> ModuleType:
    """Import a package that is needed for something.

    Parameters
    ----------
    name : str
        One of `EXTRAS`.
    what : str
        What needs it (a file, a function, an option): begins the message.

    Raises
    ------
    MissingPackageError
        It is not installed, or cannot be imported; the message says which, and what to install.
    """
    try:
        return _IMPORTS.get(name, import_module)(name)
    except ImportError as error:
        if isinstance(error, MissingPackageError):
            raise
        package = f"'hepvae[{EXTRAS[name]}]'" if EXTRAS[name] else name
        missing = isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}.")
        why = "is not installed" if missing else f"cannot be imported ({error})"
        raise MissingPackageError(f"{what}: needs {name}, which {why}: pip install {package}") from error


def versions(packages: Iterable[str]) -> dict[str, str | None]:
    """Versions of packages, for a record; None where one is not installed."""
    found: dict[str, str | None] = dict.fromkeys(packages)
    for package in found:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _import_fsspec_xrootd(name: str) -> ModuleType:
    """XRootD's client crashes the process when it is loaded after TensorFlow (xrootd 6.2, TensorFlow 2.21)."""
    if "XRootD.client" not in sys.modules and "tensorflow" in sys.modules:
        raise MissingPackageError("XRootD must be loaded before TensorFlow: begin with 'import XRootD.client'")
    module = import_module(name)
    client = import_module("XRootD.client")
    for variable, seconds in XROOTD_TIMES_S.items():
        client.EnvPutInt(variable, seconds)
    return module


def _import_tensorflow(name: str) -> ModuleType:
    """TensorFlow, after XRootD where that is installed."""
    if "tensorflow" not in sys.modules and find_spec("XRootD") is not None:
        import_module("XRootD.client")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # our own errors say what went wrong
    with quiet_tensorflow():
        return import_module(name)


def _import_after_tensorflow(name: str) -> ModuleType:
    """What imports TensorFlow itself; Keras 2 also looks for a Keras 3 that is TensorFlow's, and warns of it."""
    require("tensorflow", name)
    with quiet_tensorflow():
        return import_module(name)


def _import_onnxruntime(name: str) -> ModuleType:
    """ONNX Runtime without its telemetry.

    It writes a device id and a database of events into the user's cache when it is imported, unless this
    variable is set (ONNX Runtime 1.32).
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    return import_module(name)


def _import_openvino(name: str) -> ModuleType:
    """OpenVINO fills its table of dtypes on first use, and two threads that do so at once deadlock (2026.0)."""
    module = import_module(name)
    with _openvino_lock:
        module.Type.f32.to_dtype()
    return module


#: Packages whose import needs more than the import.
_IMPORTS: dict[str, Callable[[str], ModuleType]] = {
    "fsspec_xrootd": _import_fsspec_xrootd,
    "onnxruntime": _import_onnxruntime,
    "openvino": _import_openvino,
    "tensorflow": _import_tensorflow,
    "tf2onnx": _import_after_tensorflow,
    "tf_keras": _import_after_tensorflow,
}


#: A line of TensorFlow's log that is no fatal error, with the line that follows it, and absl's warning of them.
_LOG_LINES = re.compile(
    rb"^(?:WARNING: All log messages before absl::InitializeLog\(\)"
    rb"|[IWE]\d{4} \d\d:\d\d:|\d{4}-\d\d-\d\d [\d:.]+: [IWE] )"
    rb".*\n(?:To enable the following instructions: .*\n)?",
    re.MULTILINE,
)


@contextmanager
def quiet_tensorflow() -> Iterator[None]:
    """Keep TensorFlow's start from writing its log to standard error where its log level asks for silence.

    ``TF_CPP_MIN_LOG_LEVEL=3``, which `require` sets unless the user did, does not reach what its libraries write
    before they have read it. Whatever else is written appears at the end.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") != "3":
        yield
        return
    with tempfile.TemporaryFile() as written:
        try:
            with _stderr_to(written.fileno()):
                yield
        finally:
            written.seek(0)
            if rest := _LOG_LINES.sub(b"", written.read()):
                os.write(2, rest)


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Keep what libraries write to standard error from being seen; errors are raised, too."""
    with open(os.devnull, "w") as nowhere, _stderr_to(nowhere.fileno()):
        yield


@contextmanager
def _stderr_to(file: int) -> Iterator[None]:
    """Send standard error of this process, also that of libraries, to an open file."""
    sys.stderr.flush()
    kept = os.dup(2)
    os.dup2(file, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
