"""How many threads there are to use, and work on them: all items at once, or the next ones ahead."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import islice
from queue import SimpleQueue
from typing import Any, TypeVar

from ..errors import OptionError

__all__ = ["default_threads", "on_threads", "read_ahead"]

Item = TypeVar("Item")


def default_threads() -> int:
    """``HEPVAE_NUM_THREADS``, else 1 in a worker of Dask or of a process pool, else the cores we may run on."""
    value = os.environ.get("HEPVAE_NUM_THREADS")
    if value is None:
        if _in_pool() or _in_dask_worker():  # which has one task a core, and so as many of us
            return 1
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not value.isdigit() or int(value) < 1:
        raise OptionError(f"HEPVAE_NUM_THREADS is {value!r}: expected a positive whole number")
    return int(value)


def _in_pool() -> bool:
    """Whether Python's multiprocessing started this process, as it does for coffea's ``FuturesExecutor``."""
    return multiprocessing.parent_process() is not None


def _in_dask_worker() -> bool:
    worker = sys.modules.get("distributed.worker")  # not there: nobody uses Dask in this process
    if worker is None:
        return False
    try:
        worker.get_worker()
    except ValueError:
        return False
    return True


class _Task:
    """Work that a helper may take, or whoever waits for it may take back."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._free, self._running = threading.Lock(), threading.Lock()
        self._running.acquire()

    def run(self) -> None:
        """By a helper; nothing where it was taken back."""
        if self._free.acquire(blocking=False):
            try:
                self._work()
            finally:
                self._running.release()

    def finish(self) -> None:
        """Take it back where no helper has begun it, else wait for its end."""
        if not self._free.acquire(blocking=False):
            self._running.acquire()


class _Helpers:
    """Threads of one process that wait for tasks: to wake one takes 10 us, to start one 100."""

    def __init__(self) -> None:
        self._tasks: SimpleQueue[_Task] = SimpleQueue()
        self._started = 0
        self._lock = threading.Lock()

    def take(self, work: Callable[[], None], number: int) -> list[_Task]:
        """Hand work to some of them."""
        with self._lock:
            while self._started < number:
                threading.Thread(target=self._serve, name="hepvae", daemon=True).start()
                self._started += 1
        tasks = [_Task(work) for _ in range(number)]
        for task in tasks:
            self._tasks.put(task)
        return tasks

    def _serve(self) -> None:
        while True:
            self._tasks.get().run()


@lru_cache(maxsize=1)
def _helpers(process: int) -> _Helpers:
    """Those of a process: a fork has none of its parent's threads."""
    return _Helpers()


def on_threads(items: Iterable[Item], run: Callable[[Item], None], threads: int) -> None:
    """Run items on some threads, this one among them: each takes the next that nobody has.

    What the first that fails raises is raised, and no more are begun.
    """
    items = list(items)
    waiting, lock = iter(items), threading.Lock()
    errors: list[BaseException] = []

    def work() -> None:
        while not errors:
            with lock:
                item = list(islice(waiting, 1))
            if not item:
                return
            try:
                run(item[0])
            except BaseException as error:  # of whatever kind: it belongs to the caller
                errors.append(error)

    others = min(threads, len(items)) - 1
    tasks = _helpers(os.getpid()).take(work, others) if others > 0 else []
    work()
    for task in tasks:
        task.finish()
    if errors:
        raise errors[0]


def read_ahead(items: Iterable[Item], depth: int = 1) -> Generator[Item, None, None]:
    """Give items that another thread takes from where they come from.

    Files are read and decompressed outside Python's lock, so that this goes on while a model runs.

    Parameters
    ----------
    items : iterable
        Made in the other thread. What it raises is raised here, after the items before it.
    depth : int
        Items that may wait; one more is being made, and one is with whoever takes them.
    """
    source, end = iter(items), object()
    with ThreadPoolExecutor(1, "hepvae read-ahead") as thread:
        waiting = deque(thread.submit(next, source, end) for _ in range(depth + 1))
        try:
            item: Any
            while (item := waiting.popleft().result()) is not end:
                waiting.append(thread.submit(next, source, end))
                yield item
                del item  # else it lives until the next one is made
        finally:
            for unwanted in waiting:
                unwanted.cancel()
            if hasattr(source, "close"):
                thread.submit(source.close)  # in the other thread: files are open in it
