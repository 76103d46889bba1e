"""Training a VAE on dijets: fit, history, provenance."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError, FileError, LayoutError, OptionError
from ..execution.progress import progress_bar
from ..extras import require
from ..jets.selection import Region, Selection
from ..jets.spec import InputSpec
from ..models import ArchitectureName
from ..models import architecture as row_of
from ..models import hyperparameters as complete
from ..models.card import ModelCard, Reconstruction
from ..models.losses import DISTANCES, DistanceName, check_distance
from ..options import check_number, check_whole_number
from ..output.files import make_folder, whole_file
from ..reading.batches import padded_jets
from ..reading.options import ReadOptions
from ..reading.reports import FileReport
from ..reading.sources import Files, resolve
from .export import export_onnx
from .litert import export_litert
from .parity import Parity

if TYPE_CHECKING:
    from ..models.jet_model import JetModel

__all__ = ["TrainedModel", "train", "training_jets"]

#: Of a model directory.
FILES = ("model.keras", "model.onnx", "model.tflite", "history.json")
#: Of numbers that have no other bound: finite.
MOST = 1e30


@dataclass(frozen=True)
class TrainedModel:
    """What a training leaves."""

    model: JetModel
    """The model, with the weights of its best epoch."""
    history: dict[str, list[float]]
    """Losses, validation losses and learning rate of each epoch."""
    parity: Parity
    """Comparison of TensorFlow and ONNX Runtime on validation jets."""


def training_jets(
    files: Files, spec: InputSpec, *, region: Region | None = "sideband", max_events: int | None = None
) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
    """Padded jets of the selected events of all files, those of an entry next to each other.

    Returns
    -------
    jets : float32 array (entries, jets of an entry, n_particles, n_features)
        Two of an event, one of files that hold single jets. An event with a jet that cannot be scored is
        left out.
    record : dict
        Files and what was counted, for the provenance.
    """
    parts: list[npt.NDArray[np.float32]] = []
    files_read = []
    events_kept = jets_used = together = 0
    selection = Selection(region=region)
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
    jets = np.concatenate([*parts, np.empty((0, *spec.shape), np.float32)])
    jets = jets.reshape(-1, together or 2, *spec.shape)[:max_events]
    record = {
        "files": files_read,
        "region": region,
        "events_selected": events_kept,
        "events_used": len(jets),
    }
    return jets, record


def normalisation(jets: npt.NDArray[np.float32]) -> tuple[tuple[float, ...], tuple[float, ...]]:
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
    files: Files,
    architecture: ArchitectureName,
    output: str | Path,
    *,
    spec: InputSpec | None = None,
    hyperparameters: Mapping[str, Any] | None = None,
    beta: float = 0.01,
    distance: DistanceName = "features",
    region: Region | None = "sideband",
    max_events: int | None = None,
    epochs: int = 40,
    batch_size: int = 256,
    learning_rate: float = 1e-3,
    clip_norm: float | None = None,
    patience: int = 5,
    validation_split: float = 0.1,
    seed: int = 1,
    overwrite: bool = False,
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
        The model directory: ``model.keras``, ``model.onnx``, ``model.tflite`` where LiteRT is installed,
        ``history.json``. A model that does not pass an export is kept without that file.
    spec : InputSpec, optional
        By default that of the architecture.
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
    validation_split : float
        Share of the events to validate on: above 0, at most 0.5.
    overwrite : bool
        Whether the files of an earlier training in ``output`` may be replaced.

    Returns
    -------
    TrainedModel

    Raises
    ------
    DataError
        Too few events pass the selection, or the training diverged.
    OptionError
        A number is out of its range.
    FileError
        There is a trained model already.
    ModelError
        The export did not hold.
    """
    row = row_of(architecture)
    spec = spec or row.spec
    check_distance(distance, spec)
    clip_norm = DISTANCES[distance].clip_norm if clip_norm is None else clip_norm
    epochs, batch_size = check_whole_number("epochs", epochs), check_whole_number("batch_size", batch_size)
    patience, seed = check_whole_number("patience", patience), check_whole_number("seed", seed, lowest=0)
    if max_events is not None:
        max_events = check_whole_number("max_events", max_events)
    validation_split = _positive("validation_split", validation_split, highest=0.5)
    learning_rate, clip_norm = _positive("learning_rate", learning_rate), _positive("clip_norm", clip_norm)
    beta = check_number("beta", beta, lowest=0, highest=MOST)
    hyperparameters = complete(architecture, hyperparameters)
    if hyperparameters.get("neighbours", 0) > spec.n_particles:
        raise OptionError(
            f"{architecture}: neighbours is {hyperparameters['neighbours']}: expected at most the"
            f" {spec.n_particles} particles of a jet"
        )
    output = Path(output)
    for file in (output / name for name in FILES):
        if file.exists() and not overwrite:
            raise FileError(
                f"{file}: a trained model is there: choose a new folder, or --overwrite (overwrite=True)"
            )
    require("tf2onnx", "training")  # needed at its end: better missed now
    import keras

    from ..models.vae import new_model

    jets, record = training_jets(files, spec, region=region, max_events=max_events)
    # Split by events, so that no jet of a validation event was trained on.
    validation = int(validation_split * len(jets))
    if validation == 0:
        read = sum(file["events"] for file in record["files"])
        raise DataError(
            f"{len(jets)} events to train on, of {read} that were read: too few to keep {validation_split:.0%} for"
            f" validation; the selection ({region or 'no'} region) kept {record['events_selected']}"
        )
    make_folder(output)
    jets = jets[np.random.default_rng(seed).permutation(len(jets))]
    validating, training = (part.reshape(-1, *spec.shape) for part in (jets[:validation], jets[validation:]))

    keras.utils.set_random_seed(seed)
    require("tensorflow", "training").config.experimental.enable_op_determinism()
    mean, std = normalisation(training)
    card = ModelCard(
        architecture,
        spec,
        mean,
        std,
        beta,
        hyperparameters,
        distance=distance,
        losses=row.losses,
        reconstruction=Reconstruction() if row.is_vae else None,
        strategy=row.strategy,
    )
    trained = new_model(card)
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
    model = new_model(card)
    model.set_weights(trained.get_weights())
    return TrainedModel(model, history, _write(model, history, validating, output))


def _write(
    model: JetModel, history: Mapping[str, list[float]], jets: npt.NDArray[np.float32], output: Path
) -> Parity:
    """Write the model directory; a model that does not pass an export is kept, without the file of that export."""
    with whole_file(output / "model.keras") as file:
        model.save(file)
    with whole_file(output / "history.json") as file:
        file.write_text(json.dumps(history, indent=1) + "\n")
    for name in ("model.onnx", "model.tflite"):  # of an earlier training
        (output / name).unlink(missing_ok=True)
    parity = export_onnx(model, output / "model.onnx", jets=jets)
    if find_spec("ai_edge_litert"):
        export_litert(model, output / "model.tflite", jets=jets)
    return parity


def _positive(name: str, value: float, highest: float = MOST) -> float:
    value = check_number(name, value)
    if not 0 < value <= highest:
        raise OptionError(f"{name} is {value!r}: expected a number above 0, at most {highest:g}")
    return value
