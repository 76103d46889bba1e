"""From Keras to a self-describing LiteRT file, checked against TensorFlow before it is written.

The graph is that of encoder and decoder, up to the reconstruction and the KL loss: the distances of particles are
hepvae's loop on every runtime. It is traced with two large primes for the numbers of jets and particles, which are
found again in it as they are in `rewrites`; see `inference.litert_file` for what becomes of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from ..errors import ModelError, one_line
from ..extras import quiet_stderr, require, versions
from ..inference.litert import outputs_of
from ..inference.litert_file import LiteRtFile, find_sizes, graph_problem, write_litert
from ..models.contract import CARD_KEY, LEAST_PARTICLES_KEY, RECO_LOSS_KEY
from .export import ExportKind, Writer, exported, least_particles, reco_loss_of, traceable
from .free_axes import TRACED_JETS, TRACED_PARTICLES
from .parity import TOLERANCE, Parity

if TYPE_CHECKING:
    from ..models.card import ModelCard
    from ..models.jet_model import JetModel

__all__ = ["export_litert", "litert_file", "tflite"]


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

    def built(of: JetModel, path: Path) -> Writer:
        file = _converted(of, path)

        def write(to: Path, record: Mapping[str, str]) -> None:
            file.metadata.update(record)
            write_litert(to, file)

        return write

    about = {"versions": versions(("tensorflow", "keras", "ai-edge-litert"))}
    return exported(model, Path(path), jets, tolerance, ExportKind("LiteRT", ".tflite", built, about))


def _converted(model: JetModel, path: Path) -> LiteRtFile:
    """The graph of a model, for one jet of the full length, and where its sizes are."""
    from ..inference.tensorflow import traced

    longer, free = traceable(model)
    metadata: dict[str, Any] = {LEAST_PARTICLES_KEY: str(least_particles(model.card)), **reco_loss_of(model)}
    outputs = outputs_of(model.card, metadata.get(RECO_LOSS_KEY))
    return litert_file(traced(longer, outputs, jets=TRACED_JETS), model.card, metadata, path, free_particles=free)


def litert_file(
    function: Any, card: ModelCard, metadata: Mapping[str, Any], path: Path, *, free_particles: bool
) -> LiteRtFile:
    """A ``tf.function`` of `TRACED_JETS` jets, as a file for any number of them.

    Parameters
    ----------
    function : tf.function
        Of `inference.litert.outputs_of`, by name.
    metadata : mapping
        What there is besides the card.
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
    return LiteRtFile(graph, sizes, {CARD_KEY: card.to_json(), **metadata, "outputs": outputs})


def tflite(function: Any) -> bytes:
    """The frozen graph of a ``tf.function``; its outputs are in the order of their names."""
    tf = require("tensorflow", "export to LiteRT")
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    with quiet_stderr():
        frozen = convert_variables_to_constants_v2(function.get_concrete_function())
        content: bytes = tf.lite.TFLiteConverter.from_concrete_functions([frozen]).convert()
    return content
