from __future__ import annotations

import os

import pytest
import uproot
from helpers.dijet_files import random_tables, write_events

from hepvae import FileError, LayoutError, OptionError, read_dijets
from hepvae.reading.sources import Source, distinct_names, resolve
from hepvae.scoring.inspection import inspect_files


def test_paths_globs_lists_and_mappings(tmp_path):
    for name in ("b.root", "a.root", "c.txt"):
        (tmp_path / name).touch()
    a, b = (Source(str(tmp_path / n)) for n in ("a.root", "b.root"))
    assert resolve(tmp_path / "*.root") == [a, b]
    assert resolve([b.path, a.path, b.path]) == [b, a]
    assert resolve([b.path, tmp_path / "*.root"]) == [b, a]
    assert resolve({a.path: "tree", b.path: None}, "Events") == [Source(a.path, "tree"), Source(b.path, "Events")]
    assert resolve("root://host//store/x.root") == [Source("root://host//store/x.root")]


def test_same_file_written_in_two_ways_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.root").touch()
    assert resolve(["a.root", "./a.root", tmp_path / "a.root"]) == [Source("a.root")]
    twice = ["root://host//store/a.root", "root://host/store//a.root"]
    assert resolve(twice) == [Source(twice[0])]
    assert len(resolve({"a.root": "Events", "./a.root": "Other"})) == 2


def test_folder_is_every_root_file_below_it(tmp_path):
    for name in ("0001/b.root", "0000/a.root", "0000/log.txt", "c.root"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [source.path.removeprefix(f"{tmp_path}/") for source in resolve(tmp_path)]
    assert found == ["0000/a.root", "0001/b.root", "c.root"]
    (tmp_path / "none").mkdir()
    with pytest.raises(FileError, match=r"none: no \.root or \.h5 or \.hdf5 file in this folder"):
        resolve(tmp_path / "none")


def test_list_of_files(tmp_path):
    for name in ("a.root", "b.root"):
        (tmp_path / name).touch()
    names = tmp_path / "files.txt"
    names.write_text(f"# today\n{tmp_path}/b.root\n\n  {tmp_path}/*.root\nroot://host//c.root\n")
    found = [Source(str(tmp_path / "b.root")), Source(str(tmp_path / "a.root")), Source("root://host//c.root")]
    assert resolve(f"@{names}") == found
    for content, said in (("# nothing\n", "found none"), ("@other.txt\n", "found '@other.txt'")):
        names.write_text(content)
        with pytest.raises(FileError, match=rf"files\.txt: expected one file a line, {said}"):
            resolve(f"@{names}")
    with pytest.raises(FileError, match=r"nowhere\.txt: no list of files"):
        resolve("@nowhere.txt")


def test_eos_that_is_not_mounted_is_read_through_its_server():
    assert resolve("/eos/cms/store/a.root") == [Source("root://eoscms.cern.ch//eos/cms/store/a.root")]
    assert resolve("/eos/user/n/name/a.root") == [Source("root://eosuser.cern.ch//eos/user/n/name/a.root")]
    assert resolve("/eos/else/a.root") == [Source("/eos/else/a.root")]


def test_name_with_brackets_is_a_file_where_there_is_one(tmp_path):
    (tmp_path / "run[1].root").touch()
    assert resolve(tmp_path / "run[1].root") == [Source(str(tmp_path / "run[1].root"))]


def test_nothing_to_read(tmp_path):
    with pytest.raises(FileError, match=r"\*\.root: no file matches"):
        resolve(tmp_path / "*.root")
    with pytest.raises(FileError, match="no input files named"):
        resolve([])
    for wrong in (3, [3], None):
        with pytest.raises(OptionError, match="expected a path, a list of paths"):
            resolve(wrong)


def test_name_with_a_colon(tmp_path, rng):
    """uproot cuts a string at its last colon; the name of a tree is given as {path: tree}."""
    with pytest.raises(FileError, match=r"a\.root:Events: no such file"):
        read_dijets(f"{write_events(tmp_path / 'a.root', random_tables(rng))}:Events")
    odd = write_events(tmp_path / "a.root", random_tables(rng)).rename(tmp_path / "a.root:1.root")
    assert len(read_dijets(odd)) > 0


def test_short_names_are_distinct():
    assert distinct_names(["x/a.root", "x/b.root"]) == ["a", "b"]
    assert distinct_names(["x/a.root", "y/a.root", "y/b.root"]) == ["x/a", "y/a", "y/b"]
    assert distinct_names(["conv-0.1", "conv-0.2"]) == ["conv-0.1", "conv-0.2"]
    with pytest.raises(OptionError, match="named twice"):
        distinct_names(["x/a.root", "x/a.root"])


def test_one_file_of_several_names_is_read_once(tmp_path, rng, monkeypatch):
    """A hard link, a symbolic link, a file:// address and a relative path of one file were scored four times."""
    monkeypatch.chdir(tmp_path)
    path = write_events(tmp_path / "a.root", random_tables(rng))
    os.link(path, "hard.root")
    os.symlink(path, "soft.root")
    addresses = [f"{scheme}{path}" for scheme in ("file://", "file:", "FILE://", "file://localhost")]
    names = [str(path), "hard.root", "soft.root", *addresses, "a.root"]
    (report,) = inspect_files(names)
    assert report.events_read == 30
    assert report.also_named == ["hard.root", "soft.root", "a.root"]


def test_one_file_with_and_without_the_name_of_its_tree_is_read_once(tmp_path, rng):
    path = write_events(tmp_path / "a.root", random_tables(rng))
    os.link(path, tmp_path / "hard.root")
    assert len(resolve({path: "Events", tmp_path / "hard.root": None})) == 1
    assert len(resolve({path: "Events", tmp_path / "hard.root": "Runs"})) == 2


@pytest.mark.parametrize("given", ["{}", "{}/pipe.root", "{}/*.root", "@{}/pipe.root", "/dev/zero", "@/dev/zero"])
def test_pipes_and_devices_are_not_read(tmp_path, rng, given):
    """They were waited for without end."""
    os.mkfifo(tmp_path / "pipe.root")
    good = write_events(tmp_path / "z.root", random_tables(rng))
    reports = inspect_files([given.format(tmp_path), good])
    (failed,) = (report for report in reports if report.failure)
    assert any(f"is a {kind}" in failed.failure for kind in ("pipe", "device"))
    assert reports[-1].failure is None and reports[-1].events_read == 30


def test_names_that_give_no_file_are_reported_and_the_rest_is_read(tmp_path, rng):
    """One pattern without a match, of fifty, was the end of all."""
    good = write_events(tmp_path / "good.root", random_tables(rng))
    (tmp_path / "empty").mkdir()
    names = [tmp_path / "x*.root", tmp_path / "empty", "@nowhere.txt", "davs://host/a.root", "a\0.root", good]
    reports = inspect_files(names)
    assert [report.failure is None for report in reports] == [False] * 5 + [True]
    for report, said in zip(
        reports, ("no file matches", "no .root or", "no list", "try https://host/a.root", "NUL")
    ):
        assert said in report.failure
    with pytest.raises(FileError, match="no file matches"):  # in memory all or nothing
        read_dijets([good, tmp_path / "x*.root"])
    with pytest.raises(FileError, match="no file matches"):
        inspect_files(names[:1])


@pytest.mark.parametrize("content", ["\ufeff{}/a.root\n", "{}/a.root\r\n\r\n", "~/a.root"])
def test_lists_as_editors_write_them(tmp_path, monkeypatch, content):
    """A byte-order mark or ``~`` became a part of the name."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.root").touch()
    (tmp_path / "list.txt").write_bytes(content.format(tmp_path).encode())
    assert resolve("@~/list.txt") == [Source(str(tmp_path / "a.root"))]
    (tmp_path / "list.txt").write_bytes(b"a\0.root\n")
    with pytest.raises(FileError, match=r"list\.txt: expected one file a line, found 'a\\x00"):
        resolve("@~/list.txt")


def test_open_files_are_refused_with_what_to_give(tmp_path, rng):
    path = write_events(tmp_path / "a.root", random_tables(rng))
    with uproot.open(path) as file, open(path, "rb") as raw:
        for opened in (file, file["Events"], raw):
            with pytest.raises(OptionError, match=rf"files is an open file \(\w+\): give its path, '{path}'"):
                read_dijets(opened)


def test_tree_within_a_directory(tmp_path):
    with uproot.recreate(tmp_path / "a.root") as file:
        file["analysis/Events"] = {"x": [1, 2]}
    with pytest.raises(LayoutError, match="the file holds: analysis/Events; name one as the tree, as 'an"):
        read_dijets(tmp_path / "a.root")
    with pytest.raises(LayoutError, match="tree 'analysis/Events': unknown layout"):
        read_dijets(tmp_path / "a.root", tree="analysis/Events")
