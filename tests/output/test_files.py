"""Outputs on disk: whole or not at all."""

from __future__ import annotations

import shutil

import pytest

from hepvae.errors import FileError
from hepvae.output.files import whole_file, whole_folder


def test_the_old_folder_stays_where_the_new_one_cannot_be_put_there(tmp_path):
    """It stayed under a hidden name."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").touch()
    with pytest.raises(FileError, match="model: cannot be written"), whole_folder(tmp_path / "model") as folder:
        shutil.rmtree(folder)  # as by a sweep of the disk: nothing is left to rename
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["model", "model/old"]


def test_a_folder_takes_no_file_away(tmp_path):
    """A file of that name was moved to a hidden one."""
    (tmp_path / "model").write_text("notes")
    with pytest.raises(FileError, match="model: cannot be written: is a file"), whole_folder(tmp_path / "model"):
        pass
    assert [path.read_text() for path in tmp_path.iterdir()] == ["notes"]


@pytest.mark.parametrize("there", [True, False])
def test_links_are_followed(tmp_path, there):
    """To a disk with more space: neither they nor what is beside them take the output."""
    home, scratch = tmp_path / "home", tmp_path / "scratch"
    home.mkdir(), scratch.mkdir()
    if there:
        (scratch / "folder").mkdir()
        (scratch / "folder" / "old").touch()
        (scratch / "file").touch()
    for name in ("folder", "file"):
        (home / name).symlink_to(scratch / name)
    with whole_folder(home / "folder") as folder:
        (folder / "new").touch()
    with whole_file(home / "file") as file:
        file.write_text("new")
    assert [path.name for path in (scratch / "folder").iterdir()] == ["new"]
    assert (scratch / "file").read_text() == "new"
    assert sorted(path.name for path in home.iterdir() if path.is_symlink()) == ["file", "folder"]
    assert len(list(home.iterdir())) == len(list(scratch.iterdir())) == 2
