"""Scored files and folders of them on a real XRootD server of loopback."""

from __future__ import annotations

import json
import shutil
import time

import pytest
import uproot
from helpers.dijet_files import random_tables, write_events
from helpers.output_server import NEEDS_XROOTD

import hepvae
import hepvae.storage.servers
from hepvae.cli import main
from hepvae.extras import XROOTD_TIMES_S
from hepvae.scoring.form import ScoredForm
from hepvae.scoring.unfinished import unfinished
from hepvae.storage.access import Access

pytestmark = NEEDS_XROOTD

OPTIONS = ["--model=conv", "--runtime=onnxruntime", "--mjj-min=0", "--pt-min=0", "--attempts=2"]


@pytest.fixture
def files(tmp_path, rng, monkeypatch):
    """Three, in a folder below that in which we are."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    return [str(write_events(tmp_path / "in" / f"{i}.root", random_tables(rng, events=40))) for i in range(3)]


def assert_equal_files(first, second):
    for name in ("Events", "hepvae"):
        with uproot.open(first) as ours, uproot.open(second) as theirs:
            if name == "hepvae":
                assert ours[name] == theirs[name]
                continue
            here, there = (file[name].arrays(library="np") for file in (ours, theirs))
            assert list(here) == list(there)
            for column in here:
                assert here[column].tobytes() == there[column].tobytes(), column


@pytest.mark.parametrize("token", ["", "?authz=secret"])
def test_one_file(server, files, tmp_path, capsys, token):
    output = f"{server.address}sub/scores.root{token}"
    assert main(["score", *files, *OPTIONS, "--output=here.root"]) == 0
    assert main(["score", *files, *OPTIONS, f"--output={output}"]) == 0
    assert "secret" not in "".join(capsys.readouterr())
    assert server.names() == ["sub/scores.root"]
    assert_equal_files("here.root", server.folder / "sub" / "scores.root")
    assert main(["score", *files, *OPTIONS, f"--output={output}"]) == 1
    said = capsys.readouterr().err
    assert "sub/scores.root" in said and "exists already" in said and "secret" not in said
    assert main(["score", *files, *OPTIONS, f"--output={output}", "--overwrite"]) == 0
    assert server.names() == ["sub/scores.root"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here.root", "in"]


def test_an_input_is_not_overwritten(server, files):
    output = f"{server.address}scores.root"
    with pytest.raises(hepvae.OptionError, match="is an input file"):
        hepvae.score_files([*files, output], hepvae.load_inferer("conv"), output, overwrite=True)


def test_what_was_scored_is_kept_where_we_are(server, files, monkeypatch, capsys):
    """The server dies before the file is there: --resume reads nothing again."""
    output = f"{server.address}scores.root"
    upload, copies = hepvae.storage.servers.upload, []

    def dying(path, address, *given):
        if address == output:
            copies.append(given[0]())
            upload(path, copies[0], *given)
            raise hepvae.FileError(f"{address}: the server has died")
        upload(path, address, *given)

    with monkeypatch.context() as dead:
        dead.setattr("hepvae.storage.servers.upload", dying)
        assert main(["score", *files, *OPTIONS, f"--output={output}"]) == 1
    assert [f"{server.address}{name}" for name in server.names()] == copies
    assert unfinished(output).is_dir()
    capsys.readouterr()
    assert main(["score", *files, *OPTIONS, f"--output={output}", "--resume"]) == 0
    assert "3 of 3 files were scored already" in capsys.readouterr().err
    assert server.names() == ["scores.root"] and not unfinished(output).exists()


@pytest.mark.parametrize("suffix", ["root", "parquet"])
def test_a_folder_of_parts(server, files, tmp_path, capsys, suffix):
    output = f"{server.address}scores/"
    given = ["score", *files, *OPTIONS, f"--format={suffix}"]
    assert main([*given, "--output=here/"]) == 0
    assert main([*given, "--split=1/2", f"--output={output}"]) == 0
    capsys.readouterr()
    assert main(["report", output]) == 1
    assert "is not scored yet" in capsys.readouterr().err
    assert main([*given, "--split=2/2", f"--output={output}"]) == 0
    assert main(["report", output, "--check"]) == 0

    def written(names):
        return sorted(name for name in names if not name.startswith("inputs-"))

    there = server.folder / "scores"
    names = written(path.name for path in (tmp_path / "here").iterdir())
    assert written(path.name for path in there.iterdir()) == names
    for name in names:
        if name.endswith(".json"):
            # But for the name of the file while it was written, which ROOT files have in them.
            ours, theirs = (json.loads((folder / name).read_text()) for folder in (tmp_path / "here", there))
            of_file = dict.fromkeys(("size", "adler32", "sha256"))
            assert {**ours, **of_file} == {**theirs, **of_file}
        elif suffix == "root":
            assert_equal_files(tmp_path / "here" / name, there / name)
    assert main(["merge", "here/", f"here.{suffix}"]) == 0
    assert main(["merge", output, f"there.{suffix}"]) == 0
    if suffix == "root":
        assert_equal_files("here.root", "there.root")
    (there / f"1.{suffix}").write_text("damaged")
    capsys.readouterr()
    assert main(["report", output, "--check"]) == 1
    assert f"1.{suffix}: is not as its record says" in capsys.readouterr().err
    assert main([*given, f"--output={output}", "--resume"]) == 0
    assert "2 of 3 files were scored already" in capsys.readouterr().err
    assert main(["report", output, "--check"]) == 0


def test_no_token_is_in_a_record(server, files, tmp_path):
    """Records are read by others, and the token of a later call is another one."""
    for name in ("0.root", "1.root"):
        shutil.copy(tmp_path / "in" / name, server.folder)
    for token, said in (("secret", 0), ("other", 2)):
        inputs = [f"{server.address}{name}?authz={token}" for name in ("0.root", "1.root", "0.root")]
        output = f"{server.address}scores/?authz={token}"
        report = hepvae.score_files(inputs, hepvae.load_inferer("conv"), output, resume=True, mjj_min=0, pt_min=0)
        assert report.files_resumed == said and not report.failed
    records = [path.read_text() for path in server.folder.glob("scores/*.json")]
    assert len(records) == 3 and not any("secret" in record or "other" in record for record in records)


@pytest.mark.slow
def test_the_server_dies_while_a_part_is_written(server, files, monkeypatch, capsys):
    """The whole run ended, though only that file fails."""
    for name in ("ConnectionWindow", "StreamErrorWindow"):
        monkeypatch.setitem(XROOTD_TIMES_S, name, 3)  # a loaded machine connects in more than one
    write, written = ScoredForm.write, []

    def dying(*given):
        if len(written) == 2:
            server.start()
            deadline = time.monotonic() + 120
            while True:  # until the client, which took it for dead, sends it something again
                try:
                    hepvae.storage.servers.files_in(server.address, Access(timeout_s=20, attempts=1))
                    break
                except hepvae.FileError:
                    assert time.monotonic() < deadline
                    time.sleep(0.2)
        write(*given)
        written.append(given)
        if len(written) == 2:
            server.kill()

    monkeypatch.setattr(ScoredForm, "write", dying)
    impatient = [*OPTIONS, "--timeout=20", f"--output={server.address}scores/"]
    assert main(["score", *files, *impatient]) == 1
    said = capsys.readouterr().err
    assert "scores/1.root: " in said and "1.root: that it failed is not recorded: " in said
    assert [name for name in server.names() if name.endswith("0.root") or name.endswith("2.root")] == [
        *("scores/0.root", "scores/2.root")
    ]
    assert main(["score", *files, *impatient, "--resume"]) == 0
    assert "2 of 3 files were scored already" in capsys.readouterr().err
    assert main(["report", f"{server.address}scores/", "--check"]) == 0
