"""What records say about each other, and the sentences made of it."""

from __future__ import annotations

import io

import pytest
from helpers.records import TIMES, records
from rich.console import Console

from hepvae.bench.comparisons import compare, select
from hepvae.bench.findings import findings
from hepvae.bench.tables import (
    delay_shares,
    hidden_until,
    inputs_table,
    memory_table,
    scenarios_table,
    times_table,
)
from hepvae.output.tables import Table


def test_runtimes_beside_each_other():
    found = {(c.cell["model"], c.cell["batch_size"]): c for c in compare(records(TIMES), "runtime", "onnxruntime")}
    first = found["conv", 1]
    assert (first.side, first.reference, first.runs) == ("tensorflow", "onnxruntime", 2)
    assert first.ratio.value == pytest.approx(5, rel=0.02)
    assert first.saved_s == pytest.approx(1.04e-3, rel=0.03)
    assert not found["conv", 512].ratio.difference_seen
    assert found["graph", 512].ratio.high < 1


def test_runs_that_only_one_side_has_do_not_count():
    half = [r for r in records(TIMES) if not (r["runtime"] == "tensorflow" and r["run"] == 2)]
    assert {c.runs for c in compare(half, "runtime", "onnxruntime")} == {1}
    assert compare(select(half, runtime="tensorflow"), "runtime", "onnxruntime") == []


def test_findings_say_where_the_gain_is_where_it_ends_and_what_to_use():
    measured = records(TIMES)
    gains, ends, advice = findings(measured, compare(measured, "runtime", "onnxruntime"))
    assert gains.startswith("onnxruntime gains most for conv at batch size 1 (tensorflow takes 5 times as long")
    assert "graph at batch size 1 (tensorflow takes 2 times" in gains
    assert ends == (
        "Where the gain of onnxruntime ends: no gain is seen for conv from 512 on and graph from 512 on;"
        " it is slower for graph at 512 (0.8)."
    )
    assert (
        "conv in batches of 64 on onnxruntime (16,000 jets/s, 700 MB)" in advice
        or "conv in batches of 512" in advice
    )
    assert "graph in batches of 512 on tensorflow (6,400 jets/s, 700 MB)" in advice


def test_findings_where_the_gain_comes_back():
    times = {("conv", runtime, size): 1e-3 for runtime in ("tensorflow", "onnxruntime") for size in (1, 8, 64)}
    times["conv", "tensorflow", 1] = times["conv", "tensorflow", 64] = 2e-3
    measured = records(times)
    _, ends, _ = findings(measured, compare(measured, "runtime", "onnxruntime"))
    assert ends == "Where the gain of onnxruntime ends: no gain is seen for conv at 8."
    always = records({key: 2e-3 if key[1] == "tensorflow" else 1e-3 for key in times})
    _, ends, _ = findings(always, compare(always, "runtime", "onnxruntime"))
    assert ends == "Where the gain of onnxruntime ends: it gains at every batch size for conv."


def test_findings_of_one_runtime_are_advice_alone():
    (advice,) = findings(select(records(TIMES), runtime="onnxruntime"), [])
    assert advice.startswith("Use here conv in batches of 64 on onnxruntime")


def test_scenarios():
    rows = {tuple(row[:2]): row[2:] for row in scenarios_table(records(TIMES)).rows}
    assert rows["conv", "onnxruntime"] == ["0.286", "100", "17,067", "512"]


def test_table_shows_what_differs_and_no_more():
    measured = records(TIMES)
    table = times_table(measured, compare(measured, "runtime", "onnxruntime"))
    assert list(table.header[:4]) == ["model", "runtime", "batch", "calls"]
    seen = {(row[0], row[1], row[2]): row[-1] for row in table.rows}
    assert seen["conv", "tensorflow", "512"] == "no" and seen["conv", "tensorflow", "1"] == ""
    assert times_table(measured, []).header[-1] == "spread"
    both = [*measured, *records(TIMES, source="xrootd", rtt_ms=10.0, pipeline="tf.data")]
    assert list(times_table(both, []).header[:4]) == ["model", "source", "pipeline", "runtime"]
    assert {row[1] for row in times_table(both, []).rows} == {"local", "xrootd +10 ms"}


def test_share_of_the_local_rate():
    near = records({("conv", "onnxruntime", 64): 4e-3}, pipeline="tf.data")
    far = records({("conv", "onnxruntime", 64): 8e-3}, pipeline="tf.data", source="xrootd", rtt_ms=50.0)
    assert delay_shares([*near, *far]) == [
        {"model": "conv", "runtime": "onnxruntime", "batch_size": 64, "rtt_ms": 50.0, "share": 0.5}
    ]


def test_delay_that_inference_hides():
    inputs = [
        {"source": "xrootd", "rtt_ms": rtt, "n_jets": 1000, "input_s": seconds, "n_particles": 100}
        for rtt, seconds in ((50.0, 0.25), (0.0, 0.05), (10.0, 0.09))
    ]
    assert hidden_until(inputs, 1e-5) == "never"
    assert hidden_until(inputs, 7e-5) == "5.0 ms"
    assert hidden_until(inputs, 17e-5) == "30.0 ms"
    assert hidden_until(inputs, 1e-3) == "over 50 ms"
    assert inputs_table(inputs).rows[0] == ["xrootd +50 ms", "100", "1,000", "0.25", "4,000", "250"]


def test_best_gain_is_one_that_is_seen():
    noisy = records({("conv", "tensorflow", 1): 1.6e-3, ("conv", "onnxruntime", 1): 1e-3})
    for i, r in enumerate(select(noisy, runtime="tensorflow")):
        r["blocks_s"] = [b * (1.9 if (i + j) % 2 else 0.5) for j, b in enumerate(r["blocks_s"])]
    clear = records({("conv", "tensorflow", 8): 1.4e-3, ("conv", "onnxruntime", 8): 1e-3})
    found = [c for part in (noisy, clear) for c in compare(part, "runtime", "onnxruntime")]
    assert not found[0].ratio.low > 1 and found[1].ratio.low > 1
    gains, *_ = findings([*noisy, *clear], found)
    assert gains.startswith("onnxruntime gains most for conv at batch size 8")


def test_growth_is_shown_where_enough_batches_were_run():
    measured = records({("conv", "onnxruntime", 1): 1e-3, ("conv", "onnxruntime", 8): 2e-3})
    leaking = [{**r, "rss_growth_per_1000_batches_bytes": 3e6} if r["batch_size"] == 1 else r for r in measured]
    table = memory_table(leaking)
    column = list(table.header).index("growth, MB per 1,000 batches")
    assert [row[column] for row in table.rows] == ["3", ""]


def test_text_that_looks_like_markup():
    table = Table(["error"], [["pip install 'hepvae[tensorflow]' in [/tmp] a|b <c>"]])
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(table.to_rich("title [/x]"))
    assert "pip install 'hepvae[tensorflow]' in [/tmp] a|b <c>" in console.export_text()
    assert r"a\|b \<c\>" in table.to_markdown()


def test_markdown_of_a_table():
    measured = records(TIMES)
    lines = times_table(measured, []).to_markdown().splitlines()
    assert lines[1].startswith("| --- | --- | ---: |")
    assert {line.count("|") for line in lines} == {lines[0].count("|")}
