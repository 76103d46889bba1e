from __future__ import annotations

import pytest
from conftest import random_tables, write_events

from hepvae import FileError, HepvaeError, LayoutError, OptionError, read_dijets
from hepvae.sources import Source, distinct_names, resolve


def test_paths_globs_lists_and_mappings(tmp_path):
    for name in ("b.root", "a.root", "c.txt"):
        (tmp_path / name).touch()
    a, b = (Source(str(tmp_path / n)) for n in ("a.root", "b.root"))
    assert resolve(tmp_path / "*.root") == [a, b]
    assert resolve([b.path, a.path, b.path]) == [b, a]
    assert resolve([b.path, tmp_path / "*.root"]) == [b, a]
    assert resolve({a.path: "tree", b.path: None}, "Events") == [Source(a.path, "tree"), Source(b.path, "Events")]
    assert resolve("root://host//store/x*.root") == [Source("root://host//store/x*.root")]


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
    with pytest.raises(OptionError, match="named twice"):
        distinct_names(["x/a.root", "x/a.root"])


def test_missing_file(tmp_path):
    with pytest.raises(FileError, match=r"nowhere\.root: no such file"):
        read_dijets(tmp_path / "nowhere.root")


def test_not_a_root_file(tmp_path):
    (tmp_path / "notes.root").write_text("These are my notes.\n" * 9)
    with pytest.raises(FileError, match=r"notes\.root: not a ROOT file"):
        read_dijets(tmp_path / "notes.root")
    (tmp_path / "empty.root").touch()
    with pytest.raises(FileError, match=r"empty\.root: not a ROOT file"):
        read_dijets(tmp_path / "empty.root")
    with pytest.raises(FileError, match="is a directory"):
        read_dijets(tmp_path)


def test_truncated_file(dijet_file):
    dijet_file.write_bytes(dijet_file.read_bytes()[:2000])
    with pytest.raises(HepvaeError, match=r"dijets\.root"):
        read_dijets(dijet_file)


def test_no_such_tree(tmp_path, rng):
    path = write_events(tmp_path / "x.root", random_tables(rng), tree="Event")
    with pytest.raises(LayoutError, match=r"x\.root: no tree 'Events'; nearest: 'Event'; the file holds: Event"):
        read_dijets(path)
    assert len(read_dijets(path, tree="Event")) == len(read_dijets({path: "Event"})) > 0


def test_not_a_tree(tmp_path):
    import uproot

    with uproot.recreate(tmp_path / "x.root") as file:
        file["Events"] = "a string"
    with pytest.raises(LayoutError, match="'Events' is a TObjString, not a TTree or RNTuple"):
        read_dijets(tmp_path / "x.root")


def test_message_is_one_line(tmp_path, dijet_file):
    for wrong in (tmp_path / "nowhere.root", {dijet_file: "Nope"}):
        with pytest.raises(HepvaeError) as error:
            read_dijets(wrong)
        assert "\n" not in str(error.value)
