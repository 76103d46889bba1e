"""OpenVINO."""

from __future__ import annotations

from collections import defaultdict

from ..errors import ModelError, one_line
from ..extras import require
from .base import INPUT, Inferer
from .blocks import Tuning
from .onnxruntime import OnnxRuntimeInferer

__all__ = ["OpenVinoInferer"]


class OpenVinoInferer(Inferer):
    """A model in an ``.onnx`` file, on OpenVINO, in float32.

    The file is checked by ONNX Runtime, which also reads what it says of itself.
    """

    runtime = "openvino"
    suffixes = (".onnx",)
    default_tuning = Tuning(48, "blocks")

    def _open(self):
        openvino = require("openvino", str(self.path))
        checked = OnnxRuntimeInferer(self.path, threads=1)
        self._free, self._least = checked.open_axis()
        self._core, self._compiled, self._idle = openvino.Core(), {}, defaultdict(list)
        return self._core, checked.card

    def _least_length(self):
        return self._least if self._free else None

    def _request(self, particles: int):
        """A request for a length of the particle axis that no other thread uses."""
        with self._lock:
            if self._idle[particles]:
                return self._idle[particles].pop()
            if particles not in self._compiled:
                self._compiled[particles] = self._compile(particles)
            return self._compiled[particles].create_infer_request()

    def _compile(self, particles: int):
        blocks = self.tuning.parallel == "blocks"
        settings = {
            "INFERENCE_NUM_THREADS": self.threads,
            "NUM_STREAMS": self.threads if blocks else 1,
            "INFERENCE_PRECISION_HINT": "f32",
            "ENABLE_CPU_PINNING": False,
        }
        try:
            model = self._core.read_model(self.path)
            model.reshape({INPUT: [-1, particles, self.spec.shape[1]]})
            return self._core.compile_model(model, "CPU", settings)
        except RuntimeError as error:  # all that OpenVINO raises
            message = f"{self.path}: not a model that OpenVINO can load: {one_line(error)}"
            raise ModelError(message) from error

    def _run(self, session, batch, outputs):
        request = self._request(batch.shape[1])
        made = request.infer({INPUT: batch}, share_inputs=True)
        found = [made[name].copy() for name in outputs]
        self._idle[batch.shape[1]].append(request)
        return found

    def __getstate__(self):
        gone = ("_core", "_compiled", "_idle")
        return {name: value for name, value in super().__getstate__().items() if name not in gone}
