"""Compiled loops, where the cache of numba cannot be used."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

LOOP = """
import logging, sys
logging.basicConfig(stream=sys.stdout, format="%(message)s")
sys.path.insert(0, sys.argv[1])
import loop
print(loop.double(3))
"""

MODULE = """
from numba import types
from hepvae.execution.compiled import compiled

@compiled(types.int64(types.int64))
def double(x):
    return 2 * x

@compiled(types.int64(types.int64))
def triple(x):
    return 3 * x
"""


@pytest.mark.parametrize(
    "problem",
    [
        pytest.param("none", marks=pytest.mark.slow),
        pytest.param("damaged", marks=pytest.mark.slow),
        pytest.param("no folder", marks=pytest.mark.slow),
    ],
)
def test_cache_that_cannot_be_used(tmp_path, problem):
    """A damaged file in it ended every command until somebody deleted it."""
    cache = tmp_path / "cache"
    (tmp_path / "loop.py").write_text(MODULE)

    def run():
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", LOOP, str(tmp_path)],
            env={**os.environ, "NUMBA_CACHE_DIR": str(cache), "XDG_CACHE_HOME": str(cache)},
            capture_output=True,
            text=True,
            timeout=120,
        )

    if problem == "no folder":
        for file in (cache, tmp_path / "__pycache__"):
            file.write_text("a file")
    else:
        assert run().stdout == "6\n"
    if problem == "damaged":
        indices = [file for file in cache.rglob("*.nbi") if "loop" in file.name]
        assert len(indices) == 2
        for file in indices:
            file.write_bytes(file.read_bytes()[:7])
    done = run()
    *said, result = done.stdout.splitlines()
    assert result == "6", done.stderr
    assert len(said) == (problem != "none")
    assert all(line.startswith("numba's cache is not used, and loops are compiled anew: ") for line in said)


USERS = """
import sys
import hepvae.jets.padding_kernels
print("vector.backends._numba" in sys.modules)
import awkward as ak, numba, vector

@numba.njit
def total(jets, direction):
    result = direction.x
    for jet in jets:
        for pt in jet:
            result += pt
    return result

print(total(ak.Array([[1.0, 2.0], [3.0]]), vector.obj(x=4.0, y=5.0)))
"""


def test_loops_of_users_take_arrays_of_awkward_and_vector():
    """Ours are compiled without the types of these, whose import takes half a second."""
    done = subprocess.run([sys.executable, "-c", USERS], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["False", "10.0"], done.stderr
