"""What a study writes, whatever its models are called."""

from __future__ import annotations

import csv

from helpers.records import TIMES, records

from hepvae.bench.report import write_study
from hepvae.bench.study import Study

ENVIRONMENT = {
    **{"processor": "A CPU", "date": "2026", "threads": 1, "memory_bytes": 1e9},
    **{"packages": {}, "variables": {}},
}


def test_names_are_text_everywhere(tmp_path):
    """`<img onerror>` in a conclusion of report.html, and a formula in results.csv."""
    names = {"conv": "<img src=x onerror=alert(1)>", "graph": "=1+1"}
    measured = [{**r, "model": names[r["model"]]} for r in records(TIMES)]
    write_study(Study(ENVIRONMENT, records=measured), tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "<img src=x" not in page and "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "A CPU, 1 thread" in page and "1 threads" not in page
    with open(tmp_path / "results.csv", newline="") as file:
        assert {row["model"] for row in csv.DictReader(file)} == {names["conv"], "'=1+1"}
