"""What records say about each other, and the sentences made of it."""

from __future__ import annotations

import io

import pytest
from helpers.records import TIMES, records
from rich.console import Console

from hepvae.bench.comparisons import batch_time, compare, delay_shares, findings, select
from hepvae.bench.printing import (
    delays_table,
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
    assert (first.side, first.reference) == ("tensorflow", "onnxruntime")
    assert first.ratio.value == pytest.approx(5, rel=0.02)
    assert first.reference_s == pytest.approx(2.6e-4, rel=0.03)
    assert not found["conv", 512].ratio.difference_seen
    assert found["graph", 512].ratio.high < 1


def test_runs_that_only_one_side_has_do_not_count():
    measured = records(TIMES)
    slow = [r for r in measured if r["runtime"] == "tensorflow" and r["run"] == 2]
    for r in slow:
        r["blocks_s"] = [100 * b for b in r["blocks_s"]]
    half = [r for r in measured if not (r["runtime"] == "onnxruntime" and r["run"] == 2)]
    assert compare(half, "runtime", "onnxruntime")[0].ratio.value == pytest.approx(5, rel=0.02)
    assert compare(select(half, runtime="tensorflow"), "runtime", "onnxruntime") == []


def said(measured, left_out=""):
    return findings(measured, compare(measured, "runtime", "onnxruntime"), "jets in memory", left_out)


def test_findings_say_where_a_runtime_is_faster_and_what_to_use():
    about, conv, most, graph, *advice = said(records(TIMES), "4 other cells")
    assert about == "Measured with jets in memory; 4 other cells have sections of their own."
    assert conv == (
        "conv: tensorflow takes longer than onnxruntime at batch sizes 1 and 64 (time ratio 1.5 to 5) and no"
        " difference is seen at batch size 512."
    )
    assert most.startswith("conv: the ratio to tensorflow is largest at batch size 1, 5")
    assert "graph: tensorflow takes longer than onnxruntime at batch size 1 (time ratio 2 (" in graph
    assert "takes less time than onnxruntime at batch size 512 (time ratio 0.8" in graph
    assert (
        advice[0].startswith("conv: the highest rate is 17,")
        and "not significantly higher than 512 on" in advice[0]
    )
    assert "batches of 64 on onnxruntime reach 9" in advice[0] and "with 700 MB" in advice[0]
    assert "graph: the highest rate is 6,368 jets/s, in batches of 512 on tensorflow" in advice[1]


@pytest.mark.parametrize(
    ("slower", "spread", "said_of_it"),
    [
        (1.03, 0.01, "; batches of 64 on onnxruntime reach 97% (96% to 98%) of it, with 700 MB."),
        (1.05, 0.2, "; whether smaller batches reach 90% of it is open: those of 64 on onnxruntime reach 9"),
        (1.5, 0.01, "; smaller batches reach less than 90% of it."),
    ],
)
def test_advice_says_one_thing_of_smaller_batches(slower, spread, said_of_it):
    """It was "not significantly higher than 64 on litert; no smaller batch reaches 90% of it"."""
    measured = records({("conv", "onnxruntime", 64): slower, ("conv", "onnxruntime", 512): 8.0})
    for i, seconds in enumerate(measured[0]["blocks_s"]):
        for r in measured[:2]:
            r["blocks_s"][i] = seconds * (1 + spread * (-1) ** i)
    (advice,) = said(measured)[1:]
    assert advice.startswith("conv: the highest rate is 64 jets/s, in batches of 512 on onnxruntime;")
    assert said_of_it in advice and "not significantly" not in advice


def test_findings_claim_nothing_without_intervals():
    """A cell of one run and one round printed "3.87, 3.87 - 3.87" as an interval, and sentences followed."""
    once = records(TIMES, runs=1, rounds=1)
    (*_, ratio) = (c.ratio for c in compare(once, "runtime", "onnxruntime"))
    assert not ratio.has_interval and not ratio.difference_seen and "no interval" in str(ratio)
    assert ratio.to_dict() == {"value": ratio.value, "low": None, "high": None}
    assert said(once)[1:] == ["Too few rounds and runs for intervals: no difference is claimed."]
    assert times_table(once, compare(once, "runtime", "onnxruntime")).rows[0][-3:] == ["5.03", "none", ""]
    assert any("takes longer" in sentence for sentence in said(records(TIMES, runs=1, rounds=8)))


def test_no_largest_ratio_where_intervals_overlap_or_with_one_size():
    times = {("conv", runtime, size): 1e-3 for runtime in ("tensorflow", "onnxruntime") for size in (1, 8, 64)}
    always = records({key: 2e-3 if key[1] == "tensorflow" else 1e-3 for key in times})
    assert not any("largest" in sentence for sentence in said(always))
    assert not any("largest" in sentence for sentence in said(select(always, batch_size=1)))
    assert "takes longer than onnxruntime at batch sizes 1, 8 and 64" in said(always)[1]


def test_highest_rate_is_that_of_the_table():
    """Conclusions named a best rate where the table had a higher one: medians of calls beside rates of rounds."""
    measured = records(TIMES)
    for r in measured:
        r["latency_s"]["median"] *= 0.8
    table = times_table(measured, [])
    rates = [float(row[-2].replace(",", "")) for row in table.rows if row[0] == "conv"]
    assert f"{max(rates):,.0f} jets/s" in next(s for s in said(measured) if "highest" in s)
    row = table.rows[0]
    assert float(row[-3].replace(",", "")) * float(row[-2].replace(",", "")) == pytest.approx(1e6, rel=0.01)
    assert float(row[-3].replace(",", "")) == pytest.approx(1e6 * batch_time(measured[:2]), rel=0.01)


def test_scenarios():
    rows = {tuple(row[:2]): row[2:] for row in scenarios_table(records(TIMES)).rows}
    assert rows["conv", "onnxruntime"] == ["0.286", "100", "17,167", "512"]


def test_table_shows_what_differs_and_no_more():
    measured = records(TIMES)
    table = times_table(measured, compare(measured, "runtime", "onnxruntime"))
    assert list(table.header[:4]) == ["model", "runtime", "batch", "calls"]
    seen = {(row[0], row[1], row[2]): row[-1] for row in table.rows}
    assert seen["conv", "tensorflow", "512"] == "no" and seen["conv", "tensorflow", "1"] == "yes"
    assert times_table(measured, []).header[-1] == "spread"
    both = [*measured, *records(TIMES, source="xrootd", rtt_ms=10.0, pipeline="tf.data")]
    assert list(times_table(both, []).header[:4]) == ["model", "source", "pipeline", "runtime"]
    assert {row[1] for row in times_table(both, []).rows} == {"local", "xrootd +10 ms"}


def test_share_of_the_local_rate():
    near = records({("conv", "onnxruntime", 64): 4e-3}, pipeline="tf.data")
    far = records({("conv", "onnxruntime", 64): 8e-3}, pipeline="tf.data", source="xrootd", rtt_ms=50.0)
    (share,) = delay_shares([*near, *far])
    ratio = share.pop("share")
    assert share == {"model": "conv", "runtime": "onnxruntime", "batch_size": 64, "rtt_ms": 50.0}
    assert ratio.value == pytest.approx(0.5, rel=0.02) and 0.4 < ratio.low < ratio.value < ratio.high < 0.6
    table = delays_table([{**share, "share": ratio}], [*near, *far], [])
    assert table.rows[0][3].startswith("50% (") and " to " in table.rows[0][3]


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
