"""From Keras to a self-describing ONNX file, checked against TensorFlow before it is written."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import ModelError, OptionError
from ..extras import require
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
from .parity import TOLERANCE, Parity, compare
from .rewrites import TRACED_JETS, TRACED_PARTICLES, rewrite

if TYPE_CHECKING:
    from ..models.jet_model import JetModel

__all__ = ["export_onnx", "least_particles", "reco_loss_of", "traceable"]

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
    path = Path(path)
    if path.suffix != ".onnx":
        raise OptionError(f"{path}: expected a name that ends in .onnx")
    check_output(make_folder(path.parent) / path.name)
    tf2onnx, onnx = require("tf2onnx", "export"), require("onnx", "export")
    from ..models.jet_model import JetModel
    from ..models.vae import load_vae

    if not isinstance(model, JetModel):
        model = load_vae(Path(model) / "model.keras" if Path(model).is_dir() else model)
    jets = reference_jets(model.card.spec) if jets is None else np.asarray(jets, np.float32)
    if len(jets) == 0:
        raise ModelError(f"{path}: an export needs jets to be checked on, and there are none")

    proto = _converted(tf2onnx, onnx, model)
    _check_graph(proto, tuple(model.card.outputs), path)
    with whole_file(path) as onnx_file, tempfile.TemporaryDirectory(prefix="hepvae-export-") as folder:
        keras_file = Path(folder, "model.keras")
        model.save(keras_file)
        about = {
            CARD_KEY: model.card.to_json(),
            LEAST_PARTICLES_KEY: str(least_particles(model.card)),
            **reco_loss_of(model),
        }
        _write(onnx, proto, onnx_file, about)
        try:
            as_exported = load_inferer(onnx_file, batching=False, compiled_distances=False)
        except ModelError as error:  # which names the temporary file
            raise ModelError(str(error).replace(str(onnx_file.absolute()), str(path))) from error
        parity = compare(load_inferer(keras_file), as_exported, jets)
        if not parity.holds(tolerance):
            raise ModelError(f"{path}: TensorFlow and ONNX Runtime differ by more than {tolerance:g}: {parity}")
        record = {
            "opset": OPSET,
            "jets": parity.jets,
            "worst_relative_difference": parity.worst,
            "events_that_change_sides": parity.moved,
            "versions": {p: version(p) for p in ("tensorflow", "keras", "tf2onnx", "onnxruntime")},
        }
        _write(onnx, proto, onnx_file, {**about, EXPORT_KEY: json.dumps(record, indent=1)})
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


@contextmanager
def without_gemm_warnings() -> Iterator[None]:
    """tf2onnx warns, on the root logger, of each product in float64 that it leaves as it is."""
    root = logging.getLogger()
    handlers = root.handlers[:]  # and gives it a handler, where there is none

    def other(record: logging.LogRecord) -> bool:
        return "Gemm rewriter" not in record.getMessage()

    root.addFilter(other)
    try:
        yield
    finally:
        root.removeFilter(other)
        root.handlers[:] = handlers


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


def store_weights_in_float32(onnx: Any, graph: Any) -> None:
    """Weights that a foreign model uses in float64 may be float32 in Keras; tf2onnx writes them out as float64.

    Half the file. ONNX Runtime casts them once, when it loads the model.
    """
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != onnx.TensorProto.DOUBLE:
            continue
        values = onnx.numpy_helper.to_array(tensor)
        single = values.astype(np.float32)
        if values.size > 1 and np.array_equal(single, values):
            name = tensor.name
            tensor.CopyFrom(onnx.numpy_helper.from_array(single, f"{name}/float32"))
            casts.append(onnx.helper.make_node("Cast", [tensor.name], [name], to=onnx.TensorProto.DOUBLE))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _write(onnx: Any, proto: Any, path: Path, metadata: dict[str, str]) -> None:
    onnx.checker.check_model(proto, full_check=True)
    write_model(proto, path, metadata)
