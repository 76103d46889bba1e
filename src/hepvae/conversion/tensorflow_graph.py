"""Functions of TensorFlow as graphs of constants: saved as a SavedModel, and converted to ONNX."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import HepvaeError, ModelError, one_line
from ..extras import require
from ..models.contract import INPUT, JETS_AXIS, RECONSTRUCTION
from .export import OPSET
from .rewrites import TRACED_JETS, rewrite

__all__ = ["ConstantGraph", "Traced", "constants_only", "converted"]


@dataclass(frozen=True)
class Traced:
    """A function of padded jets, and how it is to be traced."""

    function: Callable[..., dict[str, Any]]
    """Takes ``by_product`` too: the distances by a matrix product."""
    shape: tuple[int | None, ...]
    """Of its input."""
    names: Sequence[str]
    """Of its outputs."""
    where: str
    """For messages."""


@dataclass(frozen=True)
class ConstantGraph:
    """A function without variables."""

    tf: Any
    definition: Any
    """GraphDef with the nodes that its outputs need, and no others."""
    input: str
    """Name of the tensor of its input."""
    outputs: dict[str, str]
    """Names of the tensors of its outputs, by the names of these."""
    shape: tuple[int | None, ...]
    """Of its input."""

    @property
    def nodes(self) -> list[Any]:
        """Its nodes, those of functions that it still calls among them."""
        return [
            *self.definition.node,
            *(node for function in self.definition.library.function for node in function.node_def),
        ]

    def function(self, names: Sequence[str]) -> Any:
        """A function of some of the outputs, by name."""
        tf = self.tf

        def imported(particles: Any) -> dict[str, Any]:
            wanted = [self.outputs[name] for name in names]
            tensors = tf.graph_util.import_graph_def(
                self.definition, input_map={self.input: particles}, return_elements=wanted, name=""
            )
            return dict(zip(names, tensors))

        signature = [tf.TensorSpec(self.shape, tf.float32, name=INPUT)]
        return tf.function(imported, input_signature=signature, autograph=False)

    def save(self, path: Path, losses: Sequence[str]) -> None:
        """Write a SavedModel with the signatures ``losses`` and ``reconstruction``."""
        module = self.tf.Module()
        signatures = {"losses": self.function(losses)}
        if RECONSTRUCTION in self.outputs:
            signatures[RECONSTRUCTION] = self.function([RECONSTRUCTION])
        module.functions = signatures
        concrete = {name: function.get_concrete_function() for name, function in signatures.items()}
        self.tf.saved_model.save(module, str(path), signatures=concrete)


def constants_only(traced: Traced) -> ConstantGraph:
    """Trace a function of padded jets, with weights as constants, and without what its outputs do not need.

    Raises
    ------
    ModelError
        It cannot be traced: the network does not take what the card says.
    """
    from tensorflow.python.framework.convert_to_constants import _run_inline_graph_optimization as inlined

    tf, where, names = require("tensorflow", traced.where), traced.where, traced.names
    signature = [tf.TensorSpec(traced.shape, tf.float32, name=INPUT)]
    try:
        concrete = tf.function(traced.function, input_signature=signature, autograph=False).get_concrete_function()
        definition = inlined(concrete, True, False)
    except HepvaeError:
        raise
    except Exception as error:  # TensorFlow, Keras, and code of others
        raise ModelError(f"{where}: does not take its inputs as the card says: {one_line(error)}") from error
    tensors = dict(zip(sorted(names), concrete.outputs))  # as tf.nest orders a dict
    outputs = {name: tensors[name].name for name in names}
    # Before weights become constants: what nobody needs, as the state of a random generator, may assign them.
    needed = _needed(tf, definition, outputs)
    _with_constants(tf, needed, concrete, where)
    return ConstantGraph(tf, needed, concrete.inputs[0].name, outputs, traced.shape)


def _with_constants(tf: Any, definition: Any, concrete: Any, where: str) -> None:
    """Put the values of variables, and of other tensors that a function captured, into its graph, in place."""
    variables = {id(variable.handle): variable for variable in concrete.variables}
    values = {}
    for outer, inner in concrete.graph.captures:
        if id(outer) in variables:
            values[inner.op.name] = variables[id(outer)].numpy()
        elif outer.dtype != tf.resource:
            values[inner.op.name] = outer.numpy()
    nodes = {node.name: node for node in definition.node}

    def source(name: str) -> str:
        """The captured tensor that a resource is."""
        name = name.partition(":")[0]
        while name in nodes and nodes[name].op == "Identity":
            name = nodes[name].input[0].partition(":")[0]
        return name

    for node in list(definition.node):
        if node.op in ("ReadVariableOp", "ResourceGather"):
            held = source(node.input[0])
            if held not in values:
                raise ModelError(f"{where}: {node.op} {node.name!r} reads what is no variable of the model")
        if node.op == "ReadVariableOp":
            _constant(tf, node, values[held])
        elif node.op == "ResourceGather":
            params, axis = definition.node.add(), definition.node.add()
            params.name, axis.name = f"{node.name}/params", f"{node.name}/axis"
            _constant(tf, params, values[held])
            _constant(tf, axis, np.int32(node.attr["batch_dims"].i))
            node.op, indices = "GatherV2", node.input[1]
            del node.input[:]
            node.input.extend([params.name, indices, axis.name])
            for attribute in ("dtype", "validate_indices"):
                if attribute in node.attr:
                    del node.attr[attribute]
            node.attr["Tparams"].type = params.attr["dtype"].type
            node.attr["Taxis"].type = axis.attr["dtype"].type
        elif node.op == "Placeholder" and node.name in values and not _is_resource(tf, node, "dtype"):
            _constant(tf, node, values[node.name])
    handles = {n.name for n in definition.node if n.op == "Placeholder" and _is_resource(tf, n, "dtype")}
    handles |= {n.name for n in definition.node if n.op == "Identity" and _is_resource(tf, n, "T")}
    kept = [n for n in definition.node if n.name not in handles]
    for node in kept:  # an attribute of the replaced operator
        node.ClearField("experimental_type")
    for node in kept:
        if any(i.partition(":")[0] in handles for i in node.input):
            raise ModelError(f"{where}: operator {node.op} {node.name!r} uses a resource: expected weights only")
    copies = [type(node).FromString(node.SerializeToString()) for node in kept]
    del definition.node[:]
    definition.node.extend(copies)


def _is_resource(tf: Any, node: Any, attribute: str) -> bool:
    # to look an attribute up that is not there would make it
    return attribute in node.attr and node.attr[attribute].type == tf.resource.as_datatype_enum


def _constant(tf: Any, node: Any, value: Any) -> None:
    """Make a node a constant."""
    tensor = tf.make_tensor_proto(value)
    node.op = "Const"
    del node.input[:]
    node.attr.clear()
    node.attr["dtype"].type = tensor.dtype
    node.attr["value"].tensor.CopyFrom(tensor)


def _needed(tf: Any, definition: Any, outputs: dict[str, str]) -> Any:
    """The nodes that outputs are computed from: no control dependencies, which keep what nobody uses."""
    nodes = {node.name: node for node in definition.node}
    left = [tensor.partition(":")[0] for tensor in outputs.values()]
    kept: set[str] = set()
    while left:
        name = left.pop()
        if name not in kept:
            kept.add(name)
            left += [i.partition(":")[0] for i in nodes[name].input if not i.startswith("^")]
    pruned = tf.compat.v1.GraphDef()
    pruned.versions.CopyFrom(definition.versions)
    pruned.library.CopyFrom(definition.library)
    for node in definition.node:
        if node.name in kept or node.name == INPUT:
            copy = pruned.node.add()
            copy.CopyFrom(node)
            del copy.input[:]
            copy.input.extend(i for i in node.input if not i.startswith("^"))
    return pruned


def converted(traced: Traced) -> Any:
    """The same function as a graph of ONNX, in the form that ONNX Runtime runs fastest where it is recognised."""
    jets, *rest = traced.shape
    if jets is None:
        with suppress(ModelError):  # of a form that it does not know
            fast = _by_tf2onnx(replace(traced, shape=(TRACED_JETS, *rest)))
            rewrite(require("onnx", traced.where), fast, free_particles=False)
            if all(axes[0].dim_param == JETS_AXIS for axes in _axes(fast)):
                return fast
    proto = _by_tf2onnx(traced)
    for axes in _axes(proto):
        if jets is None and len(axes):
            axes[0].dim_param = JETS_AXIS
    return proto


def _axes(proto: Any) -> list[Any]:
    """Of the input and of each output."""
    return [value.type.tensor_type.shape.dim for value in (*proto.graph.input, *proto.graph.output)]


def _by_tf2onnx(traced: Traced) -> Any:
    where, names = traced.where, traced.names
    tf2onnx, onnx = require("tf2onnx", where), require("onnx", where)
    graph = constants_only(replace(traced, function=partial(traced.function, by_product=True)))
    function = graph.function(names)
    try:
        with without_gemm_warnings():
            proto, _ = tf2onnx.convert.from_function(
                function, input_signature=function.input_signature, opset=OPSET
            )
    except Exception as error:  # whatever tf2onnx runs into
        raise ModelError(f"{where}: cannot be converted to ONNX: {one_line(error)}") from error
    if [v.name for v in proto.graph.input] != [INPUT] or {v.name for v in proto.graph.output} != set(names):
        raise ModelError(
            f"{where}: tf2onnx lost the names of inputs or outputs: expected {INPUT}, {', '.join(names)}"
        )
    _store_weights_in_float32(onnx, proto.graph)
    return proto


@contextmanager
def without_gemm_warnings() -> Iterator[None]:
    """tf2onnx warns, on the root logger, of each product in float64 that it leaves as it is."""
    root = logging.getLogger()
    handlers = root.handlers[:]  # and gives it a handler, where there is none

    def other(record: logging.LogRecord) -> bool:
        return "Gemm rewriter" not in record.getMessage()

    root.addFilter(other)
    try:
        yield
    finally:
        root.removeFilter(other)
        root.handlers[:] = handlers


def _store_weights_in_float32(onnx: Any, graph: Any) -> None:
    """Weights that a foreign model uses in float64 may be float32 in Keras; tf2onnx writes them out as float64.

    Half the file. ONNX Runtime casts them once, when it loads the model.
    """
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != onnx.TensorProto.DOUBLE:
            continue
        values = onnx.numpy_helper.to_array(tensor)
        single = values.astype(np.float32)
        if values.size > 1 and np.array_equal(single, values):
            name = tensor.name
            tensor.CopyFrom(onnx.numpy_helper.from_array(single, f"{name}/float32"))
            casts.append(onnx.helper.make_node("Cast", [tensor.name], [name], to=onnx.TensorProto.DOUBLE))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
