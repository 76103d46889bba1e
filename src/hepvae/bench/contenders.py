"""What scoring with hepvae is held against: the ways in which people run such a model without it.

Each takes a model directory and a number of threads, and gives what is called on a padded batch.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..extras import require
from ..inference import Inferer, load_inferer
from ..models.card import ModelCard
from ..models.contract import INPUT
from ..models.losses import LOSSES

__all__ = ["CONTENDERS", "Contender"]


#: Padded jets, or a loss of each.
Batch = npt.NDArray[np.float32]


@dataclass
class Contender:
    """A model that is run in some way."""

    call: Callable[[Batch], Any]
    card: ModelCard
    threads: int | None

    def __call__(self, batch: Batch) -> Any:
        return self.call(batch)


def _hepvae(folder: Path, threads: int) -> Inferer:
    return load_inferer(folder / "model.onnx", threads=threads)


def _tf_function(folder: Path, threads: int) -> Inferer:
    return load_inferer(folder / "model.keras", threads=threads, batching=False)


def _keras_model(folder: Path, threads: int) -> tuple[Any, Inferer]:
    inferer = _tf_function(folder, threads)  # which sets TensorFlow's threads
    from ..models.vae import load_vae

    return load_vae(folder / "model.keras"), inferer


def _tf_product(folder: Path, threads: int) -> Contender:
    import tensorflow as tf

    from ..inference.tensorflow import traced

    model, inferer = _keras_model(folder, threads)
    function = traced(model, LOSSES, by_product=True)

    def call(batch: Batch) -> dict[str, Any]:
        return {name: values.numpy() for name, values in function(tf.convert_to_tensor(batch)).items()}

    return Contender(call, inferer.card, threads)


def _keras_predict(folder: Path, threads: int) -> Contender:
    model, inferer = _keras_model(folder, threads)
    return Contender(lambda batch: model.predict(batch, batch_size=len(batch), verbose=0), inferer.card, threads)


def _plain_export(folder: Path, threads: int) -> Contender:
    """What tf2onnx makes of the ``tf.function``, in a session with the defaults of ONNX Runtime."""
    onnxruntime = require("onnxruntime", "the bench")

    from ..inference.tensorflow import traced

    tf2onnx, onnx = require("tf2onnx", "the plain export"), require("onnx", "the plain export")
    model, inferer = _keras_model(folder, threads)
    function = traced(model, LOSSES)
    proto, _ = tf2onnx.convert.from_function(function, input_signature=function.input_signature, opset=18)
    with tempfile.TemporaryDirectory() as made:
        onnx.save(proto, Path(made, "plain.onnx"))
        session = onnxruntime.InferenceSession(Path(made, "plain.onnx"))
    return Contender(lambda batch: session.run(list(LOSSES), {INPUT: batch}), inferer.card, None)


def _session_run(folder: Path, threads: int) -> Contender:
    """ONNX Runtime's own call on hepvae's file, nothing around it."""
    onnxruntime = require("onnxruntime", "the bench")

    inferer = _hepvae(folder, threads)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / "model.onnx", options)
    names = list(LOSSES)
    return Contender(lambda batch: session.run(names, {INPUT: batch}), inferer.card, 1)


#: By the names that tables have for them.
CONTENDERS: dict[str, Callable[[Path, int], Inferer | Contender]] = {
    "hepvae": _hepvae,
    "tf.function": _tf_function,
    "tf.function, product": _tf_product,
    "Keras predict": _keras_predict,
    "plain export": _plain_export,
    "session.run": _session_run,
}
