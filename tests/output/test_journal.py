"""What work has finished survives its death."""

from __future__ import annotations

import pytest

import hepvae
from hepvae.output.journal import Journal, forget


def kept(folder, question, *parts):
    """What a journal has after some parts were added."""
    with Journal(folder, question) as journal:
        for name, content in parts:
            journal.add(name, content)
        return journal


def test_parts_are_there_again(tmp_path):
    kept(tmp_path, {"plan": 1}, ("unit", {"records": [1]}))
    assert kept(tmp_path, {"plan": 1}).parts == {"unit": {"records": [1]}}


def test_a_start_anew_keeps_nothing(tmp_path):
    kept(tmp_path, {}, ("unit", {"records": [1]}))
    (tmp_path / "0.rows").write_text("what its user kept there")
    with Journal(tmp_path, {}, anew=True) as journal:
        assert journal.parts == {}
    assert not (tmp_path / "0.rows").exists()


def test_another_question_begins_anew(tmp_path):
    assert not kept(tmp_path, {"plan": 1}, ("unit", {})).changed
    assert not kept(tmp_path, {"plan": 1}).changed
    other = kept(tmp_path, {"plan": 2})
    assert other.changed and other.parts == {}


@pytest.mark.parametrize("cut", range(1, 12, 5))
def test_line_that_was_cut_is_as_if_it_had_not_been(tmp_path, cut):
    kept(tmp_path, {}, ("first", {"a": 1}), ("second", {"b": 2}))
    lines = tmp_path / "parts.jsonl"
    lines.write_text(lines.read_text()[: -1 - cut])
    again = kept(tmp_path, {}, ("second", {"b": 3}))
    assert again.parts == kept(tmp_path, {}).parts == {"first": {"a": 1}, "second": {"b": 3}}


def test_nothing_is_left_of_whole_work(tmp_path):
    kept(tmp_path, {}, ("part", {}))
    forget(tmp_path)
    assert not tmp_path.exists()


def test_two_processes_do_not_share_a_folder(tmp_path):
    with (
        Journal(tmp_path, {}),
        pytest.raises(hepvae.FileError, match="another process is at this work"),
    ):
        Journal(tmp_path, {})
    kept(tmp_path, {})


def test_output_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(hepvae.FileError, match="file"):
        Journal(tmp_path / "file", {})
