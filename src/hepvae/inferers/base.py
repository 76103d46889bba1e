"""What every runtime offers: the one interface, and what is the same for all."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import numpy as np

from ..card import ModelCard
from ..errors import DataError, OptionError
from ..scores import LOSSES
from ..spec import InputSpec

__all__ = ["INPUT", "RECONSTRUCTION", "Inferer", "default_threads"]

#: Names in the graph of an exported model; its other outputs are the `LOSSES`.
INPUT, RECONSTRUCTION = "particles", "reconstruction"


def default_threads() -> int:
    """``HEPVAE_NUM_THREADS``, else the cores this process may run on."""
    asked = os.environ.get("HEPVAE_NUM_THREADS")
    if asked is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not asked.isdigit() or int(asked) < 1:
        raise OptionError(f"HEPVAE_NUM_THREADS is {asked!r}: expected a positive whole number")
    return int(asked)


class Inferer(ABC):
    """A model loaded on one runtime.

    A runtime is a subclass with a name, the suffixes of its files, ``_open`` and ``_run``.

    Parameters
    ----------
    path : path
        The model file.
    threads : int, optional
        Threads that one call may use (default: `default_threads`).
    batch_size : int
        Jets that the runtime is given at once; bounds the memory, whatever the number of jets.

    Notes
    -----
    An inferer can be pickled: it travels as path and options, and opens its model again on first use.
    """

    runtime: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]

    def __init__(self, path, *, threads: int | None = None, batch_size: int = 256):
        for name, value in (("threads", threads), ("batch_size", batch_size)):
            if value is not None and (not isinstance(value, int) or value < 1):
                raise OptionError(f"{name} is {value!r}: expected a positive whole number")
        self.path = Path(path).absolute()  # it may be opened again in another folder
        self.threads = threads or default_threads()
        self.batch_size = batch_size
        self._restore()

    def _restore(self) -> None:
        self._session = None
        self._lock = threading.Lock()
        self._opened()

    def _opened(self):
        """What ``_open`` gave, opened once, by whichever thread comes first."""
        if self._session is None:
            with self._lock:
                if self._session is None:
                    session, self.card = self._open()
                    self._session = session
        return self._session

    @abstractmethod
    def _open(self) -> tuple[object, ModelCard]:
        """Load the model; give what ``_run`` needs, and the model's card."""

    @abstractmethod
    def _run(self, session, batch: np.ndarray, outputs: tuple[str, ...]) -> list[np.ndarray]:
        """The named outputs for one float32 batch (jets, n_particles, n_features)."""

    def __getstate__(self):
        return {k: v for k, v in self.__dict__.items() if k not in ("_session", "_lock")}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._session = None
        self._lock = threading.Lock()

    @property
    def spec(self) -> InputSpec:
        """What the model takes."""
        return self.card.spec

    def __repr__(self):
        return f"{type(self).__name__}({str(self.path)!r}, threads={self.threads}, batch_size={self.batch_size})"

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
        jets = padded.reshape(-1, *self.spec.shape)
        finite = np.isfinite(jets).all(axis=(1, 2))
        if not finite.all():
            raise DataError(f"jet {np.flatnonzero(~finite)[0]} of the input has a value that is not finite")
        session, shape = self._opened(), padded.shape[:-2]
        if len(jets) == 0:
            tails = [self.spec.shape if name == RECONSTRUCTION else () for name in outputs]
            return [np.empty((*shape, *tail), np.float32) for tail in tails]
        parts = [
            self._run(session, jets[i : i + self.batch_size], outputs)
            for i in range(0, len(jets), self.batch_size)
        ]
        joined = parts[0] if len(parts) == 1 else [np.concatenate(column) for column in zip(*parts)]
        return [array.reshape(*shape, *array.shape[1:]) for array in joined]
