"""What a study has measured survives its death."""

from __future__ import annotations

import pytest

import hepvae
from hepvae.bench.cells import Matrix
from hepvae.bench.journal import UNFINISHED, Journal, forget

UNIT = Matrix(("conv",), ("tensorflow", "onnxruntime"), (8,)).units()[0]
RECORDS = [cell.keys for cell in UNIT]


def test_parts_are_there_again(tmp_path):
    Journal(tmp_path, {"plan": 1}).add("unit", {"records": RECORDS})
    again = Journal(tmp_path, {"plan": 1})
    assert again.parts == {"unit": {"records": RECORDS}}
    assert again.done("unit", UNIT) and not again.done("other", UNIT)


def test_cell_that_failed_is_not_done(tmp_path):
    journal = Journal(tmp_path, {})
    journal.add("unit", {"records": RECORDS[:1], "failures": RECORDS[1:]})
    assert not journal.done("unit", UNIT)
    journal.add("unit", {"records": RECORDS})
    assert Journal(tmp_path, {}).done("unit", UNIT)


def test_another_question_begins_anew(tmp_path):
    first = Journal(tmp_path, {"plan": 1})
    first.add("unit", {})
    assert not first.replaced and not Journal(tmp_path, {"plan": 1}).replaced
    other = Journal(tmp_path, {"plan": 2})
    assert other.replaced and other.parts == {}


@pytest.mark.parametrize("cut", range(1, 12, 5))
def test_line_that_was_cut_is_as_if_it_had_not_been(tmp_path, cut):
    journal = Journal(tmp_path, {})
    journal.add("first", {"a": 1})
    journal.add("second", {"b": 2})
    lines = tmp_path / UNFINISHED / "parts.jsonl"
    lines.write_text(lines.read_text()[: -1 - cut])
    again = Journal(tmp_path, {})
    assert again.parts == {"first": {"a": 1}}
    again.add("second", {"b": 3})
    assert Journal(tmp_path, {}).parts == {"first": {"a": 1}, "second": {"b": 3}}


def test_nothing_is_left_of_a_whole_study(tmp_path):
    Journal(tmp_path, {}).add("part", {})
    forget(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_output_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(hepvae.FileError, match="file"):
        Journal(tmp_path / "file", {})
