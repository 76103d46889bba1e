"""Work on threads, and how many there are."""

from __future__ import annotations

import multiprocessing
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from types import SimpleNamespace

import pytest

from hepvae.execution.threads import default_threads, on_threads


def test_items_are_run_at_the_same_time_each_once():
    seen, meet = [], threading.Barrier(3, timeout=30)

    def run(item):
        if item < 3:
            meet.wait()  # passed only if three run at the same time
        seen.append(item)

    on_threads(range(50), run, 3)
    assert sorted(seen) == list(range(50))
    on_threads([], run, 3)


def test_a_failure_ends_the_others():
    seen = []

    def fail(item):
        seen.append(item)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        on_threads(range(50), fail, 3)
    assert len(seen) <= 3


def test_one_thread_in_a_process_of_a_pool(monkeypatch):
    """As many of us as there are cores, each with all cores, take turns in each other's way."""
    monkeypatch.delenv("HEPVAE_NUM_THREADS", raising=False)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(default_threads).result() == 1
        monkeypatch.setenv("HEPVAE_NUM_THREADS", "3")
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(default_threads).result() == 3


def test_one_thread_inside_a_dask_worker(monkeypatch):
    """A module of the shape of Dask's stands for it; real workers are in test_dask_scoring."""
    monkeypatch.delenv("HEPVAE_NUM_THREADS", raising=False)
    outside = default_threads()

    def nobody():
        raise ValueError("No worker found")

    monkeypatch.setitem(sys.modules, "distributed.worker", SimpleNamespace(get_worker=nobody))
    assert default_threads() == outside
    monkeypatch.setitem(sys.modules, "distributed.worker", SimpleNamespace(get_worker=object))
    assert default_threads() == 1
    monkeypatch.setenv("HEPVAE_NUM_THREADS", "3")
    assert default_threads() == 3
