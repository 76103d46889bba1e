"""The lowest versions of setup.cfg do: reading, padding, scoring and plotting in an environment of their own."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
from helpers.places import CHECKOUT
from packaging.requirements import Requirement

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

#: The base and what these tests read and write beside ROOT files; without TensorFlow.
EXTRAS = ("test", "hdf5", "parquet", "search")
ROOMS = ("reading", "jets", "scoring", "plots")


def run(*command: object, timeout: float = 1500, **variables: str) -> str:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHONPATH", "PYTEST"))
    } | variables
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=CHECKOUT,
        env=environment,
    )
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-10_000:]
    return done.stdout


def lower_bounds() -> dict[str, str]:
    """The version that each requirement begins with, by package."""
    setup = configparser.ConfigParser()
    setup.read(CHECKOUT / "setup.cfg")
    lines = [setup["options"]["install_requires"], *(setup["options.extras_require"][name] for name in EXTRAS)]
    wanted = [Requirement(line) for line in "\n".join(lines).splitlines() if line and not line.startswith("#")]
    return {
        requirement.name: next(part.version for part in requirement.specifier if part.operator == ">=")
        for requirement in wanted
        if requirement.marker is None or requirement.marker.evaluate()
    }


@pytest.mark.skipif(find_spec("uv") is None, reason="uv is not installed")
def test_the_lowest_versions_do(tmp_path):
    python = tmp_path / "venv" / "bin" / "python"
    uv = (sys.executable, "-m", "uv", "--quiet", "--no-config")
    run(*uv, "venv", "--python", sys.executable, tmp_path / "venv")
    run(*uv, "pip", "install", "--python", python, "--resolution=lowest-direct", "-e", f".[{','.join(EXTRAS)}]")
    installed = dict(
        line.split("==") for line in run(*uv, "pip", "freeze", "--python", python).splitlines() if "==" in line
    )
    bounds = lower_bounds()
    differing = {name: installed[name] for name, low in bounds.items() if not same(installed[name], low)}
    assert differing == {}, "setup.cfg allows versions that others of its requirements rule out"
    rooms = [f"tests/{room}" for room in ROOMS]
    print(
        run(
            python,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-m",
            "not slow",
            *rooms,
            NUMBA_CACHE_DIR=str(tmp_path),
        )
    )


def same(version: str, low: str) -> bool:
    """Whether a version is the lowest of a bound, which may leave out zeros and the last number's fixes."""
    return (version + ".").startswith(low + ".")
