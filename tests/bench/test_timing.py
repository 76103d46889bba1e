"""Cells in processes of their own, timed in turns."""

from __future__ import annotations

import itertools
import os
import signal

import numpy as np
import pytest

import hepvae
from hepvae.bench.cells import Cell, Effort
from hepvae.bench.processes import Process, run_module
from hepvae.bench.timing import _order, open_cells, time_in_turns

SPEC = hepvae.InputSpec()


@pytest.fixture(scope="module")
def jets(tmp_path_factory):
    """A .npy file of 20 real jets."""
    path = tmp_path_factory.mktemp("jets") / "jets.npy"
    events = hepvae.read_dijets(hepvae.sample_path("GtoWW15na"), entry_stop=10)
    np.save(path, hepvae.pad_particles(events, SPEC).reshape(-1, *SPEC.shape))
    return str(path)


def cell(batch_size=8, runtime="onnxruntime", pipeline="numpy"):
    return Cell("conv", "", runtime, "local", 0.0, pipeline, batch_size, run=1)


@pytest.fixture
def opened():
    """Open cells of the bundled Conv-VAE; their processes end with the test."""
    all_opened = []

    def start(*cells, path=None):
        files = [(c, path or str(hepvae.model_path("conv", runtime=c.runtime))) for c in cells]
        all_opened.extend(open_cells(files, threads=1, at_once=2))
        return all_opened[-len(cells) :]

    yield start
    for one in all_opened:
        one.end()


SHORT = Effort(seconds=0.02, block_s=0.005, rounds=(3, 4))


def test_record_counts_what_was_run(opened, jets, runtime):
    """More calls than there are jets, and a batch larger than all of them."""
    unit = opened(cell(batch_size=32, runtime=runtime))
    (record,) = time_in_turns(unit, SHORT, jets=jets, files=[])
    assert unit[0].failure is None
    assert (record["model"], record["runtime"], record["batch_size"], record["run"]) == ("conv", runtime, 32, 1)
    assert record["n_jets"] == 32 * record["timed_calls"] and record["calls"] > record["timed_calls"]
    assert 3 <= len(record["blocks_s"]) <= 4
    assert record["threads"] == 1 and record["arena"] is (True if runtime == "onnxruntime" else None)
    latency = record["latency_s"]
    assert 0 < latency["median"] <= latency["p90"] <= latency["p99"]
    assert record["first_call_s"] > 0 and record["load_s"] > 0
    # Whatever else there is, the distances of 100 x 100 particles of each jet are.
    assert record["rss_peak_bytes"] > record["rss_inference_bytes"] > 32 * 100 * 100 * 4


def test_of_three_sides_none_is_better_placed():
    """The middle one of A B C, C B A never had its own data in the caches, and was 4 % slower for it."""
    rounds = ["".join(_order(list("ABC"), i)) for i in range(600)]
    assert all(sorted(turn) == list("ABC") for turn in rounds)
    twice = [first[-1] for first, second in itertools.pairwise(rounds) if first[-1] == second[0]]
    for name in "ABC":
        assert sum(turn[0] == name for turn in rounds) == 200
        assert abs(twice.count(name) - len(twice) / 3) <= 1


def test_sides_take_turns_in_turned_order(opened, jets):
    unit = opened(cell(), cell())
    asked = []
    for name, one in zip("AB", unit):
        original = one.process.ask

        def ask(request, name=name, original=original, **arguments):
            asked.append((request, name))
            return original(request, **arguments)

        one.process.ask = ask
    records = time_in_turns(unit, SHORT, jets=jets, files=[])
    turns = "".join(name for request, name in asked if request == "block")
    assert turns in ("ABBABA", "ABBABAAB")
    assert len(records) == 2 and len({len(r["blocks_s"]) for r in records}) == 1


def test_single_stream_has_its_queries(opened, jets):
    unit = opened(cell(batch_size=1))
    (record,) = time_in_turns(unit, Effort(seconds=0, single_stream_calls=600), jets=jets, files=[])
    assert record["timed_calls"] >= 600


@pytest.mark.slow
def test_stream_reads_the_files(opened, jets):
    pytest.importorskip("tensorflow")
    path = str(hepvae.sample_path("GtoWW15na"))
    effort = Effort(seconds=0.1, passes=1, pass_s=60)
    unit = opened(cell(batch_size=512, pipeline="tf.data"))
    (record,) = time_in_turns(unit, effort, jets=jets, files=[path])
    events = hepvae.read_dijets(path)
    assert record["n_jets"] == 2 * len(events)
    assert record["timed_calls"] == -(-2 * len(events) // 512)
    # The rate is that of the whole pass, reading included.
    assert record["jets_per_s"] == pytest.approx(512 / record["blocks_s"][0])


def test_losses_are_those_of_the_inferer(opened, jets, tmp_path):
    (one,) = opened(cell())
    time_in_turns([one], SHORT, jets=jets, files=[])
    one.ask("losses", to=str(tmp_path / "all.npz"))
    one.ask("losses", to=str(tmp_path / "some.npz"), jets=5)
    expected = hepvae.load_inferer(hepvae.model_path("conv"), threads=1)(np.load(jets))
    for name, values in np.load(tmp_path / "all.npz").items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-5)
    assert len(np.load(tmp_path / "some.npz")["loss"]) == 5


def test_cell_that_cannot_be_opened_says_why_and_the_other_goes_on(opened, jets):
    (missing,) = opened(cell(), path="/nowhere.onnx")
    (good,) = opened(cell())
    records = time_in_turns([missing, good], SHORT, jets=jets, files=[])
    assert missing.failure == "/nowhere.onnx: no such model file"
    assert [r["runtime"] for r in records] == ["onnxruntime"]


def test_process_that_is_killed_says_so(jets):
    path = str(hepvae.model_path("conv"))
    process = Process(path=path, runtime="onnxruntime", batch_size=8, threads=1, pipeline="numpy")
    process.ask("open")
    os.kill(process._process.pid, signal.SIGKILL)
    with pytest.raises(hepvae.ModelError, match=r"killed by SIGKILL \(out of memory\?\)"):
        process.ask("warm_up", jets=jets, files=[], seconds=0, calls=1)
    process.end()


def test_process_ends_with_its_owner(jets):
    path = str(hepvae.model_path("conv"))
    process = Process(path=path, runtime="onnxruntime", batch_size=8, threads=1, pipeline="numpy")
    process.ask("open")
    process._requests.close()  # as the system does when the owner is killed
    assert process._process.wait(20) == 0
    process._requests = open(os.devnull, "wb")  # noqa: SIM115
    process.end()


@pytest.mark.slow
def test_model_in_a_worker_of_dask(jets, tmp_path, monkeypatch):
    """Its inferer travels there; the worker and its folders end with the process."""
    monkeypatch.setenv("DASK_TEMPORARY_DIRECTORY", str(tmp_path / "dask"))
    path = str(hepvae.model_path("conv"))
    cell = {"runtime": "onnxruntime", "batch_size": 8, "threads": 1, "pipeline": "numpy"}
    process = Process(on_dask=True, path=path, **cell)
    try:
        assert process.ask("open")["threads"] == 1
        assert process.ask("warm_up", jets=jets, files=[], seconds=0, calls=1)["call_s"] > 0
        assert process.ask("losses", to=str(tmp_path / "there.npz")) == {}
        assert len(list(tmp_path.glob("dask/*/worker-*"))) > 0
    finally:
        process.end()
    assert list(tmp_path.glob("dask/*/worker-*")) == []
    expected = hepvae.load_inferer(path, threads=1)(np.load(jets))["loss"]
    assert np.allclose(np.load(tmp_path / "there.npz")["loss"], expected, rtol=1e-5)


def test_reader_gives_the_jets_and_their_time(tmp_path):
    path = str(hepvae.sample_path("GtoWW15na"))
    request = {"files": [path], "spec": SPEC.to_dict(), "to": str(tmp_path / "jets.npy")}
    answer = run_module("reader", request)
    events = hepvae.read_dijets(path)
    assert answer["n_jets"] == 2 * len(events) and answer["input_s"] > 0
    jets = hepvae.pad_particles(events, SPEC).reshape(-1, *SPEC.shape)
    np.testing.assert_array_equal(np.load(tmp_path / "jets.npy"), jets)
    with pytest.raises(hepvae.ModelError, match=r"nowhere\.root: no such file"):
        run_module("reader", {**request, "files": ["nowhere.root"]})
