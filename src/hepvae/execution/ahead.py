"""Read the next chunks while this one is worked on."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Generator, Iterable
from typing import Any, TypeVar

__all__ = ["read_ahead"]

Item = TypeVar("Item")

#: How often a thread that waits for room looks whether anybody still wants its items.
LOOK_S = 0.1


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
    waiting: queue.Queue[tuple[str, Any]] = queue.Queue(maxsize=depth)
    unwanted = threading.Event()

    def put(kind: str, content: Any) -> None:
        while not unwanted.is_set():
            with contextlib.suppress(queue.Full):
                return waiting.put((kind, content), timeout=LOOK_S)

    def work() -> None:
        source = iter(items)
        try:
            for item in source:
                put("item", item)
                del item  # else it lives until the next one is made
                if unwanted.is_set():
                    return
            put("end", None)
        except BaseException as error:  # whatever it is, it belongs to whoever takes the items
            put("error", error)
        finally:
            if hasattr(source, "close"):
                source.close()  # in this thread: files are open in it

    thread = threading.Thread(target=work, name="hepvae read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            kind, content = waiting.get()
            if kind == "end":
                return
            if kind == "error":
                raise content
            yield content
            del content
    finally:
        unwanted.set()
        thread.join()
