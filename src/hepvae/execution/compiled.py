"""Loops compiled by numba."""

from __future__ import annotations

from numba import njit

__all__ = ["compiled"]


def compiled(signature):
    """Compiled for one signature, and kept on disk for the next process where there is a place for it."""

    def decorate(function):
        try:
            return njit(signature, nogil=True, cache=True)(function)
        except RuntimeError:  # no folder that can be written to
            return njit(signature, nogil=True)(function)

    return decorate
