"""What executes models: the class that a third party writes, and the options of all runtimes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt

from ..models.card import ModelCard
from ..models.contract import RecoLoss
from ..options import check_choice, check_flag, check_whole_number
from .blocks import PARALLEL, Parallel, Tuning

__all__ = ["TRAVELS", "InferenceOptions", "Runtime", "Travels"]

#: How the model file of an inferer gets to another process.
Travels = Literal["bytes", "path"]
TRAVELS: tuple[Travels, ...] = get_args(Travels)


@dataclass(frozen=True, kw_only=True)
class InferenceOptions:
    """Options of every runtime; one that has more subclasses it.

    What is None is what ``hepvae tune`` measured for such a model on this machine, or the runtime's default.
    """

    threads: int | None = None
    """Threads that one call may use (default: `execution.threads.default_threads`)."""
    block_size: int | None = None
    """Jets that the runtime is given at once, whatever the number of jets of a call; bounds the memory."""
    parallel: Parallel | None = None
    """Whether threads run blocks next to each other, or work together inside the operators of one block."""
    batching: bool = True
    """False: the runtime is given each call whole, padded to the full length; threads work in its operators."""
    compiled_distances: bool = True
    """False: the runtime computes the distances of particles too, where a loop of hepvae's would."""
    travels: Travels | None = None
    """How a pickled inferer takes its model file along (default: as bytes, up to 32 MiB)."""

    def __post_init__(self) -> None:
        for name in ("threads", "block_size"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, check_whole_number(name, getattr(self, name)))
        for name, choices in (("parallel", PARALLEL), ("travels", TRAVELS)):
            if getattr(self, name) is not None:
                check_choice(name, getattr(self, name), choices)
        for name in ("batching", "compiled_distances"):
            check_flag(name, getattr(self, name))


class Runtime(ABC):
    """One model loaded by one runtime.

    A third party subclasses it, and names the class in the entry-point group ``hepvae.inferers``. hepvae opens a
    runtime once for each process, divides jets into blocks, and calls `run` from several threads at once.
    """

    name: ClassVar[str]
    #: Of its files, with the dot.
    suffixes: ClassVar[tuple[str, ...]]
    #: Class of its options.
    options: ClassVar[type[InferenceOptions]] = InferenceOptions
    #: Blocks of twice so many jets and more have a multiple of it, but for the last: a runtime may fill up to it.
    block_step: ClassVar[int] = 1

    #: How it is given jets where nothing was measured; `open` may change it for a model (see `Tuning.of_jets`).
    default_tuning: Tuning = Tuning(256, "operators")
    #: Threads that one call may use: set before `open`, which may lower it.
    threads: int = 1
    #: Those among them that work inside `run`; set after `open`.
    operator_threads: int = 1
    #: The shortest particle axis that the model takes with the same losses; None: the full one only.
    least_particles: int | None = None
    #: Where `run` has ``kl_loss`` and ``reconstruction`` only: what hepvae computes as ``reco_loss``.
    reco_loss: RecoLoss | None = None

    @abstractmethod
    def open(self, path: Path, options: Any) -> ModelCard:
        """Load the model file; `ModelError` where it is none. ``options`` is an instance of `options`."""

    @abstractmethod
    def run(self, batch: npt.NDArray[np.float32], outputs: tuple[str, ...]) -> Sequence[npt.NDArray[np.float32]]:
        """The named outputs (of `ModelCard.outputs`) for a batch (jets, particles, features), C-contiguous."""
