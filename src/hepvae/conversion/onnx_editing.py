"""An ONNX graph that is changed node by node."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..inference.onnx_graph import needed_nodes

__all__ = ["Graph", "Shape"]

Shape = tuple[int, ...]


class Graph:
    """An ONNX graph that is changed node by node."""

    def __init__(self, onnx: Any, proto: Any) -> None:
        self.onnx, self.proto = onnx, proto
        self.nodes = list(proto.graph.node)
        self.constants: dict[str, npt.NDArray[Any]] = {
            t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer
        }
        self.outputs = {node.name for node in proto.graph.output}
        self.expanded: dict[tuple[object, ...], str] = {}
        """Names of constants that were given the number of jets or particles, by what they hold."""
        self._number = 0
        del proto.graph.value_info[:]  # tf2onnx leaves shapes from before it moved transpositions
        inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True).graph
        values = [(v.name, v.type.tensor_type) for v in (*inferred.value_info, *inferred.output, *inferred.input)]
        #: Of the values of the traced graph, and of new ones.
        self.shapes: dict[str, Shape] = {
            name: tuple(d.dim_value for d in value.shape.dim) for name, value in values
        }
        self._float64 = {name for name, value in values if value.elem_type == onnx.TensorProto.DOUBLE}

    def name(self, what: str) -> str:
        self._number += 1
        return f"hepvae/{what}_{self._number}"

    def constant(self, values: npt.ArrayLike, dtype: npt.DTypeLike | None = None) -> str:
        name = self.name("constant")
        self.constants[name] = np.asarray(values, dtype)
        return name

    def node(
        self,
        kind: str,
        inputs: list[str],
        outputs: list[str] | None = None,
        *,
        like: str = "",
        shape: Sequence[int] | None = None,
        **attributes: Any,
    ) -> Any:
        """A new node; what it makes has the shape of another value, or a given one, where that is known."""
        outputs = outputs or [self.name(kind.lower())]
        if like or shape is not None:
            self.shapes[outputs[0]] = self.shapes[like] if shape is None else tuple(int(d) for d in shape)
        return self.onnx.helper.make_node(kind, inputs, outputs, **attributes)

    def reshape(self, source: str, shape: Sequence[int], outputs: list[str] | None = None) -> Any:
        """A node that changes a shape."""
        return self.node("Reshape", [source, self.constant(shape, np.int64)], outputs, shape=shape)

    def float32(self, name: str) -> bool:
        """Whether a value of the traced graph is of that type, as far as types are known, and not of float64."""
        return name not in self._float64

    def attributes(self, node: Any) -> dict[str, Any]:
        return {a.name: self.onnx.helper.get_attribute_value(a) for a in node.attribute}

    @property
    def producers(self) -> dict[str, Any]:
        return {output: node for node in self.nodes for output in node.output}

    @property
    def users(self) -> dict[str, list[Any]]:
        users: dict[str, list[Any]] = defaultdict(list)
        for node in self.nodes:
            for name in node.input:
                users[name].append(node)
        return users

    def only_user(self, name: str, users: dict[str, list[Any]]) -> Any:
        """The one node that takes a value, where there is one, and the value is no output of the graph."""
        return users[name][0] if len(users[name]) == 1 and name not in self.outputs else None

    def replace(self, old: list[Any], new: list[Any]) -> None:
        """Nodes by others, which stand where the last of the old ones was."""
        replaced = {id(node) for node in old}
        place = next(i for i in reversed(range(len(self.nodes))) if id(self.nodes[i]) in replaced)
        after = self.nodes[place + 1 :]
        self.nodes = [*(n for n in self.nodes[:place] if id(n) not in replaced), *new, *after]

    def write(self) -> None:
        """Put it back, without what nothing leads to."""
        nodes, needed = needed_nodes(self.nodes, self.outputs)
        graph = self.proto.graph
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(nodes)
        for name, values in self.constants.items():
            if name in needed:
                graph.initializer.append(self.onnx.numpy_helper.from_array(np.asarray(values, order="C"), name))
