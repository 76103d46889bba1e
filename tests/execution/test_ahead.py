"""Items made in another thread come in order, few at a time, and end with their errors."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import pytest

from hepvae.execution.threads import read_ahead


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
