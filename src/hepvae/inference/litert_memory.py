"""Graphs of one model for several shapes, in memory that they share.

LiteRT copies the weights of each engine into the order in which its kernels read them, and has no use for those of
the graph afterwards. An engine of edge-dense with a graph of its own took a third more memory, and half as long
again to make.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import tempfile
import weakref
from itertools import pairwise

import numpy as np

from .litert_file import Sizes

__all__ = ["SharedGraph", "SizedGraph"]

_c = ctypes.CDLL(None, use_errno=True)
_c.mmap.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long
_c.mmap.restype = ctypes.c_void_p
_c.munmap.argtypes = ctypes.c_void_p, ctypes.c_size_t
_c.madvise.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
#: Of `mmap`, where it fails.
FAILED = ctypes.c_void_p(-1).value


def _unnamed_file() -> int:
    """Open, in memory where the system has such."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("hepvae")
    descriptor, name = tempfile.mkstemp()
    os.unlink(name)
    return descriptor


class SharedGraph:
    """A graph, for copies with other sizes.

    Parameters
    ----------
    graph : bytes
    sizes : Sizes
    """

    def __init__(self, graph: bytes, sizes: Sizes) -> None:
        self.sizes, self.size = sizes, len(graph)
        self.descriptor = _unnamed_file()
        weakref.finalize(self, os.close, self.descriptor)
        with open(self.descriptor, "wb", closefd=False) as file:
            file.write(graph)
        pages = np.unique(sizes.offsets // mmap.PAGESIZE).tolist()
        #: Begin and length of the bytes between pages that have sizes.
        self.unchanged = [
            ((before + 1) * mmap.PAGESIZE, (page - before - 1) * mmap.PAGESIZE)
            for before, page in pairwise([-1, *pages, -(-len(graph) // mmap.PAGESIZE)])
            if page - before > 1
        ]

    def sized(self, jets: int, particles: int) -> SizedGraph:
        """The graph for other sizes."""
        content = SizedGraph(self)
        self.sizes.write_into(content.memory, jets, particles)
        return content


class SizedGraph:
    """A graph in memory of which a page is copied when it is written.

    Not an object of `mmap.mmap`, each of which holds a file open.
    """

    def __init__(self, shared: SharedGraph) -> None:
        self._shared, self.size, self._unmap = shared, shared.size, _c.munmap  # which is gone when Python ends
        mode = mmap.PROT_READ | mmap.PROT_WRITE
        self.address = _c.mmap(None, self.size, mode, mmap.MAP_PRIVATE, shared.descriptor, 0)
        if self.address in (None, FAILED):
            self.address = None
            raise MemoryError(os.strerror(ctypes.get_errno()))
        self.memory = memoryview((ctypes.c_char * self.size).from_address(self.address)).cast("B")

    def forget_weights(self) -> None:
        """Free what has no sizes; whoever reads it again gets it from the file."""
        for first, size in self._shared.unchanged:
            _c.madvise(self.address + first, size, mmap.MADV_DONTNEED)

    def __del__(self) -> None:
        if self.address is not None:
            self._unmap(self.address, self.size)
