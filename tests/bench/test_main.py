"""The bench as a user runs it: python -m hepvae.bench."""

from __future__ import annotations

import csv
import json
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

import hepvae
from hepvae.bench.cells import cell_key
from hepvae.bench.command import STUDIED, bench
from hepvae.bench.intervals import middle
from hepvae.bench.study import unfinished
from hepvae.cli import main as hepvae_main
from hepvae.execution.command import run

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


def main(arguments):
    return run(bench, arguments, "python -m hepvae.bench")


def said(stderr: str) -> str:
    """Standard error without what matplotlib says when it is slow for the first time."""
    return "".join(line for line in stderr.splitlines(True) if "font cache" not in line)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A short study."""
    pytest.importorskip("tensorflow")
    pytest.importorskip("ai_edge_litert")
    output = tmp_path_factory.mktemp("bench") / "out"
    done = subprocess.run(
        [sys.executable, "-m", "hepvae.bench", "--quick", "--models", "conv", "--batch-sizes", "1,64"]
        + ["--output", str(output)],
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert (done.returncode, said(done.stderr)) == (0, "")
    return output, done.stdout


@pytest.mark.slow
def test_files_and_tables(study):
    output, printed = study
    names = ["anomaly_score.png", "difference.png", "memory.png", "report.html", "report.md"]
    names += ["results.csv", "results.json", "timing.png"]
    assert sorted(file.name for file in output.iterdir()) == names
    for name in names:
        assert str(output / name) in printed
    assert "parity of conv on onnxruntime: worst of 16516 jets" in printed
    rows = [line.split() for line in printed.splitlines() if line.startswith("conv ")]
    cells = [[runtime, size] for size in ("1", "64") for runtime in ("tensorflow", "onnxruntime", "litert")]
    assert [row[1:3] for row in rows] == 2 * cells  # times, then memory
    assert "Measured with jets in memory, read from this disk." in printed


@pytest.mark.slow
def test_results(study):
    content = json.loads((study[0] / "results.json").read_text())
    assert content["failures"] == []
    assert content["environment"]["packages"]["onnxruntime"]
    records = content["records"]
    assert len(records) == 6
    for record in records:
        assert set(record) >= KEYS
        assert (record["source"], record["pipeline"], record["run"]) == ("local", "numpy", 1)
        latency = record["latency_s"]
        assert 0 < latency["median"] <= latency["p90"] <= latency["p99"]
        assert record["n_jets"] == record["timed_calls"] * record["batch_size"]
        assert record["jets_per_s"] == pytest.approx(record["batch_size"] / float(middle(record["blocks_s"])))
        assert record["rss_peak_bytes"] > record["rss_inference_bytes"] >= record["rss_growth_bytes"]
        # Whatever else there is, the distances of 100 x 100 particles of each jet are.
        assert record["rss_inference_bytes"] > record["batch_size"] * 100 * 100 * 4
    # TensorFlow alone is larger in memory than all of ONNX Runtime: the processes are separate.
    peak = {r["runtime"]: r["rss_peak_bytes"] for r in records}
    assert peak["onnxruntime"] < peak["tensorflow"]
    with open(study[0] / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(r["latency_median_s"]) for r in rows] == [r["latency_s"]["median"] for r in records]


@pytest.mark.slow
def test_report_is_one_file_with_everything_in_it(study):
    html = (study[0] / "report.html").read_text()
    assert html.count('src="data:image/png;base64,') == html.count("<img ") == 4
    assert not re.search(r'(src|href)="(?!data:|#)', html)
    markdown = (study[0] / "report.md").read_text()
    for title in ("Time", "Scenarios of MLPerf inference", "Memory", "Parity", "Input", "Machine and software"):
        assert f"\n## {title}\n" in markdown
        assert re.search(f"<h2[^>]*>{title}</h2>", html)
    assert "| conv | tensorflow | 64 |" in markdown
    for image in re.findall(r"\(([^()]*\.png)\)", markdown):
        assert (study[0] / image).is_file()


def records_of(output):
    return json.loads((output / "results.json").read_text())["records"]


QUICK = ["--quick", "--models", "conv", "--runtimes", "onnxruntime"]


@pytest.mark.slow
def test_study_that_was_killed_goes_on(tmp_path):
    """It ends with the records that one has that was not, and without those it had to make again."""
    sizes = [str(2**i) for i in range(9)]
    command = [sys.executable, "-m", "hepvae.bench", *QUICK, "--seconds", "0.2"]
    command += ["--batch-sizes", ",".join(sizes), "--output", str(tmp_path / "out")]
    kept = unfinished(tmp_path / "out") / "parts.jsonl"

    def finished_cells():
        lines = kept.read_text().splitlines(True) if kept.exists() else []
        parts = [json.loads(line.partition(" ")[2])[1] for line in lines if line.strip() and line.endswith("\n")]
        return [record for part in parts for record in part.get("records", ())]

    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while len(finished_cells()) < 2 and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    before = finished_cells()
    assert 2 <= len(before) < len(sizes)
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert said(done.stderr) == f"continuing: {len(before)} of {len(sizes)} configurations are measured already\n"
    keys = [cell_key(record) for record in records_of(tmp_path / "out")]
    assert len(keys) == len(set(keys))
    assert [str(key[6]) for key in keys] == sizes
    assert records_of(tmp_path / "out")[: len(before)] == before
    assert not kept.parent.exists()


@pytest.mark.slow
def test_own_files_and_one_runtime(tmp_path, capsys):
    path = str(hepvae.sample_path("GtoWW15br"))
    arguments = ["--quick", "--runtimes", "onnxruntime", "--batch-sizes", "32", "--input", path]
    assert main([*arguments, "--output", str(tmp_path)]) == 0
    records = json.loads((tmp_path / "results.json").read_text())["records"]
    assert [(r["model"], r["runtime"], r["batch_size"]) for r in records] == [
        (model, "onnxruntime", 32) for model in STUDIED
    ]
    plots = {"timing.png", *(f"anomaly_score_{model}.png" for model in STUDIED)}
    assert plots < {file.name for file in tmp_path.iterdir()}


@pytest.mark.slow
def test_cell_that_fails_is_a_row_and_status_1(tmp_path, capsys, monkeypatch):
    """No server for XRootD: those cells say so, and the others are measured all the same."""
    monkeypatch.setenv("PATH", str(tmp_path))
    arguments = [*QUICK, "--batch-sizes", "2", "--sources", "local,xrootd", "--output", str(tmp_path / "out")]
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert "failed: conv, onnxruntime, xrootd, numpy, 2, 1, xrootd, the server, is not installed" in said.out
    assert said.err.endswith("hepvae: not measured: 1 of the configurations\n")
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [record["source"] for record in content["records"]] == ["local"]
    assert [failure["source"] for failure in content["failures"]] == ["xrootd"]
    assert "apt-get install xrootd-server" in (tmp_path / "out" / "report.md").read_text()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("xrootd") is None, reason="no XRootD server: apt-get install xrootd-server")
def test_sources_pipelines_delays_and_trainings(tmp_path, capsys):
    """Everything that may vary, at one batch size."""
    pytest.importorskip("tensorflow")
    path = str(hepvae.sample_path("GtoWW15na"))
    arguments = [*QUICK, "--batch-sizes", "64", "--input", path, "--sources", "local,xrootd", "--rtt", "20"]
    arguments += ["--pipelines", "numpy,tf.data", "--retrain", "1", "--output", str(tmp_path)]
    assert main(arguments) == 0
    content = json.loads((tmp_path / "results.json").read_text())
    places = {(r["source"], r["rtt_ms"], r["pipeline"], r["training"]) for r in content["records"]}
    assert places == {
        *((source, 0.0, pipeline, "") for source in ("local", "xrootd") for pipeline in ("numpy", "tf.data")),
        ("xrootd", 20.0, "tf.data", ""),
        ("local", 0.0, "numpy", "seed 1"),
    }
    assert {(i["source"], i["rtt_ms"]) for i in content["inputs"]} == {
        ("local", 0.0),
        ("xrootd", 0.0),
        ("xrootd", 20.0),
    }
    # The files are opened and read one round trip after the other.
    seconds = {
        i["rtt_ms"]: min(i["input_s"], i["first_input_s"]) for i in content["inputs"] if i["source"] == "xrootd"
    }
    assert seconds[20.0] > seconds[0.0] + 0.05
    assert [t["training"] for t in content["trainings"]] == ["seed 1"]
    for name in ("sources.png", "delays.png", "trainings.png"):
        assert (tmp_path / name).is_file()
    report = (tmp_path / "report.md").read_text()
    for title in ("XRootD beside disk, streams beside memory", "Far from the files", "New training beside old"):
        assert f"## {title}" in report


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


@pytest.mark.parametrize(
    "arguments",
    [
        ["--runtimes", "torch"],
        ["--batch-sizes", "1,zero"],
        ["--runs", "0"],
        ["--sources", "eos"],
        ["--rtt", "-1"],
        ["--full", "--quick"],
        ["--seconds", "nan"],
        ["--full", "--input", "root://host//a.root"],
        ["--engine", "--scaling"],
        ["--quick", "--adopted", "."],
        ["--modells", "conv"],
    ],
)
def test_bad_usage_is_status_2(arguments, capsys):
    """In one line, of either way to start it."""
    assert main(arguments) == hepvae_main(["bench", *arguments]) == 2
    one, other = capsys.readouterr().err.splitlines()
    assert one.startswith("hepvae: ") and one.replace("python -m hepvae.bench", "hepvae bench") == other
