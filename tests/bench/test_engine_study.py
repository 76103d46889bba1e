"""The study of the engine: its ratios, and one real unit of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import hepvae
from hepvae import InputSpec, pad_particles, read_dijets, sample_path
from hepvae.bench import engine
from hepvae.bench.engine import Engine, Unit, print_engine, run_engine
from hepvae.bench.floor import Work
from hepvae.bench.pipeline import pad_with_awkward
from hepvae.bench.processes import Process
from hepvae.bench.timing import BEFORE


def known(**seconds) -> Engine:
    found = Engine(2, rates={Unit("conv", 512): {"matrix_flop_per_s": 1e11, "bytes_per_s": 1e10}})
    found.work["conv"] = Work(1.6e6, 1e5, 1_000_000, 2_000, 300_000)
    found.times[Unit("conv", 512)] = {name: [s] * 10 for name, s in seconds.items()}
    return found


def test_ratios_and_shares():
    found = known(**{"hepvae": 32e-6, "tf.function": 160e-6})
    assert found.ratio(Unit("conv", 512), "tf.function").value == pytest.approx(5)
    assert found.ratio(Unit("conv", 512), "plain export") is None
    assert found.floor_share(Unit("conv", 512)) == pytest.approx(0.5)


def test_what_is_missed_is_said():
    console = Console(record=True, width=200)
    print_engine(known(**{"hepvae": 50e-6, "tf.function": 160e-6}), console)
    lines = console.export_text().splitlines()
    (share,) = [line for line in lines if "matrix-rate floor" in line]
    assert "32 %" in share and "missed" in share
    assert any("not measured" in line and "missed" in line for line in lines)


@pytest.mark.parametrize("sample", ["qcdSide", "GtoWW15br"])
def test_padding_is_held_against_the_same_padding(sample):
    events = read_dijets(sample_path(sample), entry_stop=100)
    expected = pad_with_awkward(events, InputSpec(), sort=True)
    assert np.allclose(pad_particles(events, InputSpec()), expected, atol=1e-5)


@pytest.mark.slow
def test_one_unit_of_it(monkeypatch):
    pytest.importorskip("tensorflow")
    monkeypatch.setattr(engine, "UNITS", (Unit("conv", 8, ("plain export",)),))
    asked = []

    def without_the_pipeline(module, request, run=engine.run_module):
        asked.append(module)
        return {} if module == "pipeline" else run(module, request)

    monkeypatch.setattr(engine, "run_module", without_the_pipeline)
    found = run_engine(seconds=0.2)
    assert found.failures == []
    assert found.ratio(Unit("conv", 8), "plain export").value > 0
    assert 0 < found.floor_share(Unit("conv", 8)) < 1
    assert asked == ["reader", "floor", "floor", "pipeline"]


@pytest.mark.slow
def test_another_checkout_is_held_against(monkeypatch, tmp_path):
    """It is this one here, by its own files and in a process of its own."""
    monkeypatch.setattr(engine, "UNITS", (Unit("graph", 8),))
    monkeypatch.setattr(
        engine,
        "run_module",
        lambda module, request, run=engine.run_module: {} if module == "pipeline" else run(module, request),
    )
    root = Path(hepvae.__file__).parents[2]
    found = run_engine(seconds=0.1, before=root)
    assert found.failures == []
    assert found.ratio(Unit("graph", 8), BEFORE).value > 0
    process = Process(before=root, path="conv", threads=1, runtime=BEFORE, pipeline="numpy", batch_size=1)
    try:
        files = [str(sample_path("qcdSig"))]
        assert process.ask("score", files=files, output=str(tmp_path / "scores.root"))["cpu_s"] > 0
    finally:
        process.end()
    assert (tmp_path / "scores.root").is_file()
