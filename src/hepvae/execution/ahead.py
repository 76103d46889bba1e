"""Read the next chunks while this one is worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

__all__ = ["read_ahead"]

Item = TypeVar("Item")


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
