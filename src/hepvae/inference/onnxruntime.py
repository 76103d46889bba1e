"""ONNX Runtime."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ModelError, OptionError, one_line
from ..extras import require
from ..models.card import ModelCard, read_metadata
from ..models.contract import INPUT, PARTICLES_AXIS
from ..options import check_flag
from .blocks import Tuning
from .onnx_graph import check_digest, check_graph, jet_bytes, keep_outputs, read_model
from .runtime import InferenceOptions, Runtime

__all__ = ["OnnxRuntime", "OnnxRuntimeOptions"]

CPU = "CPUExecutionProvider"


@dataclass(frozen=True, kw_only=True)
class OnnxRuntimeOptions(InferenceOptions):
    """Options of ONNX Runtime."""

    providers: Sequence[str] = (CPU,)
    """Execution providers, in order of preference. One that this build of ONNX Runtime does not grant is an
    error: nothing falls back silently."""
    arena: bool = True
    """Whether ONNX Runtime keeps the memory of a block for the next (faster, and stays resident)."""
    spinning: bool = False
    """Whether threads inside operators wait for work by running in circles: faster where the machine does nothing
    else, and far slower where several processes share it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        providers = (self.providers,) if isinstance(self.providers, str) else tuple(self.providers)
        object.__setattr__(self, "providers", providers)
        for name in ("arena", "spinning"):
            check_flag(name, getattr(self, name))


class OnnxRuntime(Runtime):
    """A model in an ``.onnx`` file, on ONNX Runtime.

    On a CPU ONNX Runtime computes ``kl_loss`` and the reconstruction, and a compiled loop the distances of
    particles, which writes no 100 x 100 numbers for each jet. ``compiled_distances=False`` runs the file as it is.
    """

    name = "onnxruntime"
    suffixes = (".onnx",)
    options = OnnxRuntimeOptions
    default_tuning = Tuning(48, "blocks")

    def open(self, path: Path, options: OnnxRuntimeOptions) -> ModelCard:
        onnxruntime = require("onnxruntime", str(path))
        available = onnxruntime.get_available_providers()
        lost = [p for p in options.providers if p not in available]
        if lost or not options.providers:
            raise OptionError(
                f"execution provider {lost[0] if lost else None!r} is not in this ONNX Runtime:"
                f" expected some of {', '.join(available)}"
            )
        self._path, self._settings, self._lock = path, options, threading.Lock()
        model = read_model(path)
        metadata = {entry.key: entry.value for entry in model.metadata_props}
        card, least, reco_loss = read_metadata(metadata, path)
        free = self._check_ends(model, card)
        values = check_graph(model, path, card.spec.n_particles)
        check_digest(model, path)
        self.least_particles = least if free else None
        if options.compiled_distances and options.providers == (CPU,) and reco_loss is not None:
            self.reco_loss = reco_loss
            keep_outputs(model, card.without_distances)
        self.default_tuning = self.default_tuning.of_jets(jet_bytes(model, values) // (card.batch_size or 1) or 1)
        self._content = model.SerializeToString()
        self._sessions: dict[tuple[int | None, int], Any] = {}
        granted = self._session(None, 1).get_providers()
        refused = [p for p in options.providers if p not in granted]
        if refused:
            raise OptionError(
                f"{path}: execution provider {refused[0]!r} was not granted;"
                f" ONNX Runtime would use {', '.join(granted)}"
            )
        return card

    def _check_ends(self, model: Any, card: ModelCard) -> bool:
        """Whether the particle axis is free; ModelError where input or outputs are not those of the card."""
        graph, weights = model.graph, {tensor.name for tensor in model.graph.initializer}
        inputs = {node.name: node for node in graph.input if node.name not in weights}
        outputs = {node.name for node in graph.output}
        if set(inputs) != {INPUT} or outputs != set(card.outputs):
            raise ModelError(
                f"{self._path}: has inputs {', '.join(inputs)} and outputs {', '.join(sorted(outputs))}:"
                f" expected {INPUT} and {', '.join(sorted(card.outputs))}, as hepvae exports them"
            )
        axes = inputs[INPUT].type.tensor_type.shape.dim
        if len(axes) != 3:
            raise ModelError(
                f"{self._path}: input {INPUT!r} has {len(axes) or 'no'} axes: expected jets, particles, features"
            )
        free = bool(axes[1].dim_param == PARTICLES_AXIS)
        particles = axes[1].dim_param or axes[1].dim_value
        features = axes[2].dim_value
        if features != card.spec.shape[1] or (not free and particles != card.spec.n_particles):
            raise ModelError(
                f"{self._path}: takes jets of shape {(particles, features)}, and its card says {card.spec.shape}"
            )
        return free

    def _session(self, particles: int | None, threads: int) -> Any:
        """The session for a length of the particle axis, opened once; None: of any length."""
        key = particles, threads
        if key in self._sessions:
            return self._sessions[key]
        onnxruntime = require("onnxruntime", str(self._path))
        options = onnxruntime.SessionOptions()
        # Both always explicit: left alone, ONNX Runtime counts the cores of the host, pins its threads
        # to them, and fails to in a batch job (onnxruntime#8313).
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = self._settings.arena
        options.log_severity_level = 4  # errors are raised, too
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(self._settings.spinning)))
        if particles is not None:
            options.add_free_dimension_override_by_name(PARTICLES_AXIS, particles)
        # Before 1.27 it fuses the float64 products of the graph models into an operator that no CPU has.
        old = tuple(int(part) for part in onnxruntime.__version__.split(".")[:2]) < (1, 27)
        try:
            session = onnxruntime.InferenceSession(
                self._content,
                options,
                providers=list(self._settings.providers),
                disabled_optimizers={"MatmulTransposeFusion"} if old else None,
            )
        # ONNX Runtime has a dozen exception classes of its own for files it cannot load.
        except Exception as error:
            raise ModelError(f"{self._path}: not a model that ONNX Runtime can load: {one_line(error)}") from error
        self._sessions[key] = session
        return session

    def run(self, batch: npt.NDArray[np.float32], outputs: tuple[str, ...]) -> Sequence[npt.NDArray[np.float32]]:
        length = None if self.least_particles is None else batch.shape[1]
        session = self._sessions.get((length, self.operator_threads))
        if session is None:
            with self._lock:
                session = self._session(length, self.operator_threads)
        try:
            values: Sequence[npt.NDArray[np.float32]] = session.run(outputs, {INPUT: batch})
        except Exception as error:  # as above
            raise ModelError(
                f"{self._path}: ONNX Runtime fails on {len(batch)} jets: {one_line(error)}"
            ) from error
        return values
