"""The search: analysis/anomaly_search.py, run as a user runs it on the bundled samples."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from helpers.scripts import run_script

from hepvae import sample_path
from hepvae.output.text import markdown_text

pytest.importorskip("sklearn")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_from_samples_to_the_scan(tmp_path):
    done = run_script(
        "anomaly_search",
        "--model",
        "conv",
        "--strategies",
        "min",
        "--toys",
        20,
        "--datacard",
        "--label",
        "Private",
        "--output",
        tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")
    results = json.loads((tmp_path / "results.json").read_text())

    rows = [(row["model"], row["signal"]) for row in results["separation"]]
    assert rows == [(m, s) for m in ("conv", "jet mass", "tau21") for s in ("GtoWW15na", "GtoWW15br")]
    for row in results["separation"][:2]:
        assert 0.5 < row["auc"]["value"] < 0.7  # data/README.md
    assert all(row["auc"]["value"] > 0.8 for row in results["separation"][4:])
    everything = results["slices"].pop("all")
    assert sum(results["slices"].values()) == everything == results["samples"]["qcdSig"]["events"]
    assert list(results["slices"]) == ["rest", "eff50-10", "eff10"]
    assert "as fewer than 30 effective background events would pass: eff1" in done.stdout  # 2,000 events are few

    assert results["samples"]["qcdSig"]["expected"] == pytest.approx(260 * 138_000, rel=0.01)
    expected = results["expected"]
    assert expected["significance"]["inclusive"] == pytest.approx(3, abs=0.01)
    for shares in ("background_shares", "signal_shares"):
        assert sum(expected[shares].values()) == pytest.approx(1)
    medians = {name: one["median_significance"] for name, one in results["toys_with_signal"].items()}
    for name, median in medians.items():
        assert median == pytest.approx(expected["significance"][name], abs=1)
    assert all(abs(one["mean_pull"]["value"]) < 0.7 for one in results["toys_with_signal"].values())
    assert set(results["scan"]) == {"inclusive", "rest", "eff50-10", "eff10", "combined"}
    assert expected["mass"] == 2500 and results["options"]["toys"] == 20
    limits = results["limits_fb"]
    assert (np.array(limits["combined"]["expected"]) > 0).all()
    assert {path.name for path in (tmp_path / "datacard").iterdir()} == {
        "datacard.txt",
        "shapes.root",
        "workspace.json",
    }
    masses = results["toys_without_signal"]["masses"]
    assert expected["mass"] in masses and len(results["scan"]["combined"]["significance"]) == len(masses)

    report = (tmp_path / "report.md").read_text()
    drawn = re.findall(r"!\[.*?\]\((.*?)\)", report)
    assert len(drawn) == len(set(drawn)) > 25
    assert sorted(drawn) == sorted(path.name for path in tmp_path.glob("*.png"))
    assert all(f"- {markdown_text(sentence)}" in report for sentence in results["conclusions"])
    assert (tmp_path / "report.html").read_text().count("data:image/png;base64,") == len(drawn)


@pytest.mark.parametrize(
    ("arguments", "message", "status"),
    [
        (["--inject", "no"], "signal to inject no: expected one of GtoWW15na, GtoWW15br", 2),
        (["--search-model", "big"], "model to search with big: expected one of conv", 2),
        (["--working-points", "q10"], "working point 'q10'", 2),
        (["--background", "nowhere.root"], "nowhere.root: no such file", 1),
    ],
)
def test_errors_are_one_line(arguments, message, status, tmp_path):
    done = run_script("anomaly_search", "--model", "conv", "--output", tmp_path, *arguments)
    assert done.returncode == status
    assert done.stderr.startswith("hepvae: ") and message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_data_are_blinded_until_asked_for(tmp_path):
    """Of the slices that the search is about, a toy is shown: the events of the data only with --unblind."""
    data = ("--data", sample_path("qcdSig"), "--model", "conv", "--strategies", "min", "--toys", 5)
    options = (
        "--no-baselines",
        "--no-companion",
        "--working-points",
        "eff50",
        "--inject-mass",
        2000,
        "--scan-start",
        1900,
        "--fit-stop",
        3000,
    )
    done = run_script("anomaly_search", *data, *options, "--output", tmp_path / "blind")
    assert (done.returncode, done.stderr) == (0, "")
    results = json.loads((tmp_path / "blind" / "results.json").read_text())
    assert set(results["scan"]) == {"rest"}
    assert "observed" not in results["limits_fb"]["inclusive"]
    assert "Blinded: in eff50, a toy stands for the data (--unblind shows them)." in results["conclusions"]
    done = run_script("anomaly_search", *data, *options, "--unblind", "--output", tmp_path / "open")
    assert (done.returncode, done.stderr) == (0, "")
    results = json.loads((tmp_path / "open" / "results.json").read_text())
    assert set(results["scan"]) == {"inclusive", "rest", "eff50", "combined"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_names_with_anything_in_them(tmp_path):
    """A slash, an accent, a dollar sign or a space in a name lost everything that had been computed."""
    name, folder = "X/Y é & 50 % $b", tmp_path / "a folder"
    done = run_script(
        "anomaly_search",
        *("--signal", f"{name}=1500={sample_path('GtoWW15na')}", "--model", "conv", "--strategies", "min"),
        *("--toys", 5, "--working-points", "eff50", "--no-baselines", "--no-companion", "--output", folder),
    )
    assert (done.returncode, done.stderr) == (0, "")
    results = json.loads((folder / "results.json").read_text())
    assert results["expected"]["signal"] == name
    figures = {path.name for path in folder.glob("*.png")}
    report = (folder / "report.md").read_text()
    assert set(re.findall(r"!\[.*?\]\((.*?)\)", report)) == figures
    assert (folder / "report.html").read_text().count("data:image/png;base64,") == len(figures) > 20


def test_signal_without_a_mass(tmp_path):
    done = run_script("anomaly_search", "--signal", "na=file.root", "--output", tmp_path)
    assert done.returncode == 2
    assert "signal 'na=file.root': expected NAME=MASS=FILES, the mass in GeV" in done.stderr
