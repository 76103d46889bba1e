"""Adopted networks of ONNX: their graphs with what stands before and behind them, as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..errors import ModelError, one_line
from ..extras import require
from ..inference.onnx_graph import check_sizes, keep_outputs
from ..models.contract import INPUT, JETS_AXIS, PARTICLES_AXIS, RECONSTRUCTION
from .adapter import network_inputs, outputs_of
from .adopted import FURTHER, REGROUPED, Adoption, Array, Losses, write_graph
from .onnx_ops import OnnxOps, Value
from .parity import Parity, compare_losses

__all__ = ["adopt_onnx"]

#: What ONNX Runtime of the oldest supported release reads.
IR_VERSION = 10


def adopt_onnx(adoption: Adoption) -> dict[str, Parity]:
    """Write ``model.onnx``, checked against the networks as they came; see `adoption.adopt`."""
    networks, path = adoption.networks, adoption.onnx_file
    used = [
        adoption.selected({name: name for name in network.outputs}, keys)
        for network, keys in zip(networks, adoption.keys)
    ]
    for network, names in zip(networks, used):
        network.check_random(list(names.values()))
    _check_sizes(adoption)
    free = adoption.takes_any_particles and len(networks) == 1
    proto, least = _built(adoption, used, free=free), None
    write_graph(proto, path, adoption.metadata())
    source = adoption.source_losses(_source_run(adoption, used))
    if free:
        least = _shortest(adoption)
        write_graph(proto, path, adoption.metadata(least=least))
    parities = {"source": adoption.check_written(source)}
    write_graph(proto, path, adoption.metadata(parities, least=least))
    return parities


def _check_sizes(adoption: Adoption) -> None:
    """Refuse tensors that are too large, before ONNX Runtime folds constants or allocates anything."""
    axes = {one.tensor: one.axes.split(", ") for one in adoption.card.inputs}
    lengths = {one.tensor: one.n_particles for one in adoption.card.inputs}

    def size(tensor: str, place: int, _: str) -> int | None:
        if place == 0:
            return 1
        of_tensor = axes.get(tensor, [])
        return lengths[tensor] if place < len(of_tensor) and of_tensor[place] == "particles" else None

    model, *decoders = adoption.networks
    check_sizes(model.proto, model.where, size)
    for decoder in decoders:
        check_sizes(decoder.proto, decoder.where, lambda _, place, __: 1 if place == 0 else None)


def _built(adoption: Adoption, used: list[dict[str, str]], *, free: bool) -> Any:
    """The whole graph: from ``particles`` to the outputs of the card."""
    card, networks, batch_size = adoption.card, adoption.networks, adoption.record.batch_size
    spec, onnx, helper = card.spec, networks[0].onnx, networks[0].onnx.helper
    opset = max(network.opset for network in networks)
    imports: dict[str, int] = {}
    ops = OnnxOps(onnx, opset, "hepvae")
    particles = Value(ops, INPUT, (batch_size, None if free else spec.n_particles, spec.shape[1]))
    inputs = network_inputs(particles, card, ops)
    raw: dict[str, Value] = {}
    for prefix, network, names in zip(("model", "decoder"), networks, used):
        if raw:
            inputs = {adoption.decoder_input: raw["z_mean"]}
        for name, value in inputs.items():
            if (kind := network.types[name]) != onnx.TensorProto.FLOAT:
                value = ops.cast(value, helper.tensor_dtype_to_np_dtype(kind))
            ops.nodes.append(helper.make_node("Identity", [value.name], [f"{prefix}/{name}"]))
        proto = network.proto
        if network.opset != opset:
            proto = onnx.version_converter.convert_version(proto, opset)
        proto = onnx.compose.add_prefix(proto, f"{prefix}/")
        imports |= {o.domain: max(int(o.version), 1, imports.get(o.domain, 1)) for o in proto.opset_import}
        ops.nodes += proto.graph.node
        ops.constants += proto.graph.initializer
        for what, name in names.items():
            value = Value(ops, f"{prefix}/{name}", network.outputs[name] or (None, None))
            single = network.types[name] == onnx.TensorProto.FLOAT
            raw[what] = value if single else ops.cast(value, np.float32)
    outputs = outputs_of(particles, raw, card, ops, by_product=True, free=free)
    jets, places = batch_size or JETS_AXIS, PARTICLES_AXIS if free else spec.n_particles
    values = []
    for name, value in outputs.items():
        ops.nodes.append(helper.make_node("Identity", [value.name], [name]))
        shape: tuple[Any, ...] = (jets,)
        if name == RECONSTRUCTION:
            shape = (jets, PARTICLES_AXIS if free else value.shape[1], value.shape[2])
        values.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
    given = helper.make_tensor_value_info(INPUT, onnx.TensorProto.FLOAT, (jets, places, spec.shape[1]))
    graph = helper.make_graph(ops.nodes, "hepvae", [given], values, ops.constants)
    imports[""] = opset
    domains = {"", *(node.domain for node in ops.nodes)} - {"ai.onnx"}
    proto = helper.make_model(
        graph, opset_imports=[helper.make_opsetid(d, v) for d, v in imports.items() if d in domains]
    )
    proto.ir_version = min(proto.ir_version, IR_VERSION)
    keep_outputs(proto, list(outputs))
    return proto


def _session(model: str | bytes, where: str) -> Any:
    """Of ONNX Runtime as it is, silent, on one thread."""
    runtime = require("onnxruntime", "adopt")
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # a dozen classes of its own
        raise ModelError(f"{where}: ONNX Runtime cannot load it: {one_line(error)}") from error


def _source_run(adoption: Adoption, used: list[dict[str, str]]) -> Callable[[Array], dict[str, Any]]:
    """The networks as they came, on ONNX Runtime: from padded jets to the outputs in use."""
    sessions = [_session(n.proto.SerializeToString(), n.where) for n in adoption.networks]
    dtype_of = adoption.networks[0].onnx.helper.tensor_dtype_to_np_dtype

    def run(batch: Array) -> dict[str, Any]:
        tensors: dict[str, Any] = {}
        inputs: Mapping[str, Any] = network_inputs(batch, adoption.card, np)
        for network, session, names in zip(adoption.networks, sessions, used):
            if tensors:
                inputs = {adoption.decoder_input: tensors["z_mean"]}
            given = {k: np.ascontiguousarray(v, dtype_of(network.types[k])) for k, v in inputs.items()}
            try:
                results = session.run(list(names.values()), given)
            except Exception as error:  # as above
                raise ModelError(
                    f"{network.where}: ONNX Runtime fails on {len(batch)} jets: {one_line(error)}"
                ) from error
            tensors |= zip(names, results)
        return tensors

    return run


def _shortest(adoption: Adoption) -> int:
    """The shortest particle axis with the same losses; ModelError where more padding changes them."""
    padded, n_particles = adoption.padded, adoption.card.spec.n_particles
    session = _session(str(adoption.onnx_file), adoption.onnx_file.name)

    def at(jets: Array) -> Losses:
        names = list(adoption.card.outputs.names)
        try:
            parts = [session.run(names, {INPUT: jets[i : i + 256]}) for i in range(0, len(jets), 256)]
        except Exception as error:  # a dozen classes of ONNX Runtime's own
            raise ModelError(
                f"{adoption.card.where}: fails on {jets.shape[1]} particles: {one_line(error)}"
            ) from error
        return {name: np.concatenate(values) for name, values in zip(names, zip(*parts))}

    adoption.check_padding(at(padded), at(np.pad(padded, ((0, 0), (0, FURTHER), (0, 0)))))
    few = padded[(padded[:, FURTHER:] == 0).all(axis=(1, 2))]
    if len(few) < 2 * REGROUPED or n_particles <= FURTHER:
        return n_particles
    try:
        shorter = at(np.ascontiguousarray(few[:, :FURTHER]))
    except ModelError:
        return n_particles
    return FURTHER if compare_losses(at(few), shorter).holds() else n_particles
