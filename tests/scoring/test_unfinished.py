"""A scored file appears whole, also after a process that made it was killed."""

from __future__ import annotations

import signal
import subprocess
import sys

import numpy as np
import pytest
import uproot
from helpers.dijet_files import random_tables, write_events
from helpers.scored import DYING, columns_of, read_scores

import hepvae
from hepvae.cli import main
from hepvae.scoring.unfinished import unfinished

FILES = 6


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    for i in range(FILES):
        write_events(tmp_path / "in" / f"{i}.root", random_tables(np.random.default_rng(i), events=40))
    return tmp_path


def score(folder, inferer, name="s.root", **options):
    return hepvae.score_files(folder / "in", inferer, folder / name, mjj_min=0, step_size=15, **options)


#: Dies in the fourth file, or runs out of room on the disk: files may not grow beyond so many bytes.
SCRIPT = f"""
import resource, sys
import hepvae
{DYING}
folder, how = sys.argv[1:]
inferer = hepvae.load_inferer(hepvae.model_path("conv"))
if how == "killed":
    inferer = Dying(inferer, 11)
else:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(how), int(how)))
try:
    hepvae.score_files(folder + "/in", inferer, folder + "/s.root", mjj_min=0, step_size=15, overwrite=True)
except hepvae.FileError as error:
    sys.exit(str(error))
"""


def run(folder, how):
    command = [sys.executable, "-c", SCRIPT, str(folder), how]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_killed_run_goes_on_to_the_same_bytes(folder, conv):
    whole = score(folder, conv, "whole.root")
    assert run(folder, "killed").returncode == -signal.SIGKILL
    assert not (folder / "s.root").exists()
    report = score(folder, conv, resume=True)
    assert 0 < report.files_resumed < FILES
    assert report.files == whole.files
    expected, found = columns_of(folder / "whole.root"), columns_of(folder / "s.root")
    assert list(expected) == list(found)
    for name, values in expected.items():
        assert found[name].dtype == values.dtype
        assert found[name].tobytes() == values.tobytes(), name
    assert not unfinished(folder / "s.root").exists()


def test_rows_of_other_options_are_not_resumed_and_the_log_says_so(folder, conv, caplog):
    """What a user saw: --resume after `hepvae tune` had changed the block size started over without a word."""
    run(folder, "killed")
    assert score(folder, conv, resume=True, strategy="max").files_resumed == 0
    assert "nothing is resumed, since what was kept was scored with other: strategy" in caplog.text
    run(folder, "killed")
    other = hepvae.load_inferer(hepvae.model_path("conv"), block_size=7)
    assert score(folder, other, resume=True, overwrite=True).files_resumed == 0
    assert "scored with other: tuning" in caplog.text
    run(folder, "killed")
    assert score(folder, conv, overwrite=True).files_resumed == 0


def test_file_that_failed_is_read_again(folder, conv):
    run(folder, "killed")
    first = folder / "in" / "0.root"
    before = first.read_bytes()
    first.write_bytes(before[:2000])  # another file now: it alone is read again
    report = score(folder, conv, "s.root", resume=True)
    assert report.files_resumed == 2
    assert [file.path for file in report.failed] == [str(first)]


def test_file_that_failed_half_way_does_not_say_which_columns_there_are(tmp_path, conv):
    broken = random_tables(np.random.default_rng(1), events=40)
    last = max(event for event, links in enumerate(broken["links"]["candidate"]) if len(links))
    broken["links"]["candidate"][last][0] = 9999
    assert last > 15  # a chunk was scored before
    (tmp_path / "in").mkdir()
    write_events(tmp_path / "in" / "0.root", broken, weights=False)
    write_events(tmp_path / "in" / "1.root", random_tables(np.random.default_rng(2), events=40))
    report = score(tmp_path, conv)
    assert [file.path for file in report.failed] == [str(tmp_path / "in" / "0.root")]
    assert report.files[1].events_scored == len(columns_of(tmp_path / "s.root")["genWeight"]) > 0


def test_rows_that_did_not_reach_the_disk_are_scored_again(folder, conv):
    whole = score(folder, conv, "whole.root")
    run(folder, "killed")
    rows = max(unfinished(folder / "s.root").glob("*.rows"), key=lambda path: path.stat().st_size)
    rows.write_bytes(rows.read_bytes()[:-8])
    report = score(folder, conv, resume=True)
    assert 0 < report.files_resumed < FILES - 1
    assert report.files == whole.files
    assert columns_of(folder / "s.root")["score"].tobytes() == columns_of(folder / "whole.root")["score"].tobytes()


@pytest.mark.parametrize("room", [500, 20_000], ids=["no row fits", "the file does not fit"])
def test_full_disk_leaves_what_was_there(folder, conv, room):
    score(folder, conv)
    before = (folder / "s.root").read_bytes()
    assert len(before) > room
    done = run(folder, str(room))
    assert done.returncode == 1
    assert "s.root" in done.stderr and "cannot be written: File too large" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert (folder / "s.root").read_bytes() == before
    assert sorted(p.name for p in folder.iterdir()) == [".s.root.unfinished", "in", "s.root"]
    assert score(folder, conv, resume=True, overwrite=True).failed == []


def test_command_line(folder, capsys):
    run(folder, "killed")
    (folder / "in" / "6.root").write_text("no ROOT file")
    arguments = ["score", str(folder / "in"), "--model", "conv", "--output", str(folder / "s.root")]
    assert main([*arguments, "--resume"]) == 1
    assert main([*arguments, "--allow-failed", "1", "--overwrite"]) == 0
    assert capsys.readouterr().err.count("6.root: not a ROOT file") == 2


def test_output_that_exists_is_kept(folder, conv, capsys):
    score(folder, conv)
    before = (folder / "s.root").read_bytes()
    with pytest.raises(hepvae.FileError, match=r"s\.root: exists already: expected a new name, or --overwrite"):
        score(folder, conv, strategy="max")
    assert (folder / "s.root").read_bytes() == before
    score(folder, conv, strategy="max", overwrite=True)
    assert (folder / "s.root").read_bytes() != before
    with pytest.raises(hepvae.OptionError, match=r"s\.csv: expected a name that ends in \.root or \.parquet"):
        score(folder, conv, "s.csv")


def test_parquet_has_the_same_columns(folder, conv, monkeypatch):
    import json

    from pyarrow.parquet import ParquetFile

    monkeypatch.setattr("hepvae.scoring.form.ROWS_AT_ONCE", 50)
    score(folder, conv)
    score(folder, conv, "s.parquet")
    expected = columns_of(folder / "s.root")
    with ParquetFile(folder / "s.parquet") as file:
        assert file.num_row_groups == -(-len(expected["score"]) // 50) > 1
        found = file.read()
        assert json.loads(file.schema_arrow.metadata[b"hepvae"])["card"]["architecture"] == "conv"
    assert found.column_names == list(expected)
    for name, values in expected.items():
        column = found[name].to_numpy()
        assert column.dtype == values.dtype and column.tobytes() == values.tobytes(), name
    for read, name in zip(read_scores(folder / "s.parquet"), ("score", "genWeight")):
        assert read.tobytes() == expected[name].tobytes()


def test_parquet_that_cannot_be_read(tmp_path):
    (tmp_path / "s.parquet").write_text("my notes")
    with pytest.raises(hepvae.FileError, match=r"s\.parquet: cannot be read"):
        read_scores(tmp_path / "s.parquet")
    with pytest.raises(hepvae.FileError, match=r"t\.parquet: cannot be read"):
        read_scores(tmp_path / "t.parquet")


@pytest.mark.parametrize("suffix", ["root", "parquet"])
def test_friend_has_a_row_for_each_entry(folder, conv, monkeypatch, suffix):
    """Row by row beside the input, whose events it is told from by nothing but their place."""
    monkeypatch.setattr("hepvae.scoring.form.ROWS_AT_ONCE", 64)
    score(folder, conv, "s.root")
    report = score(folder, conv, f"f.{suffix}", friend=True)
    if suffix == "root":
        friend = columns_of(folder / "f.root")
    else:
        from pyarrow.parquet import read_table

        table = read_table(folder / "f.parquet")
        friend = {name: table[name].to_numpy() for name in table.column_names}
    scored = columns_of(folder / "s.root")
    with uproot.open(folder / "in" / "0.root") as file:
        assert not {"run", "event", "genWeight"} & set(friend) and "event" in file["Events"]
    event = np.concatenate([columns_of(folder / "in" / f"{i}.root")["event"] for i in range(FILES)])
    assert len(friend["scored"]) == len(event) == 40 * FILES
    assert friend["scored"].sum() == report.events_scored == len(scored["event"])
    assert (event[friend["scored"]] == scored["event"]).all()
    for name in set(friend) - {"scored"}:
        assert friend[name][friend["scored"]].tobytes() == scored[name].tobytes(), name
        assert np.isnan(friend[name][~friend["scored"]]).all(), name
    with pytest.raises(hepvae.LayoutError, match="is a friend of its input"):
        read_scores(folder / f"f.{suffix}")


def test_friend_of_files_of_which_one_failed_is_not_written(folder, capsys):
    last = folder / "in" / "6.root"
    last.write_text("no ROOT file")
    arguments = ["score", str(folder / "in"), "--model", "conv", "--output", str(folder / "f.root"), "--friend"]
    assert main([*arguments, "--allow-failed", "1"]) == 1
    printed = capsys.readouterr()
    assert "f.root: not written: a friend needs a row for each entry of all 7 files" in printed.err
    assert "6.root: not a ROOT file" in printed.err and printed.out == ""
    assert not (folder / "f.root").exists()
    assert main([*arguments, "--resume"]) == 1  # nothing was mended
    assert "6 of 7 files were scored already" in capsys.readouterr().err
    # What a user saw: with the broken file replaced, all seven were read again.
    write_events(last, random_tables(np.random.default_rng(6), events=40))
    assert main([*arguments, "--resume"]) == 0
    assert "6 of 7 files were scored already" in capsys.readouterr().err
    assert len(columns_of(folder / "f.root")["scored"]) == 7 * 40


def test_files_without_rows_do_not_say_which_columns_there_are(tmp_path, conv):
    (tmp_path / "in").mkdir()
    for i, events in enumerate((0, 40, 0)):
        tables = random_tables(np.random.default_rng(1), events=events)
        write_events(tmp_path / "in" / f"{i}.root", tables, weights=events > 0)
    report = score(tmp_path, conv)
    assert report.failed == [] and report.events_scored == len(columns_of(tmp_path / "s.root")["genWeight"]) > 0
    none = hepvae.score_files(tmp_path / "in" / "0.root", conv, tmp_path / "none.root")
    assert none.written and len(columns_of(tmp_path / "none.root")["score"]) == 0


def test_friend_of_files_with_other_identifiers(tmp_path, conv):
    (tmp_path / "in").mkdir()
    for i, weights in enumerate((True, False)):
        tables = random_tables(np.random.default_rng(i), events=40)
        write_events(tmp_path / "in" / f"{i}.root", tables, weights=weights)
    assert len(score(tmp_path, conv).failed) == 1
    assert score(tmp_path, conv, "f.root", friend=True).failed == []
    assert len(columns_of(tmp_path / "f.root")["scored"]) == 80
