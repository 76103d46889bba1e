"""What a study has measured survives its death."""

from __future__ import annotations

import pytest

import hepvae
from hepvae.bench.cells import Matrix
from hepvae.bench.journal import UNFINISHED, Journal, forget

UNIT = Matrix(("conv",), ("tensorflow", "onnxruntime"), (8,)).units()[0]
RECORDS = [cell.keys for cell in UNIT]


def kept(output, question, *parts):
    """What a journal has after some parts were added."""
    with Journal(output, question) as journal:
        for name, content in parts:
            journal.add(name, content)
        return journal


def test_parts_are_there_again(tmp_path):
    kept(tmp_path, {"plan": 1}, ("unit", {"records": RECORDS}))
    again = kept(tmp_path, {"plan": 1})
    assert again.parts == {"unit": {"records": RECORDS}}
    assert again.done("unit", UNIT) and not again.done("other", UNIT)


def test_cell_that_failed_is_not_done(tmp_path):
    half = {"records": RECORDS[:1], "failures": RECORDS[1:]}
    assert not kept(tmp_path, {}, ("unit", half)).done("unit", UNIT)
    kept(tmp_path, {}, ("unit", {"records": RECORDS}))
    assert kept(tmp_path, {}).done("unit", UNIT)


def test_another_question_begins_anew(tmp_path):
    assert not kept(tmp_path, {"plan": 1}, ("unit", {})).replaced
    assert not kept(tmp_path, {"plan": 1}).replaced
    other = kept(tmp_path, {"plan": 2})
    assert other.replaced and other.parts == {}


@pytest.mark.parametrize("cut", range(1, 12, 5))
def test_line_that_was_cut_is_as_if_it_had_not_been(tmp_path, cut):
    kept(tmp_path, {}, ("first", {"a": 1}), ("second", {"b": 2}))
    lines = tmp_path / UNFINISHED / "parts.jsonl"
    lines.write_text(lines.read_text()[: -1 - cut])
    again = kept(tmp_path, {}, ("second", {"b": 3}))
    assert again.parts == kept(tmp_path, {}).parts == {"first": {"a": 1}, "second": {"b": 3}}


def test_nothing_is_left_of_a_whole_study(tmp_path):
    kept(tmp_path, {}, ("part", {}))
    forget(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_two_studies_do_not_share_a_folder(tmp_path):
    with (
        Journal(tmp_path, {}),
        pytest.raises(hepvae.FileError, match="another study is running with this output"),
    ):
        Journal(tmp_path, {})
    kept(tmp_path, {})


def test_output_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(hepvae.FileError, match="file"):
        Journal(tmp_path / "file", {})
