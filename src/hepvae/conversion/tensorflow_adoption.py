"""Adopted networks of TensorFlow: a SavedModel of constants, and the same as ONNX and LiteRT."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np

from ..errors import ModelError, one_line
from ..extras import require
from ..inference.litert import outputs_of as litert_outputs
from ..inference.litert_file import write_litert
from ..inference.loading import load_inferer
from ..models.contract import EXPORT_KEY, RECO_LOSS_KEY, RECONSTRUCTION, SAVED_MODEL, SAVED_MODEL_CARD
from ..models.foreign import ForeignCard
from ..models.saved_model import RANDOM_OPERATORS, check_operators
from .adapter import network_inputs, outputs_of
from .adopted import FURTHER, Adoption, Array, Losses, write_graph
from .export import litert_file
from .network import random_error
from .parity import Parity, as_written, held
from .rewrites import TRACED_JETS
from .tensorflow_graph import Traced, constants_only, converted

__all__ = ["adopt_tensorflow"]

_logger = logging.getLogger(__name__)


def adopt_tensorflow(adoption: Adoption) -> dict[str, Parity]:
    """Write ``saved_model/``, ``model.onnx`` and ``model.tflite``, checked; see `adoption.adopt`."""
    tf = require("tensorflow", "adopt")
    card, record, where, padded = adoption.card, adoption.record, adoption.where, adoption.padded
    names = (*card.outputs.names, *((RECONSTRUCTION,) if record.reconstruction else ()))

    def function(particles: Any, *, by_product: bool = False) -> dict[str, Any]:
        tensors = outputs_of(particles, _raw(adoption, card, particles), card, _TfOps(tf), by_product=by_product)
        return {name: tf.identity(tensors[name], name=name) for name in names}

    traced = Traced(function, (record.batch_size, *card.spec.shape), names, where)
    graph = constants_only(traced)
    check_operators(graph.nodes, where)
    for node in graph.nodes:
        if node.op in RANDOM_OPERATORS:
            raise random_error(where, node.op, node.name)
    run = tf.function(lambda particles: _raw(adoption, card, particles), autograph=False)

    def raw(batch: Array) -> dict[str, Any]:
        try:
            return {name: value.numpy() for name, value in run(tf.constant(batch)).items()}
        except ModelError:
            raise
        except Exception as error:  # whatever the code of a network runs into
            raise ModelError(f"{where}: TensorFlow fails on {len(batch)} jets: {one_line(error)}") from error

    losses = adoption.source_losses(raw)  # first: it says which output is not what the card has
    saved_model = adoption.folder / SAVED_MODEL
    graph.save(saved_model, card.outputs.names)
    file = saved_model / SAVED_MODEL_CARD
    file.parent.mkdir()
    file.write_text(record.to_json())
    on_tensorflow = adoption.check_grouping(as_written(saved_model))
    if adoption.takes_any_particles:
        _check_further(adoption)

    proto = converted(traced)
    write_graph(proto, adoption.onnx_file, adoption.metadata())
    source = adoption.check_written(losses)
    on_onnx = load_inferer(adoption.onnx_file, batching=False)(padded)
    between = held(on_tensorflow, on_onnx, f"{card.name}: TensorFlow and ONNX Runtime differ")
    parities = {"source": source, "tensorflow": between}
    if record.batch_size is None and find_spec("ai_edge_litert"):
        parities |= _with_litert(adoption, traced, on_tensorflow)
    write_graph(proto, adoption.onnx_file, adoption.metadata(parities))
    return parities


def _with_litert(adoption: Adoption, traced: Traced, on_tensorflow: Losses) -> dict[str, Parity]:
    """Write ``model.tflite`` beside the SavedModel; no file where LiteRT cannot run it, which is logged."""
    record, path = adoption.record, adoption.folder / "model.tflite"
    about = adoption.metadata()
    graph = constants_only(replace(traced, shape=(TRACED_JETS, *record.spec.shape)))
    try:
        wanted = graph.function(litert_outputs(record, about.get(RECO_LOSS_KEY)))
        file = litert_file(wanted, record, about, path, free_particles=False)
        write_litert(path, file)
        parity = held(on_tensorflow, load_inferer(path)(adoption.padded), f"{path}: TensorFlow and LiteRT differ")
    except ModelError as error:
        path.unlink(missing_ok=True)
        _logger.warning("%s: without model.tflite: %s", record.hyperparameters["name"], error)
        return {}
    file.metadata[EXPORT_KEY] = adoption.metadata({"tensorflow": parity})[EXPORT_KEY]
    write_litert(path, file)
    return {"litert": parity}


def _raw(adoption: Adoption, card: ForeignCard, particles: Any) -> dict[str, Any]:
    """What the networks give for padded jets of a card, by the keys of [output], in float32."""
    tf = require("tensorflow", "adopt")
    inputs: Mapping[str, Any] = network_inputs(particles, card, _TfOps(tf))
    tensors: dict[str, Any] = {}
    for network, keys in zip(adoption.networks, adoption.keys):
        if tensors:
            inputs = {adoption.decoder_input: tensors["z_mean"]}
        values = network({name: tf.convert_to_tensor(value) for name, value in inputs.items()})
        tensors |= {
            what: tf.cast(tf.convert_to_tensor(value), tf.float32)
            for what, value in adoption.selected(values, keys).items()
        }
    return tensors


def _check_further(adoption: Adoption) -> None:
    """Where a network with a mask takes any number of particles: more padding must change nothing."""
    tf, card = require("tensorflow", "adopt"), adoption.card
    inputs = tuple(replace(one, n_particles=card.spec.n_particles + FURTHER) for one in card.inputs)

    def at(of: ForeignCard, values: Array) -> Losses:
        particles = tf.constant(values)
        tensors = outputs_of(particles, _raw(adoption, of, particles), of, _TfOps(tf))
        return {name: tensors[name].numpy() for name in of.outputs.names}

    few = adoption.padded[:256]
    longer = np.pad(few, ((0, 0), (0, FURTHER), (0, 0)))
    adoption.check_padding(at(card, few), at(replace(card, inputs=inputs), longer))


class _TfOps:
    """TensorFlow's functions under the names that the formulas use."""

    def __init__(self, tf: Any) -> None:
        self.where, self.transpose, self.reshape, self.stack = tf.where, tf.transpose, tf.reshape, tf.stack
        self.expand_dims, self.square, self.abs, self.exp = tf.expand_dims, tf.square, tf.abs, tf.exp
        self.maximum, self.minimum, self.matmul, self.round = tf.maximum, tf.minimum, tf.matmul, tf.round
        self.ones_like, self.split, self.concatenate = tf.ones_like, tf.split, tf.concat
        self.sum, self.mean, self.min = tf.reduce_sum, tf.reduce_mean, tf.reduce_min
        self.take = tf.gather
