"""Two studies beside each other: hepvae bench-compare."""

from __future__ import annotations

import json

import pytest
from helpers.records import TIMES, records

from hepvae.cli import main

ENVIRONMENT = {"processor": "A CPU", "date": "2026-11-23", "packages": {"onnxruntime": "1.0"}}


@pytest.fixture
def results(tmp_path):
    """Write a results.json."""

    def write(name, found):
        path = tmp_path / name
        path.write_text(json.dumps({"environment": ENVIRONMENT, "records": found}))
        return str(path)

    return write


def test_ratios_of_two_studies(results, capsys):
    slower = {key: seconds * (1.5 if key[1] == "tensorflow" else 1) for key, seconds in TIMES.items()}
    slower[("edge", "tensorflow", 1)] = 1
    assert main(["bench-compare", results("a.json", records(TIMES)), results("b.json", records(slower))]) == 0
    printed = capsys.readouterr().out
    rows = [line.split() for line in printed.splitlines() if line.startswith(("conv", "graph"))]
    assert len(rows) == len(TIMES)
    for row in rows:
        assert float(row[5]) == pytest.approx(1.5 if row[1] == "tensorflow" else 1, rel=0.02)
    assert "B is slower in 5 configurations" in printed
    assert "in B only: 1 of the configurations" in printed
    assert "A CPU" in printed


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        ("{", "not JSON"),
        ("[]", "expected the results.json"),
        ('{"environment": {}, "records": [{}]}', "records have no 'model'"),
    ],
)
def test_files_that_are_none(content, message, results, tmp_path, capsys):
    if content is not None:
        (tmp_path / "b.json").write_text(content)
    assert main(["bench-compare", results("a.json", records(TIMES)), str(tmp_path / "b.json")]) == 1
    said = capsys.readouterr().err
    assert "b.json" in said and message in said and said.count("\n") == 1


def test_studies_that_differ_say_so_first(results, tmp_path, capsys):
    """One thread against two printed "B is faster", and nothing else."""
    first, second = results("a.json", records(TIMES)), tmp_path / "b.json"
    content = json.loads((tmp_path / "a.json").read_text())
    content["environment"] |= {"threads": 2, "packages": {"onnxruntime": "2.0"}}
    content["settings"] = {"effort": {"seconds": 3.0}}
    second.write_text(json.dumps(content))
    assert main(["bench-compare", first, str(second)]) == 0
    printed = capsys.readouterr().out
    rows = [line.split() for line in printed.splitlines()]
    assert ["threads", "not", "set", "2"] in rows and ["onnxruntime", "1.0", "2.0"] in rows
    assert ["seconds", "not", "set", "3.0"] in rows
    assert printed.index("What else differs") < printed.index("geometric mean")
    assert main(["bench-compare", first, first]) == 0
    assert "What else differs" not in capsys.readouterr().out


def test_nothing_in_common(results, capsys):
    other = {("else", "tensorflow", 1): 1.0}
    assert main(["bench-compare", results("a.json", records(TIMES)), results("b.json", records(other))]) == 1
    assert "no configuration in common" in capsys.readouterr().err
