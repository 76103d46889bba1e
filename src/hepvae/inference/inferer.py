"""The handle of a loaded model: opens it on first use in each process, and travels between processes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ModelError
from ..execution.threads import default_threads
from ..jets.padding import FlatJets
from ..jets.spec import InputSpec
from ..models.card import ModelCard
from ..models.contract import RECONSTRUCTION
from .batching import Batcher
from .blocks import Tuning
from .runtime import InferenceOptions, Runtime
from .transport import bytes_to_carry, digest, kept, local_file

__all__ = ["Inferer"]


class Inferer:
    """A model loaded on a runtime; `load_inferer` makes it.

    Parameters
    ----------
    runtime : type
        A subclass of `Runtime`.
    path : path
        The model file.
    options : InferenceOptions
        Of the class that the runtime names.
    pickled : tuple, optional
        Checksum, card and content of the model file, if that travelled, of one that is opened on first use.

    Notes
    -----
    An inferer can be pickled: it travels as options and model file, or path and checksum of that, and opens its
    model on first use, once for each process however often it is unpickled there. Threads may share it.
    """

    def __init__(
        self,
        runtime: type[Runtime],
        path: str | Path,
        options: InferenceOptions,
        pickled: tuple[str, ModelCard, bytes | None] | None = None,
    ) -> None:
        self._runtime, self.options = runtime, options
        self.path = Path(path).absolute()  # it may be opened again in another folder
        self._batcher: Batcher | None = None
        self._lock = threading.Lock()
        self.sha256 = ""
        self._content: bytes | None = None
        if pickled is not None:
            self.sha256, self.card, self._content = pickled
        else:
            self.card = self._opened().card

    def _opened(self) -> Batcher:
        """The model, opened once, by whichever thread comes first."""
        if self._batcher is None:
            with self._lock:
                if self._batcher is None:
                    if self.sha256:
                        self.path = local_file(self.path, self.sha256, self._content)
                    else:
                        self.sha256 = digest(self.path)
                    runtime = self._runtime()
                    runtime.threads = self.options.threads or default_threads()  # of the process it came to
                    try:
                        card = runtime.open(self.path, self.options)
                    except MemoryError as error:
                        raise ModelError(f"{self.path}: needs more memory than there is") from error
                    self._content = None
                    self._batcher = Batcher(runtime, card, self.options, self.path)
        return self._batcher

    def __reduce__(self) -> tuple[Callable[..., Inferer], tuple[Any, ...]]:
        content = self._content or bytes_to_carry(self.path, self.sha256, self.options.travels)
        return _unpickled, (type(self), self._runtime, self.path, self.options, (self.sha256, self.card, content))

    @property
    def runtime(self) -> str:
        """Name of the runtime."""
        return self._runtime.name

    @property
    def default_tuning(self) -> Tuning:
        """How the runtime is given jets of this model where nothing was measured."""
        return self._opened().runtime.default_tuning

    @property
    def spec(self) -> InputSpec:
        """What the model takes."""
        return self.card.spec

    @property
    def threads(self) -> int:
        """Threads that one call may use."""
        return self._opened().runtime.threads

    @property
    def tuning(self) -> Tuning:
        """How the runtime is given jets."""
        return self._opened().tuning

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}, {self.runtime}, {self.options})"

    def __call__(self, padded: npt.ArrayLike) -> dict[str, npt.NDArray[np.float32]]:
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
        ModelError
            The model gives outputs of another shape or dtype.
        """
        names = self.card.losses
        return dict(zip(names, self._opened().of_padded(padded, names)))

    def reconstruct(self, padded: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """The particles that the model decodes for each jet; shape and dtype as ``padded``.

        Of an adopted model: what `ModelCard.reconstruction` says. `ModelError` where a model decodes nothing.
        """
        if self.card.reconstruction is None:
            raise ModelError(f"{self.path}: reconstructs nothing: it gives {', '.join(self.card.losses)}")
        return self._opened().of_padded(padded, (RECONSTRUCTION,))[0]

    def losses_of(self, jets: FlatJets, chosen: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.float32]]:
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
        names = self.card.losses
        return dict(zip(names, self._opened().of_ragged(jets, chosen, names)))


def _unpickled(
    kind: type[Inferer],
    runtime: type[Runtime],
    path: Path,
    options: InferenceOptions,
    pickled: tuple[str, ModelCard, bytes | None],
) -> Inferer:
    """What was pickled; one object however often it is unpickled in this process."""
    return kept((kind, runtime, path, repr(options), pickled[0]), lambda: kind(runtime, path, options, pickled))
