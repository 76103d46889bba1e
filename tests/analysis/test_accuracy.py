"""The accuracy tables: analysis/accuracy.py, run as a user runs it."""

from __future__ import annotations

import pytest
from helpers.scripts import run_script

from hepvae.models.bundled import RESONANCES
from hepvae.scoring.strategy import STRATEGIES


@pytest.mark.slow
def test_tables_and_plots(tmp_path):
    pytest.importorskip("tensorflow")
    done = run_script("accuracy", "--models", "graph", "--output", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.strip("| ").split("|") for line in done.stdout.splitlines() if line.startswith("| graph ")]
    reconstruction, *separation = [[column.strip() for column in row] for row in rows]
    median, half_width = (float(value) for value in reconstruction[4].split("±"))
    assert 0.8 < median < 1.1 and half_width < 0.2  # pt of the reconstructed jets over that of the input
    assert [row[1:3] for row in separation] == [[g, strategy] for g in RESONANCES for strategy in STRATEGIES]
    for row in separation:
        area, improvement = (float(column.split("±")[0]) for column in row[3:5])
        assert 0 < area < 1 and improvement > 0.5
    plots = [f"reconstruction_{name}.png" for name in ("mass", "multiplicity", "pt")]
    assert sorted(file.name for file in tmp_path.iterdir()) == plots


def test_unknown_model_is_one_line(tmp_path):
    pytest.importorskip("tensorflow")
    done = run_script("accuracy", "--models", "big", "--output", tmp_path)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("accuracy: ")
    assert "Traceback" not in done.stderr
