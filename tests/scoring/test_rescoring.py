"""Scores made again from the losses in a scored file."""

from __future__ import annotations

import json

import numpy as np
import pytest
import uproot

import hepvae
from hepvae.cli import main
from hepvae.scoring.formats import PROVENANCE, open_scored
from hepvae.scoring.rescoring import losses_of, model_card, rescore_file
from hepvae.scoring.strategy import ScoreStrategy

SAMPLE = hepvae.sample_path("GtoWW15na")


@pytest.fixture(scope="module")
def scored_file(tmp_path_factory, conv):
    path = tmp_path_factory.mktemp("scored") / "scored.root"
    hepvae.score_files(SAMPLE, conv, path)
    return path


def columns(path):
    with open_scored(path) as scored:
        return {name: scored.column(name) for name in scored.kinds}


@pytest.mark.parametrize("suffix", [".root", ".parquet"])
def test_a_file_is_as_if_scored_that_way(tmp_path, conv, scored_file, suffix):
    asked = {"strategy": "max", "kl_weight": 0.5, "convention": "sum"}
    hepvae.score_files(SAMPLE, conv, tmp_path / "asked.root", **asked)
    made, _ = rescore_file(scored_file, tmp_path / f"made{suffix}", ScoreStrategy(**asked))
    assert made == ScoreStrategy(**asked)
    found, expected = columns(tmp_path / f"made{suffix}"), columns(tmp_path / "asked.root")
    assert found.keys() == expected.keys() and len(found["score"]) > 2000
    for name, values in expected.items():
        assert found[name].dtype == values.dtype and np.array_equal(found[name], values), name
    with open_scored(tmp_path / f"made{suffix}") as one, open_scored(tmp_path / "asked.root") as other:
        assert one.provenance == other.provenance
        assert one.provenance["convention"] == "sum"
    assert not np.array_equal(found["score"], columns(scored_file)["score"])


def test_scores_in_memory(conv, scored_file):
    with open_scored(scored_file) as scored:
        card = model_card(scored)
        losses = losses_of(scored.column, card)
        assert np.array_equal(ScoreStrategy().score_of(losses, card), scored.column("score"))
        assert np.array_equal(ScoreStrategy("j1", 0).score_of(losses, card), scored.column("j1_reco_loss"))


def test_rows_of_a_friend_without_a_score_stay_without(tmp_path, conv):
    hepvae.score_files(SAMPLE, conv, tmp_path / "friend.root", region="signal", friend=True)
    rescore_file(tmp_path / "friend.root", tmp_path / "other.root", ScoreStrategy("sum"))
    found = columns(tmp_path / "other.root")
    assert 0 < found["scored"].sum() < len(found["scored"])
    assert np.array_equal(np.isfinite(found["score"]), found["scored"])


def test_on_the_command_line(tmp_path, scored_file, capsys):
    output = tmp_path / "other.root"
    command = ["rescore", str(scored_file), "--strategy=max", "--kl-weight=0.5", "--output", str(output)]
    assert main(command) == 0
    assert "score is max of reco_loss + 0.5 kl_loss (means)" in capsys.readouterr().out
    assert main(command) == 1 and "exists already" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    with uproot.open(output) as file:
        assert json.loads(file[PROVENANCE])["strategy"] == "max"


@pytest.mark.parametrize(
    ("file", "error", "message"),
    [
        ("absent.root", hepvae.FileError, "absent.root"),
        ("sample", hepvae.LayoutError, "no branch 'score'"),
        ("foreign.root", hepvae.LayoutError, "does not say which model"),
    ],
)
def test_what_is_no_scored_file(tmp_path, file, error, message):
    with uproot.recreate(tmp_path / "foreign.root") as made:
        made.mktree("Events", {"score": np.float32}).extend({"score": np.ones(3, np.float32)})
    with pytest.raises(error, match=message):
        rescore_file(SAMPLE if file == "sample" else tmp_path / file, tmp_path / "out.root", ScoreStrategy())
    assert not (tmp_path / "out.root").exists()


def test_the_input_is_not_overwritten(scored_file):
    with pytest.raises(hepvae.OptionError, match="is the input"):
        rescore_file(scored_file, scored_file, ScoreStrategy(), overwrite=True)


def test_a_folder_of_parts_is_merged_first(tmp_path, conv, capsys):
    hepvae.score_files(SAMPLE, conv, f"{tmp_path}/parts/")
    command = ["rescore", f"{tmp_path}/parts", "--strategy=max", f"--output={tmp_path}/other.root"]
    assert main(command) == 2
    assert "parts: is a folder: expected a scored file, as hepvae merge " in capsys.readouterr().err
