"""Outputs on disk: whole or not at all."""

from __future__ import annotations

import shutil

import pytest

from hepvae.errors import FileError
from hepvae.output.files import whole_folder


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
