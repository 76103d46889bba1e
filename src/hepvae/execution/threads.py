"""How many threads there are to use, and work on them."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TypeVar

from ..errors import OptionError

__all__ = ["default_threads", "on_threads"]

Item = TypeVar("Item")


def default_threads() -> int:
    """``HEPVAE_NUM_THREADS``, else 1 in a worker of Dask or of a process pool, else the cores we may run on."""
    asked = os.environ.get("HEPVAE_NUM_THREADS")
    if asked is None:
        if _in_pool() or _in_dask_worker():  # which has one task a core, and so as many of us
            return 1
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not asked.isdigit() or int(asked) < 1:
        raise OptionError(f"HEPVAE_NUM_THREADS is {asked!r}: expected a positive whole number")
    return int(asked)


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

    others = [
        threading.Thread(target=work, name="hepvae", daemon=True) for _ in range(min(threads, len(items)) - 1)
    ]
    for other in others:
        other.start()
    work()
    for other in others:
        other.join()
    if errors:
        raise errors[0]
