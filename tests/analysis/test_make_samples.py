"""The generator of samples: analysis/make_samples.py, run as a user runs it."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.places import ANALYSIS
from helpers.scripts import run_script

import hepvae

SCRIPT = ANALYSIS / "make_samples.py"

needs_pythia = pytest.mark.skipif(
    find_spec("pythia8mc") is None or find_spec("fastjet") is None, reason="needs pip install 'hepvae[generate]'"
)


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("make_samples", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_samples"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["make_samples"]


def make(folder, *arguments):
    return subprocess.run(
        [sys.executable, SCRIPT, "--chunk", "15", *arguments, "--output", folder],
        capture_output=True,
        text=True,
        timeout=200,
    )


def events_of(path):
    with uproot.open(path) as file:
        return file["Events"].arrays()


def test_processes_of_the_study(script):
    expected = {"qcdSide", "qcdSig"}
    expected |= {f"GtoWW{mass}{width}" for mass in (15, 25, 35, 45) for width in ("na", "br")}
    expected |= {f"AtoHZ{mass}" for mass in (15, 25, 35, 45)}
    assert set(script.PROCESSES) == expected


def test_seeds_differ_and_are_pythias(script):
    seeds = [script.chunk_seed(b, p, c) for b in (1, 2) for p in script.PROCESSES for c in range(300)]
    assert len(set(seeds)) == len(seeds)
    assert min(seeds) >= 1 and max(seeds) <= 900_000_000


def test_rounding_keeps_the_bits_of_nanoaod(script, rng):
    values = rng.lognormal(3, 3, 1000).astype(np.float32) * rng.choice([-1, 1], 1000)
    rounded = script.round_mantissa(values, 10)
    assert np.abs(rounded / values - 1).max() <= 2.0**-11
    assert (rounded.view(np.uint32) & np.uint32(2**13 - 1) == 0).all()
    assert script.round_mantissa([0.0], 10) == 0


@pytest.mark.slow
@needs_pythia
def test_same_seed_same_events_whatever_the_cores(tmp_path):
    for jobs in ("1", "2"):
        done = make(tmp_path / jobs, "GtoWW15na", "qcdSig", "--events", "30", "--jobs", jobs)
        assert done.returncode == 0, done.stderr
    for name in ("GtoWW15na", "qcdSig"):
        first, second = (events_of(tmp_path / jobs / f"{name}.root") for jobs in ("1", "2"))
        assert len(first) >= 30
        assert ak.array_equal(first, second)
    assert not list((tmp_path / "1" / ".parts").iterdir())


@pytest.mark.slow
@needs_pythia
def test_selected_and_recorded(tmp_path, script):
    assert make(tmp_path, "AtoHZ15", "--events", "12", "--chunk", "6").returncode == 0
    with uproot.open(tmp_path / "AtoHZ15.root") as file:
        provenance = json.loads(file["provenance"])
        runs = file["Runs"].arrays(library="np")
    assert provenance["seed"] == 1 and provenance["process"] == "AtoHZ15"
    assert runs["seed"].tolist() == [script.chunk_seed(1, "AtoHZ15", chunk) for chunk in (0, 1)]
    events = hepvae.read_dijets(tmp_path / "AtoHZ15.root")
    assert len(hepvae.select_dijets(events)) == len(events)
    assert 1300 < np.median(events.mjj) < 1600
    assert len(set(events.event)) == len(events)


@pytest.mark.slow
@needs_pythia
def test_goes_on_where_it_was_killed(tmp_path, script):
    """The chunk that a killed run left is taken as it is: here it is marked, to be known again."""
    arguments = [sys.executable, SCRIPT, "GtoWW15na", "--events", "60", "--chunk", "15", "--jobs", "1"]
    process = subprocess.Popen(
        [*arguments, "--output", tmp_path], stderr=subprocess.DEVNULL, start_new_session=True
    )
    while not (parts := list(tmp_path.glob(".parts/*/*.root"))):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (first,) = (part for part in parts if part.name.startswith("00000"))
    table, runs = script.read_part(first, "Events"), script.read_part(first, "Runs")
    table["event"] = table["event"] + 7_000_000
    script.write_sample(first, [table], [runs], provenance=None)
    assert make(tmp_path, "GtoWW15na", "--events", "60", "--jobs", "2").returncode == 0
    event = events_of(tmp_path / "GtoWW15na.root").event
    assert ak.sum(event > 7_000_000) == len(table["event"]) < len(event)


def test_unknown_process():
    done = run_script("make_samples", "ttbar")
    assert done.returncode == 2
    assert "invalid choice: 'ttbar'" in done.stderr
