"""Models as other tools write them, small: graphs of ONNX, and the reference of their losses."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["graph", "scaled", "scorer"]

FLOAT = TensorProto.FLOAT


def graph(nodes, inputs, outputs, constants=(), *, opset=17, name="net"):
    """A model of float32 tensors: ``inputs`` and ``outputs`` are shapes by name, strings for free axes."""
    values = [[helper.make_tensor_value_info(n, FLOAT, s) for n, s in ends.items()] for ends in (inputs, outputs)]
    weights = [numpy_helper.from_array(np.asarray(v), n) for n, v in dict(constants).items()]
    made = helper.make_graph(
        [helper.make_node(*n[:3], **(n[3] if len(n) > 3 else {})) for n in nodes], name, *values
    )
    made.initializer.extend(weights)
    proto = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(proto)
    return proto


def scaled(shape, factor=0.9, *, opset=17):
    """An autoencoder that gives its input times a factor."""
    constants = {"factor": np.float32(factor)}
    return graph([("Mul", ["x", "factor"], ["y"])], {"x": shape}, {"y": shape}, constants, opset=opset)


def scorer(particles="n"):
    """One number a jet of either sign, of any number of particles, from points, features and a mask."""
    axes = np.array([2], np.int64)
    nodes = [
        ("Mul", ["features", "mask"], ["masked"]),
        ("ReduceSum", ["masked", "axes"], ["summed"], {"keepdims": 0}),
        ("ReduceSum", ["mask", "axes"], ["number"], {"keepdims": 0}),
        ("Div", ["summed", "number"], ["mean"]),
        ("MatMul", ["mean", "weights"], ["score"]),
    ]
    return graph(
        nodes,
        {"features": ["jets", 2, particles], "mask": ["jets", 1, particles]},
        {"score": ["jets", 1]},
        {"axes": axes, "weights": np.array([[1.0], [-2.0]], np.float32)},
    )
