"""Networks of ONNX: without control flow, weights elsewhere, or operators that are not ONNX's."""

from __future__ import annotations

from typing import Any

from ..errors import ModelError, one_line
from ..extras import require
from ..inference.onnx_graph import RANDOM
from .network import Network, Shape, random_error

__all__ = ["OnnxNetwork"]

#: Operators of ONNX that hold other graphs.
CONTROL_FLOW = ("If", "Loop", "Scan", "SequenceMap")

DOMAINS = ("", "ai.onnx", "ai.onnx.ml")

#: What this release of ONNX Runtime runs at least.
OLDEST_OPSET = 13

NEWER_OPSET = 18

#: Of a graph whose functions are resolved, and of functions inside functions.
MOST_OPERATORS, MOST_NESTED = 100_000, 50


class OnnxNetwork(Network):
    """A network as a graph of ONNX, in one of the versions that this module writes to.

    Parameters
    ----------
    proto : ModelProto
    where : str
        For messages.
    """

    def __init__(self, proto: Any, where: str) -> None:
        self.onnx = require("onnx", where)
        _check_onnx(self.onnx, proto, where)
        if proto.functions:
            proto = _inlined(self.onnx, proto, where)
        self.proto, self.where = _converted(self.onnx, proto, where), where
        self.tool = f"{proto.producer_name} {proto.producer_version}".strip() or "unknown"
        weights = {tensor.name for tensor in self.proto.graph.initializer}
        self.inputs = {v.name: _shape(v) for v in self.proto.graph.input if v.name not in weights}
        self.outputs = {v.name: _shape(v) for v in self.proto.graph.output}
        self.types = {
            v.name: v.type.tensor_type.elem_type for v in (*self.proto.graph.input, *self.proto.graph.output)
        }

    @property
    def opset(self) -> int:
        """Of ONNX's own operators."""
        return next(int(o.version) for o in self.proto.opset_import if o.domain in ("", "ai.onnx"))

    def check_random(self, outputs: list[str]) -> None:
        """Refuse random operators that outputs in use need."""
        needed, random = set(outputs), None
        for node in reversed(self.proto.graph.node):
            if needed.intersection(node.output):
                needed.update(node.input)
                training = node.op_type == "Dropout" and len(node.input) > 2 and node.input[2]
                if node.op_type in RANDOM or (training and self._true(node.input[2])):
                    random = node
        if random is not None:
            raise random_error(self.where, random.op_type, random.name or random.output[0])

    def _true(self, name: str) -> bool:
        for tensor in self.proto.graph.initializer:
            if tensor.name == name:
                return bool(self.onnx.numpy_helper.to_array(tensor).any())
        return True


def _shape(value: Any) -> Shape | None:
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return None
    return tuple(int(d.dim_value) if d.dim_value > 0 else None for d in kind.shape.dim)


def _check_onnx(onnx: Any, proto: Any, where: str) -> None:
    """Refuse control flow, weights in other files, operators that are not ONNX's."""
    nodes = [*proto.graph.node, *(node for function in proto.functions for node in function.node)]
    ours = {(f.domain, f.name) for f in proto.functions}
    tensors = [*proto.graph.initializer]
    for node in nodes:
        held = any(a.HasField("g") or len(a.graphs) for a in node.attribute)
        if held or node.op_type in CONTROL_FLOW:
            raise ModelError(f"{where}: operator {node.op_type} {node.name!r} is control flow: expected none")
        if node.domain not in DOMAINS and (node.domain, node.op_type) not in ours:
            raise ModelError(
                f"{where}: operator {node.op_type} {node.name!r} of {node.domain!r}: expected operators of ONNX"
            )
        for attribute in node.attribute:
            tensors += [attribute.t, *attribute.tensors]
    for tensor in tensors:
        if tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise ModelError(
                f"{where}: has weights in other files: expected all in the model file"
                " (PyTorch: torch.onnx.export(..., external_data=False))"
            )
    if proto.graph.sparse_initializer:
        raise ModelError(f"{where}: has sparse weights: expected dense ones")


def _inlined(onnx: Any, proto: Any, where: str) -> Any:
    """PyTorch's dynamo exporter writes functions: their nodes take their place."""
    _check_functions(proto, where)
    try:
        from onnx import inliner

        inlined = inliner.inline_local_functions(proto)
    except Exception as error:  # of an extension module
        raise ModelError(f"{where}: functions of its graph cannot be resolved: {one_line(error)}") from error
    _check_onnx(onnx, inlined, where)
    return inlined


def _check_functions(proto: Any, where: str) -> None:
    """Refuse functions that would never end, or become too many operators."""
    functions = {(f.domain, f.name): f for f in proto.functions}
    counts: dict[tuple[str, str], int] = {}

    def count(nodes: Any, within: tuple[tuple[str, str], ...]) -> int:
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type)
            if key in within or len(within) > MOST_NESTED:
                raise ModelError(f"{where}: function {node.op_type} calls itself, or nests too deep")
            if key in functions and key not in counts:
                counts[key] = count(functions[key].node, (*within, key))
            total += counts.get(key, 1)
        return total

    if (total := count(proto.graph.node, ())) > MOST_OPERATORS:
        raise ModelError(f"{where}: its functions have {total:.3g} operators: expected at most {MOST_OPERATORS}")


def _converted(onnx: Any, proto: Any, where: str) -> Any:
    opsets = [o for o in proto.opset_import if o.domain in ("", "ai.onnx")]
    if not opsets:  # of classical models only
        proto.opset_import.append(onnx.helper.make_opsetid("", NEWER_OPSET))
        return proto
    if opsets[0].version >= OLDEST_OPSET:
        return proto
    try:
        return onnx.version_converter.convert_version(proto, NEWER_OPSET)
    except Exception as error:  # of an extension module
        raise ModelError(
            f"{where}: opset {opsets[0].version} cannot be converted to {NEWER_OPSET}: {one_line(error)};"
            f" export it with opset {OLDEST_OPSET} or later"
        ) from error
