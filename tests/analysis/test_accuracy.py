"""The accuracy tables: analysis/accuracy.py, run as a user runs it."""

from __future__ import annotations

import pytest
from helpers.scripts import run_script

from hepvae.models.bundled import RESONANCES
from hepvae.scoring.strategy import STRATEGIES


@pytest.mark.slow
def test_tables_and_plots(tmp_path):
    pytest.importorskip("tensorflow")
    done = run_script("accuracy", "--models", "graph", "--events", "300", "--output", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.strip("| ").split("|") for line in done.stdout.splitlines() if line.startswith("| graph ")]
    rows = [[column.strip() for column in row] for row in rows]
    general, *reconstruction = rows[:5]
    assert general[1] == "68,105"
    assert [row[1] for row in reconstruction] == ["mean", "sample"] * 2  # of QCD and of W
    for row in reconstruction:
        nats, used, *_, correlation = (float(column.split("±")[0]) for column in row[2:])
        assert 0 < nats < 1000 and 0 < used <= 12 and -1 <= correlation <= 1
    median, half_width = (float(column.split("±")[0]) for column in reconstruction[0][4:6])
    assert 0.8 < median < 1.1 and half_width < 0.2  # pt of the reconstructed jets over that of the input
    separation = rows[5:]
    assert [row[1:3] for row in separation] == [[g, strategy] for g in RESONANCES for strategy in STRATEGIES]
    for row in separation:
        area, improvement = (float(column.split("±")[0]) for column in row[3:5])
        assert 0 < area < 1 and improvement > 0.5
    plots = [
        f"reconstruction_{s}_{name}.png" for s in ("QCD", "W") for name in ("mass", "multiplicity", "pt", "tau21")
    ]
    assert sorted(file.name for file in tmp_path.iterdir()) == plots


def test_unknown_model_is_one_line(tmp_path):
    pytest.importorskip("tensorflow")
    done = run_script("accuracy", "--models", "big", "--output", tmp_path)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("accuracy: ")
    assert "Traceback" not in done.stderr
