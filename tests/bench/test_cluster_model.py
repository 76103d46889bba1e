"""The model of a cluster: what limits it, and the line through what was measured."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
import pytest

from hepvae.bench.cluster_model import Costs, Rates, chunk_cost, limits, slowest

COSTS = Costs(chunk_s=0.02, event_s=1e-4, task_s=2e-3, write_s=1e-6, requests=10, event_bytes=1000)
NEAR = Rates(storage_bytes_per_s=1e9, task_s=1e-3, round_trip_s=0)


def test_cost_of_a_chunk_is_found_again():
    events = np.array([100, 400, 1600, 6400])
    fixed, each = chunk_cost(events, 0.02 + 1e-4 * events)
    assert (fixed, each) == (pytest.approx(0.02), pytest.approx(1e-4))
    # Noise must not make a negative cost of it.
    assert chunk_cost([100, 200], [0.1, 0.3]) == (0, pytest.approx(15 / 13000))
    assert chunk_cost([100, 200], [0.3, 0.1])[1] == 0


def test_cost_of_asking_is_found_again():
    chunks = np.array([168, 48, 16] * 6)
    found = chunk_cost(chunks, 2.5e-4 * chunks + 0.02, relative=False)
    assert found == (pytest.approx(0.02), pytest.approx(2.5e-4))
    # noise of what is subtracted must not make a negative cost of it
    assert chunk_cost(chunks, 0.02 - 1e-4 * chunks, relative=False)[1] == 0


def test_one_limit_after_the_other():
    assert slowest(COSTS, NEAR, 1, 1000) == ("workers", pytest.approx(1000 / 0.12))
    assert slowest(COSTS, NEAR, 10, 1000)[1] == pytest.approx(10 * slowest(COSTS, NEAR, 1, 1000)[1])
    # 1000 / 3 ms of the client, 1 GB/s of the storage, 1000 / 1 ms of the scheduler
    assert slowest(COSTS, NEAR, 10_000, 1000) == ("client", pytest.approx(1000 / 3e-3))
    quick = replace(COSTS, task_s=0.0, write_s=1e-9)
    assert slowest(quick, NEAR, 10_000, 10_000) == ("storage", pytest.approx(1e6))
    unlimited = replace(NEAR, storage_bytes_per_s=inf)
    assert slowest(quick, unlimited, 10_000, 100) == ("scheduler", pytest.approx(1e5))
    # Of tasks of several chunks there are fewer.
    assert slowest(replace(quick, chunks=4), unlimited, 10_000, 100) == ("scheduler", pytest.approx(4e5))


def test_round_trips_are_the_workers():
    near, far = (limits(COSTS, replace(NEAR, round_trip_s=s), 7, 1000) for s in (0, 0.012))
    assert near["workers"] == pytest.approx(2 * far["workers"])
    assert {**near, "workers": 0} == {**far, "workers": 0}
