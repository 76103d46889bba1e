"""TensorFlow, and TensorFlow with XLA."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import ModelError, OptionError
from ..extras import quiet_tensorflow, require
from ..models.card import ModelCard
from ..models.contract import INPUT, OURS, RECONSTRUCTION, SAVED_MODEL, SAVED_MODEL_CARD
from ..models.saved_model import load_saved_model
from .blocks import Tuning, filled_up
from .runtime import InferenceOptions, Runtime

if TYPE_CHECKING:
    from ..models.jet_model import JetModel

__all__ = ["TensorFlow", "TensorFlowOptions", "TensorFlowXla", "traced"]


def traced(
    model: JetModel,
    outputs: Sequence[str],
    *,
    jets: int | None = None,
    by_product: bool = False,
    jit: bool = False,
) -> Any:
    """A ``tf.function`` of some outputs of a model by name.

    Parameters
    ----------
    model : JetModel
    outputs : sequence of str
    jets : int, optional
        For that number of jets only; by default for any.
    by_product : bool
        The distances by a matrix product.
    jit : bool
        Compiled by XLA.
    """
    tf = require("tensorflow", "tf.function")
    signature = [tf.TensorSpec((jets, *model.card.spec.shape), tf.float32, name=INPUT)]

    def losses(particles: Any) -> dict[str, Any]:
        values = model(particles, training=False, by_product=by_product)
        return {name: values[name] for name in outputs}

    return tf.function(losses, input_signature=signature, jit_compile=jit)


def _by_name(function: Callable[..., dict[str, Any]], particles: Any) -> dict[str, Any]:
    return function(**{INPUT: particles})


def _functions_of(card: ModelCard) -> list[tuple[str, ...]]:
    """The outputs of each of its functions."""
    return [card.losses, (RECONSTRUCTION,)] if card.reconstruction else [card.losses]


@dataclass(frozen=True, kw_only=True)
class TensorFlowOptions(InferenceOptions):
    """Options of TensorFlow.

    TensorFlow sets its threads once for the process: a second inferer with another number of ``threads`` is an
    error.
    """

    device: str = "CPU"
    """TensorFlow's name of the device; one that is not there is an error."""


class TensorFlow(Runtime):
    """A model in a ``.keras`` file, on TensorFlow, as a ``tf.function`` traced once."""

    name = "tensorflow"
    suffixes = (".keras", SAVED_MODEL)
    options = TensorFlowOptions
    default_tuning = Tuning(128, "operators")
    #: Whether XLA compiles it.
    jit = False

    def open(self, path: Path, options: TensorFlowOptions) -> ModelCard:
        self._tf, self._device = require("tensorflow", str(path)), options.device
        self._set_threads(options.threads is not None)
        kind, _, number = str(options.device).rpartition("/")[2].removeprefix("device:").partition(":")
        with quiet_tensorflow():
            present = self._tf.config.list_logical_devices(kind or options.device)
        if not (number or "0").isdecimal() or int(number or 0) >= len(present):
            known = ", ".join(d.name.removeprefix("/device:") for d in self._tf.config.list_logical_devices())
            raise OptionError(f"device {options.device!r} is not there: TensorFlow has {known}")

        self._functions: dict[tuple[str, ...], Callable[[Any], dict[str, Any]]] = {}
        if path.is_dir():
            return self._open_saved_model(path)
        from ..models.vae import load_vae

        model = load_vae(path)
        card: ModelCard = model.card
        for names in _functions_of(card):
            self._functions[names] = traced(model, names, jit=self.jit)
        return card

    def _open_saved_model(self, path: Path) -> ModelCard:
        """Load a folder that an adoption wrote: a graph of constants, without code of others."""
        file = path / SAVED_MODEL_CARD
        if not file.is_file():
            raise ModelError(f"{path}: no {SAVED_MODEL_CARD} in it: {OURS}")
        card = ModelCard.from_json(file.read_text(), str(file))
        self._kept, signatures = load_saved_model(path)
        for names in _functions_of(card):
            signature: Any = signatures.get("losses" if names == card.losses else RECONSTRUCTION)
            given = [] if signature is None else signature.structured_outputs
            if set(given) != set(names):
                raise ModelError(f"{path}: gives {', '.join(given) or 'nothing'}: expected {', '.join(names)}")
            function = self._tf.function(signature, jit_compile=True) if self.jit else signature
            self._functions[names] = partial(_by_name, function)
        return card

    def _set_threads(self, required: bool) -> None:
        config = self._tf.config.threading
        if config.get_intra_op_parallelism_threads() == self.threads:
            return
        try:
            config.set_intra_op_parallelism_threads(self.threads)
            config.set_inter_op_parallelism_threads(1)
        except RuntimeError as error:
            if required:
                raise OptionError(
                    f"threads={self.threads}: TensorFlow has started in this process already, with"
                    f" {config.get_intra_op_parallelism_threads() or 'all cores'}; set threads before"
                ) from error
            self.threads = config.get_intra_op_parallelism_threads() or self.threads

    def run(self, batch: npt.NDArray[np.float32], outputs: tuple[str, ...]) -> Sequence[npt.NDArray[np.float32]]:
        with self._tf.device(self._device):
            values = self._functions[outputs](self._tf.convert_to_tensor(batch))
        return [values[name].numpy() for name in outputs]


class TensorFlowXla(TensorFlow):
    """A model in a ``.keras`` file, on TensorFlow, compiled by XLA.

    XLA compiles for one number of jets, which takes seconds: batches are filled up to the next power of two.
    """

    name = "tensorflow-xla"
    default_tuning = Tuning(256, "operators")
    jit = True

    def run(self, batch: npt.NDArray[np.float32], outputs: tuple[str, ...]) -> Sequence[npt.NDArray[np.float32]]:
        count, size = len(batch), 1 << (len(batch) - 1).bit_length()
        return [values[:count] for values in super().run(filled_up(batch, size), outputs)]
