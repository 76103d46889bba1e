"""Optional packages: imported on use, in an order that works, with what to install when they are missing."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec

from .errors import MissingPackageError

__all__ = [
    "load_coffea_processor",
    "load_distributed",
    "load_exporter",
    "load_h5py",
    "load_iminuit",
    "load_lightgbm",
    "load_openvino",
    "load_pyarrow",
    "load_sklearn",
    "load_tensorflow",
    "load_xrootd",
    "quiet_tensorflow",
]

#: What XRootD's client should do sooner than it does by itself; variables like XRD_CONNECTIONWINDOW count more.
XROOTD_TIMES_S = {
    # An attempt to connect that fails at once is made again when its window is over, after 120 s: longer than a
    # server needs to come back.
    "ConnectionWindow": 10,
    # After five of these it takes the server for dead, and asks it nothing for 1800 s.
    "StreamErrorWindow": 30,
    # It looks for requests that are over their time every 15 s.
    "TimeoutResolution": 1,
}


def _load(name: str, what: str, extra: str):
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingPackageError(
            f"{what}: needs {name}, which is not installed: pip install 'hepvae[{extra}]'"
        ) from error


def load_xrootd(what: str) -> None:
    """What ``root://`` needs.

    XRootD's client crashes the process when it is loaded after TensorFlow (xrootd 6.2, TensorFlow
    2.21), and does not the other way round.
    """
    if "XRootD.client" not in sys.modules and "tensorflow" in sys.modules:
        raise MissingPackageError(
            f"{what}: XRootD must be loaded before TensorFlow: begin with 'import XRootD.client'"
        )
    _load("fsspec_xrootd", what, "xrootd")
    client = import_module("XRootD.client")
    for name, seconds in XROOTD_TIMES_S.items():
        client.EnvPutInt(name, seconds)


def load_h5py(what: str):
    """What the HDF5 files of the study need."""
    return _load("h5py", what, "hdf5")


_first_use = threading.Lock()


def load_openvino(what: str):
    """The runtime of that name.

    Its table of dtypes is made when it is first asked for one; two threads that do so at once wait for each
    other for ever (OpenVINO 2026: one has Python's lock, the other that of the table).
    """
    openvino = _load("openvino", what, "openvino")
    with _first_use:
        openvino.Type.f32.to_dtype()
    return openvino


def load_distributed(what: str):
    """Dask's scheduler and workers."""
    return _load("distributed", what, "dask")


def load_coffea_processor(what: str):
    """The module of coffea with its processors."""
    return _load("coffea.processor", what, "coffea")


def load_pyarrow(what: str):
    """What Parquet files need."""
    return _load("pyarrow", what, "parquet")


def load_iminuit(what: str):
    """The minimiser of the fits."""
    return _load("iminuit", what, "search")


def load_lightgbm(what: str):
    """Boosted trees of LightGBM."""
    return _load("lightgbm", what, "search")


def load_sklearn(what: str):
    """scikit-learn."""
    return _load("sklearn", what, "search")


@contextmanager
def quiet_tensorflow() -> Iterator[None]:
    """Keep TensorFlow's start from writing to standard error where its log level asks for silence.

    ``TF_CPP_MIN_LOG_LEVEL=3``, which the command line sets unless the user did, does not reach what its
    libraries write before they have read it.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") != "3":
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def load_tensorflow(what: str):
    """TensorFlow, after XRootD where that is installed."""
    if "tensorflow" not in sys.modules and find_spec("XRootD") is not None:
        import_module("XRootD.client")
    with quiet_tensorflow():
        return _load("tensorflow", what, "tensorflow")


def load_exporter(what: str):
    """tf2onnx and onnx."""
    load_tensorflow(what)
    return _load("tf2onnx", what, "tensorflow"), _load("onnx", what, "tensorflow")
