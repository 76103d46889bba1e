"""From Keras to a self-describing ONNX file, checked against TensorFlow before it is written."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import ModelError, OptionError
from ..extras import require, versions
from ..inference import load_inferer
from ..inference.onnx_graph import write_model
from ..models.bundled import reference_jets
from ..models.card import ModelCard
from ..models.contract import (
    CARD_KEY,
    EXPORT_KEY,
    INPUT,
    LEAST_PARTICLES_KEY,
    RECO_LOSS_KEY,
    RecoLoss,
)
from ..output.files import check_output, make_folder, whole_file
from .free_axes import TRACED_JETS, TRACED_PARTICLES
from .parity import TOLERANCE, Parity, as_written, held
from .rewrites import rewrite

if TYPE_CHECKING:
    from ..models.jet_model import JetModel

__all__ = ["ExportKind", "Writer", "export_onnx", "exported", "least_particles", "reco_loss_of", "traceable"]

OPSET = 18


def export_onnx(
    model: JetModel | str | Path,
    path: str | Path,
    *,
    jets: npt.ArrayLike | None = None,
    tolerance: float = TOLERANCE,
) -> Parity:
    """Export a model as one ``.onnx`` file that carries its card.

    The graph takes ``particles`` (jets, n_particles, n_features), any number of jets, and gives what the card
    names: of a VAE ``loss``, ``reco_loss``, ``kl_loss`` and ``reconstruction``; the decoder sees z_mean.

    Parameters
    ----------
    model : JetModel, path
        The model, a ``.keras`` file, or a model directory.
    path : path
        The ``.onnx`` file to write. Nothing is left there when the export fails.
    jets : array (jets, n_particles, n_features), optional
        Padded jets on which TensorFlow and ONNX Runtime are compared; by default real jets of the
        bundled samples.
    tolerance : float
        Largest difference of any loss of any jet, as `Parity` has it.

    Returns
    -------
    Parity
        The worst jet of the comparison; also kept in the metadata of the file.

    Raises
    ------
    OptionError
        The file to write is not called ``.onnx``: no runtime would load it.
    ModelError
        The runtimes differ by more than ``tolerance`` (the worst jet is shown), or the converted
        graph is not the one expected.

    Examples
    --------
    >>> parity = hepvae.export_onnx(hepvae.model_path("conv", runtime="tensorflow"), "model.onnx")
    >>> hepvae.load_inferer("model.onnx").runtime
    'onnxruntime'
    """
    tf2onnx, onnx = require("tf2onnx", "export"), require("onnx", "export")

    def built(of: JetModel, path: Path) -> Writer:
        proto = _converted(tf2onnx, onnx, of)
        _check_graph(proto, tuple(of.card.outputs), path)
        metadata = {
            CARD_KEY: of.card.to_json(),
            LEAST_PARTICLES_KEY: str(least_particles(of.card)),
            **reco_loss_of(of),
        }

        def write(file: Path, record: Mapping[str, str]) -> None:
            onnx.checker.check_model(proto, full_check=True)
            write_model(proto, file, {**metadata, **record})

        return write

    about = {"opset": OPSET, "versions": versions(("tensorflow", "keras", "tf2onnx", "onnxruntime"))}
    return exported(model, Path(path), jets, tolerance, ExportKind("ONNX Runtime", ".onnx", built, about))


#: Writes the file of a model to a path, with what else its metadata are to have.
Writer = Callable[[Path, Mapping[str, str]], None]


@dataclass(frozen=True)
class ExportKind:
    """One kind of file."""

    runtime: str
    """That reads it, for messages."""
    suffix: str
    build: Callable[[JetModel, Path], Writer]
    """Converts a model; the path is for messages."""
    about: Mapping[str, Any]
    """What the record of the export has besides the `Parity`."""


def exported(
    model: JetModel | str | Path, path: Path, jets: npt.ArrayLike | None, tolerance: float, kind: ExportKind
) -> Parity:
    """Write the file of a model, compared with TensorFlow before it appears; see `export_onnx`."""
    if path.suffix != kind.suffix:
        raise OptionError(f"{path}: expected a name that ends in {kind.suffix}")
    check_output(make_folder(path.parent) / path.name)
    from ..models.jet_model import JetModel
    from ..models.vae import load_vae

    if not isinstance(model, JetModel):
        model = load_vae(Path(model) / "model.keras" if Path(model).is_dir() else model)
    padded = reference_jets(model.card.spec) if jets is None else np.asarray(jets, np.float32)
    if len(padded) == 0:
        raise ModelError(f"{path}: an export needs jets to be checked on, and there are none")
    write = kind.build(model, path)
    with whole_file(path) as temporary, tempfile.TemporaryDirectory(prefix="hepvae-export-") as folder:
        keras_file = Path(folder, "model.keras")
        model.save(keras_file)
        write(temporary, {})
        try:
            as_exported = as_written(temporary)
        except ModelError as error:  # which names the temporary file
            raise ModelError(str(error).replace(str(temporary.absolute()), str(path))) from error
        losses = load_inferer(keras_file)(padded), as_exported(padded)
        parity = held(*losses, f"{path}: TensorFlow and {kind.runtime} differ", tolerance)
        write(temporary, {EXPORT_KEY: json.dumps({**parity.record(), **kind.about}, indent=1)})
    return parity


def _converted(tf2onnx: Any, onnx: Any, model: JetModel) -> Any:
    """The graph of a model, for any number of jets; of a masked model for any number of particles, too."""
    from ..inference.tensorflow import traced

    model, free = traceable(model)
    function = traced(model, tuple(model.card.outputs), jets=TRACED_JETS, by_product=True)
    proto, _ = tf2onnx.convert.from_function(function, input_signature=function.input_signature, opset=OPSET)
    rewrite(onnx, proto, free_particles=free)
    return proto


def traceable(model: JetModel) -> tuple[JetModel, bool]:
    """A model for `TRACED_PARTICLES`, where it masks padding, and whether it is that; else the model itself."""
    # Of a masked model no weight depends on n_particles; neighbours are as many as it was built with.
    free = model.mask is not None and model.card.spec.n_particles >= least_particles(model.card)
    if not free:
        return model, False
    longer = type(model)(replace(model.card, spec=replace(model.card.spec, n_particles=TRACED_PARTICLES)))
    longer.set_weights(model.get_weights())
    return longer, True


def reco_loss_of(model: JetModel) -> dict[str, RecoLoss]:
    """What the reconstruction loss of a model is, as the metadata say it; nothing of a model without one."""
    if model.card.reconstruction is None:
        return {}
    return {RECO_LOSS_KEY: "chamfer" if model.mask is None else "masked chamfer"}


def least_particles(card: ModelCard) -> int:
    """The fewest particles that a graph of a masked model takes: each needs its neighbours."""
    return max(1, int(card.hyperparameters.get("neighbours", 0)))


def _check_graph(proto: Any, expected: Sequence[str], path: Path) -> None:
    """The traps of tf2onnx with Keras 3: lost names, constants as inputs, random numbers."""
    inputs = [node.name for node in proto.graph.input]
    outputs = {node.name for node in proto.graph.output}
    if inputs != [INPUT] or outputs != set(expected):
        raise ModelError(
            f"{path}: converted graph has inputs {inputs} and outputs {sorted(outputs)}:"
            f" expected {[INPUT]} and {sorted(expected)}"
        )
    random = {node.op_type for node in proto.graph.node if "Random" in node.op_type}
    if random:
        raise ModelError(
            f"{path}: converted graph draws random numbers ({', '.join(sorted(random))}): expected the decoder to"
            " take z_mean, as a score must be the same twice"
        )
