"""The user's table of what was measured."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import replace

import pytest

from hepvae import load_inferer, model_path
from hepvae.cli import main
from hepvae.inference import tuning
from hepvae.inference.blocks import Tuning


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_what_is_kept_is_used():
    inferer = load_inferer(model_path("conv"))
    assert inferer.tuning == inferer.default_tuning
    tuning.keep(inferer.card, {"onnxruntime": Tuning(7, "operators")})
    assert load_inferer(model_path("conv")).tuning == Tuning(7, "operators")
    assert load_inferer(model_path("conv"), block_size=9).tuning == Tuning(9, "operators")
    assert load_inferer(model_path("graph")).tuning == inferer.default_tuning


def test_table_of_another_machine_is_not_ours(monkeypatch):
    inferer = load_inferer(model_path("conv"))
    tuning.keep(inferer.card, {"onnxruntime": Tuning(7, "operators")})
    monkeypatch.setattr(tuning, "_processor", lambda: "another")
    assert load_inferer(model_path("conv")).tuning == inferer.default_tuning


def test_hyperparameters_are_part_of_what_is_measured():
    """A table measured on a small model was used for a large one of the same architecture."""
    card = load_inferer("conv").card
    tuning.keep(card, {"onnxruntime": Tuning(7, "operators")})
    other = replace(card, hyperparameters={**card.hyperparameters, "dense": [2000, 1000]})
    assert tuning.tuned("onnxruntime", card) == Tuning(7, "operators")
    assert tuning.tuned("onnxruntime", other) is None


def test_user_without_a_home(monkeypatch, caplog):
    """A uid without a home ended `score` and `tune` with RuntimeError."""
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("pathlib.Path.expanduser", lambda self: (_ for _ in ()).throw(RuntimeError("no home")))
    inferer = load_inferer("conv")
    assert inferer.tuning == inferer.default_tuning
    assert tuning.keep(inferer.card, {"onnxruntime": Tuning(7, "operators")}) is None
    assert "no home folder" in caplog.text


def test_table_that_is_no_file(cache, caplog):
    """A FIFO there hung every command."""
    (cache / "hepvae").mkdir()
    os.mkfifo(cache / "hepvae" / "tuning.json")
    for _ in range(2):
        assert load_inferer("conv").tuning == load_inferer("conv").default_tuning
    assert len(caplog.messages) == 1 and "tuning.json: ignored, as it cannot be used (is no file)" in caplog.text


BROKEN = ["", "[" * 100_000, "[1]", "{", '{"KEY": {"block_size": -1, "parallel": "blocks"}}', '{"KEY": 3}']


@pytest.mark.parametrize("content", BROKEN)
def test_table_that_is_broken_is_none(cache, content, caplog):
    inferer = load_inferer(model_path("conv"))
    path = tuning.keep(inferer.card, {"onnxruntime": Tuning(7, "operators")})
    (key,) = json.loads(path.read_text())
    path.write_text(content.replace("KEY", json.dumps(key)[1:-1]) + " ")
    for _ in range(2):
        assert load_inferer(model_path("conv")).tuning == inferer.default_tuning
    assert len(caplog.messages) == 1 and str(path) in caplog.text


def test_fastest_runtime_is_that_of_directories(tmp_path):
    """Chosen where the model is loaded; a file, a runtime that is given and workers are not asked."""
    pytest.importorskip("ai_edge_litert")
    card = load_inferer("conv").card
    tuning.keep(card, {"litert": Tuning(8, "blocks")}, "litert")
    inferer = load_inferer("conv")
    assert inferer.runtime == "litert" and inferer.tuning == Tuning(8, "blocks")
    assert load_inferer(model_path("conv").parent).runtime == "litert"
    assert load_inferer(model_path("conv")).runtime == "onnxruntime"
    assert load_inferer("conv", runtime="onnxruntime").runtime == "onnxruntime"
    assert load_inferer("graph").runtime == "onnxruntime"
    tuning.keep(card, {}, "onnxruntime")
    assert pickle.loads(pickle.dumps(inferer)).runtime == "litert"


@pytest.mark.parametrize("name", ["no-such-runtime", "tensorflow-lite", "", 3])
def test_fastest_runtime_that_is_not_there(tmp_path, name):
    """A table of another installation: the default, and no error."""
    tuning.keep(load_inferer("conv").card, {}, name)
    assert load_inferer("conv").runtime == "onnxruntime"


def test_options_of_the_default_runtime_keep_it():
    """``arena`` is of ONNX Runtime: the fastest runtime, which has no such option, ended the command."""
    tuning.keep(load_inferer("conv").card, {}, "litert")
    assert load_inferer("conv", arena=False).runtime == "onnxruntime"


def test_command_measures_and_keeps(capsys, monkeypatch, cache):
    monkeypatch.setattr("hepvae.inference.tune.BLOCK_SIZES", (32, 64))
    monkeypatch.setattr("hepvae.inference.tune.runtime_names", lambda: ["onnxruntime", "litert", "no-such"])
    assert main(["tune", "--model", "conv"]) == 0
    output = capsys.readouterr().out
    assert output.count("chosen") == 1 and str(cache / "hepvae" / "tuning.json") in output
    assert "no-such: not measured: runtime 'no-such' is unknown" in output
    chosen = next(line.split() for line in output.splitlines() if line.endswith("chosen"))
    inferer = load_inferer("conv")
    assert [inferer.runtime, str(inferer.tuning.block_size), inferer.tuning.parallel] == chosen[:3]


def test_command_measures_one_runtime(capsys, monkeypatch):
    monkeypatch.setattr("hepvae.inference.tune.BLOCK_SIZES", (32,))
    assert main(["tune", "--model", "conv", "--runtime", "onnxruntime"]) == 0
    assert "litert" not in capsys.readouterr().out
    assert load_inferer("conv").runtime == "onnxruntime"
