"""A ``.tflite`` file of hepvae: its graph for any number of jets, and what it says of itself.

LiteRT runs graphs of fixed shapes (a free batch axis is 1.7 times slower, and cannot be resized where a Reshape
has the batch in it), and a graph for each block size and length of the particle axis would be many. So the file
has one graph, for one jet, and a table of the places where its two sizes are written: the whole numbers of
shapes and of constants that operators take shapes from. For another size those are overwritten in memory (20 us,
and LiteRT needs 1 ms for the rest); no weight depends on them.

A ZIP archive follows the graph, as the associated files of TensorFlow Lite do: ``unzip -p model.tflite
hepvae.json`` shows the metadata. Other programs read the file as a plain model of one jet.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ModelError, one_line
from ..extras import require
from .blocks import bytes_alive

__all__ = ["LiteRtFile", "Sizes", "find_sizes", "graph_problem", "jet_bytes", "read_litert", "write_litert"]

#: The file in the archive.
MEMBER = "hepvae.json"
#: Bytes that it may have.
MOST_METADATA = 2**24
#: Of one tensor for one jet, as in `onnx_graph`.
MOST_VALUES = 2**25

#: Operators that run parts of a graph, keep a state, or draw random numbers.
CONTROL_FLOW = ("CALL", "CALL_ONCE", "IF", "WHILE", "STABLEHLO_WHILE", "STABLEHLO_CASE")
STATE = ("ASSIGN_VARIABLE", "READ_VARIABLE", "VAR_HANDLE", "HASHTABLE", "HASHTABLE_FIND", "HASHTABLE_IMPORT")
RANDOM = ("MULTINOMIAL", "RANDOM_UNIFORM", "RANDOM_STANDARD_NORMAL", "STABLEHLO_RNG_BIT_GENERATOR")
REFUSED = (*CONTROL_FLOW, *STATE, *RANDOM, "CUSTOM", "DELEGATE", "STABLEHLO_CUSTOM_CALL")


@dataclass(frozen=True)
class Sizes:
    """Where a graph has its numbers of jets and particles: int32 numbers jets^a * particles^b * factor."""

    offsets: npt.NDArray[np.int64]
    """In bytes from the begin of the graph."""
    powers: npt.NDArray[np.int64]
    """a and b of each place, (places, 2)."""
    factors: npt.NDArray[np.int64]

    def write_into(self, graph: bytearray | memoryview, jets: int, particles: int) -> None:
        """Overwrite those of a graph."""
        numbers = np.frombuffer(graph, np.int32, len(graph) // 4)
        numbers[self.offsets // 4] = jets ** self.powers[:, 0] * particles ** self.powers[:, 1] * self.factors

    def write(self, graph: bytes, jets: int, particles: int) -> bytes:
        """The graph for other sizes."""
        content = bytearray(graph)
        self.write_into(content, jets, particles)
        return bytes(content)

    def to_list(self) -> object:
        """Rows of whole numbers, for JSON."""
        return np.column_stack([self.offsets, self.powers, self.factors]).tolist()

    @classmethod
    def from_list(cls, rows: object, size: int) -> Sizes:
        """What `to_list` gave, for a graph of ``size`` bytes; ValueError where it is not that."""
        table = np.array(rows, np.int64)
        if table.ndim != 2 or table.shape[1] != 4:
            raise ValueError("table of sizes has not four columns")
        offsets, powers, factors = table[:, 0], table[:, 1:3], table[:, 3]
        inside = (offsets >= 8) & (offsets <= size - 4) & (offsets % 4 == 0)
        if not inside.all() or not np.isin(powers, (0, 1)).all() or not (abs(factors) < 2**24).all():
            raise ValueError("table of sizes does not fit its graph")
        return cls(offsets, powers, factors)


@dataclass(frozen=True)
class LiteRtFile:
    """What is in a file."""

    graph: bytes
    """For one jet."""
    sizes: Sizes
    metadata: dict[str, Any]
    """The keys of `models.contract`, and the names of the ``outputs`` in their order."""


def read_litert(path: Path) -> LiteRtFile:
    """Read a file, and check it.

    Raises
    ------
    ModelError
        hepvae did not write it, it is damaged, or has operators that hepvae never writes.
    """
    try:
        content = path.read_bytes()
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            info = archive.getinfo(MEMBER)
            if info.file_size > MOST_METADATA:
                raise ValueError(f"{MEMBER} in it has {info.file_size} bytes")
            text, size = archive.read(info), info.header_offset
        metadata = json.loads(text)
        graph = content[:size]
        if hashlib.sha256(graph).hexdigest() != metadata["sha256"]:
            raise ValueError("the graph is not the one that was written: damaged?")
        sizes = Sizes.from_list(metadata["sizes"], size)
        if not isinstance(metadata["outputs"], list):
            raise ValueError("its outputs have no names")
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    except KeyError as error:
        raise ModelError(f"{path}: no {one_line(error)} in it: not exported by hepvae") from error
    # zipfile, json and NumPy raise whatever their reading of a foreign file runs into.
    except Exception as error:
        raise ModelError(f"{path}: not a model that hepvae wrote for LiteRT: {one_line(error)}") from error
    problem = graph_problem(graph)
    if problem:
        raise ModelError(f"{path}: {problem}")
    return LiteRtFile(graph, sizes, metadata)


def write_litert(path: Path, file: LiteRtFile) -> None:
    """Write a file; the same content gives the same bytes."""
    about = {**file.metadata, "sizes": file.sizes.to_list(), "sha256": hashlib.sha256(file.graph).hexdigest()}
    path.write_bytes(file.graph)
    with zipfile.ZipFile(path, "a") as archive:
        member = zipfile.ZipInfo(MEMBER)  # of 1980, whenever it is written
        archive.writestr(member, json.dumps(about, indent=1), zipfile.ZIP_DEFLATED)


def _schema() -> Any:
    require("ai_edge_litert", "a LiteRT model")
    return import_module("ai_edge_litert.schema_py_generated")


def graph_problem(graph: bytes) -> str | None:
    """What speaks against running a graph, if anything does."""
    schema = _schema()
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    try:
        model = schema.Model.GetRootAs(graph, 0)
        if model.SubgraphsLength() != 1 or model.ExternalBufferGroupsLength():
            return "has several graphs, or weights in other files: expected one graph with all in it"
        for i in range(model.OperatorCodesLength()):
            code = model.OperatorCodes(i)
            name = names.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), "CUSTOM")
            if name in REFUSED:
                return f"operator {name}: expected none that is control flow, random or not of LiteRT"
        for tensor in _tensors(model):
            shape = [tensor.Shape(i) for i in range(tensor.ShapeLength())]
            if math.prod(shape) > MOST_VALUES:
                return f"tensor {tensor.Name()!r} has {math.prod(shape):.3g} values for one jet"
    except Exception as error:  # of struct and NumPy, on what is no FlatBuffer
        return f"not a LiteRT model: {one_line(error)}"
    return None


def _tensors(model: Any) -> Iterator[Any]:
    subgraph = model.Subgraphs(0)
    return (subgraph.Tensors(i) for i in range(subgraph.TensorsLength()))


def jet_bytes(graph: bytes) -> int:
    """What a graph makes of a jet on the way, in bytes."""
    model = _schema().Model.GetRootAs(graph, 0)
    subgraph = model.Subgraphs(0)
    sizes = {
        i: 4 * int(np.prod(tensor.ShapeAsNumpy()))
        for i, tensor in enumerate(_tensors(model))
        if not model.Buffers(tensor.Buffer()).DataLength()
    }
    operators = [subgraph.Operators(i) for i in range(subgraph.OperatorsLength())]
    nodes = [(one.InputsAsNumpy().tolist(), one.OutputsAsNumpy().tolist()) for one in operators]
    return max(1, bytes_alive(nodes, sizes, subgraph.InputsAsNumpy().tolist()))


def find_sizes(graph: bytes, jets: int, particles: int | None) -> Sizes:
    """Where a graph that was traced for two large prime numbers has them, or multiples.

    Parameters
    ----------
    graph : bytes
    jets, particles : int
        What it was traced with; particles None: they are not to be changed.

    Raises
    ------
    ValueError
        It holds a constant for each jet or particle.
    """
    schema = _schema()
    memory = np.frombuffer(graph, np.uint8)
    model = schema.Model.GetRootAs(graph, 0)
    primes = [prime for prime in (jets, particles) if prime]
    places: dict[int, list[int]] = {}

    def note(numbers: Any) -> None:
        """Numbers of a vector of the FlatBuffer, as a view of it; where it is empty, 0."""
        if not isinstance(numbers, np.ndarray):
            return
        numbers = numbers.view(np.int32)
        first = numbers.__array_interface__["data"][0] - memory.__array_interface__["data"][0]
        for i, number in enumerate(numbers.tolist()):
            powers = [0, 0]
            for axis, prime in enumerate(primes):
                if number and number % prime == 0:
                    powers[axis], number = 1, number // prime
            if any(powers):
                places[first + 4 * i] = [*powers, number]

    for tensor in _tensors(model):
        buffer = model.Buffers(tensor.Buffer())
        note(tensor.ShapeAsNumpy())
        note(tensor.ShapeSignatureAsNumpy())
        if not buffer.DataLength():
            continue
        shape = np.atleast_1d(tensor.ShapeAsNumpy())
        if any(size and size % prime == 0 for size in shape for prime in primes):
            raise ValueError(f"constant {tensor.Name().decode()!r} of shape {shape.tolist()} has values for each")
        if tensor.Type() == schema.TensorType.INT32:
            note(buffer.DataAsNumpy())
    operators = model.Subgraphs(0)
    for i in range(operators.OperatorsLength()):
        operator = operators.Operators(i)
        if operator.BuiltinOptionsType() == schema.BuiltinOptions.ReshapeOptions:
            options, table = schema.ReshapeOptions(), operator.BuiltinOptions()
            options.Init(table.Bytes, table.Pos)
            note(options.NewShapeAsNumpy())
    offsets = sorted(places)
    table = np.array([places[offset] for offset in offsets], np.int64).reshape(-1, 3)
    return Sizes(np.array(offsets, np.int64), table[:, :2], table[:, 2])
