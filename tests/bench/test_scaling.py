"""The study of scaling: figures of known runs, and a short real one."""

from __future__ import annotations

from io import StringIO

import numpy as np
import pytest
from rich.console import Console

import hepvae
from hepvae.bench.scaling import CHUNKS, Run, Scaling, make_file, print_scaling, run_scaling

pytest.importorskip("distributed")


def known(gain: float, single_file: bool = False) -> Scaling:
    """1 ms a chunk and 0.1 ms an event, without losses but for what two workers do not gain."""
    found = Scaling(2, 64_000, 128_000, single_file=single_file, event_bytes=500.0, requests=5.0)
    for chunk in CHUNKS:
        tasks = 64_000 // chunk
        alone, own = 6.4 + 1e-3 * tasks, 2e-4 * tasks + 64_000e-6
        for workers, seconds in ((0, alone), (1, alone), (2, alone / gain)):
            cpu = own + 0.02 * seconds
            found.runs[workers, chunk] = Run([seconds] * 5, tasks, tasks // 4, [alone] * 5, [cpu] * 5, 1000)
        found.other[chunk] = Run([alone] * 5, tasks, tasks, [alone] * 5, [2 * own + 0.02 * alone] * 5, 1000)
    found.apart, found.watched = Run([found.runs[0, CHUNKS[-1]].seconds[0] / 1.9] * 5), [0.02] * 5
    found.dense = {1: Run([2.0] * 5), 2: Run([1.05] * 5)}
    found.crowd = {"1": Run([1.0] * 5), "2 (all cores)": Run([2.0] * 5)}
    return found


def printed(found: Scaling) -> str:
    console = Console(record=True, width=200, file=StringIO())
    print_scaling(found, console)
    return console.export_text()


def test_figures_of_known_runs():
    found = known(gain=1.6)
    one, two = found.runs[1, 400], found.runs[2, 400]
    assert found.ratio(two, one).value == pytest.approx(1.6)
    assert found.lost(1, one) == pytest.approx(0) and found.lost(2, two) == pytest.approx(0.2)
    costs = found.costs
    assert (costs.chunk_s, costs.event_s) == (pytest.approx(1e-3), pytest.approx(1e-4))
    # what all runs have alike belongs to no event where no rows come back
    assert (costs.task_s, costs.write_s) == (pytest.approx(2e-4), 0)
    assert known(gain=1.6, single_file=True).costs.write_s == pytest.approx(1e-6)


@pytest.mark.parametrize("gain, verdict", [(1.6, "missed"), (1.9, "met")])
def test_the_target_is_held_against_what_was_found(gain, verdict):
    text = printed(known(gain))
    assert f"target 1.8: {verdict}" in text
    assert "edge-dense, at best: 1.9 (1.9 to 1.9)" in text
    assert "two processes without Dask over one, 6,400 events a chunk: 1.9 (" in text
    assert "with 400 events a chunk: 0.60 ms a chunk where workers write parts, 1.20 ms where rows of a" in text
    assert "0.20 ms a chunk (target 0.5: met), 0.00 us an event, and 2.0 % of a core" in text
    # 10 workers of 0.1 ms an event, two jets each; 1,000 wait for the scheduler where chunks are small
    assert "(workers)" in text and "(scheduler)" not in text and "(client)" in text
    # the client's 1 us an event stops 1,000 workers
    assert "(client)" in printed(known(gain, single_file=True))


def test_the_file_has_the_events_of_the_samples(tmp_path):
    path = tmp_path / "many.root"
    entries = make_file(path)
    found, sample = hepvae.read_dijets(path), hepvae.read_dijets(hepvae.sample_path("qcdSide"))
    assert entries == len(found) > 8000
    ours = hepvae.pad_particles(found[: len(sample)], hepvae.InputSpec())
    assert np.array_equal(ours, hepvae.pad_particles(sample, hepvae.InputSpec()))


@pytest.mark.slow
def test_a_short_real_run():
    found = run_scaling(rounds=1, chunks=(1600, 6400), files=1, dense_model="graph")
    assert found.jets == 2 * found.events == 16_516 and 0 < found.watching < 1
    assert len(found.apart.seconds) == 1
    for (workers, chunk), run in found.runs.items():
        assert len(run.seconds) == 1
        if workers:
            assert run.chunks >= found.events / chunk and 0 < run.tasks <= run.chunks + 1
            assert 0 < run.compute_s[0] < workers * run.seconds[0]
            assert run.returned_bytes < 5 * found.events < found.other[chunk].returned_bytes
    assert found.costs.event_s > 0 and 100 < found.event_bytes < 5000
    assert found.requests is None or 1 < found.requests < 50
    assert "Model of a cluster" in printed(found)
