"""The check of the search: analysis/check_bump_hunt.py, run as a user runs it, with few toys."""

from __future__ import annotations

import re

import pytest
from helpers.scripts import run_script

pytest.importorskip("sklearn")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_biases_and_limits_with_their_uncertainties():
    done = run_script("check_bump_hunt", "--toys", 4, "--events", 1e6, "--only", "yields")
    assert (done.returncode, done.stderr) == (0, "")
    cells = re.findall(r"[+-]\d\.\d\d ± \d\.\d\d, \d+%", done.stdout)
    assert len(cells) == 3 * 2 * 2 * 3 * 4  # truths, sizes, signals, strengths, masses
    assert "- largest bias " in done.stdout and "for 144 cells" in done.stdout
    done = run_script("check_bump_hunt", "--toys", 4, "--events", 1e6, "--only", "limits")
    assert len(re.findall(r"\d\.\d{3} ± \d\.\d{3}", done.stdout)) == 6


def test_unknown_step():
    done = run_script("check_bump_hunt", "--only", "everything")
    assert done.returncode == 2 and "--only everything: expected one of yields, sculpting" in done.stderr
