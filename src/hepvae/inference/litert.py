"""LiteRT, the successor of TensorFlow Lite, with the kernels of XNNPACK.

It runs one shape at a time: `litert_file` says how one file serves all, `litert_engine` what they share and
how it is called. Engines are kept for the shapes that are used, and for as many threads as use
them at once.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import ModelError, OptionError
from ..extras import require
from ..models.card import ModelCard, read_metadata
from ..models.contract import RECO_LOSS_KEY
from .blocks import STEP, Tuning, filled_up
from .litert_engine import Engine, SharedGraph, create_engine
from .litert_file import jet_bytes, read_litert
from .runtime import InferenceOptions, Runtime

__all__ = ["LiteRt", "outputs_of"]

#: Of engines that wait for their next batch, for each thread; a new one takes the time of some 20 jets.
KEPT_BYTES = 1 << 27
#: Jets of a block where what a model makes of them stays in the second cache of a core: fewer calls.
LIGHT_BLOCK, LIGHT_BYTES = 48, 1 << 20


class LiteRt(Runtime):
    """A model in a ``.tflite`` file of hepvae, on LiteRT."""

    name = "litert"
    suffixes = (".tflite",)
    default_tuning = Tuning(16, "blocks")
    block_step = STEP  # batches are filled up to a multiple of it, so that they are of few shapes

    def open(self, path: Path, options: InferenceOptions) -> ModelCard:
        require("ai_edge_litert", str(path))
        if not options.compiled_distances:
            raise OptionError(
                "compiled_distances is False: LiteRT computes none, expected True, or another runtime"
            )
        self._path, self._file = path, read_litert(path)
        metadata = self._file.metadata
        card, least, self.reco_loss = read_metadata(metadata, path)
        self._outputs = outputs_of(card, self.reco_loss)
        known = metadata.get(RECO_LOSS_KEY) == self.reco_loss and (card.reconstruction or self.reco_loss is None)
        if not known or sorted(metadata["outputs"]) != sorted(self._outputs):
            raise ModelError(f"{path}: has outputs {metadata['outputs']}: expected {', '.join(self._outputs)}")
        self.least_particles = least if self._file.sizes.powers[:, 1].any() else None
        self._order = [metadata["outputs"].index(name) for name in self._outputs]
        self._jet_bytes, self._particles = jet_bytes(self._file.graph), card.spec.n_particles
        if LIGHT_BLOCK * self._jet_bytes <= LIGHT_BYTES:
            self.default_tuning = Tuning(LIGHT_BLOCK, "blocks")
        self.default_tuning = self.default_tuning.of_jets(self._jet_bytes)
        self._graph = SharedGraph(self._file.graph, self._file.sizes)
        self._idle: dict[tuple[int, int, int], list[Engine]] = {}
        self._lock = threading.Lock()
        self._check_shapes(card)
        return card

    def _check_shapes(self, card: ModelCard) -> None:
        """Raise `ModelError` where the graph does not fit the card: engines have the shapes of the graph."""
        jets = np.zeros((1, *card.spec.shape), np.float32)
        try:
            values = self._run(jets)
        except ValueError as error:  # NumPy: of another shape
            raise ModelError(
                f"{self._path}: takes jets of another shape than {card.spec.shape}, its card's"
            ) from error
        if [value.shape for value in values] != [(1, *card.outputs[name]) for name in self._outputs]:
            raise ModelError(
                f"{self._path}: its outputs are not those of jets of shape {card.spec.shape}, its card's"
            )

    def run(self, batch: npt.NDArray[np.float32], outputs: tuple[str, ...]) -> Sequence[npt.NDArray[np.float32]]:
        values = self._run(batch)
        if outputs == self._outputs:
            return values
        by_name = dict(zip(self._outputs, values))
        return [by_name["reco_loss" if name not in by_name else name] for name in outputs]

    def _run(self, batch: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
        """All outputs."""
        count, particles = batch.shape[:2]
        size = count if count < 2 * STEP else -(-count // STEP) * STEP
        batch = filled_up(batch, size)
        key = size, particles, self.operator_threads
        waiting = self._idle.get(key) or self._idle.setdefault(key, [])
        try:  # an engine that nobody else uses; pop and append are atomic
            engine = waiting.pop()
        except IndexError:
            engine = self._create(key)
        try:
            values = engine.run(batch)
        except RuntimeError as error:
            raise ModelError(f"{self._path}: LiteRT fails on {count} jets: {error}") from error
        waiting.append(engine)
        return [values[i] if size == count else values[i][:count] for i in self._order]

    def _bytes(self, jets: int, particles: int, threads: int) -> int:
        """About what an engine takes; it has weights of its own, in the order that its kernels read."""
        return jets * particles * self._jet_bytes // self._particles + len(self._file.graph)

    def _create(self, key: tuple[int, int, int]) -> Engine:
        """An engine for a shape, in the place of one that waits for another where there are many."""
        jets, particles, threads = key
        with self._lock:
            waiting = [(other, self._bytes(*other) * len(engines)) for other, engines in list(self._idle.items())]
            left = sum(size for _, size in waiting)
            for other, size in waiting:  # those of the oldest shapes first
                if left > KEPT_BYTES * self.threads:
                    self._idle.pop(other)
                    left -= size
        return create_engine(self._graph.sized(jets, particles), threads, self._path)


def outputs_of(card: ModelCard, reco_loss: str | None) -> tuple[str, ...]:
    """Outputs of a file: where hepvae computes the distances of particles, without what follows from them."""
    if reco_loss is not None:
        return card.without_distances
    # Without a KL loss it is the reconstruction loss, and LiteRT writes a tensor once, whatever names it has.
    same = card.reconstruction is not None and "kl_loss" not in card.losses
    return tuple(name for name in card.outputs if name != "loss" or not same)
