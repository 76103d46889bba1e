"""The numbers of jets and particles that a graph was traced with, found again in its constants, and freed.

They are large primes, so that nothing else in a model is a multiple of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ModelError
from ..models.contract import INPUT, JETS_AXIS, PARTICLES_AXIS
from .onnx_editing import Graph

__all__ = ["TRACED_JETS", "TRACED_PARTICLES", "free_axes"]

#: What models are traced with.
TRACED_JETS, TRACED_PARTICLES = 1009, 1013


def free_axes(graph: Graph, free_particles: bool) -> None:
    """Find the numbers of jets and particles in the constants, and free them."""
    begin: list[Any] = []
    shape = {JETS_AXIS: "", PARTICLES_AXIS: ""}
    for i, axis in enumerate((JETS_AXIS, PARTICLES_AXIS) if free_particles else (JETS_AXIS,)):
        dimension = graph.node("Shape", [INPUT], start=i, end=i + 1)
        begin.append(dimension)
        shape[axis] = dimension.output[0]
    sized: dict[tuple[int, ...], str] = {}

    def size_of(dims: Sequence[int]) -> str:
        """The name of a shape: constant, or computed from the numbers of jets and particles."""
        dims = tuple(int(d) for d in dims)
        if dims not in sized:
            parts: list[int | str] = []
            unknown = 0
            for d in dims:
                jets, particles = d % TRACED_JETS == 0, free_particles and d % TRACED_PARTICLES == 0
                if jets and d:
                    parts.append(-1)
                    unknown += 1
                elif particles and d:
                    if d != TRACED_PARTICLES:
                        raise ModelError(f"a traced shape {dims} is none of jets times particles")
                    parts.append(shape[PARTICLES_AXIS])
                else:
                    parts.append(d)
            if unknown > 1:
                raise ModelError(f"a traced shape {dims} has the number of jets twice")
            if any(isinstance(part, str) for part in parts):
                names = [part if isinstance(part, str) else graph.constant([part], np.int64) for part in parts]
                joined = graph.node("Concat", names, axis=0)
                begin.append(joined)
                sized[dims] = joined.output[0]
            else:
                sized[dims] = graph.constant(parts, np.int64)
        return sized[dims]

    def is_free(d: int) -> bool:
        return d != 0 and (d % TRACED_JETS == 0 or (free_particles and d % TRACED_PARTICLES == 0))

    for node in graph.nodes:
        if node.op_type == "Reshape" and node.input[1] in graph.constants:
            dims = graph.constants[node.input[1]]
            if any(is_free(d) for d in dims):
                node.input[1] = size_of(dims.tolist())
    for node in graph.nodes:
        for i, name in enumerate(node.input):
            values = graph.constants.get(name)
            if values is None:
                continue
            if any(is_free(d) for d in values.shape):
                node.input[i] = _freed_constant(graph, begin, shape, name, values, is_free)
            elif free_particles and node.op_type == "Mul" and values.size == 1 and values == TRACED_PARTICLES:
                # Rows before a jet, where neighbours are gathered: Shape gives int64.
                kind = graph.onnx.helper.np_dtype_to_tensor_dtype(values.dtype)
                begin.append(graph.node("Cast", [shape[PARTICLES_AXIS]], to=kind))
                node.input[i] = begin[-1].output[0]
    graph.nodes = [*begin, *graph.nodes]


def _freed_constant(
    graph: Graph,
    begin: list[Any],
    shape: dict[str, str],
    name: str,
    values: npt.NDArray[Any],
    is_free: Callable[[int], bool],
) -> str:
    """A constant with an axis of jets or particles: the same all along it, or the numbers of first rows."""
    free = [axis for axis, d in enumerate(values.shape) if is_free(d)]
    once = values[tuple(slice(0, 1) if axis in free else slice(None) for axis in range(values.ndim))]
    if np.array_equal(np.broadcast_to(once, values.shape), values):
        dims = [
            (shape[JETS_AXIS] if values.shape[axis] == TRACED_JETS else shape[PARTICLES_AXIS])
            if axis in free
            else graph.constant([values.shape[axis]], np.int64)
            for axis in range(values.ndim)
        ]
        key = once.tobytes(), once.dtype, values.shape
        if key not in graph.expanded:
            joined = graph.node("Concat", dims, axis=0)
            expanded = graph.node("Expand", [graph.constant(once), joined.output[0]])
            begin += [joined, expanded]
            graph.expanded[key] = expanded.output[0]
        return graph.expanded[key]
    rows = values.ravel()
    step = int(rows[1]) if values.size == TRACED_JETS else 0
    if step and np.array_equal(rows, np.arange(TRACED_JETS) * step):
        # The number of the first row of each jet, jet * particles, as Range(0, jets * particles, particles).
        scalar = graph.constant([0], np.int64)
        jets = graph.node("Squeeze", [shape[JETS_AXIS], scalar])
        begin.append(jets)
        if shape[PARTICLES_AXIS]:
            begin.append(graph.node("Squeeze", [shape[PARTICLES_AXIS], scalar]))
            if step != TRACED_PARTICLES:
                raise ModelError(f"constant {name!r} of the traced graph is no multiple of the particles")
            stride = begin[-1].output[0]
        else:
            stride = graph.constant(step, np.int64)
        last = graph.node("Mul", [jets.output[0], stride])
        counted = graph.node("Range", [graph.constant(0, np.int64), last.output[0], stride])
        kind = graph.onnx.helper.np_dtype_to_tensor_dtype(values.dtype)
        cast = graph.node("Cast", list(counted.output), to=kind)
        to = [-1 if d == TRACED_JETS else d for d in values.shape]
        shaped = graph.node("Reshape", [cast.output[0], graph.constant(to, np.int64)])
        begin += [last, counted, cast, shaped]
        return str(shaped.output[0])
    raise ModelError(f"constant {name!r} of the traced graph depends on the number of jets or particles")
