"""An ``.onnx`` file before it is run: checked, and without the outputs that are not wanted."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import ModelError, one_line
from ..extras import require
from ..models.contract import DIGEST_KEY, JETS_AXIS, PARTICLES_AXIS
from .blocks import bytes_alive

__all__ = [
    *("RANDOM", "check_digest", "check_graph", "check_operators", "check_sizes", "jet_bytes"),
    *("keep_outputs", "needed_nodes", "read_model", "write_model"),
]

#: Of a tensor, for one jet: those of bundled models have up to 3e5.
MOST_VALUES = 2**25
#: Of the operators of ONNX: its own, and those of classical models.
DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
#: Operators whose outputs are not a function of their inputs.
RANDOM = ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")


def read_model(path: Path) -> Any:
    """The ``ModelProto`` of a file; ModelError where there is none."""
    onnx = require("onnx", str(path))
    try:
        return onnx.load_model_from_string(path.read_bytes())
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    except Exception as error:  # protobuf's own classes differ from version to version
        raise ModelError(f"{path}: not a model that ONNX can load: {one_line(error)}") from error


def write_model(model: Any, path: Path, metadata: Mapping[str, str]) -> None:
    """Write a ``ModelProto`` with metadata, and the digest of all."""
    onnx = require("onnx", str(path))
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, dict(metadata))
    model.producer_name = "hepvae"
    model.metadata_props.add(key=DIGEST_KEY, value=_digest(model))
    onnx.save(model, path)


def check_digest(model: Any, path: Path) -> None:
    """Raise `ModelError` where a file is not as it was exported; files of before have no digest."""
    digests = [entry.value for entry in model.metadata_props if entry.key == DIGEST_KEY]
    if digests and digests != [_digest(model)]:
        raise ModelError(f"{path}: damaged or changed since its export (another sha256): export or copy it anew")


def _digest(model: Any) -> str:
    """sha256 of a model without its entry of the digest."""
    bare = type(model)()
    bare.CopyFrom(model)
    kept = [entry for entry in model.metadata_props if entry.key != DIGEST_KEY]
    del bare.metadata_props[:]
    bare.metadata_props.extend(kept)
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).hexdigest()


def check_graph(model: Any, path: Path, particles: int) -> dict[str, int]:
    """Refuse what hepvae never exports, and what could run without end or read other files.

    Parameters
    ----------
    particles : int
        Of a jet.

    Returns
    -------
    dict of str to int
        As `check_sizes` gives it, for one jet.

    Raises
    ------
    ModelError
        The graph has control flow, functions, operators that are not of ONNX, random operators or weights in
        other files; or a tensor that is too large.
    """
    if model.functions or model.graph.sparse_initializer:
        raise ModelError(f"{path}: has functions or sparse weights: expected operators and dense weights only")
    for tensor in check_operators(model, str(path)):
        _check_length(tensor, str(path))
    for node in model.graph.node:
        if node.op_type in RANDOM:
            raise ModelError(f"{path}: operator {node.op_type} {node.name!r} is random: expected none")
    axes = {JETS_AXIS: 1, PARTICLES_AXIS: particles}
    return check_sizes(model, str(path), lambda _, axis, name: axes.get(name))


def check_operators(model: Any, where: str) -> list[Any]:
    """The weights of a model; ModelError for control flow, operators not of ONNX, and weights in other files."""
    onnx = require("onnx", where)
    nodes = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    own = {(function.domain, function.name) for function in model.functions}
    tensors = [*model.graph.initializer]
    for node in nodes:
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise ModelError(f"{where}: operator {node.op_type} {node.name!r} is control flow: expected none")
        if node.domain not in DOMAINS and (node.domain, node.op_type) not in own:
            raise ModelError(
                f"{where}: operator {node.op_type} of {node.domain!r}, {node.name!r}: expected operators of ONNX"
            )
        for attribute in node.attribute:
            tensors += [attribute.t, *attribute.tensors]
    for tensor in tensors:
        if tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise ModelError(
                f"{where}: has weights in other files: expected all in the model file"
                " (PyTorch: torch.onnx.export(..., external_data=False))"
            )
    return tensors


def _check_length(tensor: Any, where: str) -> None:
    """Refuse weights of another number than their shape says: the inference of shapes would fill memory by it."""
    onnx = require("onnx", where)
    if not tensor.HasField("raw_data"):  # values of their own type, which runtimes count
        return
    try:
        size = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except KeyError as error:
        raise ModelError(f"{where}: tensor {tensor.name!r} has no known type: expected one of ONNX") from error
    expected, found = math.prod(tensor.dims) * size, len(tensor.raw_data)
    packed = size == 1 and found <= expected <= 8 * found  # several values narrower than a byte are in one
    if expected != found and not packed:
        raise ModelError(
            f"{where}: damaged: tensor {tensor.name!r} has {found:,} bytes, and by its shape {expected:,}:"
            " export or copy it anew"
        )


def check_sizes(model: Any, where: str, size: Callable[[str, int, str], int | None]) -> dict[str, int]:
    """Refuse tensors of too many values for one jet, or for a batch of a fixed size, as far as shapes can be
    inferred.

    Parameters
    ----------
    size : callable
        What a free axis of an input is taken as, of the input's name, the place and the name of the axis; None
        leaves it free.

    Returns
    -------
    dict of str to int
        Values in each tensor, as far as its shape is known.

    Raises
    ------
    ModelError
        A tensor is too large, or the shapes contradict each other.
    """
    onnx = require("onnx", where)
    one = onnx.ModelProto()
    one.CopyFrom(model)
    for value in one.graph.input:
        for place, axis in enumerate(value.type.tensor_type.shape.dim):
            if axis.dim_value <= 0 and (taken := size(value.name, place, axis.dim_param)) is not None:
                axis.dim_value = taken
    try:
        inferred = onnx.shape_inference.infer_shapes(one, data_prop=True).graph
    except Exception as error:  # whatever it meets in a foreign graph
        raise ModelError(f"{where}: shapes of its tensors cannot be inferred: {one_line(error)}") from error
    values = {}
    for value in (*graph_values(inferred), *inferred.initializer):
        dims = value.dims if hasattr(value, "dims") else [d.dim_value for d in value.type.tensor_type.shape.dim]
        values[value.name] = math.prod(dims)
        if values[value.name] > MOST_VALUES:
            raise ModelError(
                f"{where}: tensor {value.name!r} has {values[value.name]:.3g} values for one jet:"
                f" expected at most {MOST_VALUES}"
            )
    return values


def jet_bytes(model: Any, values: Mapping[str, int]) -> int:
    """What a model makes of a jet on the way, in bytes, by the values in each of its tensors."""
    weights = {tensor.name for tensor in model.graph.initializer}
    sizes = {name: 4 * number for name, number in values.items() if name not in weights}
    nodes = [(list(node.input), list(node.output)) for node in model.graph.node]
    return max(1, bytes_alive(nodes, sizes, [value.name for value in model.graph.input if value.name in sizes]))


def graph_values(graph: Any) -> list[Any]:
    """All values of a graph whose type is known."""
    return [*graph.input, *graph.value_info, *graph.output]


def keep_outputs(model: Any, outputs: Collection[str]) -> None:
    """Leave only some outputs of a model, and what they need, in place."""
    graph = model.graph
    nodes, needed = needed_nodes(graph.node, outputs)
    kept = {
        "node": nodes,
        "initializer": [tensor for tensor in graph.initializer if tensor.name in needed],
        "output": [output for output in graph.output if output.name in outputs],
    }
    for field, values in kept.items():
        del getattr(graph, field)[:]
        getattr(graph, field).extend(values)
    del graph.value_info[:]


def needed_nodes(nodes: Sequence[Any], outputs: Iterable[str]) -> tuple[list[Any], set[str]]:
    """The nodes that some values are computed from, in their order, and the names of all that they take."""
    needed, kept = set(outputs), []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    return kept[::-1], needed
