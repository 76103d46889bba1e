"""The wheel carries the samples and the models, and works from where pip would put it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import hepvae

CHECKOUT = Path(hepvae.__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    # A copy: a build in the checkout would take what an earlier one has left in build/.
    copy = folder / "checkout"
    for name in ("src", "data"):
        shutil.copytree(CHECKOUT / name, copy / name, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, copy)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "-w",
            folder,
            copy,
        ],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("hepvae-*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder / "site")
    return folder / "site"


def test_samples_and_models_come_with_it(site):
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import hepvae\n"
            "from hepvae.bundled import SAMPLES, MODELS\n"
            "print(hepvae.__file__)\n"
            "for name in SAMPLES: print(hepvae.sample_path(name))\n"
            "for name in MODELS:\n"
            "    for runtime in hepvae.inferers.RUNTIMES: print(hepvae.model_path(name, runtime=runtime))\n",
        ],
        capture_output=True,
        text=True,
        cwd=site,
        env={**os.environ, "PYTHONPATH": str(site)},
    )
    assert done.returncode == 0, done.stderr
    files = done.stdout.split()
    assert len(files) >= 7
    assert all(file.startswith(f"{site}/hepvae/") and Path(file).is_file() for file in files)


def test_nothing_is_in_it_that_should_not(site):
    assert {path.name.partition("-")[0] for path in site.iterdir()} == {"hepvae"}
    assert (site / "hepvae" / "py.typed").is_file()
    assert not list(site.rglob("test_*.py"))
