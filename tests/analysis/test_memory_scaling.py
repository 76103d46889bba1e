"""The study of memory: analysis/memory_scaling.py."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
from helpers.places import ANALYSIS

SCRIPT = ANALYSIS / "memory_scaling.py"


@pytest.fixture(scope="module")
def script():
    pytest.importorskip("tensorflow")
    spec = importlib.util.spec_from_file_location("memory_scaling", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def record(script, variant, batch_size, constant, arrays):
    grown = batch_size * float(variant.terms @ np.array(arrays))
    return {
        "model": variant.form,
        "runtime": "onnxruntime",
        "batch_size": batch_size,
        "n_particles": variant.n_particles,
        "widening": variant.widening,
        "rss_inference_bytes": constant + grown,
        "rss_peak_bytes": 1e8 + constant + grown,
    }


@pytest.mark.parametrize("arrays", [(3.0, 2.0), (5.0, 0.0)], ids=str)
def test_fit_finds_what_was_put_in(script, arrays):
    variants = [script.Variant("edge", *size) for size in ((100, 1), (50, 1), (200, 1), (100, 2))]
    found = script.fit([record(script, v, b, 2e7, arrays) for v in variants for b in (1, 16, 256)])
    assert found.constant == pytest.approx(2e7)
    assert found.arrays == pytest.approx(arrays)
    assert found.deviation < 1e-9
    # A tenth of the 120 MB at batch 1, over what a jet of the first variant takes.
    assert found.turning_point(variants[0].terms) == pytest.approx(
        0.1 * found.start / (variants[0].terms @ arrays)
    )


def test_width_of_a_node_counts_its_edges(script):
    assert script.Variant("graph", 100, 1).node_width == 48
    assert script.Variant("edge", 100, 2).node_width == 8 * 64
    assert script.Variant("graph-slots", 100, 2).node_width == 256
    assert script.Variant("edge", 100, 1).terms.tolist() == [4 * 100 * 100, 4 * 100 * 8 * 32]


@pytest.mark.slow
def test_cells_are_measured(script):
    """More jets at once take more memory, on each runtime."""
    records = script.measured([script.Variant("graph", 50, 1)], [1, 1024])
    assert {(r["runtime"], r["batch_size"]) for r in records} == {
        (runtime, size) for runtime in script.SUFFIXES for size in (1, 1024)
    }
    for runtime in script.SUFFIXES:
        small, large = (
            next(r for r in records if (r["runtime"], r["batch_size"]) == (runtime, size)) for size in (1, 1024)
        )
        assert large["rss_inference_bytes"] - small["rss_inference_bytes"] > 1023 * 50 * 50 * 4
