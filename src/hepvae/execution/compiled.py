"""Loops compiled by numba."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from numba import njit
from numba.core import entrypoints

from ..errors import one_line

__all__ = ["compiled"]

_logger = logging.getLogger(__name__)
#: Why the cache is not used: logged once.
_explained: list[str] = []

Function = TypeVar("Function", bound=Callable[..., Any])


@contextmanager
def _without_extensions() -> Iterator[None]:
    """Loops of plain arrays need no types of vector and awkward, which take half a second to import.

    numba loads them when a user compiles the next function.
    """
    loaded = getattr(entrypoints, "_already_initialized", None)
    if loaded is not False:  # nothing to hold back, or another numba
        yield
        return
    entrypoints._already_initialized = True
    try:
        yield
    finally:
        entrypoints._already_initialized = False


def compiled(signature: Any) -> Callable[[Function], Function]:
    """Compiled for one signature, and kept on disk for the next process where that works."""

    def decorate(function: Function) -> Function:
        try:
            with _without_extensions():
                result: Function = njit(signature, nogil=True, cache=True)(function)
        # No folder that can be written to, a full disk, a damaged file in the cache: numba raises RuntimeError,
        # OSError, and what pickle does. An error of the function itself comes again.
        except Exception as error:
            with _without_extensions():
                result = njit(signature, nogil=True)(function)
            if not _explained:
                _explained.append(one_line(error))
                _logger.warning("numba's cache is not used, and loops are compiled anew: %s", *_explained)
        return result

    return decorate
