"""The user's table of what was measured."""

from __future__ import annotations

import json
import os
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
    tuning.keep("onnxruntime", inferer.card, Tuning(7, "operators"))
    assert load_inferer(model_path("conv")).tuning == Tuning(7, "operators")
    assert load_inferer(model_path("conv"), block_size=9).tuning == Tuning(9, "operators")
    assert load_inferer(model_path("graph")).tuning == inferer.default_tuning


def test_table_of_another_machine_is_not_ours(monkeypatch):
    inferer = load_inferer(model_path("conv"))
    tuning.keep("onnxruntime", inferer.card, Tuning(7, "operators"))
    monkeypatch.setattr(tuning, "_processor", lambda: "another")
    assert load_inferer(model_path("conv")).tuning == inferer.default_tuning


def test_hyperparameters_are_part_of_what_is_measured():
    """A table measured on a small model was used for a large one of the same architecture."""
    card = load_inferer("conv").card
    tuning.keep("onnxruntime", card, Tuning(7, "operators"))
    other = replace(card, hyperparameters={**card.hyperparameters, "dense": [2000, 1000]})
    assert tuning.tuned("onnxruntime", card) == Tuning(7, "operators")
    assert tuning.tuned("onnxruntime", other) is None


def test_user_without_a_home(monkeypatch, caplog):
    """A uid without a home ended `score` and `tune` with RuntimeError."""
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("pathlib.Path.expanduser", lambda self: (_ for _ in ()).throw(RuntimeError("no home")))
    inferer = load_inferer("conv")
    assert inferer.tuning == inferer.default_tuning
    assert tuning.keep("onnxruntime", inferer.card, Tuning(7, "operators")) is None
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
    path = tuning.keep("onnxruntime", inferer.card, Tuning(7, "operators"))
    (key,) = json.loads(path.read_text())
    path.write_text(content.replace("KEY", json.dumps(key)[1:-1]) + " ")
    for _ in range(2):
        assert load_inferer(model_path("conv")).tuning == inferer.default_tuning
    assert len(caplog.messages) == 1 and str(path) in caplog.text


def test_command_measures_and_keeps(capsys, monkeypatch, cache):
    monkeypatch.setattr("hepvae.inference.tune.BLOCK_SIZES", (32, 64))
    assert main(["tune", "--model", "conv"]) == 0
    said = capsys.readouterr().out
    assert said.count("chosen") == 1 and str(cache / "hepvae" / "tuning.json") in said
    assert load_inferer(model_path("conv")).tuning.block_size in (32, 48, 64)
