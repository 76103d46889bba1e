"""The time below which a model cannot be run here: its operations over the rates of this machine."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from timeit import repeat

import numpy as np

from ..extras import require
from ..models.contract import JETS_AXIS, PARTICLES_AXIS

__all__ = ["Work", "floor_s", "measure", "work"]

#: Of a product of two matrices, and of an array that no cache holds.
MATRIX_SIZE, COPIED_BYTES = 1024, 256 << 20
ROUNDS = 8


@dataclass(frozen=True)
class Work:
    """What a model does for one jet."""

    matrix_flop: float
    """Multiplications and additions of matrix products and convolutions."""
    other_flop: float
    """One for each value that another operator makes."""
    weight_bytes: int
    """Read once for each batch."""
    jet_bytes: int
    """Input and losses of a jet."""
    between_bytes: int
    """What operators write and others read, of a jet: traffic, where it does not stay in a cache."""


def work(path: str | Path, particles: int) -> Work:
    """Count the work of an exported model from its graph.

    Parameters
    ----------
    path : path
        An ``.onnx`` file.
    particles : int
        Length of the particle axis.
    """
    import onnx

    proto = onnx.load(path)
    for value in (*proto.graph.input, *proto.graph.output):
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param in (JETS_AXIS, PARTICLES_AXIS):
                axis.dim_value = 1 if axis.dim_param == JETS_AXIS else particles
    inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True).graph
    weights = {t.name: onnx.numpy_helper.to_array(t) for t in inferred.initializer}
    shapes = {name: values.shape for name, values in weights.items()}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        shapes[value.name] = tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim)
    matrix = other = between = 0
    for node in inferred.node:
        values = sum(int(np.prod(shapes[name])) for name in node.output if name in shapes)
        if node.op_type in ("MatMul", "Gemm"):
            matrix += 2 * values * shapes[node.input[0]][-1]
        elif node.op_type == "Conv":
            matrix += 2 * values * int(np.prod(shapes[node.input[1]][1:]))
        elif node.op_type not in ("Reshape", "Squeeze", "Unsqueeze", "Shape", "Concat", "Transpose", "Gather"):
            other += values
        if node.op_type not in ("Reshape", "Squeeze", "Unsqueeze"):
            between += 8 * values  # written and read
    ends = sum(int(np.prod(shapes[value.name])) for value in (*inferred.input, *inferred.output)) * 4
    return Work(matrix, other, sum(v.nbytes for v in weights.values()), ends, between)


def floor_s(work: Work, rates: dict[str, float], batch_size: int) -> float:
    """Seconds of a jet, below which no program gets: by the matrix rate, or by the weights of a batch."""
    moved = work.jet_bytes + work.weight_bytes / batch_size
    return max(work.matrix_flop / rates["matrix_flop_per_s"], moved / rates["bytes_per_s"])


def measure(threads: int) -> dict[str, float]:
    """Rates of this machine, the median of some rounds: float32 products by ONNX Runtime, and copies in memory."""
    onnxruntime = require("onnxruntime", "the bench")
    from onnx import TensorProto, helper

    shape = [MATRIX_SIZE, MATRIX_SIZE]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "abc"]
    graph = helper.make_graph([helper.make_node("MatMul", ["a", "b"], ["c"])], "product", values[:2], values[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    feed = {name: np.ones(shape, np.float32) for name in "ab"}
    parts = np.array_split(np.ones(COPIED_BYTES, np.uint8), threads)
    copies = [np.empty_like(part) for part in parts]

    def copy() -> None:
        workers = [threading.Thread(target=np.copyto, args=pair) for pair in zip(copies, parts)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    product_s = np.median(repeat(lambda: session.run(None, feed), number=1, repeat=4 * ROUNDS))
    copy_s = np.median(repeat(copy, number=1, repeat=ROUNDS))
    return {"matrix_flop_per_s": 2 * MATRIX_SIZE**3 / product_s, "bytes_per_s": 2 * COPIED_BYTES / copy_s}
