from __future__ import annotations

import csv
import json
import subprocess
import sys

import numpy as np
import pytest

import hepvae
from hepvae.bench.__main__ import main
from hepvae.bench.measure import Cell, measure
from hepvae.bundled import MODELS

KEYS = {
    "model",
    "runtime",
    "source",
    "pipeline",
    "run",
    "batch_size",
    "n_jets",
    "latency_s",
    "jets_per_s",
    "rss_peak_bytes",
    "rss_inference_bytes",
    "rss_growth_bytes",
}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The bench as a user runs it, short."""
    pytest.importorskip("tensorflow")
    output = tmp_path_factory.mktemp("bench") / "out"
    done = subprocess.run(
        [sys.executable, "-m", "hepvae.bench", "--quick", "--models", "conv", "--batch-sizes", "1,64"]
        + ["--output", str(output)],
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    return output, done.stdout


def test_files_and_table(study):
    output, printed = study
    names = ["anomaly_score.png", "results.csv", "results.json", "timing.png"]
    assert sorted(file.name for file in output.iterdir()) == names
    for name in names:
        assert str(output / name) in printed
    assert "parity of conv on onnxruntime: worst of 16516 jets" in printed
    rows = [line.split() for line in printed.splitlines() if line.startswith("conv ")]
    assert [row[1:3] for row in rows] == [
        ["1", "tensorflow"],
        ["1", "onnxruntime"],
        ["64", "tensorflow"],
        ["64", "onnxruntime"],
    ]


def test_results(study):
    content = json.loads((study[0] / "results.json").read_text())
    assert set(content) == {"environment", "records", "failures", "parity"}
    assert content["failures"] == []
    assert content["environment"]["packages"]["onnxruntime"]
    records = content["records"]
    assert len(records) == 4
    for record in records:
        assert set(record) >= KEYS
        assert (record["source"], record["pipeline"], record["run"]) == ("local", "numpy", 1)
        latency = record["latency_s"]
        assert 0 < latency["median"] <= latency["p90"] <= latency["p99"]
        assert record["n_jets"] == record["calls"] * record["batch_size"]
        assert 0.2 < record["jets_per_s"] * latency["median"] / record["batch_size"] < 2
        assert record["rss_peak_bytes"] > record["rss_inference_bytes"] >= record["rss_growth_bytes"]
        # Whatever else there is, the distances of 100 x 100 particles of each jet are.
        assert record["rss_inference_bytes"] > record["batch_size"] * 100 * 100 * 4
    # TensorFlow alone is larger in memory than all of ONNX Runtime: the processes are separate.
    peak = {r["runtime"]: r["rss_peak_bytes"] for r in records}
    assert peak["onnxruntime"] < peak["tensorflow"]
    with open(study[0] / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(r["latency_median_s"]) for r in rows] == [r["latency_s"]["median"] for r in records]


def test_cell_counts_what_it_ran(tmp_path, runtime):
    """More calls than jets at hand, and a batch larger than all of them."""
    jets = np.zeros((5, 100, 3), np.float32)
    np.save(tmp_path / "jets.npy", jets)
    cell = Cell(
        model="conv",
        path=str(hepvae.model_path("conv", runtime=runtime)),
        runtime=runtime,
        batch_size=8,
        run=3,
        jets=str(tmp_path / "jets.npy"),
        threads=hepvae.inferers.base.default_threads(),
        seconds=0.0,
        min_calls=4,
        warm_up_calls=1,
    )
    record = measure(cell)
    assert (record["calls"], record["n_jets"], record["run"], record["batch_size"]) == (4, 32, 3, 8)


def test_own_files_and_one_runtime(tmp_path, capsys):
    path = str(hepvae.sample_path("GtoWW15br"))
    arguments = ["--quick", "--runtimes", "onnxruntime", "--batch-sizes", "32", "--input", path]
    assert main([*arguments, "--output", str(tmp_path)]) == 0
    records = json.loads((tmp_path / "results.json").read_text())["records"]
    assert [(r["model"], r["runtime"], r["batch_size"]) for r in records] == [
        (model, "onnxruntime", 32) for model in MODELS
    ]
    plots = {"timing.png", *(f"anomaly_score_{model}.png" for model in MODELS)}
    assert plots < {file.name for file in tmp_path.iterdir()}


def test_cell_that_fails_is_a_line_and_status_1(tmp_path, capsys, monkeypatch):
    """The others are measured all the same."""
    monkeypatch.setenv("HEPVAE_NUM_THREADS", "1")
    from hepvae.bench import study

    original = study.in_fresh_process

    def broken(cell):
        return original(cell if cell.batch_size == 2 else Cell(**{**vars(cell), "path": "/nowhere.onnx"}))

    monkeypatch.setattr(study, "in_fresh_process", broken)
    arguments = ["--quick", "--models", "conv", "--runtimes", "onnxruntime", "--batch-sizes", "1,2"]
    assert main([*arguments, "--output", str(tmp_path)]) == 1
    assert "failed: conv, onnxruntime, batch 1, run 1: exit status 1" in capsys.readouterr().out
    content = json.loads((tmp_path / "results.json").read_text())
    assert len(content["records"]) == len(content["failures"]) == 1
    assert "/nowhere.onnx: no such model file" in content["failures"][0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "nowhere"], "nowhere: no such model file"),
        (["--input", "nowhere.root"], "nowhere.root: no such file"),
    ],
)
def test_errors_are_one_line(arguments, message, tmp_path, capsys):
    assert main(["--runtimes", "onnxruntime", "--output", str(tmp_path / "out"), *arguments]) == 1
    assert capsys.readouterr().err.startswith(f"hepvae: {message}")
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize("arguments", [["--runtimes", "torch"], ["--batch-sizes", "1,zero"], ["--runs", "0"]])
def test_bad_usage_is_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as exit:
        main(arguments)
    assert exit.value.code == 2
