"""The epochs of a training: steps, validation, the best weights, and what is kept to go on after a break."""

from __future__ import annotations

import json
import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError, FileError, HepvaeError
from ..execution.progress import progress_bar
from ..execution.session import NOTICE
from ..extras import require
from ..output.files import whole_file
from .jets import Indices, StoredJets, batches, lengths
from .options import TrainingOptions

__all__ = ["Progress", "fit", "learning_rate"]

logger = logging.getLogger(__name__)

#: In the folder of an unfinished training.
STATE = "state.npz"
#: Of the learning rate at the end, over the largest.
LAST_RATE = 0.01

Arrays = list[npt.NDArray[Any]]


class TrainingInterrupted(HepvaeError):
    """A training was told to stop; it can be resumed."""


@dataclass
class Progress:
    """What a training has done, after a whole number of epochs."""

    history: dict[str, list[float]] = field(default_factory=dict)
    """Losses, validation losses and learning rate of each epoch."""
    best: Arrays = field(default_factory=list)
    """Weights of the best epoch."""

    @property
    def epochs(self) -> int:
        return len(self.history.get("val_loss", ()))

    @property
    def best_epoch(self) -> int:
        """From 1 on."""
        return int(np.argmin(self.history["val_loss"])) + 1

    def finished(self, options: TrainingOptions) -> bool:
        """Whether no epoch is to follow."""
        return self.epochs >= options.epochs or (
            self.epochs > 0 and self.epochs - self.best_epoch >= options.patience
        )


def learning_rate(options: TrainingOptions, done: float) -> float:
    """The learning rate when a number of epochs is done: a rise, then a cosine down to a hundredth."""
    rise = min(done / options.warm_up, 1.0) if options.warm_up else 1.0
    fall = LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * done / options.epochs))
    return options.learning_rate * rise * fall


def _graphs(step: Callable[[Any], Any], n_features: int) -> Callable[[npt.NDArray[np.float32]], None]:
    """A step of a model as graphs, one for each length of jets."""
    tf = require("tensorflow", "training")

    @cache
    def of_length(length: int) -> Any:
        signature = [tf.TensorSpec((None, length, n_features), tf.float32)]
        return tf.function(lambda jets: step((jets,)), input_signature=signature).get_concrete_function()

    return lambda jets: of_length(jets.shape[1])(tf.constant(jets))


def fit(
    model: Any,
    stored: StoredJets,
    training: Indices,
    validating: Indices,
    options: TrainingOptions,
    folder: Path,
    least: int | None,
) -> Progress:
    """Train a compiled model until its last epoch; its best weights are set at the end.

    After each epoch everything that the next one depends on is written to ``folder``, and is taken from there
    where it is: the losses are those of a training without a break.

    Parameters
    ----------
    model : keras.Model
        Its ``train_step`` and ``test_step`` take a tuple of a batch, and its metrics have names.
    training, validating : arrays of int
        Which of the jets.
    folder : path
        Of the state.
    least : int, optional
        Fewest particles of a jet that the model takes; None: always all.

    Raises
    ------
    TrainingInterrupted
        SIGINT or SIGTERM came during an epoch. The state of the one before is there.
    DataError
        The losses are no longer finite.
    """
    model.optimizer.build(model.trainable_variables)
    variables = [*model.variables, *model.optimizer.variables]
    progress = _restored(folder / STATE, variables, len(model.weights))
    train_step, test_step = (_graphs(step, stored.spec.shape[1]) for step in (model.train_step, model.test_step))
    cut = (stored.spec.n_particles,) if least is None else lengths(stored.spec, least)
    validation = batches(validating, stored.particles, options.batch_size, cut)
    bar = progress_bar("training", len(training) * options.epochs)
    with _stop_request() as stop, bar as show:
        show(len(training) * progress.epochs)
        while not progress.finished(options):
            began, epoch = time.monotonic(), progress.epochs
            random = np.random.default_rng((options.seed, epoch))
            steps = batches(training, stored.particles, options.batch_size, cut, random)
            model.reset_metrics()
            for i, batch in enumerate(steps):
                model.optimizer.learning_rate = learning_rate(options, epoch + i / len(steps))
                train_step(stored.read(batch.jets, batch.length))
                show(len(batch.jets))
                if stop():
                    raise TrainingInterrupted(_how_to_resume(folder.parent, epoch))
            losses = _metrics(model)
            model.reset_metrics()
            for batch in validation:
                test_step(stored.read(batch.jets, batch.length))
            losses |= {f"val_{name}": loss for name, loss in _metrics(model).items()}
            losses["learning_rate"] = learning_rate(options, epoch)
            if not all(map(math.isfinite, losses.values())):
                raise DataError(
                    f"{folder.parent}: the training diverged: losses of epoch {epoch + 1} are not finite"
                )
            for name, loss in losses.items():
                progress.history.setdefault(name, []).append(loss)
            if progress.best_epoch == progress.epochs:
                progress.best = model.get_weights()
            _keep(folder / STATE, progress, variables)
            logger.log(NOTICE, "%s", _line(progress, options, time.monotonic() - began, len(training)))
            if stop() and not progress.finished(options):
                raise TrainingInterrupted(_how_to_resume(folder.parent, epoch + 1))
    model.set_weights(progress.best)
    return progress


def _metrics(model: Any) -> dict[str, float]:
    return {name: float(value) for name, value in model.get_metrics_result().items()}


def _how_to_resume(output: Path, epochs: int) -> str:
    return f"{output}: interrupted after epoch {epochs}: the same command with --resume (resume=True) goes on"


def _line(progress: Progress, options: TrainingOptions, seconds: float, jets: int) -> str:
    loss, val_loss = (progress.history[name][-1] for name in ("loss", "val_loss"))
    best = ", the lowest" if progress.best_epoch == progress.epochs else ""
    return (
        f"epoch {progress.epochs} of {options.epochs}: loss {loss:.4g}, validation loss {val_loss:.4g}{best};"
        f" {seconds:.0f} s, {jets / max(seconds, 1e-9):,.0f} jets/s"
    )


@contextmanager
def _stop_request() -> Iterator[Callable[[], bool]]:
    """Whether SIGINT or SIGTERM came, instead of what they do: an exception could come out of any step of a graph.

    The second one does what it did before.
    """
    came = threading.Event()
    before: dict[int, Any] = {}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)
        before.clear()

    def stop(number: int, frame: Any) -> None:
        came.set()
        restore()

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, stop)
    try:
        yield came.is_set
    finally:
        restore()


def _keep(path: Path, progress: Progress, variables: Sequence[Any]) -> None:
    arrays = {f"variable_{i}": variable.numpy() for i, variable in enumerate(variables)}
    arrays |= {f"best_{i}": weights for i, weights in enumerate(progress.best)}
    with whole_file(path) as file:
        np.savez(file, history=np.array(json.dumps(progress.history)), **arrays)


def _restored(path: Path, variables: Sequence[Any], weights: int) -> Progress:
    """What `_keep` kept, into the variables; a new begin where there is none."""
    if not path.exists():
        return Progress()
    try:
        with (
            open(path, "rb") as file,
            np.load(file, allow_pickle=False) as arrays,
        ):  # NumPy leaves a damaged one open
            progress = Progress(json.loads(str(arrays["history"])), [arrays[f"best_{i}"] for i in range(weights)])
            values = [arrays[f"variable_{i}"] for i in range(len(variables))]
        for variable, value in zip(variables, values):
            variable.assign(value)
    # A damaged file: zipfile, NumPy and Keras raise whatever they run into.
    except Exception as error:
        raise FileError(f"{path}: not the state of this training: expected --overwrite, to begin anew") from error
    return progress
