"""From Keras to self-describing ONNX and LiteRT files, checked against TensorFlow before they are written.

Both graphs are traced with two large primes for the numbers of jets and particles, which are found again in them:
`rewrites` says what becomes of them in ONNX, `inference.litert_file` in LiteRT. LiteRT's graph is that of encoder
and decoder, up to the reconstruction and the KL loss: the distances of particles are hepvae's loop there.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import ModelError, OptionError, one_line
from ..extras import quiet_stderr, require, versions
from ..inference import load_inferer
from ..inference.litert import outputs_of
from ..inference.litert_file import LiteRtFile, find_sizes, graph_problem, write_litert
from ..inference.onnx_graph import write_model
from ..inference.tensorflow import traced
from ..models.bundled import reference_jets
from ..models.card import ModelCard
from ..models.contract import CARD_KEY, EXPORT_KEY, INPUT, LEAST_PARTICLES_KEY, RECO_LOSS_KEY
from ..output.files import check_output, make_folder, whole_file
from .parity import TOLERANCE, Parity, as_written, held
from .rewrites import TRACED_JETS, TRACED_PARTICLES, rewrite

if TYPE_CHECKING:
    from ..models.jet_model import JetModel

__all__ = ["export_litert", "export_onnx", "least_particles", "litert_file", "tflite"]

OPSET = 18

#: Writes the file of a model to a path, with what else its metadata are to have.
Writer = Callable[[Path, Mapping[str, str]], None]


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

    def writer(of: JetModel, path: Path) -> Writer:
        longer, free = _traceable(of)
        function = traced(longer, tuple(of.card.outputs), jets=TRACED_JETS, by_product=True)
        proto, _ = tf2onnx.convert.from_function(function, input_signature=function.input_signature, opset=OPSET)
        rewrite(onnx, proto, free_particles=free)
        _check_graph(proto, tuple(of.card.outputs), path)

        def write(file: Path, record: Mapping[str, str]) -> None:
            onnx.checker.check_model(proto, full_check=True)
            write_model(proto, file, {**_metadata(of), **record})

        return write

    about = {"opset": OPSET, "versions": versions(("tensorflow", "keras", "tf2onnx", "onnxruntime"))}
    return _exported(model, Path(path), jets, tolerance, ("ONNX Runtime", ".onnx"), writer, about)


def export_litert(
    model: JetModel | str | Path,
    path: str | Path,
    *,
    jets: npt.ArrayLike | None = None,
    tolerance: float = TOLERANCE,
) -> Parity:
    """Export a model as one ``.tflite`` file that carries its card.

    Parameters and errors are those of `export_onnx`, with LiteRT in the place of ONNX Runtime.

    Returns
    -------
    Parity
        The worst jet of the comparison; also kept in the metadata of the file.

    Examples
    --------
    >>> parity = hepvae.export_litert(hepvae.model_path("conv", runtime="tensorflow"), "model.tflite")
    >>> hepvae.load_inferer("model.tflite").runtime
    'litert'
    """
    require("ai_edge_litert", "export to LiteRT")

    def writer(of: JetModel, path: Path) -> Writer:
        (longer, free), metadata = _traceable(of), _metadata(of)
        function = traced(longer, outputs_of(of.card, metadata.get(RECO_LOSS_KEY)), jets=TRACED_JETS)
        file = litert_file(function, of.card, metadata, path, free_particles=free)

        def write(to: Path, record: Mapping[str, str]) -> None:
            file.metadata.update(record)
            write_litert(to, file)

        return write

    about = {"versions": versions(("tensorflow", "keras", "ai-edge-litert"))}
    return _exported(model, Path(path), jets, tolerance, ("LiteRT", ".tflite"), writer, about)


def _exported(
    model: JetModel | str | Path,
    path: Path,
    jets: npt.ArrayLike | None,
    tolerance: float,
    kind: tuple[str, str],
    writer: Callable[[JetModel, Path], Writer],
    about: Mapping[str, Any],
) -> Parity:
    """Write the file of a model, compared with TensorFlow before it appears; see `export_onnx`.

    Parameters
    ----------
    kind : tuple of str
        The runtime that reads it, for messages, and the end of its name.
    writer : callable
        Converts a model; the path is for messages.
    about : mapping
        What the record of the export has besides the `Parity`.
    """
    runtime, suffix = kind
    if path.suffix != suffix:
        raise OptionError(f"{path}: expected a name that ends in {suffix}")
    check_output(make_folder(path.parent) / path.name)
    from ..models.jet_model import JetModel
    from ..models.vae import load_vae

    if not isinstance(model, JetModel):
        model = load_vae(Path(model) / "model.keras" if Path(model).is_dir() else model)
    padded = reference_jets(model.card.spec) if jets is None else np.asarray(jets, np.float32)
    if len(padded) == 0:
        raise ModelError(f"{path}: an export needs jets to be checked on, and there are none")
    write = writer(model, path)
    with whole_file(path) as temporary, tempfile.TemporaryDirectory(prefix="hepvae-export-") as folder:
        keras_file = Path(folder, "model.keras")
        model.save(keras_file)
        write(temporary, {})
        try:
            as_exported = as_written(temporary)
        except ModelError as error:  # which names the temporary file
            raise ModelError(str(error).replace(str(temporary.absolute()), str(path))) from error
        losses = load_inferer(keras_file)(padded), as_exported(padded)
        parity = held(*losses, f"{path}: TensorFlow and {runtime} differ", tolerance)
        write(temporary, {EXPORT_KEY: json.dumps({**parity.record(), **about}, indent=1)})
    return parity


def _traceable(model: JetModel) -> tuple[JetModel, bool]:
    """A model for `TRACED_PARTICLES`, where it masks padding, and whether it is that; else the model itself."""
    # Of a masked model no weight depends on n_particles; neighbours are as many as it was built with.
    free = model.mask is not None and model.card.spec.n_particles >= least_particles(model.card)
    if not free:
        return model, False
    longer = type(model)(replace(model.card, spec=replace(model.card.spec, n_particles=TRACED_PARTICLES)))
    longer.set_weights(model.get_weights())
    return longer, True


def _metadata(model: JetModel) -> dict[str, str]:
    """What every file of a model says of it."""
    metadata = {CARD_KEY: model.card.to_json(), LEAST_PARTICLES_KEY: str(least_particles(model.card))}
    if model.card.reconstruction is not None:
        metadata[RECO_LOSS_KEY] = "chamfer" if model.mask is None else "masked chamfer"
    return metadata


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


def litert_file(
    function: Any, card: ModelCard, metadata: Mapping[str, Any], path: Path, *, free_particles: bool
) -> LiteRtFile:
    """A ``tf.function`` of `TRACED_JETS` jets, as a file for any number of them.

    Parameters
    ----------
    function : tf.function
        Of `inference.litert.outputs_of`, by name.
    metadata : mapping
        The card among it.
    path : path
        For messages.
    free_particles : bool
        Whether it is of `TRACED_PARTICLES` particles, and for any number of these.

    Raises
    ------
    ModelError
        LiteRT has no such operators, or a constant has values for each jet.
    """
    try:
        content = tflite(function)
        sizes = find_sizes(content, TRACED_JETS, TRACED_PARTICLES if free_particles else None)
    # A dozen classes of TensorFlow's converter; ValueError of `find_sizes`.
    except Exception as error:
        raise ModelError(f"{path}: cannot be converted for any number of jets: {one_line(error)}") from error
    graph = sizes.write(content, 1, card.spec.n_particles)
    problem = graph_problem(graph)
    if problem:
        raise ModelError(f"{path}: cannot be converted to LiteRT: {problem}")
    outputs = sorted(outputs_of(card, metadata.get(RECO_LOSS_KEY)))  # as TensorFlow orders a dict
    return LiteRtFile(graph, sizes, {**metadata, "outputs": outputs})


def tflite(function: Any) -> bytes:
    """The frozen graph of a ``tf.function``; its outputs are in the order of their names."""
    tf = require("tensorflow", "export to LiteRT")
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    with quiet_stderr():
        frozen = convert_variables_to_constants_v2(function.get_concrete_function())
        content: bytes = tf.lite.TFLiteConverter.from_concrete_functions([frozen]).convert()
    return content
