from __future__ import annotations

import pickle
import zlib

import pytest

import hepvae
from hepvae.output.files import temporary_name, temporary_of
from hepvae.output.folders import Checksum, is_folder, open_folder, open_output


def test_a_file_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = pickle.loads(pickle.dumps(open_folder("out/")))
    assert folder.names() == [] and folder.read("a/1.txt") is None and folder.checksum("a/1.txt") is None
    with folder.new("a/1.txt") as path:
        path.write_text("one")
        assert path.suffix == ".txt" and [temporary_of(name) for name in folder.names()] == ["a/1.txt"]
    with pytest.raises(ZeroDivisionError), folder.new("a/1.txt") as path:
        path.write_text("other")
        raise ZeroDivisionError
    assert folder.names() == ["a/1.txt"] and folder.read("a/1.txt") == b"one"
    assert folder.path("a/1.txt") == str(tmp_path / "out" / "a" / "1.txt")
    assert folder.checksum("a/1.txt") == Checksum(3, f"{zlib.adler32(b'one'):08x}")
    folder.remove("a/1.txt")
    folder.remove("a/1.txt")
    assert folder.names() == []


def test_only_temporaries_of_some_files_are_removed(tmp_path):
    folder = open_folder(tmp_path)
    for name in (temporary_name("1.root"), temporary_name("2.root"), ".hidden.1.root", "1.root"):
        (tmp_path / name).touch()
    folder.remove_temporaries(["1.root"])
    assert sorted(temporary_of(name) or name for name in folder.names()) == [".hidden.1.root", "1.root", "2.root"]


def test_what_is_a_folder(tmp_path):
    assert is_folder("new/") and is_folder(tmp_path) and not is_folder(tmp_path / "new.root")
    (tmp_path / "file").touch()
    with pytest.raises(hepvae.FileError, match="file: no folder, and none can be made there"):
        open_folder(f"{tmp_path}/file/").new("1.root")


def test_the_folder_of_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder, name = open_output("s.root")
    assert (folder.address, name) == (str(tmp_path), "s.root")
    folder, name = open_output("root://host//a/s.root?authz=x")
    assert (folder.path(name), name) == ("root://host//a/s.root?authz=x", "s.root")
    assert open_output("/eos/user/m/me/s.root")[0].address == "root://eosuser.cern.ch//eos/user/m/me/"
