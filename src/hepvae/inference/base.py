"""What every runtime offers: the one interface, and what is the same for all."""

from __future__ import annotations

import math
import pickle
import sys
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import numpy as np

from ..errors import DataError, OptionError
from ..execution.threads import default_threads, on_threads
from ..jets.padding import FlatJets, pad_into
from ..jets.spec import InputSpec
from ..models.card import ModelCard
from ..models.losses import LOSSES
from .blocks import LEAST_SHARE, PARALLEL, Block, Tuning, cut, length_classes
from .pickling import arrived, bytes_to_carry, check_travels, digest, local_file
from .tuning import tuned

__all__ = ["DISTANCES", "DISTANCE_KEY", "INPUT", "JETS", "LEAST_KEY", "PARTICLES", "RECONSTRUCTION", "Inferer"]

#: Names in the graph of an exported model; its other outputs are the `LOSSES`.
INPUT, RECONSTRUCTION = "particles", "reconstruction"
#: Names of its axes that may have any size.
JETS, PARTICLES = "jets", "particles"
#: Key, in the metadata of an .onnx file, of the shortest particle axis that the graph takes.
LEAST_KEY = "hepvae.least_particles"
#: Key of what its reconstruction loss is: `chamfer`, of all places or of those with a particle.
DISTANCE_KEY, DISTANCES = "hepvae.reco_loss", ("chamfer", "masked chamfer")


class Inferer(ABC):
    """A model loaded on one runtime.

    A runtime is a subclass with a name, the suffixes of its files, ``_open`` and ``_run``.

    Parameters
    ----------
    path : path
        The model file.
    threads : int, optional
        Threads that one call may use (default: `default_threads`).
    block_size : int, optional
        Jets that the runtime is given at once, whatever the number of jets of a call; bounds the memory.
    parallel : {"blocks", "operators"}, optional
        Whether threads run blocks next to each other, or work together inside the operators of one block.
    engine : bool
        False: a call is given to the runtime as it is, whole and padded, threads inside its operators.
    travels : {"bytes", "path"}, optional
        How a pickled inferer brings its model file along (default: as bytes, up to 32 MiB).

    What is not given is what ``hepvae tune`` found for such a model on this machine, or the runtime's default.

    Notes
    -----
    An inferer can be pickled: it travels as options and model file, or path and checksum of that, and opens its
    model on first use, once for each process however often it arrives there. Threads may share it.
    """

    runtime: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    #: How it is given jets where nothing else is known.
    default_tuning: ClassVar[Tuning] = Tuning(256, "operators")

    def __init__(
        self,
        path,
        *,
        threads: int | None = None,
        block_size: int | None = None,
        parallel: str | None = None,
        engine: bool = True,
        travels: str | None = None,
    ):
        for name, value in (("threads", threads), ("block_size", block_size)):
            if value is not None and (not isinstance(value, int) or value < 1):
                raise OptionError(f"{name} is {value!r}: expected a positive whole number")
        if parallel not in (None, *PARALLEL):
            raise OptionError(f"parallel is {parallel!r}: expected one of {', '.join(PARALLEL)}")
        check_travels(travels)
        self.path = Path(path).absolute()  # it may be opened again in another folder
        self._threads_asked = threads
        self.engine = engine
        self._asked = block_size, parallel
        self._travels = travels
        self.sha256 = None
        self._restore()
        self._opened()

    def _restore(self) -> None:
        self._session = None
        self._lock = threading.Lock()

    def _opened(self):
        """What ``_open`` gave, opened once, by whichever thread comes first."""
        if self._session is None:
            with self._lock:
                if self._session is None:
                    self.threads = self._threads_asked or default_threads()  # of the process it came to
                    if self.sha256 is not None:
                        self.path = local_file(self.path, self.sha256, self._carried)
                    session, self.card = self._open()
                    self.sha256, self._carried = self.sha256 or digest(self.path), None
                    self._prepare()
                    self._session = session
        return self._session

    def _prepare(self) -> None:
        """Decide how jets are given to the runtime, now that it is known of what kind the model is."""
        found = tuned(self.runtime, self.card) or self.default_tuning
        if not self.engine:
            found = Tuning(sys.maxsize, "operators")
        block_size, parallel = self._asked
        self.tuning = Tuning(block_size or found.block_size, parallel or found.parallel)
        least = self._least_length()
        self._classes = None
        if self.engine and least is not None and least < self.spec.n_particles:
            self._classes = length_classes(least, self.spec.n_particles)

    @property
    def operator_threads(self) -> int:
        """Threads inside the operators of a block."""
        return self.threads if self.tuning.parallel == "operators" else 1

    def _least_length(self) -> int | None:
        """The shortest particle axis that the loaded model takes with the same losses; None: the full one only."""
        return None

    @abstractmethod
    def _open(self) -> tuple[object, ModelCard]:
        """Load the model; give what ``_run`` needs, and the model's card."""

    @abstractmethod
    def _run(self, session, batch: np.ndarray, outputs: tuple[str, ...]) -> list[np.ndarray]:
        """The named outputs for one float32 batch (jets, n_particles, n_features)."""

    def __reduce__(self):
        content = self._carried or bytes_to_carry(self.path, self.sha256, self._travels)
        return arrived, (type(self), pickle.dumps(self.__getstate__()), self.sha256, content)

    def __getstate__(self):
        gone = ("_session", "_sessions", "_content", "_carried", "_lock", "threads")
        return {k: v for k, v in self.__dict__.items() if k not in gone}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._restore()

    @property
    def spec(self) -> InputSpec:
        """What the model takes."""
        return self.card.spec

    def __repr__(self):
        return f"{type(self).__name__}({str(self.path)!r}, {self.tuning})"

    def __call__(self, padded) -> dict[str, np.ndarray]:
        """Losses of each jet.

        Parameters
        ----------
        padded : array (jets, n_particles, n_features) or (events, 2, n_particles, n_features)
            As `pad_particles` gives it; cast to float32 where it is not.

        Returns
        -------
        dict of str to numpy array, float32
            ``loss``, ``reco_loss``, ``kl_loss``, each (jets,), or (events, 2).

        Raises
        ------
        SpecError
            The shape is not the one of the model.
        DataError
            A value is not finite.
        """
        outputs = self._batched(padded, LOSSES)
        return dict(zip(LOSSES, outputs))

    def reconstruct(self, padded) -> np.ndarray:
        """The particles that the model makes of each jet; shape and dtype as ``padded``."""
        return self._batched(padded, (RECONSTRUCTION,))[0]

    def _batched(self, padded, outputs) -> list[np.ndarray]:
        padded = np.ascontiguousarray(padded, np.float32)
        self.spec.check(padded)
        jets = padded if padded.ndim == 3 else padded.reshape(-1, *self.spec.shape)
        # A sum is finite only where all values are; where it is not, they may be, and too large.
        with np.errstate(over="ignore", invalid="ignore"):
            finite = math.isfinite(np.add.reduce(jets, axis=None))
        if not finite and not np.isfinite(jets).all():
            wrong = np.flatnonzero(~np.isfinite(jets).all(axis=(1, 2)))
            raise DataError(f"jet {wrong[0]} of the input has a value that is not finite")
        session, count = self._opened(), len(jets)
        whole = self._classes is None or RECONSTRUCTION in outputs
        if (
            whole
            and 0 < count <= self.tuning.block_size
            and (self.operator_threads == self.threads or count < LEAST_SHARE * self.threads)
        ):
            found = self._run(session, jets, outputs)
        else:
            blocks = self._cut(count, None if whole else _places(jets, self.spec))

            def filled(block: Block) -> np.ndarray:
                return np.ascontiguousarray(jets[block.jets, : block.length])

            found = self._run_blocks(blocks, filled, count, outputs)
        if padded.ndim == 3:
            return found
        return [array.reshape(*padded.shape[:-2], *array.shape[1:]) for array in found]

    def losses_of(self, jets: FlatJets, chosen: np.ndarray) -> dict[str, np.ndarray]:
        """Losses of some ragged jets, padded block by block into the memory that the runtime reads.

        Parameters
        ----------
        jets : FlatJets
        chosen : int array
            Their numbers; what is in them must be finite, and no pt negative.

        Returns
        -------
        dict of str to numpy array, float32 (chosen,)
        """
        self._opened()
        blocks = self._cut(len(chosen), np.minimum(jets.counts[chosen], self.spec.n_particles))

        def filled(block: Block) -> np.ndarray:
            return pad_into(jets, chosen[block.jets], self.spec, block.length)

        return dict(zip(LOSSES, self._run_blocks(blocks, filled, len(chosen), LOSSES)))

    def _cut(self, count: int, lengths) -> list[Block]:
        classes = None if lengths is None else self._classes
        return cut(count, self.tuning, self.threads, self.spec.n_particles, lengths, classes)

    def _run_blocks(self, blocks: list[Block], filled, count: int, outputs) -> list[np.ndarray]:
        tails = [self.spec.shape if name == RECONSTRUCTION else () for name in outputs]
        found = [np.empty((count, *tail), np.float32) for tail in tails]

        def run(block: Block) -> None:
            for array, values in zip(found, self._run(self._session, filled(block), outputs)):
                array[block.jets] = values

        if len(blocks) == 1:
            run(blocks[0])
        else:
            on_threads(blocks, run, self.threads if self.tuning.parallel == "blocks" else 1)
        return found


def _places(jets: np.ndarray, spec: InputSpec) -> np.ndarray:
    """How many places of the particle axis each padded jet needs: up to its last constituent with pt."""
    used = jets[:, ::-1, spec.features.index("pt")] > 0
    return np.where(used.any(axis=1), spec.n_particles - used.argmax(axis=1), 0)
