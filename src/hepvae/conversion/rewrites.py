"""From a graph traced for one shape to one for any number of jets, in the form that ONNX Runtime runs fastest.

A graph traced for any shape computes shapes at run time: a third of its operators are Shape, Gather and Concat. So
models are traced for one shape, of which nothing but constants is left; the numbers of jets and particles
are found again in those: large primes, so that nothing else in a model is a multiple of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ModelError
from ..models.contract import INPUT, JETS_AXIS, PARTICLES_AXIS
from .onnx_editing import Graph, Shape

__all__ = ["TRACED_JETS", "TRACED_PARTICLES", "rewrite"]

#: What models are traced with.
TRACED_JETS, TRACED_PARTICLES = 1009, 1013

#: Operators that change nothing but the shape.
VIEWS = ("Reshape", "Squeeze", "Unsqueeze")

#: Operators of two values, of which one may be repeated.
WITH_SCALARS = ("Add", "Sub", "Mul", "Div", "Max", "Min", "Greater", "Less")

#: Of a jet: an activation of fewer is left as one operator.
FEW_VALUES = 500


#: What is affine in the last axis: what it takes, its matrix and its constant.
Affine = tuple[str, npt.NDArray[np.float64], npt.NDArray[np.float64]]


def rewrite(onnx: Any, proto: Any, *, free_particles: bool) -> None:
    """Rewrite a graph that was traced for `TRACED_JETS` jets, in place.

    Parameters
    ----------
    onnx : module
    proto : ModelProto
    free_particles : bool
        It was traced with `TRACED_PARTICLES` particles, and its particle axis shall be free as well.
    """
    graph = Graph(onnx, proto)
    _take_indices_as_they_are(graph)
    _affine(graph)
    _transposed_convolutions(graph)
    _convolution_bias(graph)
    _activation_in_place(graph)
    _elu(graph)
    _scalars(graph)
    _views(graph)
    _free_axes(graph, free_particles)
    graph.write()
    for value in (*proto.graph.input, *proto.graph.output):
        free = {TRACED_JETS: JETS_AXIS, **({TRACED_PARTICLES: PARTICLES_AXIS} if free_particles else {})}
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_value in free:
                axis.dim_param = free[axis.dim_value]


def _take_indices_as_they_are(graph: Graph) -> None:
    """Keras makes negative indices positive, by eight operators; ONNX's Gather takes them as they are."""
    producers = graph.producers
    for node in graph.nodes:
        if node.op_type != "Gather" or producers.get(node.input[1]) is None:
            continue
        # i < 0 ? i + n : i  comes as  cast(i < 0) * (i + n) + i * cast(not (i < 0))
        whole = producers[node.input[1]]
        terms = [producers[name] for name in whole.input if name in producers]
        if whole.op_type != "Add" or [term.op_type for term in terms] != ["Mul", "Mul"]:
            continue
        kinds = {name: producers[name].op_type for term in terms for name in term.input if name in producers}
        casts = [name for name, kind in kinds.items() if kind == "Cast"]
        tests = [producers[producers[name].input[0]].op_type for name in casts]
        shared = [name for name in terms[1].input if name not in casts]
        if sorted(tests) == ["Less", "Not"] and len(shared) == 1:
            node.input[1] = shared[0]


def _affine(graph: Graph) -> None:
    """What is affine in the last axis as one Gemm, on rows of it.

    Dense layers come as MatMul, Reshape, Add, standardisation as Sub, Mul. ONNX Runtime is slow at operators that
    repeat a short vector.
    """
    shapes = graph.shapes
    users, producers = graph.users, graph.producers
    maps: dict[str, Affine] = {}  # name of an output: (rows in, weights, bias)
    for node in graph.nodes:
        affine = _affine_map(graph, node, shapes, maps)
        if affine is None:
            continue
        source, weights, bias = affine
        before = maps.get(source)
        # Two in a row are one, where that is less work.
        if (
            before
            and graph.only_user(source, users)
            and weights.shape[0] * weights.shape[1] * 2 >= (before[1].shape[0] * weights.shape[1])
        ):
            source, weights, bias = before[0], before[1] @ weights, before[2] @ weights + bias
        maps[node.output[0]] = source, weights, bias
    for name, (source, weights, bias) in maps.items():
        node = producers[name]
        if node.op_type == "Reshape" or (node.op_type == "Gemm" and source == node.input[0]):
            continue
        rows = int(np.prod(shapes[source][:-1]))
        flat = graph.reshape(source, [rows, weights.shape[0]])
        values = [graph.constant(weights, np.float32), graph.constant(bias, np.float32)]
        gemm = graph.node("Gemm", [flat.output[0], *values], shape=[rows, weights.shape[1]])
        back = graph.reshape(gemm.output[0], shapes[name], [name])
        graph.replace([node], [flat, gemm, back])


def _affine_map(graph: Graph, node: Any, shapes: dict[str, Shape], maps: dict[str, Affine]) -> Affine | None:
    """Where a node is affine in the last axis: what it takes, its matrix and its constant, in float64."""
    if node.op_type == "Reshape":  # of rows: what is affine in them stays so
        before = maps.get(node.input[0])
        if before is None or shapes[node.output[0]][-1:] != shapes[node.input[0]][-1:]:
            return None
        return node.input[0], np.eye(before[1].shape[1]), np.zeros(before[1].shape[1])
    if node.op_type not in ("MatMul", "Add", "Sub", "Mul", "Gemm") or node.output[0] not in shapes:
        return None
    constants = [graph.constants.get(name) for name in node.input]
    if graph.float32(node.output[0]) is False:
        return None
    if node.op_type == "Gemm":
        plain = not graph.attributes(node) or set(graph.attributes(node).values()) <= {0, 1.0}
        given = [c.astype(np.float64) for c in constants[1:] if c is not None]
        return (node.input[0], given[0], given[1]) if constants[0] is None and plain and len(given) == 2 else None
    if node.op_type == "MatMul":
        matrix = constants[1]
        if constants[0] is None and matrix is not None and matrix.ndim == 2:
            return node.input[0], matrix.astype(np.float64), np.zeros(matrix.shape[1])
        return None
    source, vector = (node.input[0], constants[1]) if constants[0] is None else (node.input[1], constants[0])
    if vector is None or source in graph.constants or (node.op_type == "Sub" and constants[1] is None):
        return None
    width = shapes[source][-1] if shapes[source] else 0
    if vector.shape != (width,) or width < 2 or shapes[node.output[0]] != shapes[source]:
        return None
    vector = vector.astype(np.float64)
    if node.op_type == "Mul":
        return source, np.diag(vector), np.zeros(width)
    return source, np.eye(width), vector if node.op_type == "Add" else -vector


def _transposed_convolutions(graph: Graph) -> None:
    """A transposed convolution of stride 1 is a convolution with the kernel turned round, and wider padding."""
    for node in [node for node in graph.nodes if node.op_type == "ConvTranspose"]:
        given = graph.attributes(node)
        kernel = graph.constants.get(node.input[1])
        plain = all(all(v == 1 for v in given.get(key, [1])) for key in ("strides", "dilations"))
        if kernel is None or not plain or given.get("group", 1) != 1 or any(given.get("output_padding", [])):
            continue
        turned = np.flip(kernel, axis=tuple(range(2, kernel.ndim))).swapaxes(0, 1)
        size = kernel.shape[2:]
        pads = [k - 1 - p for k, p in zip([*size, *size], given.get("pads", [0] * 2 * len(size)))]
        product = graph.node(
            "Conv",
            [node.input[0], graph.constant(turned), *node.input[2:]],
            list(node.output),
            kernel_shape=size,
            pads=pads,
        )
        graph.replace([node], [product])


def _convolution_bias(graph: Graph) -> None:
    """A bias that is added behind a convolution goes into it."""
    users = graph.users
    for convolution in [node for node in graph.nodes if node.op_type == "Conv" and len(node.input) == 2]:
        add, output = convolution, convolution.output[0]
        while add is not None and add.op_type in ("Conv", *VIEWS):
            output = add.output[0]
            add = graph.only_user(output, users)
        if add is None or add.op_type != "Add":
            continue
        values = graph.constants.get(next((name for name in add.input if name != output), ""))
        width = graph.constants[convolution.input[1]].shape[0]
        if values is None or values.shape != (1, width, 1) or graph.shapes[output][:2] != (TRACED_JETS, width):
            continue
        convolution.input.append(graph.constant(values.reshape(width)))
        graph.replace([add], [graph.reshape(output, graph.shapes[output], list(add.output))])


def _activation_in_place(graph: Graph) -> None:
    """An activation between two changes of shape that undo each other takes what is before the first."""
    users, producers = graph.users, graph.producers
    for node in [node for node in graph.nodes if node.op_type == "Elu"]:
        before, after = producers.get(node.input[0]), graph.only_user(node.output[0], users)
        if before is None or after is None or before.op_type not in VIEWS or after.op_type not in VIEWS:
            continue
        if graph.shapes[before.input[0]] == graph.shapes[after.output[0]]:
            elu = graph.node("Elu", [before.input[0]], list(after.output))
            graph.replace([node, after], [elu])


def _elu(graph: Graph) -> None:
    """elu(x) = max(x, exp(min(x, 0)) - 1): ONNX Runtime's Elu takes exponentials one by one, and has no float64.

    Where a jet has few values, three more operators take longer than their exponentials.
    """
    for node in [node for node in graph.nodes if node.op_type == "Elu"]:
        source, output = node.input[0], node.output[0]
        single = graph.float32(output)
        if graph.attributes(node).get("alpha", 1) != 1:
            continue
        if single and np.prod(graph.shapes[output][1:]) < FEW_VALUES:
            continue
        zero, one = (graph.constant(value, np.float32 if single else np.float64) for value in (0, 1))
        low = graph.node("Min", [source, zero], like=output)
        power = graph.node("Exp", list(low.output), like=output)
        below = graph.node("Sub", [power.output[0], one], like=output)
        graph.replace([node], [low, power, below, graph.node("Max", [below.output[0], source], [output])])


def _scalars(graph: Graph) -> None:
    """Operators between a scalar and values whose last axis has length 1, without that axis.

    With it ONNX Runtime repeats the scalar once for each value, and takes thirty times as long.
    """
    for node in [node for node in graph.nodes if node.op_type in WITH_SCALARS and len(node.input) == 2]:
        which = [i for i in (0, 1) if np.size(graph.constants.get(node.input[i], (0, 0))) == 1]
        shape = graph.shapes.get(node.output[0], ())
        if len(which) != 1 or len(shape) < 2 or shape[-1] != 1:
            continue
        source = node.input[1 - which[0]]
        if graph.shapes.get(source) != shape:
            continue
        flat = graph.reshape(source, shape[:-1])
        inputs = [flat.output[0], flat.output[0]]
        inputs[which[0]] = graph.constant(graph.constants[node.input[which[0]]].reshape(()))
        flat_result = graph.node(node.op_type, inputs, shape=shape[:-1])
        graph.replace([node], [flat, flat_result, graph.reshape(flat_result.output[0], shape, list(node.output))])


def _views(graph: Graph) -> None:
    """Of several changes of shape in a row the last one; none where nothing changes."""
    producers, shapes = graph.producers, graph.shapes
    same: dict[str, str] = {}
    for node in graph.nodes:
        for i, name in enumerate(node.input):
            node.input[i] = same.get(name, name)
        if node.op_type not in VIEWS or not shapes.get(node.output[0]):
            continue
        source, wanted = node.input[0], shapes[node.output[0]]
        while source in producers and producers[source].op_type in VIEWS:
            source = producers[source].input[0]
        if source not in shapes:
            continue
        if shapes[source] == wanted and node.output[0] not in graph.outputs:
            same[node.output[0]] = source
        elif source != node.input[0]:
            node.CopyFrom(graph.reshape(source, wanted, list(node.output)))


def _free_axes(graph: Graph, free_particles: bool) -> None:
    """Find the numbers of jets and particles in the constants, and free them."""
    begin: list[Any] = []
    shape = {JETS_AXIS: "", PARTICLES_AXIS: ""}
    for i, axis in enumerate((JETS_AXIS, PARTICLES_AXIS) if free_particles else (JETS_AXIS,)):
        dimension = graph.node("Shape", [INPUT], start=i, end=i + 1)
        begin.append(dimension)
        shape[axis] = dimension.output[0]
    sized: dict[tuple[int, ...], str] = {}

    def of_jets(d: int) -> bool:
        return d != 0 and d % TRACED_JETS == 0

    def is_free(d: int) -> bool:
        return of_jets(d) or (free_particles and d != 0 and d % TRACED_PARTICLES == 0)

    def size_of(dims: Sequence[int]) -> str:
        """The name of a shape: constant, or computed from the numbers of jets and particles."""
        dims = tuple(int(d) for d in dims)
        if dims not in sized:
            sizes = [-1 if of_jets(d) else d for d in dims]
            if sizes.count(-1) > 1:
                raise ModelError(f"a traced shape {dims} has the number of jets twice")
            if any(is_free(d) and d != TRACED_PARTICLES for d in sizes):
                raise ModelError(f"a traced shape {dims} is none of jets times particles")
            if any(is_free(d) for d in sizes):
                names = [shape[PARTICLES_AXIS] if is_free(d) else graph.constant([d], np.int64) for d in sizes]
                joined = graph.node("Concat", names, axis=0)
                begin.append(joined)
                sized[dims] = joined.output[0]
            else:
                sized[dims] = graph.constant(sizes, np.int64)
        return sized[dims]

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
