"""Functions of TensorFlow as graphs of constants: saved as a SavedModel, and converted to ONNX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import HepvaeError, ModelError, one_line
from ..extras import require
from ..models.contract import INPUT, JETS_AXIS, RECONSTRUCTION
from .export import OPSET, store_weights_in_float32, without_gemm_warnings
from .rewrites import TRACED_JETS, rewrite

__all__ = ["ConstantGraph", "constants_only", "converted"]


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
            found = tf.graph_util.import_graph_def(
                self.definition, input_map={self.input: particles}, return_elements=wanted, name=""
            )
            return dict(zip(names, found))

        signature = [tf.TensorSpec(self.shape, tf.float32, name=INPUT)]
        return tf.function(imported, input_signature=signature)

    def save(self, path: Path, losses: Sequence[str]) -> None:
        """Write a SavedModel with the signatures ``losses`` and ``reconstruction``."""
        module = self.tf.Module()
        signatures = {"losses": self.function(losses)}
        if RECONSTRUCTION in self.outputs:
            signatures[RECONSTRUCTION] = self.function([RECONSTRUCTION])
        module.functions = signatures
        concrete = {name: function.get_concrete_function() for name, function in signatures.items()}
        self.tf.saved_model.save(module, str(path), signatures=concrete)


def constants_only(
    tf: Any,
    function: Callable[..., dict[str, Any]],
    shape: tuple[int | None, ...],
    names: Sequence[str],
    where: str,
) -> ConstantGraph:
    """Trace a function of padded jets, with weights as constants, and without what its outputs do not need.

    Raises
    ------
    ModelError
        It cannot be traced: the network does not take what the card says.
    """
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    signature = [tf.TensorSpec(shape, tf.float32, name=INPUT)]
    try:
        concrete = tf.function(function, input_signature=signature).get_concrete_function()
        frozen = convert_variables_to_constants_v2(concrete)
    except HepvaeError:
        raise
    except Exception as error:  # TensorFlow, Keras, and code of others
        raise ModelError(f"{where}: does not take its inputs as the card says: {one_line(error)}") from error
    tensors = dict(zip(sorted(names), frozen.outputs))  # as tf.nest orders a dict
    outputs = {name: tensors[name].name for name in names}
    definition = frozen.graph.as_graph_def()
    return ConstantGraph(tf, _needed(tf, definition, outputs), frozen.inputs[0].name, outputs, shape)


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
        if node.name in kept or node.op == "Placeholder":
            copy = pruned.node.add()
            copy.CopyFrom(node)
            del copy.input[:]
            copy.input.extend(i for i in node.input if not i.startswith("^"))
    return pruned


def converted(
    tf: Any,
    function: Callable[..., dict[str, Any]],
    shape: tuple[int | None, ...],
    names: Sequence[str],
    where: str,
) -> Any:
    """The same function as a graph of ONNX, in the form that ONNX Runtime runs fastest where it is recognised."""
    onnx = require("onnx", where)
    jets, *rest = shape
    fast = None
    if jets is None:
        try:
            fast = _by_tf2onnx(tf, function, (TRACED_JETS, *rest), names, where)
            rewrite(onnx, fast, free_particles=False)
        except ModelError:  # of a form that it does not know
            fast = None
    if fast is not None and _free(fast):
        return fast
    proto = _by_tf2onnx(tf, function, shape, names, where)
    for value in (*proto.graph.input, *proto.graph.output):
        axes = value.type.tensor_type.shape.dim
        if jets is None and len(axes):
            axes[0].dim_param = JETS_AXIS
    return proto


def _free(proto: Any) -> bool:
    """Whether every output has the axis of jets free."""
    return all(
        v.type.tensor_type.shape.dim[0].dim_param == JETS_AXIS for v in (*proto.graph.input, *proto.graph.output)
    )


def _by_tf2onnx(
    tf: Any,
    function: Callable[..., dict[str, Any]],
    shape: tuple[int | None, ...],
    names: Sequence[str],
    where: str,
) -> Any:
    tf2onnx, onnx = require("tf2onnx", where), require("onnx", where)
    graph = constants_only(tf, lambda p: function(p, by_product=True), shape, names, where)
    traced = graph.function(names)
    try:
        with without_gemm_warnings():
            proto, _ = tf2onnx.convert.from_function(traced, input_signature=traced.input_signature, opset=OPSET)
    except Exception as error:  # whatever tf2onnx runs into
        raise ModelError(f"{where}: cannot be converted to ONNX: {one_line(error)}") from error
    if [v.name for v in proto.graph.input] != [INPUT] or {v.name for v in proto.graph.output} != set(names):
        raise ModelError(
            f"{where}: tf2onnx lost the names of inputs or outputs: expected {INPUT}, {', '.join(names)}"
        )
    store_weights_in_float32(onnx, proto.graph)
    return proto
