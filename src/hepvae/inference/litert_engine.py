"""A LiteRT model of one shape, ready to run: through the C library of LiteRT, else through its Python interpreter.

The C library (``libLiteRt.so`` of the package ai-edge-litert) is called by ctypes, which releases Python's lock,
so that engines on several threads run at once; the interpreter holds the lock while it runs. Structures and
functions are those of ``litert/c/*.h``, version 2.

Graphs of one model for several shapes share memory. LiteRT copies the weights of each engine into the order in
which its kernels read them, and has no use for those of the graph afterwards: an engine of edge-dense with a graph
of its own took a third more memory, and half as long again to make.
"""

from __future__ import annotations

import ctypes
import logging
import math
import mmap
import os
import tempfile
import threading
import weakref
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import ModelError, one_line
from ..extras import quiet_stderr, require
from .litert_file import Sizes

__all__ = ["Engine", "SharedGraph", "create_engine"]

_logger = logging.getLogger(__name__)

Array = npt.NDArray[np.float32]

#: Of memory that LiteRT reads and writes, in bytes.
ALIGNMENT = 64
#: After the last value: its kernels read whole registers.
SLACK = 64

#: ``kLiteRtHwAcceleratorCpu``, ``kLiteRtElementTypeFloat32``, ``kLiteRtAnyTypeInt``.
CPU, FLOAT32, INT = 1, 1, 2
#: Options of an environment: which accelerators it looks for (else all, with libraries of GPUs), and how severe
#: a message must be to be written (4: silence).
AUTO_REGISTER, MIN_SEVERITY, SILENT = 24, 25, 4


_c = ctypes.CDLL(None, use_errno=True)
_c.mmap.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long
_c.mmap.restype = ctypes.c_void_p
_c.munmap.argtypes = ctypes.c_void_p, ctypes.c_size_t
_c.madvise.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
#: Of `mmap`, where it fails.
FAILED = ctypes.c_void_p(-1).value
_c.strdup.argtypes, _c.strdup.restype = (ctypes.c_char_p,), ctypes.c_void_p


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


class Engine(Protocol):
    """What runs batches of one shape, one at a time."""

    def run(self, batch: Array) -> list[Array]:
        """All outputs in the order of the file, each in memory of its own."""


class _Option(ctypes.Structure):
    """``LiteRtEnvOption`` with a whole number."""

    _fields_ = (
        ("tag", ctypes.c_int),
        ("kind", ctypes.c_int64),  # of a union behind 4 bytes of padding
        ("value", ctypes.c_int64),
    )


class _TensorType(ctypes.Structure):
    """``LiteRtRankedTensorType``, with the bits of its ``LiteRtLayout`` as one number."""

    _fields_ = (
        ("element", ctypes.c_int),
        ("rank", ctypes.c_uint),
        ("dimensions", ctypes.c_int32 * 8),
        ("strides", ctypes.c_uint32 * 8),
    )


_Handle = ctypes.c_void_p
_HANDLES = ctypes.POINTER(_Handle)
_TYPE = ctypes.POINTER(_TensorType)
_SIZE = ctypes.c_size_t

#: Arguments of the functions that are called; each returns a status, 0 where all is well.
_FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "LiteRtCreateEnvironment": (ctypes.c_int, ctypes.POINTER(_Option), _HANDLES),
    "LiteRtCreateModelFromBuffer": (_Handle, _Handle, _SIZE, _HANDLES),
    "LiteRtGetModelSignature": (_Handle, _SIZE, _HANDLES),
    "LiteRtGetNumSignatureInputs": (_Handle, ctypes.POINTER(_SIZE)),
    "LiteRtGetNumSignatureOutputs": (_Handle, ctypes.POINTER(_SIZE)),
    "LiteRtGetSignatureInputTensorByIndex": (_Handle, _SIZE, _HANDLES),
    "LiteRtGetSignatureOutputTensorByIndex": (_Handle, _SIZE, _HANDLES),
    "LiteRtGetRankedTensorType": (_Handle, _TYPE),
    "LiteRtCreateOptions": (_HANDLES,),
    "LiteRtSetOptionsHardwareAccelerators": (_Handle, ctypes.c_int),
    "LiteRtCreateOpaqueOptions": (ctypes.c_char_p, _Handle, _Handle, _HANDLES),
    "LiteRtAddOpaqueOptions": (_Handle, _Handle),
    "LiteRtCreateCompiledModel": (_Handle, _Handle, _Handle, _HANDLES),
    "LiteRtCreateTensorBufferFromHostMemory": (_TYPE, _Handle, _SIZE, _Handle, _HANDLES),
    "LiteRtRunCompiledModel": (_Handle, _SIZE, _SIZE, _Handle, _SIZE, _Handle),
}
#: Those that free what a function above created.
_DESTROY = ("TensorBuffer", "CompiledModel", "Options", "Model")


class _Failed(Exception):
    """A function of the library gave a status other than 0."""


class _Library:
    """The C library and its environment, one for the process."""

    def __init__(self, path: Path) -> None:
        self._library = ctypes.CDLL(str(path))
        for name, arguments in _FUNCTIONS.items():
            getattr(self._library, name).argtypes = arguments
        for kind in _DESTROY:
            function = getattr(self._library, f"LiteRtDestroy{kind}")
            function.argtypes, function.restype = (_Handle,), None
        self.run = self._library.LiteRtRunCompiledModel
        options = (_Option * 2)(_Option(AUTO_REGISTER, INT, CPU), _Option(MIN_SEVERITY, INT, SILENT))
        self.environment = self.create("LiteRtCreateEnvironment", 2, options)

    def call(self, name: str, *arguments: object) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            raise _Failed(f"{name} gives status {status}")

    def create(self, name: str, *arguments: object) -> _Handle:
        """What a function writes to its last argument."""
        handle = _Handle()
        self.call(name, *arguments, ctypes.byref(handle))
        return handle

    def destroy(self, kind: str, handle: _Handle) -> None:
        getattr(self._library, f"LiteRtDestroy{kind}")(handle)


@cache
def _library(process: int) -> _Library | None:
    """The library, loaded once for each process; None where it does not work, which is logged."""
    path = Path(require("ai_edge_litert", "runtime litert").__path__[0], "libLiteRt.so")
    try:
        return _Library(path)
    except (OSError, AttributeError, _Failed) as error:  # not there, a function less, another interface
        _logger.warning(f"{path}: cannot be used, so that LiteRT runs on one thread at a time: {one_line(error)}")
        return None


_creating = threading.Lock()
_begun: set[int] = set()


def _quiet_first(process: int) -> AbstractContextManager[None]:
    """XNNPACK writes a line to standard error when a process first uses it."""
    first = process not in _begun
    _begun.add(process)
    return quiet_stderr() if first else nullcontext()


def create_engine(content: SizedGraph, threads: int, path: Path) -> Engine:
    """An engine for a graph with fixed shapes.

    Parameters
    ----------
    content : SizedGraph
    threads : int
        Inside its operators.
    path : path
        Of the model file, for messages.

    Raises
    ------
    ModelError
        LiteRT cannot load it.
    """
    library = _library(os.getpid())
    with _creating, _quiet_first(os.getpid()):
        try:
            return _CompiledModel(library, content, threads) if library else _Interpreter(content, threads)
        except (_Failed, ValueError, RuntimeError) as error:  # of the library; what the interpreter raises
            raise ModelError(f"{path}: not a model that LiteRT can load: {one_line(error)}") from error


class _CompiledModel:
    """On the C library. Inputs and outputs have memory of theirs, which is copied: 1/500 of the work."""

    def __init__(self, library: _Library, content: SizedGraph, threads: int) -> None:
        self._library, self._content = library, content  # it reads constants there
        self._created: list[tuple[str, _Handle]] = []
        model = self._keep(
            "Model", "LiteRtCreateModelFromBuffer", library.environment, content.address, content.size
        )
        options = self._keep("Options", "LiteRtCreateOptions")
        library.call("LiteRtSetOptionsHardwareAccelerators", options, CPU)
        # Text in TOML that belongs to whoever it is passed to, and the function that frees it.
        settings, free = _c.strdup(f"num_threads = {threads}\n".encode()), ctypes.cast(_c.free, _Handle)
        opaque = library.create("LiteRtCreateOpaqueOptions", b"xnnpack", settings, free)
        library.call("LiteRtAddOpaqueOptions", options, opaque)
        compiled = self._keep("CompiledModel", "LiteRtCreateCompiledModel", library.environment, model, options)
        content.forget_weights()
        signature = library.create("LiteRtGetModelSignature", model, 0)  # belongs to the model
        (self._input,), inputs = self._buffers(signature, "Input")
        self._outputs, outputs = self._buffers(signature, "Output")
        arrays = (_Handle * 1)(*inputs), (_Handle * len(outputs))(*outputs)
        self._arrays = arrays
        self._arguments = compiled, 0, 1, ctypes.addressof(arrays[0]), len(outputs), ctypes.addressof(arrays[1])

    def _keep(self, kind: str, name: str, *arguments: object) -> _Handle:
        handle = self._library.create(name, *arguments)
        self._created.append((kind, handle))
        return handle

    def _buffers(self, signature: _Handle, side: str) -> tuple[list[Array], list[_Handle]]:
        """Memory for the inputs or outputs, and what the library calls it."""
        number = _SIZE()
        self._library.call(f"LiteRtGetNumSignature{side}s", signature, ctypes.byref(number))
        arrays, buffers = [], []
        for i in range(number.value):
            tensor = self._library.create(f"LiteRtGetSignature{side}TensorByIndex", signature, i)
            kind = _TensorType()
            self._library.call("LiteRtGetRankedTensorType", tensor, ctypes.byref(kind))
            array = _aligned(tuple(kind.dimensions[: kind.rank & 0x7F]))
            if kind.element != FLOAT32:
                raise _Failed(f"{side.lower()} {i} is of element type {kind.element}, not float32")
            function = "LiteRtCreateTensorBufferFromHostMemory"
            arguments = ctypes.byref(kind), array.ctypes.data, array.nbytes, None
            arrays.append(array)
            buffers.append(self._keep("TensorBuffer", function, *arguments))
        return arrays, buffers

    def run(self, batch: Array) -> list[Array]:
        self._input[...] = batch
        status = self._library.run(*self._arguments)
        if status:
            raise RuntimeError(f"LiteRtRunCompiledModel gives status {status}")
        return [output.copy() for output in self._outputs]

    def __del__(self) -> None:
        for kind, handle in reversed(self._created):
            self._library.destroy(kind, handle)


def _aligned(shape: Sequence[int]) -> Array:
    """Zeros at an address that LiteRT accepts."""
    size = 4 * math.prod(shape)
    memory = np.zeros(size + ALIGNMENT + SLACK, np.uint8)
    first = -memory.ctypes.data % ALIGNMENT
    return memory[first : first + size].view(np.float32).reshape(shape)


class _Interpreter:
    """On the Python interpreter."""

    def __init__(self, content: SizedGraph, threads: int) -> None:
        package = import_module("ai_edge_litert.interpreter")
        self._interpreter = package.Interpreter(model_content=bytes(content.memory), num_threads=threads)
        self._interpreter.allocate_tensors()
        (self._input,) = (tensor["index"] for tensor in self._interpreter.get_input_details())
        self._outputs = [tensor["index"] for tensor in self._interpreter.get_output_details()]

    def run(self, batch: Array) -> list[Array]:
        self._interpreter.set_tensor(self._input, batch)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]
