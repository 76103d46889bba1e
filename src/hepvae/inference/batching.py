"""An opened model and how it is given jets: blocks, threads, particle axes no longer than needed."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import DataError, ModelError, SpecError
from ..execution.threads import on_threads
from ..jets.padding import FlatJets, pad_into
from ..jets.spec import InputSpec
from ..models import losses
from ..models.card import ModelCard
from ..models.contract import RECONSTRUCTION
from .blocks import Block, Tuning, cut, filled_up, length_classes
from .runtime import InferenceOptions, Runtime
from .tuning import tuned

__all__ = ["Batcher"]

Array = npt.NDArray[np.float32]

FLOAT32 = np.dtype(np.float32)


class Batcher:
    """Gives jets to an opened runtime.

    Parameters
    ----------
    runtime : Runtime
        Open.
    card : ModelCard
    options : InferenceOptions
    path : path
        Of the model file, for messages.
    """

    def __init__(self, runtime: Runtime, card: ModelCard, options: InferenceOptions, path: Path) -> None:
        self.runtime, self.card, self.path = runtime, card, path
        self._spec, self._shape, self._shapes = card.spec, card.spec.shape, card.outputs
        tuning = tuned(runtime.name, card) or runtime.default_tuning
        if not options.batching:
            tuning = Tuning(sys.maxsize, "operators")
        size = options.block_size or tuning.block_size
        self._size = card.batch_size
        if self._size is not None:  # of which a block has no more: what is missing is filled up
            size = min(size, self._size)
        share = runtime.default_tuning.least_share
        self.tuning = Tuning(size, options.parallel or tuning.parallel, share)
        self._expected: dict[tuple[tuple[str, ...], tuple[int, ...]], list[tuple[int, ...]]] = {}
        #: What a runtime computes where hepvae computes the distances.
        self._without_distances = card.without_distances
        runtime.operator_threads = runtime.threads if self.tuning.parallel == "operators" else 1
        least, most = runtime.least_particles, self._spec.n_particles
        self._classes = length_classes(least, most) if options.batching and least and least < most else None
        pt = self._spec.features.index("pt") if "pt" in self._spec.features else -1
        #: Arguments of the compiled distances: which feature masks padding, and which multiplies the others.
        self._mask = pt if runtime.reco_loss == "masked chamfer" else -1
        self._factor = pt if card.distance == "momenta" else -1
        self._beta = np.array([card.beta], np.float32)  # a number would be made an array in each call
        if runtime.reco_loss is not None:
            from .chamfer_kernel import chamfer  # numba takes long to import

            self._chamfer = chamfer

    def of_padded(self, padded: npt.ArrayLike, outputs: tuple[str, ...]) -> list[Array]:
        """The named outputs for a padded array of three or four axes; see `Inferer.__call__`."""
        if type(padded) is not np.ndarray or padded.dtype != np.float32:
            padded = _numbers(padded)
        padded = np.ascontiguousarray(padded)
        if padded.shape[1:] != self._shape:  # of other than one axis before it, or wrong
            self._spec.check(padded)
        jets = padded if padded.ndim == 3 else padded.reshape(-1, *self._shape)
        # A sum of squares is finite only where all values are; where it is not, they may be, and too large.
        flat = jets.ravel()
        if not math.isfinite(np.vdot(flat, flat)) and not np.isfinite(jets).all():
            wrong = np.flatnonzero(~np.isfinite(jets).all(axis=(1, 2)))
            raise DataError(f"jet {wrong[0]} of the input has a value that is not finite")
        count = len(jets)
        whole = self._classes is None or RECONSTRUCTION in outputs
        threads, inside = self.runtime.threads, self.runtime.operator_threads
        together = inside == threads or count < self.tuning.least_share * threads
        if whole and together and 0 < count <= self.tuning.block_size:
            values = self._run(jets, outputs)
        else:
            blocks = self._cut(count, None if whole else _places(jets, self._spec))

            def filled(block: Block) -> Array:
                return np.ascontiguousarray(jets[block.jets, : block.length])

            values = self._run_blocks(blocks, filled, count, outputs)
        if padded.ndim == 3:
            return values
        return [array.reshape(*padded.shape[:-2], *array.shape[1:]) for array in values]

    def of_ragged(self, jets: FlatJets, chosen: npt.NDArray[np.int64], outputs: tuple[str, ...]) -> list[Array]:
        """The named outputs for some ragged jets; see `Inferer.losses_of`."""
        blocks = self._cut(len(chosen), np.minimum(jets.counts[chosen], self._spec.n_particles))

        lost: list[npt.NDArray[np.int64]] = []

        def filled(block: Block) -> Array:
            padded = pad_into(jets, chosen[block.jets], self._spec, block.length)
            if not self._spec.momenta_only:  # those were examined; columns of the file may hold anything
                wrong = ~np.isfinite(padded.sum(axis=(1, 2)))
                if wrong.any():
                    lost.append(np.arange(len(chosen))[block.jets][wrong])
                    padded[wrong] = 0
            return padded

        results = self._run_blocks(blocks, filled, len(chosen), outputs)
        for result in results if lost else ():
            result[np.concatenate(lost)] = np.nan
        return results

    def _cut(self, count: int, lengths: npt.NDArray[np.integer] | None) -> list[Block]:
        runtime, length = self.runtime, self._spec.n_particles
        return cut(count, self.tuning, runtime.threads, length, lengths, self._classes, runtime.block_step)

    def _run_blocks(
        self, blocks: list[Block], filled: Callable[[Block], Array], count: int, outputs: tuple[str, ...]
    ) -> list[Array]:
        results = [np.empty((count, *self._shapes[name]), np.float32) for name in outputs]

        def run(block: Block) -> None:
            for result, values in zip(results, self._run(filled(block), outputs)):
                result[block.jets] = values

        if len(blocks) == 1:
            run(blocks[0])
        else:
            on_threads(blocks, run, self.runtime.threads if self.tuning.parallel == "blocks" else 1)
        return results

    def _run(self, batch: Array, outputs: tuple[str, ...]) -> list[Array]:
        """The named outputs for one block, checked."""
        if self.runtime.reco_loss is None:
            return self._checked(batch, outputs)
        *kl_loss, reconstruction = self._checked(batch, self._without_distances)
        if outputs == (RECONSTRUCTION,):
            return [reconstruction]
        values = {"reco_loss": self._distances(batch, reconstruction), RECONSTRUCTION: reconstruction}
        values["loss"] = values["reco_loss"]
        if kl_loss:
            (values["kl_loss"],) = kl_loss
            values["loss"] = values["reco_loss"] + self._beta * kl_loss[0]
        return [values[name] for name in outputs]

    def _distances(self, batch: Array, made: Array) -> Array:
        """`losses.chamfer` of the places of particles, compiled."""
        if self.card.distance != "weighted":
            return self._chamfer(batch, made, self._mask, self._factor)
        before, after = (losses.points(x, self._spec, self.card.distance, np) for x in (batch, made))
        # The last coordinate is the root of pt: 0 for padding.
        return self._chamfer(before, after, 2 if self._mask >= 0 else -1, -1)

    def _checked(self, batch: Array, outputs: tuple[str, ...]) -> list[Array]:
        """What a runtime gives for a batch.

        Raises
        ------
        ModelError
            It gives other outputs than those named, or one of another shape or dtype: not one number for each
            jet, or another number of particles than the jets have.
        """
        count = len(batch)
        batch = filled_up(batch, self._size or 0)
        try:
            values: Sequence[Array] = self.runtime.run(batch, outputs)
        except MemoryError as error:
            raise ModelError(
                f"{self.path}: {len(batch)} jets at once need more memory than there is: set a smaller block_size"
            ) from error
        if len(values) != len(outputs):
            raise ModelError(f"{self.path}: {self.runtime.name} gives {len(values)} outputs, expected {outputs}")
        key = outputs, batch.shape
        shapes = self._expected.get(key)
        if shapes is None:
            shapes = self._expected[key] = [(len(batch), *self._tail(name, batch.shape[1])) for name in outputs]
        for name, value, shape in zip(outputs, values, shapes):
            if not isinstance(value, np.ndarray) or value.dtype != FLOAT32 or value.shape != shape:
                kind = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
                raise ModelError(
                    f"{self.path}: output {name!r} on {self.runtime.name} is {kind}: expected float32 {shape}"
                    f" for jets of shape {batch.shape}"
                )
        if count < len(batch):
            values = [value[:count] for value in values]
        return [value if value.flags.c_contiguous else np.ascontiguousarray(value) for value in values]

    def _tail(self, name: str, length: int) -> tuple[int, ...]:
        """Shape of an output for one jet of a batch: where there is a particle axis, as long a one as that has."""
        if not self._shapes[name]:
            return ()
        first, *others = self._shapes[name]
        return (length if first == self._spec.n_particles else first, *others)


def _numbers(padded: npt.ArrayLike) -> Array:
    """A padded array of another kind, in float32; `SpecError` of what is none, `DataError` of masked values."""
    if np.ma.is_masked(padded):
        raise DataError("input has masked values: expected a number for each, zeros in the place of padding")
    with suppress(TypeError, ValueError):
        array = np.asarray(padded)
        if array.dtype.kind not in "cSUmM":  # these have no value in float32
            return array.astype(np.float32)
    raise SpecError(
        f"input is {type(padded).__name__}: expected numbers (jets, n_particles, n_features), as pad_particles"
        " gives; score_dijets takes events, score_jets takes jets"
    )


def _places(jets: Array, spec: InputSpec) -> npt.NDArray[np.int64]:
    """How many places of the particle axis each padded jet needs: up to its last constituent with pt."""
    used = jets[:, ::-1, spec.features.index("pt")] > 0
    return np.where(used.any(axis=1), spec.n_particles - used.argmax(axis=1), 0)
