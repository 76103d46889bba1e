"""Models that others trained, written as a model directory of hepvae: `adopt`.

What stands before the network (transforms, transposition, mask) and behind it (losses) becomes part of its graph,
so that everything else works with it as with a model that hepvae trained.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from ..errors import LayoutError, ModelError
from ..extras import versions
from ..jets.padding import pad_particles
from ..models.bundled import reference_jets
from ..models.card import ADOPTED, ModelCard, Reconstruction
from ..models.contract import SAVED_MODEL
from ..models.foreign import ForeignCard, Values, resolved
from ..models.foreign_file import draft, read_card
from ..output.files import already_there, whole_folder
from ..reading.dijets import read_dijets
from .adapter import invertible
from .adopted import REGROUPED, Adoption, Array, compiled_distances
from .network import OnnxNetwork
from .networks import TensorFlowNetwork, load_network
from .onnx_adoption import adopt_onnx
from .parity import Parity
from .tensorflow_adoption import adopt_tensorflow

__all__ = ["adopt", "draft_card"]

#: Jets that are checked on: more tell no more.
CHECKED_JETS = 2000
#: Whose versions are kept.
PACKAGES = ("hepvae", "tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime")


def adopt(
    model: Any,
    card: str | Path | Mapping[str, Any],
    *,
    decoder: Any = None,
    output: str | Path,
    jets: Any = None,
    custom: Mapping[str, Any] | str | Path | None = None,
    trust_code: bool = False,
    overwrite: bool = False,
) -> dict[str, Parity]:
    """Write the model directory of a model that others trained.

    Parameters
    ----------
    model : path or object
        A ``.keras`` or ``.h5`` file, a SavedModel folder, an ``.onnx`` file; a Keras model or a ``ModelProto``.
    card : path or mapping
        What the model does not say itself: a TOML file, or what it would hold (see `models.foreign_file`).
    decoder : path or object, optional
        Where ``model`` is an encoder: what takes its ``z_mean``.
    output : path
        The folder to write: ``model.onnx``, and where the model is TensorFlow's ``saved_model/`` and, if LiteRT is
        installed and can run it, ``model.tflite``. Nothing is left there when the adoption fails.
    jets : awkward array or files, optional
        Events, or jets with constituents, to check on, or files as for `read_dijets`; by default of the bundled
        samples.
    custom : dict or path, optional
        Names that the code of a Keras file needs, or a Python file that defines them; implies ``trust_code``.
    trust_code : bool
        Whether code that a Keras file brings along may run.
    overwrite : bool
        Whether a folder that exists may be replaced.

    Returns
    -------
    dict of str to Parity
        ``source``: what was written, on ONNX Runtime, against the network as it came, with features and losses
        by NumPy in float64; ``tensorflow``: against its TensorFlow form, where it has one; ``litert``: of
        ``model.tflite`` against that. All are kept in the files.

    Raises
    ------
    ModelError
        The card does not fit the model, an output in use is random or depends on other jets of a batch, or the
        runtimes differ by more than the parity allows.
    FileError
        The folder exists, or cannot be written.

    Examples
    --------
    >>> inputs = {"tensor": "particles", "features": ["eta", "phi", "pt"], "n_particles": 100}
    >>> card = {"name": "other", "input": inputs, "output": {"losses": {"loss": "loss"}}}
    >>> parities = hepvae.adopt(hepvae.model_path("conv"), card, output="adopted")
    >>> parities["source"].worst <= 5e-4, hepvae.load_inferer("adopted").runtime
    (True, 'onnxruntime')
    """
    output = Path(output)
    if output.exists() and not overwrite and (not output.is_dir() or any(output.iterdir())):
        raise already_there(output)
    described = read_card(card)
    networks = [
        load_network(one, custom=custom, trust_code=trust_code) for one in (model, decoder) if one is not None
    ]
    described = _resolved(described, networks)
    padded = _check_jets(described, jets)
    if all(isinstance(one, OnnxNetwork) for one in networks):
        build = adopt_onnx
    elif all(isinstance(one, TensorFlowNetwork) for one in networks):
        build = adopt_tensorflow
    else:
        raise ModelError("encoder and decoder are of two kinds: expected both TensorFlow's, or both ONNX")
    record = _model_card(described, _batch_size(networks), _provenance(card, described, networks, model, decoder))
    with whole_folder(output) as folder:
        parities = build(Adoption(described, networks, padded, folder, record))
        if isinstance(card, (str, Path)):
            shutil.copyfile(card, folder / "card.toml")
    return parities


def draft_card(
    model: Any, *, custom: Mapping[str, Any] | str | Path | None = None, trust_code: bool = False
) -> str:
    """The text of a card with what a model itself tells, and comments at what it cannot know.

    Raises
    ------
    ModelError
        The model cannot be read.
    """
    network = load_network(model, custom=custom, trust_code=trust_code)
    path = Path(model).absolute() if isinstance(model, (str, Path)) else Path("my-model")
    return draft(
        path.parent.name if path.stem in ("model", SAVED_MODEL) else path.stem, network.inputs, network.outputs
    )


def _resolved(card: ForeignCard, networks: list[Any]) -> ForeignCard:
    """The card with what the model tells of its inputs."""
    shapes = networks[0].inputs
    if not shapes:  # a subclassed Keras model, which tells nothing
        shapes = {one.tensor or "x": None for one in card.inputs}
    if len(networks) > 1 and card.outputs.z_mean is None:
        raise ModelError(f"{card.at(('output',))}: output.z_mean is missing: the decoder takes it")
    return resolved(card, shapes)


def _check_jets(card: ForeignCard, jets: Any) -> Array:
    """Padded jets to check on, of an even number."""
    if jets is None:
        try:
            padded = reference_jets(card.spec)
        except LayoutError as error:
            raise LayoutError(
                f"{error}; that is a bundled sample: expected --check (jets=) with what has it"
            ) from error
    elif isinstance(jets, np.ndarray):
        card.spec.check(jets)
        padded = np.asarray(jets, np.float32).reshape(-1, *card.spec.shape)
    else:
        events = jets if isinstance(jets, ak.Array) else read_dijets(jets, entry_stop=CHECKED_JETS, spec=card.spec)
        padded = pad_particles(events, card.spec).reshape(-1, *card.spec.shape)
    padded = padded[np.isfinite(padded).all(axis=(1, 2))][:CHECKED_JETS]
    if len(padded) < 2 * REGROUPED:
        raise ModelError(f"{len(padded)} jets to check the model on: expected at least {2 * REGROUPED}")
    return np.ascontiguousarray(padded)


def _provenance(given: Any, card: ForeignCard, networks: list[Any], model: Any, decoder: Any) -> dict[str, Any]:
    text = Path(given).read_text(encoding="utf-8") if isinstance(given, (str, Path)) else repr(dict(given))
    named = [
        str(Path(one).name) if isinstance(one, (str, Path)) else type(one).__name__ for one in (model, decoder)
    ]
    return {
        "name": card.name,
        "sources": [name for name, one in zip(named, (model, decoder)) if one is not None],
        "tool": networks[0].tool,
        "card": text,
        "versions": versions(PACKAGES),
    }


def _model_card(card: ForeignCard, batch_size: int | None, provenance: dict[str, Any]) -> ModelCard:
    """The record that every file of the model carries."""
    of, distance = card.reconstructed, "features"
    reconstruction = None
    if card.outputs.reconstruction is not None and of is not None:
        names = tuple(f.name for f in of.features)
        values: Values = "physical" if invertible(card) else "network"
        reconstruction = Reconstruction(values, names, of.n_particles or 1)
    if compiled_distances(card) and card.loss is not None:
        distance = card.loss.distance
    return ModelCard(
        architecture=ADOPTED,
        spec=card.spec,
        mean=(),
        std=(),
        beta=card.loss.kl_weight if card.loss is not None else 0.0,
        hyperparameters={"name": card.name},
        provenance=provenance,
        distance=distance,
        losses=card.outputs.names,
        reconstruction=reconstruction,
        batch_size=batch_size,
    )


def _batch_size(networks: list[Any]) -> int | None:
    sizes = {network.batch_size for network in networks} - {None}
    if len(sizes) > 1:
        raise ModelError(
            f"encoder and decoder take {' and '.join(map(str, sorted(sizes)))} jets at once: expected one size"
        )
    return next(iter(sizes), None)
