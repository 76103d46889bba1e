"""Training a VAE on dijets: fit, history, provenance."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ..errors import DataError, LayoutError, OptionError
from ..execution.progress import progress_bar
from ..extras import require
from ..jets.selection import Selection
from ..jets.spec import InputSpec
from ..models import hyperparameters as complete
from ..models.card import ModelCard
from ..models.losses import DISTANCES, check_distance
from ..output.files import make_folder, whole_file
from ..reading.batches import padded_jets
from ..reading.options import ReadOptions
from ..reading.reports import FileReport
from ..reading.sources import resolve
from .export import export_onnx
from .parity import Parity

__all__ = ["TrainedModel", "train", "training_jets"]


@dataclass(frozen=True)
class TrainedModel:
    """What a training leaves."""

    model: object
    """The `VAE`, with the weights of its best epoch."""
    history: dict[str, list[float]]
    """Losses, validation losses and learning rate of each epoch."""
    parity: Parity
    """Comparison of TensorFlow and ONNX Runtime on validation jets."""


def training_jets(files, spec: InputSpec, *, region="sideband", max_events=None):
    """Padded jets of the selected events of all files, those of an entry next to each other.

    Returns
    -------
    jets : float32 array (entries, jets of an entry, n_particles, n_features)
        Two of an event, one of files that hold single jets. An event with a jet that cannot be scored is
        left out.
    record : dict
        Files and what was counted, for the provenance.
    """
    parts, files_read = [], []
    events_kept = jets_used = 0
    together, selection = None, Selection(region=region)
    for source in resolve(files):
        report = FileReport(source.path)
        for jets in padded_jets(source, report, spec, ReadOptions(), selection):
            of_this = 1 if report.single_jets else 2
            together = together or of_this
            if of_this != together:
                raise LayoutError(f"{source.path}: has {of_this} jets an entry, the files before it {together}")
            parts.append(jets)
            jets_used += len(jets)
            if max_events is not None and jets_used >= together * max_events:
                break
        events_kept += report.events_kept
        files_read.append({"path": Path(source.path).name, "events": report.events_read})
        if max_events is not None and jets_used >= together * max_events:
            break
    jets = np.concatenate(parts).reshape(-1, together, *spec.shape)[:max_events]
    record = {
        "files": files_read,
        "region": region,
        "events_selected": events_kept,
        "events_used": len(jets),
    }
    return jets, record


def normalisation(jets: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each feature over the constituents, padding left out."""
    real = jets[(jets != 0).any(axis=2)].astype(np.float64)
    mean, std = real.mean(axis=0), real.std(axis=0)
    if not (std > 0).all():
        raise DataError(f"standard deviations of the features are {std.tolist()}: expected them positive")
    return tuple(mean.tolist()), tuple(std.tolist())


def cosine_decay(done: float) -> float:
    """Factor of the learning rate when a share of the training is done: from 1 to 0.01."""
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))


def train(
    files,
    architecture: str,
    output,
    *,
    spec: InputSpec | None = None,
    hyperparameters: dict | None = None,
    beta: float = 0.01,
    distance: str = "features",
    region: str | None = "sideband",
    max_events: int | None = None,
    epochs: int = 40,
    batch_size: int = 256,
    learning_rate: float = 1e-3,
    clip_norm: float | None = None,
    patience: int = 5,
    validation_split: float = 0.1,
    seed: int = 1,
) -> TrainedModel:
    """Train a VAE and write its model directory.

    Adam; the learning rate falls along a cosine over the epochs; the training ends when the validation
    loss has not fallen for ``patience`` epochs; the weights of the best epoch are kept. The validation
    loss is the one of scoring: z_mean decoded.

    Parameters
    ----------
    files : as for `read_dijets`
        Events to train on; the study's selection is applied to them. Of files that hold single jets (as
        JetClass), its cuts on a jet are, and ``region`` is None.
    architecture : str
        A name in the table of `hepvae.models`.
    output : path
        The model directory: ``model.keras``, ``model.onnx``, ``history.json``; files of an earlier
        training in it are replaced. A model that does not pass the export is kept as ``.keras``.
    spec : InputSpec, optional
    hyperparameters : dict, optional
        Those of the architecture that differ from its defaults.
    beta : float
        Weight of the KL term.
    distance : {"features", "momenta"}
        Between two particles, see `losses.DISTANCES`.
    region : {"sideband", "signal", None}
        Events to train on.
    max_events : int, optional
        Use the first so many.
    clip_norm : float, optional
        Longest gradient of a batch; longer ones are shortened (default: by the distance). The loss is in GeV^2: a
        jet of one hard constituent may have 10^5 times that of others, and Adam would take small steps long after.
    seed : int
        Of weights, shuffling and latent noise. The same seed gives the same losses, on the same machine:
        TensorFlow is told to be deterministic, for the rest of the process.

    Returns
    -------
    TrainedModel

    Raises
    ------
    DataError
        Too few events pass the selection, or the training diverged.
    OptionError
        A number is out of its range.
    ModelError
        The export did not hold.
    """
    spec = spec or InputSpec()
    check_distance(distance, spec)
    clip_norm = DISTANCES[distance].clip_norm if clip_norm is None else clip_norm
    _check_options(
        epochs=epochs,
        batch_size=batch_size,
        patience=patience,
        max_events=max_events,
        validation_split=validation_split,
        learning_rate=learning_rate,
        clip_norm=clip_norm,
        beta=beta,
    )
    require("tf2onnx", "training")  # needed at its end: better missed now
    hyperparameters = complete(architecture, hyperparameters)
    import keras

    from ..models.vae import VAE

    jets, record = training_jets(files, spec, region=region, max_events=max_events)
    # Split by events, so that no jet of a validation event was trained on.
    validation = int(validation_split * len(jets))
    if validation == 0:
        raise DataError(f"{len(jets)} events to train on: too few to keep {validation_split:.0%} for validation")
    make_folder(output)
    jets = jets[np.random.default_rng(seed).permutation(len(jets))]
    validating, training = (part.reshape(-1, *spec.shape) for part in (jets[:validation], jets[validation:]))

    keras.utils.set_random_seed(seed)
    require("tensorflow", "training").config.experimental.enable_op_determinism()
    mean, std = normalisation(training)
    card = ModelCard(architecture, spec, mean, std, beta, hyperparameters, distance=distance)
    trained = VAE(card)
    trained.compile(optimizer=keras.optimizers.Adam(learning_rate, global_clipnorm=clip_norm))
    callbacks = [
        keras.callbacks.LearningRateScheduler(lambda epoch: learning_rate * cosine_decay(epoch / epochs)),
        keras.callbacks.EarlyStopping("val_loss", patience=patience, restore_best_weights=True),
        keras.callbacks.TerminateOnNaN(),
    ]
    batches = epochs * -(-len(training) // batch_size)
    with progress_bar(f"training {architecture}", batches) as advance:
        shown = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: advance(1),
            on_epoch_end=lambda epoch, logs: advance(
                description=f"{architecture}, epoch {epoch + 1}: validation loss {logs['val_loss']:.4g}"
            ),
        )
        fitted = trained.fit(
            training,
            validation_data=(validating,),
            epochs=epochs,
            batch_size=batch_size,
            callbacks=[*callbacks, shown],
            verbose=0,
        )
    history = {name: [float(v) for v in values] for name, values in fitted.history.items()}
    best = int(np.argmin(history["val_loss"]))
    if not np.isfinite(history["val_loss"][best]):
        raise DataError("the training diverged: its validation loss is not finite")
    card = card.with_provenance(
        sample=record,
        training_jets=len(training),
        validation_jets=len(validating),
        epochs=len(history["val_loss"]),
        best_epoch=best + 1,
        validation_loss=history["val_loss"][best],
        batch_size=batch_size,
        learning_rate=learning_rate,
        clip_norm=clip_norm,
        seed=seed,
        versions={p: version(p) for p in ("hepvae", "keras", "tensorflow")},
    )
    # A model of its own for the weights: the trained one would save the state of its optimiser too.
    model = VAE(card)
    model.encoder.set_weights(trained.encoder.get_weights())
    model.decoder.set_weights(trained.decoder.get_weights())
    return TrainedModel(model, history, _write(model, history, validating, Path(output)))


def _write(model, history, jets, output: Path) -> Parity:
    """Write the model directory; a model that does not pass the export is kept, without ``model.onnx``."""
    with whole_file(output / "model.keras") as file:
        model.save(file)
    with whole_file(output / "history.json") as file:
        file.write_text(json.dumps(history, indent=1) + "\n")
    (output / "model.onnx").unlink(missing_ok=True)  # of an earlier training
    return export_onnx(model, output / "model.onnx", jets=jets)


def _check_options(**values) -> None:
    for name in ("epochs", "batch_size", "patience", "max_events"):
        value = values[name]
        if value is not None and (not isinstance(value, int) or value < 1):
            raise OptionError(f"{name} is {value!r}: expected a positive whole number")
    for name, high in (
        ("validation_split", 1),
        ("learning_rate", np.inf),
        ("clip_norm", np.inf),
        ("beta", np.inf),
    ):
        if not 0 <= values[name] < high or (name != "beta" and values[name] == 0):
            raise OptionError(f"{name} is {values[name]!r}: expected a number from 0 to {high}")
