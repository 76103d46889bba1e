"""Work on threads, how many there are, and items made ahead: in order, few at a time, errors at their end."""

from __future__ import annotations

import multiprocessing
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from types import SimpleNamespace

import pytest

from hepvae.execution.threads import default_threads, on_threads, read_ahead


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


def test_items_come_in_order_from_another_thread():
    threads = set()

    def items():
        for i in range(50):
            threads.add(threading.current_thread())
            yield i

    assert list(read_ahead(items())) == list(range(50))
    assert threads.isdisjoint({threading.current_thread()})


@pytest.mark.parametrize("depth", [1, 3])
def test_only_so_many_are_made_before_they_are_wanted(depth):
    made = []

    def items():
        for i in range(20):
            made.append(i)
            yield i

    with closing(read_ahead(items(), depth)) as ahead:
        assert next(ahead) == 0
        until = time.monotonic() + 5
        while len(made) < depth + 2 and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.1)
        assert len(made) == depth + 2


def test_errors_come_after_the_items_before_them():
    def items():
        yield 1
        raise KeyError("two")

    ahead = read_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(KeyError, match="two"):
        next(ahead)


def test_thread_ends_and_closes_its_source_when_nobody_wants_more():
    closed = []

    def items():
        try:
            while True:
                yield closed
        finally:
            closed.append(threading.current_thread().name)

    with closing(read_ahead(items())) as ahead:
        next(ahead)
    assert [name.startswith("hepvae read-ahead") for name in closed] == [True]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("hepvae read-ahead")]
