"""Training a VAE on dijets: fit, history, provenance."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..conversion.export import export_litert, export_onnx, least_particles
from ..conversion.parity import Parity
from ..errors import DataError, FileError, HepvaeError, OptionError
from ..extras import require
from ..jets.spec import InputSpec
from ..models import ArchitectureName
from ..models import architecture as row_of
from ..models import hyperparameters as complete
from ..models.card import ModelCard, Reconstruction
from ..models.losses import check_distance
from ..output.files import make_folder, whole_file
from ..reading.sources import Files, resolve
from .jets import Indices, StoredJets, normalisation, store_jets, stored_jets
from .loop import Progress, fit
from .options import TrainingOptions

if TYPE_CHECKING:
    from ..models.jet_model import JetModel

__all__ = ["TrainedModel", "train"]

#: Of a model directory.
FILES = ("model.keras", "model.onnx", "model.tflite", "history.json")
#: In a model directory, while a training lasts: padded jets and the state after the last epoch.
UNFINISHED = ".training"
#: Validation jets that runtimes are compared on.
PARITY_JETS = 10_000


@dataclass(frozen=True)
class TrainedModel:
    """What a training leaves."""

    model: JetModel
    """The model, with the weights of its best epoch."""
    history: dict[str, list[float]]
    """Losses, validation losses and learning rate of each epoch."""
    parity: Parity
    """Comparison of TensorFlow and ONNX Runtime on validation jets."""


def train(
    files: Files,
    architecture: ArchitectureName,
    output: str | Path,
    options: TrainingOptions | None = None,
    *,
    spec: InputSpec | None = None,
    hyperparameters: Mapping[str, Any] | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> TrainedModel:
    """Train a VAE and write its model directory.

    Adam; the training ends when the validation loss has not fallen for ``patience`` epochs; the weights of the
    best epoch are kept. The validation loss is the one of scoring: z_mean decoded. Jets of a model that masks
    padding are trained on with others of similar multiplicity, cut to the longest: no loss depends on padding.

    The same seed gives the same losses, on the same machine: TensorFlow is told to be deterministic, for the rest
    of the process. Memory does not grow with the number of events: padded jets are kept in a file in ``output``,
    while the training lasts.

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
    options : TrainingOptions, optional
    spec : InputSpec, optional
        By default that of the architecture.
    hyperparameters : dict, optional
        Those of the architecture that differ from its defaults.
    resume : bool
        Whether to go on where a training of the same files and options was interrupted. The losses are those of
        a training that was not. Without one, it begins.
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
        A number is out of its range, or other options are resumed with.
    FileError
        There is a trained model already, or a training that was interrupted.
    TrainingInterrupted
        SIGINT or SIGTERM came; the training can be resumed.
    ModelError
        The export did not hold.
    """
    options, spec, output = options or TrainingOptions(), spec or row_of(architecture).spec, Path(output)
    check_distance(options.distance, spec)
    hyperparameters = complete(architecture, hyperparameters)
    if hyperparameters.get("neighbours", 0) > spec.n_particles:
        raise OptionError(
            f"{architecture}: neighbours is {hyperparameters['neighbours']}: expected at most the"
            f" {spec.n_particles} particles of a jet"
        )
    for file in (output / name for name in FILES):
        if file.exists() and not overwrite:
            raise FileError(
                f"{file}: a trained model is there: choose a new folder, or --overwrite (overwrite=True)"
            )
    require("tf2onnx", "training")  # needed at its end: better missed now
    sources = resolve(files)
    what = {
        "files": [source.name for source in sources],
        "model": architecture,
        "spec": spec.to_dict(),
        "hyperparameters": hyperparameters,
        **asdict(options),
    }
    folder = _unfinished(output, what, resume=resume, overwrite=overwrite)
    stored = stored_jets(folder, spec)
    try:
        stored = stored or store_jets(folder, sources, spec, region=options.region, max_events=options.max_events)
        training, validating = _split(stored, options)
    except HepvaeError:  # there is nothing to go on with
        shutil.rmtree(folder)
        with suppress(OSError):  # the model directory, where it was made for the training
            output.rmdir()
        raise
    model, progress = _trained(stored, training, validating, architecture, hyperparameters, options, folder)
    jets = stored.read(validating[:PARITY_JETS], spec.n_particles)
    _write(model, progress.history, output)
    shutil.rmtree(folder)  # what follows needs the model only
    return TrainedModel(model, progress.history, _export(model, jets, output))


def _unfinished(output: Path, what: dict[str, Any], *, resume: bool, overwrite: bool) -> Path:
    """The folder of the state of a training, empty unless one is resumed."""
    folder = output / UNFINISHED
    about, text = folder / "options.json", json.dumps(what, indent=1)
    if folder.exists() and not resume:
        if not overwrite:
            raise FileError(
                f"{output}: a training was interrupted there: expected --resume (resume=True), or --overwrite"
                " (overwrite=True) to begin anew"
            )
        shutil.rmtree(folder)
    elif about.exists():
        try:
            before = json.loads(about.read_text())
        except (OSError, ValueError) as error:
            raise FileError(f"{about}: cannot be read: expected --overwrite, to begin anew") from error
        for name, value in json.loads(text).items():
            if before.get(name) != value:
                raise OptionError(
                    f"{output}: {name} is {value!r}, and the training to resume has {before.get(name)!r}: expected"
                    " the same, or --overwrite without --resume to begin anew"
                )
    make_folder(folder)
    with whole_file(about) as file:
        file.write_text(text + "\n")
    return folder


def _split(stored: StoredJets, options: TrainingOptions) -> tuple[Indices, Indices]:
    """Jets to train and to validate on, split by events, so that no jet of a validation event was trained on."""
    validation = int(options.validation_split * stored.entries)
    if validation == 0:
        read = sum(file["events"] for file in stored.record["files"])
        raise DataError(
            f"{stored.entries} events to train on, of {read} that were read: too few to keep"
            f" {options.validation_split:.0%} for validation; the selection ({options.region or 'no'} region) kept"
            f" {stored.record['events_selected']}"
        )
    entries = np.random.default_rng(options.seed).permutation(stored.entries)
    jets = (entries[:, None] * stored.together + np.arange(stored.together)).astype(np.int64)
    return jets[validation:].reshape(-1), jets[:validation].reshape(-1)


def _trained(
    stored: StoredJets,
    training: Indices,
    validating: Indices,
    architecture: ArchitectureName,
    hyperparameters: dict[str, Any],
    options: TrainingOptions,
    folder: Path,
) -> tuple[JetModel, Progress]:
    """A model with its best weights and the provenance of its training."""
    import keras

    from ..models.vae import new_model

    keras.utils.set_random_seed(options.seed)
    require("tensorflow", "training").config.experimental.enable_op_determinism()
    mean, std = normalisation(stored, training)
    row = row_of(architecture)
    card = ModelCard(
        architecture,
        stored.spec,
        mean,
        std,
        options.beta,
        hyperparameters,
        distance=options.distance,
        losses=row.losses,
        reconstruction=Reconstruction() if row.is_vae else None,
        strategy=row.strategy,
    )
    trained = new_model(card)
    # XLA takes no loops of ours, and was slower.
    trained.compile(
        optimizer=keras.optimizers.Adam(options.learning_rate, global_clipnorm=options.longest_gradient),
        jit_compile=False,
    )
    least = least_particles(card) if trained.any_length else None
    progress = fit(trained, stored, training, validating, options, folder, least)
    card = card.with_provenance(
        sample=stored.record,
        training_jets=len(training),
        validation_jets=len(validating),
        epochs=progress.epochs,
        best_epoch=progress.best_epoch,
        validation_loss=min(progress.history["val_loss"]),
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        warm_up=options.warm_up,
        clip_norm=options.longest_gradient,
        seed=options.seed,
        versions={p: version(p) for p in ("hepvae", "keras", "tensorflow")},
    )
    # A model of its own for the weights: the trained one would save the state of its optimiser too.
    model = new_model(card)
    model.set_weights(trained.get_weights())
    return model, progress


def _write(model: JetModel, history: Mapping[str, list[float]], output: Path) -> None:
    """Write the model and its history in the place of all files of an earlier training."""
    with whole_file(output / "model.keras") as file:
        model.save(file)
    with whole_file(output / "history.json") as file:
        file.write_text(json.dumps(history, indent=1) + "\n")
    for name in ("model.onnx", "model.tflite"):
        (output / name).unlink(missing_ok=True)


def _export(model: JetModel, jets: npt.NDArray[np.float32], output: Path) -> Parity:
    """Export for other runtimes. Of an export that is not passed, no file is left, and the model is."""
    parity = export_onnx(model, output / "model.onnx", jets=jets)
    if find_spec("ai_edge_litert"):
        export_litert(model, output / "model.tflite", jets=jets)
    return parity
