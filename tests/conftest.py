"""What the tests share: dijet files that they write, real CMS files where present, every runtime."""

from __future__ import annotations

import os
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from helpers.dijet_files import random_tables, write_events
from helpers.output_server import output_server
from helpers.places import NEEDS_PACKAGE, REAL_DATA

import hepvae
from hepvae.inference import RUNTIMES

if find_spec("XRootD"):  # before any test loads TensorFlow: see hepvae.extras
    import XRootD.client  # noqa: F401

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture
def real_data():
    """Folder of real CMS files; the same cases are covered by files the tests write."""
    if not REAL_DATA.is_dir():
        pytest.skip("no real CMS files beside this checkout")
    return REAL_DATA


#: Runtimes whose tests wait for their compiler: XLA takes seconds for each shape.
SLOW = {"tensorflow-xla": (pytest.mark.slow,)}


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(
            name,
            marks=[
                pytest.mark.skipif(find_spec(NEEDS_PACKAGE[name]) is None, reason=f"{name} is not installed"),
                *SLOW.get(name, ()),
            ],
        )
        for name in RUNTIMES
    ],
)
def runtime(request):
    """The name of each runtime in turn."""
    return request.param


@pytest.fixture(scope="session")
def inferer(runtime):
    """The bundled Conv-VAE on each runtime in turn, opened once for all tests: none may change it."""
    return hepvae.load_inferer(hepvae.model_path("conv", runtime=runtime), runtime=runtime)


@pytest.fixture(scope="session")
def conv():
    """The same on ONNX Runtime alone."""
    return hepvae.load_inferer("conv")


@pytest.fixture(scope="session")
def served_folder():
    """A folder that an XRootD server can read whoever it runs as: a sample, and a file that is none."""
    with tempfile.TemporaryDirectory(prefix="hepvae-served-") as folder:  # pytest's own are closed to others
        Path(folder).chmod(0o755)
        shutil.copy(hepvae.sample_path("GtoWW15na"), folder)
        Path(folder, "notes.root").write_text("no ROOT file")
        deep = Path(folder, "deep", "er")
        deep.mkdir(parents=True)
        (deep / "b.root").write_text("no ROOT file")
        yield Path(folder)


@pytest.fixture(scope="module")
def running_server():
    with output_server() as server:
        yield server


@pytest.fixture
def server(running_server):
    """An XRootD server that writes, without files."""
    for path in running_server.folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return running_server


@pytest.fixture(scope="session")
def signal_events():
    """Real (generated) dijets: 60 events of the narrow graviton."""
    return hepvae.read_dijets(hepvae.sample_path("GtoWW15na"), entry_stop=60)


@pytest.fixture(scope="session")
def signal_jets(signal_events):
    """Their padded jets, (120, 100, 3)."""
    return hepvae.pad_particles(signal_events, hepvae.InputSpec()).reshape(-1, 100, 3)


@pytest.fixture
def rng():
    return np.random.default_rng(20261123)


@pytest.fixture
def dijet_file(tmp_path, rng):
    """A file in NanoAODv15 names that breaks every assumption about order."""
    return write_events(tmp_path / "dijets.root", random_tables(rng))
