"""OpenVINO."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ModelError, one_line
from ..extras import require
from ..models.card import ModelCard
from ..models.contract import INPUT
from .onnxruntime import OnnxRuntime, OnnxRuntimeOptions
from .runtime import InferenceOptions, Runtime

__all__ = ["OpenVino"]


class OpenVino(Runtime):
    """A model in an ``.onnx`` file, on OpenVINO, in float32.

    The file is checked by ONNX Runtime, which also reads its card.
    """

    name = "openvino"
    suffixes = (".onnx",)

    def open(self, path: Path, options: InferenceOptions) -> ModelCard:
        openvino = require("openvino", str(path))
        checked = OnnxRuntime()
        card = checked.open(path, OnnxRuntimeOptions(compiled_distances=False))
        self.least_particles, self.default_tuning = checked.least_particles, checked.default_tuning
        self._path, self._features, self._lock = path, card.spec.shape[1], threading.Lock()
        self._jets = card.batch_size or -1
        self._core, self._compiled = openvino.Core(), dict[int, Any]()
        self._idle: defaultdict[int, list[Any]] = defaultdict(list)
        return card

    def _request(self, particles: int) -> Any:
        """A request for a length of the particle axis that no other thread uses."""
        with self._lock:
            if self._idle[particles]:
                return self._idle[particles].pop()
            if particles not in self._compiled:
                self._compiled[particles] = self._compile(particles)
            return self._compiled[particles].create_infer_request()

    def _compile(self, particles: int) -> Any:
        settings = {
            "INFERENCE_NUM_THREADS": self.threads,
            "NUM_STREAMS": 1 if self.operator_threads == self.threads else self.threads,
            "INFERENCE_PRECISION_HINT": "f32",
            "ENABLE_CPU_PINNING": False,
        }
        try:
            model = self._core.read_model(self._path)
            model.reshape({INPUT: [self._jets, particles, self._features]})
            return self._core.compile_model(model, "CPU", settings)
        except RuntimeError as error:  # all that OpenVINO raises
            message = f"{self._path}: not a model that OpenVINO can load: {one_line(error)}"
            raise ModelError(message) from error

    def run(self, batch: npt.NDArray[np.float32], outputs: tuple[str, ...]) -> Sequence[npt.NDArray[np.float32]]:
        request = self._request(batch.shape[1])
        results = request.infer({INPUT: batch}, share_inputs=True)
        values = [results[name].copy() for name in outputs]
        self._idle[batch.shape[1]].append(request)
        return values
