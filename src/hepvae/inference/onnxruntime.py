"""ONNX Runtime."""

from __future__ import annotations

import numpy as np

from ..errors import ModelError, OptionError, one_line
from ..extras import require
from ..models import losses
from ..models.card import CARD_KEY, ModelCard
from ..models.losses import LOSSES
from .base import DISTANCE_KEY, DISTANCES, INPUT, LEAST_KEY, PARTICLES, RECONSTRUCTION, Inferer
from .blocks import Tuning
from .chamfer_kernel import chamfer
from .graph_cut import ending_at

__all__ = ["OnnxRuntimeInferer"]

#: What is left to ONNX Runtime where hepvae takes the distances.
_CUT = ("kl_loss", RECONSTRUCTION)


class OnnxRuntimeInferer(Inferer):
    """A model in an ``.onnx`` file, on ONNX Runtime.

    On a CPU ONNX Runtime gives ``kl_loss`` and the reconstruction, and the distances of particles are taken by a
    compiled loop, which writes no 100 x 100 numbers for each jet. ``engine=False`` runs the file as it is.

    Parameters
    ----------
    providers : sequence of str
        Execution providers, in order of preference (default: the CPU). One that this build of ONNX
        Runtime does not grant is an error: nothing falls back silently.
    arena : bool
        Whether ONNX Runtime keeps the memory of a block for the next (faster, and stays resident).
    spinning : bool
        Whether threads inside operators wait for work by running in circles: faster where the machine does
        nothing else, and far slower where several processes share it.
    """

    runtime = "onnxruntime"
    suffixes = (".onnx",)
    default_tuning = Tuning(48, "blocks")

    def __init__(
        self, path, *, providers=("CPUExecutionProvider",), arena: bool = True, spinning: bool = False, **options
    ):
        self.providers = (providers,) if isinstance(providers, str) else tuple(providers)
        self.arena, self.spinning = arena, spinning
        super().__init__(path, **options)

    def _open(self):
        onnxruntime = require("onnxruntime", str(self.path))
        available = onnxruntime.get_available_providers()
        lost = [p for p in self.providers if p not in available]
        if lost or not self.providers:
            raise OptionError(
                f"execution provider {lost[0] if lost else None!r} is not in this ONNX Runtime:"
                f" expected some of {', '.join(available)}"
            )
        if not self.path.is_file():
            raise ModelError(f"{self.path}: no such model file")
        # What a tensor in another file has, wherever it is in the model, is the key "location", a string of 8
        # bytes. hepvae writes none, and ONNX Runtime before 1.24 opens any path there (onnxruntime#26776).
        content = self.path.read_bytes()
        if b"\x08location" in content or b"\x00location" in content:  # 8, or 8 written with more bytes
            raise ModelError(f"{self.path}: has weights in other files: expected a model exported by hepvae")
        self._sessions, self._content, self._pt = {}, content, None
        session = self._session_for(None, 1)
        refused = [p for p in self.providers if p not in session.get_providers()]
        if refused:
            raise OptionError(
                f"{self.path}: execution provider {refused[0]!r} was not granted;"
                f" ONNX Runtime would use {', '.join(session.get_providers())}"
            )
        metadata = session.get_modelmeta().custom_metadata_map
        if CARD_KEY not in metadata:
            raise ModelError(f"{self.path}: no {CARD_KEY!r} in its metadata: not exported by hepvae")
        names = {node.name for node in session.get_outputs()}, {node.name for node in session.get_inputs()}
        if names != ({*LOSSES, RECONSTRUCTION}, {INPUT}):
            raise ModelError(f"{self.path}: inputs or outputs are not those of a model exported by hepvae")
        card = ModelCard.from_json(metadata[CARD_KEY], str(self.path))
        particles, features = session.get_inputs()[0].shape[1:]
        self._free = particles == PARTICLES
        if features != card.spec.shape[1] or (not self._free and particles != card.spec.n_particles):
            raise ModelError(
                f"{self.path}: takes jets of shape {(particles, features)}, and its card says {card.spec.shape}"
            )
        self._least = int(metadata.get(LEAST_KEY, 1))
        distance = metadata.get(DISTANCE_KEY)
        if self.engine and self.providers == ("CPUExecutionProvider",) and distance in DISTANCES:
            pt = card.spec.features.index("pt") if "pt" in card.spec.features else -1
            self._pt = pt if distance == DISTANCES[1] else -1
            self._factor = pt if losses.DISTANCES[card.distance].transverse else -1
            self._sessions, self._content = {}, ending_at(content, _CUT)
            session = self._session_for(None, 1)
        return session, card

    def _session_for(self, particles: int | None, threads: int):
        """The session for a length of the particle axis, opened once; None: of any length."""
        onnxruntime = require("onnxruntime", str(self.path))

        key = particles, threads
        if key in self._sessions:
            return self._sessions[key]
        options = onnxruntime.SessionOptions()
        # Both always explicit: left alone, ONNX Runtime counts the cores of the host, pins its threads
        # to them, and fails to in a batch job (onnxruntime#8313).
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = self.arena
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(self.spinning)))
        if particles is not None:
            options.add_free_dimension_override_by_name(PARTICLES, particles)
        # Before 1.27 it makes an operator of the float64 products of the graph models that no CPU has.
        old = tuple(int(part) for part in onnxruntime.__version__.split(".")[:2]) < (1, 27)
        try:
            session = onnxruntime.InferenceSession(
                self._content,
                options,
                providers=list(self.providers),
                disabled_optimizers={"MatmulTransposeFusion"} if old else None,
            )
        # ONNX Runtime has a dozen exception classes of its own for files it cannot load.
        except Exception as error:
            raise ModelError(f"{self.path}: not a model that ONNX Runtime can load: {one_line(error)}") from error
        self._sessions[key] = session
        return session

    def open_axis(self) -> tuple[bool, int]:
        """Whether the particle axis of the file is free, and the least that it may be."""
        self._opened()
        return self._free, self._least

    def _least_length(self):
        return self._least if self._free else None

    def _run(self, session, batch, outputs):
        length = batch.shape[1] if self._free else None
        session = self._sessions.get((length, self.operator_threads))
        if session is None:
            with self._lock:
                session = self._session_for(length, self.operator_threads)
        if self._pt is None:
            return session.run(list(outputs), {INPUT: batch})
        kl_loss, made = session.run(_CUT, {INPUT: batch})
        found = {"kl_loss": kl_loss, RECONSTRUCTION: made}
        if outputs != (RECONSTRUCTION,):
            found["reco_loss"] = chamfer(batch, made, self._pt, self._factor)
            found["loss"] = found["reco_loss"] + np.float32(self.card.beta) * kl_loss
        return [found[name] for name in outputs]
