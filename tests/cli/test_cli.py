"""The command line as users type it, in processes of its own where exit status and streams matter."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
import uproot
from helpers.dijet_files import random_tables, write_events

import hepvae
from hepvae.cli import main
from hepvae.output.journal import Journal
from hepvae.scoring.formats import open_scored
from hepvae.scoring.unfinished import unfinished


def hepvae_command(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "hepvae", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=120,
    )


def test_score_then_plot(tmp_path, capsys):
    for sample in ("qcdSig", "GtoWW15na"):
        status = main(
            ["score", str(hepvae.sample_path(sample)), "--model", "conv", "--region", "signal"]
            + ["--strategy", "max", "--kl-weight", "0.5", "--output", str(tmp_path / f"{sample}.root")]
        )
        assert status == 0
    assert (
        "2050 events scored of 2050 that pass the selection and 2050 read from 1 file" in capsys.readouterr().out
    )
    status = main(
        ["plot", str(tmp_path / "qcdSig.root"), str(tmp_path / "GtoWW15na.root")]
        + ["--output", str(tmp_path / "anomaly_score.png")]
    )
    assert status == 0
    assert (tmp_path / "anomaly_score.png").read_bytes()[:4] == b"\x89PNG"


def test_score_on_each_runtime(tmp_path, runtime):
    status = main(
        ["score", str(hepvae.sample_path("qcdSig")), "--model", "conv", "--runtime", runtime]
        + ["--output", str(tmp_path / "s.root")]
    )
    assert status == 0
    with uproot.open(tmp_path / "s.root") as file:
        assert file["Events"].num_entries == 2050


@pytest.mark.slow
def test_quiet_in_a_pipe_and_status_0(tmp_path, runtime, monkeypatch):
    """TensorFlow too: what its libraries print while they are loaded is kept away."""
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    output = tmp_path / "s.root"
    done = hepvae_command(
        "score", hepvae.sample_path("qcdSig"), "--model", "conv", "--runtime", runtime, "--output", output
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{output}: 2050 events scored")


def test_one_bad_file_is_status_1_and_one_line(tmp_path):
    (tmp_path / "bad.root").write_text("no ROOT file")
    done = hepvae_command(
        "score",
        tmp_path / "bad.root",
        hepvae.sample_path("qcdSig"),
        "--model",
        "conv",
        "--output",
        tmp_path / "s.root",
    )
    assert done.returncode == 1
    assert done.stderr == f"hepvae: {tmp_path / 'bad.root'}: not a ROOT file\n"
    assert "2050 events scored" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["score", "x.root", "--model", "nowhere.onnx", "--output", "s.root"], "nowhere.onnx: no such model file"),
        (["score", "*.zzz", "--model", "conv", "--output", "s.root"], "*.zzz: no file matches"),
        (["plot", "nowhere.root"], "nowhere.root: no such file"),
        (["export", "nowhere"], "nowhere: no such model file"),
        (["train", "nowhere.root", "--model", "conv", "--output", "m"], "nowhere.root: no such file"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_errors_are_one_line_without_traceback(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    assert capsys.readouterr().err == f"hepvae: {message}\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fit"],
        ["score", "x.root"],
        ["score", "x.root", "--model", "conv", "--output", "s", "--strategy", "best"],
        ["train", "x.root", "--model", "edge", "--output", "m", "--hyperparameter", "width"],
    ],
    ids=" ".join,
)
def test_bad_usage_is_status_2(arguments, capsys):
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("hepvae: ") and said.count("\n") == 1


def test_numbers_that_cannot_be_are_bad_usage(tmp_path, capsys):
    common = ["score", str(hepvae.sample_path("qcdSig")), "--model", "conv", "--output", str(tmp_path / "s.root")]
    for option in (["--block-size", "0"], ["--kl-weight", "nan"], ["--threads", "-2"]):
        assert main([*common, *option]) == 2
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
def test_hyperparameters_of_a_training(tmp_path, capsys):
    pytest.importorskip("tensorflow")
    command = ["train", str(hepvae.sample_path("qcdSide")), "--model", "graph", "--output", str(tmp_path / "m")]
    command += ["--epochs", "1", "--max-events", "50", "--distance", "momenta"]
    assert main([*command, "--hyperparameter", "width=8", "--hyperparameter", "units=[32]"]) == 0
    card = hepvae.load_inferer(tmp_path / "m").card
    assert (card.hyperparameters["width"], card.hyperparameters["units"]) == (8, [32])
    assert card.distance == "momenta"
    capsys.readouterr()
    assert main([*command, "--hyperparameter", "depth=8"]) == 2
    assert "hepvae: graph has no hyperparameter 'depth': expected one of" in capsys.readouterr().err


@pytest.mark.slow
def test_train_and_export(tmp_path, capsys):
    pytest.importorskip("tensorflow")
    folder = tmp_path / "conv"
    status = main(
        ["train", str(hepvae.sample_path("qcdSide")), "--model", "conv", "--output", str(folder)]
        + ["--epochs", "1", "--max-events", "200"]
    )
    assert status == 0
    expected = ["history.json", "history.png", "model.keras", "model.onnx", "model.tflite", "options.toml"]
    assert sorted(file.name for file in folder.iterdir()) == expected
    for name in ("model.onnx", "model.tflite"):
        (folder / name).unlink()
    assert main(["export", str(folder)]) == 0
    output = capsys.readouterr().out
    assert "TensorFlow against ONNX Runtime, worst of" in output and "TensorFlow against LiteRT, worst" in output
    assert sorted(file.name for file in folder.iterdir()) == expected


def test_inspect_says_what_becomes_of_weights(tmp_path, capsys, rng):
    """The page on layouts said so, and nothing was printed."""
    tables = random_tables(rng)
    tables["candidates"]["weight"] = [np.full(len(pt), 0.25) for pt in tables["candidates"]["pt"]]
    file = write_events(tmp_path / "a.root", tables, layout="pfnano")
    assert main(["inspect", str(file)]) == 0
    assert re.search(r"a\.root: PFCands_pt is (not )?multiplied by PFCands_puppiWeight", capsys.readouterr().out)


def test_inspect(tmp_path, capsys):
    (tmp_path / "bad.root").write_text("notes")
    files = [str(hepvae.sample_path("qcdSig")), str(tmp_path)]
    assert main(["inspect", *files]) == 1
    said = capsys.readouterr()
    (row,) = (line.split() for line in said.out.splitlines() if "qcdSig" in line)
    assert row[1:6] == ["nanoaodv15", "2050", "2050", "4100", "0"]
    assert said.err == f"hepvae: {tmp_path}/bad.root: not a ROOT file\n"


def test_resume_keeps_the_runtime(tmp_path):
    """`hepvae tune` between a killed run and --resume chose another runtime, and all was scored again."""
    pytest.importorskip("ai_edge_litert")
    output, sample = tmp_path / "scores.root", str(hepvae.sample_path("GtoWW15na"))
    with Journal(unfinished(output), {"runtime": "litert"}):
        pass
    assert main(["score", sample, "--model", "conv", "--output", str(output), "--resume"]) == 0
    with open_scored(output) as scored:
        assert scored.provenance["runtime"] == "litert"
    assert not unfinished(output).exists()
    assert main(["score", sample, "--model", "conv", "--output", str(output), "--resume", "--overwrite"]) == 0
    with open_scored(output) as scored:
        assert scored.provenance["runtime"] == "onnxruntime"
