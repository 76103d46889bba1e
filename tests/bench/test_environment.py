"""Memory as Linux counts it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from hepvae.bench.environment import slope

CODE = """
from hepvae.bench.environment import forget_peak, resident
import numpy as np
start = resident()["now"]
held = np.ones(4_000_000)       # 32 MB
del held
forget_peak()
before = resident()
held = np.ones(2_000_000)       # 16 MB
print(resident()["peak"] - before["now"], before["peak"] - before["now"])
"""


def test_peak_is_that_since_it_was_forgotten():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    grown, kept = map(int, done.stdout.split())
    assert grown == pytest.approx(16e6, rel=0.1)
    assert kept < 1e6


def test_leak_is_a_slope_and_a_start_is_none():
    calls = np.arange(0, 1000, 10)
    leak = 5e8 + 4096.0 * calls
    assert slope(calls, leak) == pytest.approx(4096)
    start = 5e8 + 1e8 * (calls > 200)
    assert slope(calls, start) == pytest.approx(0, abs=1e-6)
    assert slope([1, 2], [3, 4]) is None
