"""What scoring with hepvae is held against: the ways in which people run such a model without it.

Each takes a model directory and a number of threads, and gives what is called on a padded batch.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..extras import require
from ..inference import Inferer, load_inferer
from ..models.card import ModelCard
from ..models.contract import INPUT
from ..models.losses import LOSSES

__all__ = ["CONTENDERS", "Contender", "hepvae_inferer"]


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


def hepvae_inferer(folder: Path, threads: int) -> Inferer:
    """On LiteRT, where that is installed."""
    litert = (folder / "model.tflite").is_file() and find_spec("ai_edge_litert")
    return load_inferer(folder / ("model.tflite" if litert else "model.onnx"), threads=threads)


def _loaded(file: str, **options: Any) -> Callable[[Path, int], Inferer]:
    """As hepvae runs one of the files, with some options."""
    return lambda folder, threads: load_inferer(folder / file, threads=threads, **options)


_tf_function = _loaded("model.keras", batching=False)


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
    with tempfile.TemporaryDirectory() as folder_of_export:
        onnx.save(proto, Path(folder_of_export, "plain.onnx"))
        session = onnxruntime.InferenceSession(Path(folder_of_export, "plain.onnx"))
    return Contender(lambda batch: session.run(list(LOSSES), {INPUT: batch}), inferer.card, None)


def _plain_litert(folder: Path, threads: int) -> Contender:
    """What TensorFlow's converter makes of the ``tf.function`` for one batch size, in LiteRT's interpreter."""
    require("ai_edge_litert", "the bench")
    from ..conversion.export import tflite
    from ..inference.tensorflow import traced

    package = import_module("ai_edge_litert.interpreter")
    model, inferer = _keras_model(folder, threads)
    interpreters: dict[int, Any] = {}

    def call(batch: Batch) -> list[Batch]:
        if len(batch) not in interpreters:
            content = tflite(traced(model, LOSSES, jets=len(batch)))
            interpreters[len(batch)] = package.Interpreter(model_content=content, num_threads=threads)
            interpreters[len(batch)].allocate_tensors()
        interpreter = interpreters[len(batch)]
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], batch)
        interpreter.invoke()
        return [interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()]

    return Contender(call, inferer.card, threads)


#: By the names that tables have for them.
CONTENDERS: dict[str, Callable[[Path, int], Inferer | Contender]] = {
    "hepvae": hepvae_inferer,
    "hepvae, ONNX Runtime": _loaded("model.onnx"),
    "tf.function": _tf_function,
    "tf.function, product": _tf_product,
    "Keras predict": _keras_predict,
    "plain export": _plain_export,
    "XLA": _loaded("model.keras", runtime="tensorflow-xla", batching=False),
    "OpenVINO": _loaded("model.onnx", runtime="openvino", batching=False),
    "plain LiteRT": _plain_litert,
}
