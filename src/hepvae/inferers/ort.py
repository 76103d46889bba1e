"""ONNX Runtime."""

from __future__ import annotations

from ..card import CARD_KEY, ModelCard
from ..errors import MissingPackageError, ModelError, OptionError, one_line
from ..scores import LOSSES
from .base import INPUT, RECONSTRUCTION, Inferer

__all__ = ["OnnxRuntimeInferer"]


class OnnxRuntimeInferer(Inferer):
    """A model in an ``.onnx`` file, on ONNX Runtime.

    Parameters
    ----------
    providers : sequence of str
        Execution providers, in order of preference (default: the CPU). One that this build of ONNX
        Runtime does not grant is an error: nothing falls back silently.
    arena : bool
        Whether ONNX Runtime keeps the memory of a batch for the next (faster, and stays resident).
    """

    runtime = "onnxruntime"
    suffixes = (".onnx",)

    def __init__(self, path, *, providers=("CPUExecutionProvider",), arena: bool = True, **options):
        self.providers = (providers,) if isinstance(providers, str) else tuple(providers)
        self.arena = arena
        super().__init__(path, **options)

    def _open(self):
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingPackageError(
                f"{self.path}: needs ONNX Runtime, which is not installed: pip install onnxruntime"
            ) from error
        available = onnxruntime.get_available_providers()
        lost = [p for p in self.providers if p not in available]
        if lost or not self.providers:
            raise OptionError(
                f"execution provider {lost[0] if lost else None!r} is not in this ONNX Runtime:"
                f" expected some of {', '.join(available)}"
            )
        options = onnxruntime.SessionOptions()
        # Both always explicit: left alone, ONNX Runtime counts the cores of the host, pins its threads
        # to them, and fails to in a batch job (onnxruntime#8313).
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = self.arena
        options.log_severity_level = 3
        if not self.path.is_file():
            raise ModelError(f"{self.path}: no such model file")
        # What a tensor in another file has, wherever it is in the model, is the key "location", a string of 8
        # bytes. hepvae writes none, and ONNX Runtime before 1.24 opens any path there (onnxruntime#26776).
        content = self.path.read_bytes()
        if b"\x08location" in content or b"\x00location" in content:  # 8, or 8 written with more bytes
            raise ModelError(f"{self.path}: has weights in other files: expected a model exported by hepvae")
        try:
            session = onnxruntime.InferenceSession(
                str(self.path),
                options,
                providers=list(self.providers),
                # Before 1.27 it makes an operator of the float64 products of the graph models that no CPU has.
                disabled_optimizers={"MatmulTransposeFusion"},
            )
        # ONNX Runtime has a dozen exception classes of its own for files it cannot load.
        except Exception as error:
            raise ModelError(f"{self.path}: not a model that ONNX Runtime can load: {one_line(error)}") from error
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
        shape = tuple(session.get_inputs()[0].shape[1:])
        if shape != card.spec.shape:
            raise ModelError(f"{self.path}: takes jets of shape {shape}, and its card says {card.spec.shape}")
        return session, card

    def _run(self, session, batch, outputs):
        return session.run(list(outputs), {INPUT: batch})
