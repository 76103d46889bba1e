"""analysis/check_intervals.py: a planted slowdown is found, by real processes of runtimes from another package."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from helpers.places import ANALYSIS

SCRIPT = ANALYSIS / "check_intervals.py"


@pytest.mark.slow
def test_planted_slowdown_is_found():
    command = [sys.executable, str(SCRIPT), "--trials", "1", "--batch-sizes", "16,64", "--seconds", "0.4"]
    done = subprocess.run([*command, "--slowdown", "1"], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert re.search(r"identical: \d of 2 intervals missed 1 ", done.stdout)
    rows = [[cell.strip() for cell in line.split("|")] for line in done.stdout.splitlines() if " | " in line]
    ratio = {(row[1], row[2]): float(row[3]) for row in rows[1:]}
    for size in ("16", "64"):
        assert ratio["slowed", size] > max(1.3, ratio["identical", size])
