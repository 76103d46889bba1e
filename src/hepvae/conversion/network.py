"""What every network of others is: named inputs and outputs; and those of ONNX, as graphs that can be written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import ModelError, one_line
from ..extras import require
from ..inference.onnx_graph import RANDOM, check_operators, needed_nodes

__all__ = ["Network", "OnnxNetwork", "Shape", "random_error", "selected"]

#: What this release of ONNX Runtime runs at least, and what older graphs are converted to.
OLDEST_OPSET, NEWER_OPSET = 13, 18
#: Of a graph whose functions are resolved, and of functions inside functions.
MOST_OPERATORS, MOST_NESTED = 100_000, 50

Shape = tuple[int | None, ...]


class Network:
    """A network with named inputs and outputs; shapes as far as it tells them, None for what may vary."""

    inputs: dict[str, Shape | None]
    outputs: dict[str, Shape | None]
    #: What wrote it, for the record.
    tool: str

    @property
    def batch_size(self) -> int | None:
        """Jets that it takes at once; None: any number."""
        sizes = {shape[0] for shape in self.inputs.values() if shape}
        return next((size for size in sizes if size is not None), None)


def selected(values: Mapping[str, Any], key: str | int, where: str, what: str) -> Any:
    """One of the outputs of a network, by name or position; ModelError says what it has instead."""
    names = list(values)
    if isinstance(key, int) and key < len(names):
        return values[names[key]]
    if isinstance(key, str) and key in values:
        return values[key]
    raise ModelError(f"{where}: {what} is {key!r}: the model has the outputs {', '.join(names) or 'none'}")


def random_error(where: str, kind: str, name: str) -> ModelError:
    return ModelError(
        f"{where}: operator {kind} {name!r} is random, and an output in use needs it: scores would differ from"
        " call to call; name z_mean in [output] and give encoder and decoder apart (--decoder), so that the mean"
        ' is decoded (z = "mean")'
    )


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
        check_operators(proto, where)
        if proto.functions:
            proto = _inlined(proto, where)
        if proto.graph.sparse_initializer:
            raise ModelError(f"{where}: has sparse weights: expected dense ones")
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
        for node in needed_nodes(self.proto.graph.node, outputs)[0]:
            training = node.op_type == "Dropout" and len(node.input) > 2 and node.input[2]
            if node.op_type in RANDOM or (training and self._true(node.input[2])):
                raise random_error(self.where, node.op_type, node.name or node.output[0])

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


def _inlined(proto: Any, where: str) -> Any:
    """PyTorch's dynamo exporter writes functions: their nodes take their place."""
    _check_functions(proto, where)
    try:
        from onnx import inliner

        inlined = inliner.inline_local_functions(proto)
    except Exception as error:  # of an extension module
        raise ModelError(f"{where}: functions of its graph cannot be resolved: {one_line(error)}") from error
    check_operators(inlined, where)
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
