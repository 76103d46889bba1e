"""What every command has: configuration files, the log, names that were meant, and streams that go away."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import uproot
from helpers.dijet_files import random_tables, write_events

import hepvae
from hepvae.cli import COMMANDS, main
from hepvae.scoring.formats import open_scored

SAMPLE = str(hepvae.sample_path("GtoWW15na"))


@pytest.fixture
def small(tmp_path, rng):
    """A file of a few events, all of which pass these cuts."""
    return str(write_events(tmp_path / "small.root", random_tables(rng, events=12, jets=(2, 3))))


def score(*arguments):
    return main(["score", "--model", "conv", "--mjj-min", "0", "--pt-min", "0", *map(str, arguments)])


def test_help_of_all_commands_imports_nothing_heavy():
    code = (
        "import sys\nfrom hepvae.cli import main\nassert main(['--help']) == 0\n"
        "assert not {'tensorflow', 'matplotlib', 'onnxruntime', 'hepvae.bench', 'rich'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    for name in COMMANDS:
        assert f"  {name}" in done.stdout


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "bench"])
def test_each_command_has_help(command, capsys):
    assert main([command, "--help"]) == 0
    printed = capsys.readouterr().out
    assert f"hepvae {command}" in printed and "--log-file" in printed and "--config" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["scroe"], "command 'scroe' is unknown: expected one of score, "),
        (["scroe"], "nearest: 'score'"),
        (["score", "x.root", "--pt-mim", "3"], "--pt-min"),
        (["score", "x.root", "--model", "conv", "--output", "s.root", "--strategy", "mim"], "nearest: 'min'"),
        (
            ["score", "x.root", "--model", "conv", "--output", "s.root", "--allow-failed", "-1"],
            "--allow-failed is -1",
        ),
        (["score", "x.root", "--model", "conv", "--output", "s.root", "--eta-max", "-5"], "--eta-max is -5"),
        (["score", "x.root", "--model", "conv", "--output", "s.root", "--kl-weight", "inf"], "kl_weight is inf"),
        (["score", "x.root", "--model", "conv", "--output", "s.root", "--pt-min", "high"], "--pt-min is 'high'"),
        (["inspect", "x.root", "--n-particles", "1.5"], "--n-particles is '1.5'"),
        (["plot", "s.root", "--bins", str(10**12)], "--bins is 1000000000000: expected a whole number from 1 to"),
        (["serve-local", ".", "--rtt", "1e9"], "--rtt is 1000000000.0"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else value[:30],
)
def test_bad_usage_is_refused_by_name(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert message in printed.err and printed.err.count("\n") == 1 and printed.out == ""
    assert list(tmp_path.iterdir()) == []


def test_options_of_a_file_and_the_command_line_wins(small, tmp_path, capsys):
    config = tmp_path / "config.toml"
    config.write_text('strategy = "max"\nkl-weight = 0.5\nregion = "signal"\nfriend = true\ntimeout = 30\n')
    assert score(small, "--config", config, "--output", tmp_path / "s.root", "--strategy", "sum") == 0
    with open_scored(tmp_path / "s.root") as scored:
        provenance = scored.provenance
        assert "scored" in scored.kinds
    assert [provenance[name] for name in ("strategy", "kl_weight", "region")] == ["sum", 0.5, "signal"]
    assert provenance["options"]["access"]["timeout_s"] == 30 and provenance["options"]["friend"] is True


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        ("kl-wieght = 0.5", 2, "no option 'kl-wieght' of score; nearest: 'kl-weight'"),
        ("pt_min = 3", 2, "nearest: 'pt-min'"),
        ("config = 'a.toml'", 2, "no option 'config'"),
        ("friend = 1", 2, "friend is 1: expected true or false"),
        ("kl-weight = true", 2, "kl-weight is True: expected one value"),
        ("kl-weight = [1]", 2, "kl-weight is [1]: expected one value"),
        ("kl-weight = 'x'", 2, "--kl-weight is 'x': expected a number"),
        ("threads = 1.5", 2, "--threads is '1.5': expected a whole number"),
        ("[score]\nfriend = true", 2, "no option 'score' of score"),
        ("=", 2, "not TOML"),
        (None, 1, "cannot be read: No such file"),
    ],
)
def test_a_file_of_options_that_is_wrong(small, tmp_path, capsys, text, status, message):
    config = tmp_path / "config.toml"
    if text is not None:
        config.write_text(text)
    assert score(small, "--config", config, "--output", tmp_path / "s.root") == status
    printed = capsys.readouterr().err
    assert message in printed and printed.count("\n") == 1
    assert not (tmp_path / "s.root").exists()


def test_log_file_and_verbosity(small, tmp_path, capsys):
    log, output = tmp_path / "run.log", tmp_path / "s.root"
    (tmp_path / "bad.root").write_text("notes")
    assert score(small, tmp_path / "bad.root", "--log-file", log, "--output", output, "-q") == 1
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err == f"hepvae: {tmp_path}/bad.root: not a ROOT file\n"
    lines = log.read_text().splitlines()
    assert any("INFO" in line and "hepvae score with" in line and "'kl-weight'" not in line for line in lines)
    assert any("events scored of 12 read" in line for line in lines)
    assert any("ERROR" in line and "bad.root: not a ROOT file" in line for line in lines)
    assert lines[-1].endswith("exit status 1")
    assert score(small, "--output", output, "--overwrite", "-v") == 0
    assert "events scored of 12 read" in capsys.readouterr().err
    assert score(small, "--log-file", tmp_path / "no" / "log", "--output", output) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_bundled_model_has_a_card(capsys):
    assert main(["model", "conv"]) == 0
    printed = capsys.readouterr().out
    assert "conv" in printed and "100, by falling pt" in printed and "reco_loss + 0.01 kl_loss" in printed
    assert main(["model", "conv", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == hepvae.load_inferer(hepvae.model_path("conv")).card.to_dict()
    assert main(["model", "cnov"]) == 1
    assert "nearest: 'conv'" in capsys.readouterr().err


def test_completion_of_commands():
    run = [sys.executable, "-c", "from hepvae.cli import main; main()"]
    environment = {**os.environ, "_HEPVAE_COMPLETE": "bash_complete", "COMP_WORDS": "hepvae sc", "COMP_CWORD": "1"}
    done = subprocess.run(run, capture_output=True, text=True, timeout=60, env=environment)
    assert (done.returncode, done.stdout) == (0, "plain,score\n")


def test_inspect_of_names_with_markup(tmp_path, capsys):
    """What a reviewer saw: `a[/]b.root` ended inspect with a traceback."""
    (tmp_path / "a[").mkdir()
    path = tmp_path / "a[" / "]b\x1b[2J.root"
    shutil.copy(SAMPLE, path)
    assert main(["inspect", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert "]b\\x1b[2J.root" in printed.out.replace("\n", "") and "\x1b" not in printed.out + printed.err


SHELL = {
    "a pipe that is closed": ("{} | true", "", 0),
    "a closed stream": ("{} >&-", "", 0),
    "a full device": ("{} > /dev/full", "hepvae: standard output cannot be written: No space left on device\n", 0),
    "no stream at all": ("{} <&- >&- 2>&-", "", 0),
}


@pytest.mark.parametrize("how", SHELL)
def test_a_complete_file_is_status_0_whatever_becomes_of_the_report(small, tmp_path, how):
    """What a user saw: a traceback and status 1 or 120, with the file there and complete."""
    command, message, status = SHELL[how]
    output = tmp_path / "s.root"
    hepvae_command = f"{sys.executable} -m hepvae score {small} --model conv --mjj-min 0 --output {output}"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command.format(hepvae_command)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (status, message)
    with uproot.open(output) as file:
        assert file["Events"].num_entries > 0


def test_a_result_that_is_lost_is_status_1():
    command = f"{sys.executable} -m hepvae model conv > /dev/full"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "No space left" in done.stderr


def test_keywords_are_checked_before_anything_is_read(tmp_path, signal_events):
    inferer = hepvae.load_inferer(hepvae.model_path("conv"))
    wrong = {
        "pt_mim": (300, "score_files takes no option 'pt_mim': expected some of .*; nearest: 'pt_min'"),
        "stratgy": ("max", "nearest: 'strategy'"),
        "strategy": ("maxx", "nearest: 'max'"),
        "region": ("signl", "nearest: 'signal'"),
        "schema": ("nano", "schema 'nano' is unknown"),
        "step_size": ("much", "step_size is 'much'"),
        "resume": ("no", "resume is 'no'"),
        "eta_max": (-5, "eta_max is -5"),
        "kl_weight": ("1", "kl_weight is '1'"),
    }
    for name, (value, message) in wrong.items():
        with pytest.raises(hepvae.OptionError, match=message):
            hepvae.score_files("nowhere.root", inferer, tmp_path / "s.root", **{name: value})
    with pytest.raises(hepvae.OptionError, match=r"inferer is 'conv': expected hepvae\.load_inferer\('conv'\)"):
        hepvae.score_dijets(signal_events, "conv")
    with pytest.raises(hepvae.OptionError, match="inferer is a dict"):
        hepvae.score_dijets(signal_events, {})


def test_numpy_scalars_are_numbers(small, tmp_path):
    inferer = hepvae.load_inferer(hepvae.model_path("conv"))
    cuts = {"pt_min": np.float32(0), "mjj_min": np.int64(0), "step_size": np.int32(5), "kl_weight": np.float64(1)}
    assert hepvae.score_files(small, inferer, tmp_path / "s.root", **cuts).events_scored > 0


def test_handlers_of_other_packages_show_nothing_of_ours(capsys):
    """Standard error of `hepvae adopt` ended with `INFO:hepvae:exit status 0`: others had set up the root log."""
    root = logging.getLogger()
    handler = logging.StreamHandler(sys.stderr)
    root.addHandler(handler)
    try:
        assert main(["model", "conv"]) == 0
    finally:
        root.removeHandler(handler)
    assert capsys.readouterr().err == ""
    assert logging.getLogger("hepvae").propagate
