"""What pip installs, from a checkout and as a wheel, in clean environments with and without each extra."""

from __future__ import annotations

import configparser
import os
import shutil
import site
import subprocess
import sys
import tarfile
import venv
import zipfile
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from helpers.places import CHECKOUT

from hepvae.models.bundled import MODELS, SAMPLES

pytestmark = pytest.mark.slow

#: A user's script, with an error in each of its last lines.
SCRIPT = """\
import hepvae

spec = hepvae.InputSpec(n_particles=50)
hepvae.sample_path("qcdSig").read_bytes()
hepvae.InputSpec(n_particles="many")
hepvae.sample_path(3)
"""


def run(*command: object, timeout=250, **options):
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=timeout, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy: a build in the checkout would take what an earlier one has left in build/."""
    copy = tmp_path_factory.mktemp("build") / "checkout"
    ignored = shutil.ignore_patterns("*.egg-info", "__pycache__")
    for name in ("src", "data", "docs", "packaging", "tests", "analysis"):
        shutil.copytree(CHECKOUT / name, copy / name, symlinks=True, ignore=ignored)
    for path in CHECKOUT.iterdir():
        if path.is_file():
            shutil.copy(path, copy)
    return copy


@pytest.fixture(scope="module")
def wheel(checkout):
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation")
    run(*pip, "-w", checkout.parent / "wheel", checkout)
    (file,) = (checkout.parent / "wheel").glob("hepvae-*.whl")
    return file


@pytest.fixture(scope="module")
def unpacked(wheel):
    with zipfile.ZipFile(wheel) as file:
        file.extractall(wheel.parent / "site")
    return wheel.parent / "site"


def test_samples_and_models_come_with_it(unpacked):
    printed = run(
        sys.executable,
        "-c",
        "import hepvae\n"
        "from hepvae.models.bundled import SAMPLES, MODELS\n"
        "print(hepvae.__file__)\n"
        "for name in SAMPLES: print(hepvae.sample_path(name))\n"
        "for name in MODELS:\n"
        "    for runtime in ('onnxruntime', 'tensorflow'): print(hepvae.model_path(name, runtime=runtime))\n",
        cwd=unpacked,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
    )
    files = printed.split()
    assert len(files) == 1 + len(SAMPLES) + 2 * len(MODELS)
    assert all(file.startswith(f"{unpacked}/hepvae/") and Path(file).is_file() for file in files)


#: What an extra brings besides the modules that `hepvae.extras` imports on use.
FURTHER = {
    "coffea": "hepvae.coffea",
    "condor": "dask_jobqueue",
    "generate": "pythia8mc",
    "xrootd": "XRootD.client",
}

#: Imports what an extra brings. Without any, scores events, and nothing of an extra is there.
IN_A_CLEAN_ENVIRONMENT = """\
import importlib.util, sys
import hepvae
from hepvae.extras import EXTRAS, require

extra, further = sys.argv[1:]
for name, brings in EXTRAS.items():
    if brings in ("", extra) and name != "lightgbm":  # which only a script takes
        require(name, "the test")
if further:
    importlib.import_module(further)
if not extra:
    there = [name for name, brings in EXTRAS.items() if brings and importlib.util.find_spec(name.split(".")[0])]
    assert there == [], there
    events = hepvae.read_dijets(hepvae.sample_path("qcdSig"), entry_stop=20)
    for runtime in ("onnxruntime", "litert"):
        scored = hepvae.score_dijets(events, hepvae.load_inferer("conv", runtime=runtime))
        assert (scored.score > 0).tolist() == 20 * [True]
"""


def clean_extras():
    setup = configparser.ConfigParser()
    setup.read(CHECKOUT / "setup.cfg")
    return ["", *(name for name in setup["options.extras_require"] if name not in ("all", "docs", "lint", "test"))]


@pytest.mark.skipif(find_spec("uv") is None, reason="uv is not installed")
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("extra", clean_extras())
def test_a_clean_environment(extra, wheel, tmp_path):
    uv = (sys.executable, "-m", "uv", "--quiet", "--no-config")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    what = f"hepvae[{extra}] @ {wheel.as_uri()}" if extra else f"hepvae @ {wheel.as_uri()}"
    with TemporaryDirectory(dir=tmp_path) as place:  # TensorFlow's are too large to be kept
        python = Path(place, "bin", "python")
        run(*uv, "venv", "--allow-existing", "--python", sys.executable, place, env=environment)
        run(*uv, "pip", "install", "--python", python, what, env=environment, timeout=1000)
        script = (python, "-c", IN_A_CLEAN_ENVIRONMENT, extra, FURTHER.get(extra, ""))
        run(*script, env=environment, cwd=place, timeout=1000)
        assert run(python.with_name("hepvae"), "--version", env=environment).startswith("hepvae ")


def test_nothing_is_in_it_that_should_not(unpacked):
    assert {path.name.partition("-")[0] for path in unpacked.iterdir()} == {"hepvae"}
    assert (unpacked / "hepvae" / "py.typed").is_file()
    assert not list(unpacked.rglob("test_*.py"))


def test_a_source_archive_makes_the_same_wheel(checkout, wheel):
    code = "from setuptools import build_meta; print(build_meta.build_sdist('../archive'))"
    run(sys.executable, "-c", code, cwd=checkout)
    (archive,) = (checkout.parent / "archive").glob("hepvae-*.tar.gz")
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    with zipfile.ZipFile(wheel) as file:
        modules_and_data = {f"src/{name}" for name in file.namelist() if name.startswith("hepvae/")}
    assert modules_and_data <= names
    assert {"tests/conftest.py", "analysis/accuracy.py", "docs/conf.py", "Makefile"} <= names


@pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is not installed")
@pytest.mark.parametrize("kind", ["editable", "wheel"])
def test_a_users_script_sees_the_types(kind, checkout, wheel, tmp_path):
    """Type checkers said that hepvae was without types: they do not follow the hook of its editable install."""
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    # What hepvae needs comes from where the tests run, by paths, which do not bring that place's own hepvae.
    (packages,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    Path(packages, "others.pth").write_text("\n".join(site.getsitepackages()))
    what = ["--editable", checkout] if kind == "editable" else [wheel]
    pip = (sys.executable, "-m", "pip", "--quiet", "--python", python, "install", "--no-deps")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    run(*pip, "--ignore-installed", "--no-build-isolation", *what, env=environment)
    place = run(python, "-c", "import hepvae; print(hepvae.__file__)", env=environment, cwd=tmp_path)
    assert place.startswith(str(checkout if kind == "editable" else packages))

    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--python-executable", python, "script.py"],
        capture_output=True,
        text=True,
        timeout=250,
        cwd=tmp_path,
        env=environment,
    )
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert [error.partition(": ")[0] for error in errors] == ["script.py:5", "script.py:6"], done.stdout
    assert all("[arg-type]" in error for error in errors)
