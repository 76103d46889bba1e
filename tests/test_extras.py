"""Packages that are imported on use: what is said where one is missing, and what importing one leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
from configparser import ConfigParser

import pytest
from helpers.places import CHECKOUT

import hepvae
from hepvae.extras import EXTRAS, require


@pytest.mark.parametrize("name", EXTRAS)
def test_what_to_install(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(hepvae.MissingPackageError, match=rf"^x\.root: needs {name}.*: pip install \S+$"):
        require(name, "x.root")


def test_extras_are_those_of_the_package():
    setup = ConfigParser()
    setup.read(CHECKOUT / "setup.cfg")
    assert {extra for extra in EXTRAS.values() if extra} <= set(setup["options.extras_require"])


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
