"""Packages that are imported on use: what is said where one is missing, and what importing one leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
from configparser import ConfigParser

import pytest
from helpers.places import CHECKOUT

import hepvae
from hepvae.extras import EXTRAS, quiet_tensorflow, require


@pytest.mark.parametrize("name", EXTRAS)
def test_what_to_install(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(hepvae.MissingPackageError, match=rf"^x\.root: needs {name}.*: pip install \S+$"):
        require(name, "x.root")


def test_a_package_that_is_there_and_broken(monkeypatch):
    """As with a file dask.py beside a script: it is not said that nothing is installed."""
    monkeypatch.setitem(sys.modules, "dask.utils", None)
    for module in [name for name in sys.modules if name.split(".")[0] == "distributed"]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(hepvae.MissingPackageError, match=r"distributed, which cannot be imported \(.*dask\.utils"):
        require("distributed", "scoring on Dask")


def test_extras_are_those_of_the_package():
    setup = ConfigParser()
    setup.read(CHECKOUT / "setup.cfg")
    assert {extra for extra in EXTRAS.values() if extra} <= set(setup["options.extras_require"])


def test_only_the_log_of_tensorflow_is_kept_away(capfd, monkeypatch):
    """In notebooks and scripts, its start wrote four lines about CUDA and oneDNN; what others write is seen."""
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    log = (
        "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
        "I0000 00:00:1795916719.357689   23674 port.cc:153] oneDNN custom operations are on.\n"
        "2026-01-01 10:00:00.123456: I tensorflow/core/platform/cpu_feature_guard.cc:210] optimized\n"
        "To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow\n"
    )
    with quiet_tensorflow():
        os.write(2, f"{log}Could not load something\nF0000 00:00:1 2 fatal.cc:1] gone\n".encode())
    assert capfd.readouterr().err == "Could not load something\nF0000 00:00:1 2 fatal.cc:1] gone\n"


SCORE = "import hepvae, numpy; hepvae.load_inferer(hepvae.model_path('conv'))(numpy.ones((3, 100, 3)))"


def test_telemetry_of_onnx_runtime_is_off(tmp_path):
    """Importing ONNX Runtime wrote a device id and a database of events into the user's cache."""
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "NUMBA_CACHE_DIR": os.devnull}
    done = subprocess.run(
        [sys.executable, "-c", SCORE],
        env={k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"} | home,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.rglob("*")) == []
