"""Detectors beside cuts: analysis/detectors.py, run as a user runs it."""

from __future__ import annotations

import pytest
from helpers.scripts import run_script

from hepvae.models.bundled import DETECTOR, RESONANCES


def rows_of(text: str, first: str) -> list[list[str]]:
    """Cells of the rows that begin so."""
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in text.splitlines()]
    return [row for row in rows if row[0] == first]


@pytest.mark.slow
def test_the_detector_is_worth_more_than_a_cut_and_leaves_the_mass():
    done = run_script("detectors", "--models", DETECTOR)
    assert (done.returncode, done.stderr) == (0, "")
    for signal in RESONANCES:
        improvement, area = rows_of(done.stdout, signal)
        mass, tau21, _, density = (float(cell.split("±")[0]) for cell in improvement[1:])
        assert mass < 1.5 < tau21 and density > 2.5
        assert all(0 < float(cell.split("±")[0]) < 1 for cell in area[1:])
    spread = {}
    for name in ("tau21", DETECTOR):
        constant, _ = rows_of(done.stdout, name)
        shares = [float(cell.split("±")[0]) for cell in constant[2:]]
        spread[name] = max(shares) - min(shares)
    assert spread[DETECTOR] < spread["tau21"] / 2


def test_a_folder_without_signals_is_one_line(tmp_path):
    done = run_script("detectors", "--events", tmp_path)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        f"detectors: {tmp_path}: expected signals in it, as analysis/make_samples.py writes them"
    )
