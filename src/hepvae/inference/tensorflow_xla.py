"""TensorFlow with XLA."""

from __future__ import annotations

import numpy as np

from .blocks import Tuning
from .tensorflow import TensorFlowInferer

__all__ = ["XlaInferer"]


class XlaInferer(TensorFlowInferer):
    """A model in a ``.keras`` file, on TensorFlow, compiled by XLA.

    XLA compiles for one number of jets, which takes seconds: batches are filled up to the next power of two.
    """

    runtime = "tensorflow-xla"
    default_tuning = Tuning(256, "operators")
    jit = True

    def _run(self, session, batch, outputs):
        count, size = len(batch), 1 << (len(batch) - 1).bit_length()
        if size > count:  # with the last jet: of a jet of nothing, losses are not finite
            batch = np.concatenate([batch, np.broadcast_to(batch[-1:], (size - count, *batch.shape[1:]))])
        return [values[:count] for values in super()._run(session, batch, outputs)]
