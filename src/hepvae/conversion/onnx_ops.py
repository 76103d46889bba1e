"""Array functions that write an ONNX graph instead of computing, for formulas that take their ``ops``.

`losses` and `adapter` are written once, for ``numpy``, ``keras.ops``, and this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partialmethod
from typing import Any, Union

import numpy as np
import numpy.typing as npt

__all__ = ["OnnxOps", "Value"]

Shape = tuple[int | None, ...]
#: A value of the graph, or a constant.
Operand = Union["Value", float, npt.NDArray[Any]]
#: Means "to the end" where a slice has none.
END = np.iinfo(np.int64).max


def _operator(kind: str, *, turned: bool = False, dtype: type = np.float32) -> Callable[[Value, Operand], Value]:
    """The method of an operator; ``turned``: where the value is on its right."""

    def method(self: Value, other: Operand) -> Value:
        first, second = (other, self) if turned else (self, other)
        return self.ops.binary(kind, first, second, dtype)

    return method


class Value:
    """A value of the graph; ``shape`` has None for sizes that are not known."""

    def __init__(self, ops: OnnxOps, name: str, shape: Shape, dtype: Any = np.float32) -> None:
        self.ops, self.name, self.shape, self.dtype = ops, name, shape, np.dtype(dtype)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    __add__, __radd__ = _operator("Add"), _operator("Add", turned=True)
    __sub__, __rsub__ = _operator("Sub"), _operator("Sub", turned=True)
    __mul__, __rmul__ = _operator("Mul"), _operator("Mul", turned=True)
    __truediv__, __gt__ = _operator("Div"), _operator("Greater", dtype=np.bool_)

    # NumPy's arrays leave operators with a value on their right to it.
    __array_ufunc__ = None

    def __getitem__(self, key: Any) -> Value:
        """Slices with steps of 1, and single places, which lose their axis."""
        keys = list(key) if isinstance(key, tuple) else [key]
        if Ellipsis in keys:
            place = keys.index(Ellipsis)
            keys[place : place + 1] = [slice(None)] * (self.ndim - len(keys) + 1)
        result, lost = self, []
        for axis, one in enumerate(keys):
            if isinstance(one, slice):
                if one != slice(None):
                    result = self.ops.cut(result, axis, one.start or 0, one.stop)
            else:
                result = self.ops.cut(result, axis, one, one + 1 if one != -1 else None)
                lost.append(axis)
        return self.ops.squeeze(result, lost) if lost else result


class OnnxOps:
    """Functions by the names that ``numpy`` and ``keras.ops`` have for them, which add nodes to a graph.

    Parameters
    ----------
    onnx : module
    opset : int
        Of the graph, 13 at least.
    prefix : str
        Of the names of new values.
    """

    def __init__(self, onnx: Any, opset: int, prefix: str) -> None:
        self.onnx, self.opset, self.prefix = onnx, opset, prefix
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._number = 0

    def _name(self, what: str) -> str:
        self._number += 1
        return f"{self.prefix}/{what}_{self._number}"

    def node(
        self, kind: str, inputs: Sequence[str], shape: Shape, dtype: Any = np.float32, **attributes: Any
    ) -> Value:
        """A new node with one output."""
        name = self._name(kind.lower())
        self.nodes.append(self.onnx.helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return Value(self, name, shape, dtype)

    def constant(self, values: Any, dtype: Any) -> str:
        name = self._name("constant")
        array = np.ascontiguousarray(np.asarray(values, dtype)).reshape(np.shape(values))
        self.constants.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def value(self, operand: Operand) -> Value:
        """A value, also of a constant."""
        if isinstance(operand, Value):
            return operand
        return Value(self, self.constant(operand, np.float32), np.shape(operand))

    def binary(self, kind: str, first: Operand, second: Operand, dtype: Any = np.float32) -> Value:
        a, b = self.value(first), self.value(second)
        return self.node(kind, [a.name, b.name], _broadcast(a.shape, b.shape), dtype)

    def unary(self, kind: str, x: Value) -> Value:
        return self.node(kind, [x.name], x.shape)

    def cut(self, x: Value, axis: int, start: int, stop: int | None) -> Value:
        """Places from ``start`` to ``stop`` of an axis."""
        places = [self.constant([v], np.int64) for v in (start, END if stop is None else stop, axis)]
        whole = x.shape[axis]
        size = None if whole is None else len(range(*slice(start, stop).indices(whole)))
        return self.node("Slice", [x.name, *places], (*x.shape[:axis], size, *x.shape[axis + 1 :]), x.dtype)

    def squeeze(self, x: Value, axes: Sequence[int]) -> Value:
        shape = tuple(size for axis, size in enumerate(x.shape) if axis not in axes)
        return self.node("Squeeze", [x.name, self.constant(list(axes), np.int64)], shape, x.dtype)

    def expand_dims(self, x: Value, axis: int) -> Value:
        axis %= x.ndim + 1
        shape = (*x.shape[:axis], 1, *x.shape[axis:])
        return self.node("Unsqueeze", [x.name, self.constant([axis], np.int64)], shape, x.dtype)

    def reshape(self, x: Value, shape: Sequence[int]) -> Value:
        known = tuple(None if size == -1 else size for size in shape)
        return self.node("Reshape", [x.name, self.constant(list(shape), np.int64)], known, x.dtype)

    def transpose(self, x: Value, axes: Sequence[int]) -> Value:
        return self.node("Transpose", [x.name], tuple(x.shape[a] for a in axes), x.dtype, perm=list(axes))

    def take(self, x: Value, indices: Sequence[int], axis: int) -> Value:
        axis %= x.ndim
        shape = (*x.shape[:axis], len(indices), *x.shape[axis + 1 :])
        return self.node("Gather", [x.name, self.constant(list(indices), np.int64)], shape, x.dtype, axis=axis)

    def concatenate(self, values: Sequence[Value], axis: int) -> Value:
        axis %= values[0].ndim
        sizes = [value.shape[axis] for value in values]
        size = None if None in sizes else sum(size for size in sizes if size is not None)
        shape = (*values[0].shape[:axis], size, *values[0].shape[axis + 1 :])
        return self.node("Concat", [value.name for value in values], shape, values[0].dtype, axis=axis)

    def stack(self, values: Sequence[Value], axis: int) -> Value:
        return self.concatenate([self.expand_dims(value, axis) for value in values], axis)

    def split(self, x: Value, number: int, axis: int) -> list[Value]:
        step = (x.shape[axis] or 0) // number
        return [self.cut(x, axis, i * step, (i + 1) * step) for i in range(number)]

    def where(self, condition: Value, x: Operand, y: Operand) -> Value:
        a, b = self.value(x), self.value(y)
        shape = _broadcast(condition.shape, _broadcast(a.shape, b.shape))
        return self.node("Where", [condition.name, a.name, b.name], shape)

    def matmul(self, x: Value, y: Value) -> Value:
        return self.node("MatMul", [x.name, y.name], (*x.shape[:-1], y.shape[-1]))

    maximum, minimum = partialmethod(binary, "Max"), partialmethod(binary, "Min")
    abs, exp = partialmethod(unary, "Abs"), partialmethod(unary, "Exp")
    round = partialmethod(unary, "Round")

    def square(self, x: Value) -> Value:
        return x * x

    def ones_like(self, x: Value) -> Value:
        return x * 0.0 + 1.0

    def _reduce(self, kind: str, x: Value, axis: int | Sequence[int], *, since: int) -> Value:
        """``since``: the opset from which on axes are an input and no attribute."""
        axes = sorted(a % x.ndim for a in ([axis] if isinstance(axis, int) else axis))
        shape = tuple(size for a, size in enumerate(x.shape) if a not in axes)
        if self.opset < since:
            return self.node(kind, [x.name], shape, axes=axes, keepdims=0)
        return self.node(kind, [x.name, self.constant(axes, np.int64)], shape, keepdims=0)

    sum = partialmethod(_reduce, "ReduceSum", since=13)
    mean = partialmethod(_reduce, "ReduceMean", since=18)
    min = partialmethod(_reduce, "ReduceMin", since=18)

    def cast(self, x: Value, dtype: Any) -> Value:
        to = self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.node("Cast", [x.name], x.shape, dtype, to=to)


def _broadcast(first: Shape, second: Shape) -> Shape:
    rank = max(len(first), len(second))
    pairs = zip((1,) * (rank - len(first)) + first, (1,) * (rank - len(second)) + second)
    return tuple(b if a == 1 else a if b == 1 or b is None else b for a, b in pairs)
