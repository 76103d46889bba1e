"""Models that others trained, written as a model directory of hepvae: `adopt`.

What stands before the network (transforms, transposition, mask) and behind it (losses) becomes part of its graph,
so that everything else works with it as with a model that hepvae trained.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from ..errors import FileError, HepvaeError, ModelError, one_line
from ..extras import require
from ..inference.litert import outputs_of as litert_outputs
from ..inference.litert_file import write_litert
from ..inference.loading import load_inferer
from ..inference.onnx_graph import check_sizes, keep_outputs, write_model
from ..jets.padding import pad_particles
from ..models.bundled import reference_jets
from ..models.card import ADOPTED, ModelCard, Reconstruction
from ..models.contract import (
    CARD_KEY,
    EXPORT_KEY,
    INPUT,
    JETS_AXIS,
    LEAST_PARTICLES_KEY,
    PARTICLES_AXIS,
    RECO_LOSS_KEY,
    RECONSTRUCTION,
    SAVED_MODEL,
    SAVED_MODEL_CARD,
)
from ..models.foreign import ForeignCard, Values, draft, read_card, resolved
from ..models.losses import check_distance
from ..models.saved_model import RANDOM_OPERATORS, check_operators
from ..output.files import make_folder
from ..reading.dijets import read_dijets
from .adapter import invertible, network_inputs, outputs_of
from .litert import litert_file
from .networks import OnnxNetwork, TensorFlowNetwork, load_network, random_error, selected
from .onnx_ops import OnnxOps, Value
from .parity import TOLERANCE, Parity, compare_losses
from .rewrites import TRACED_JETS
from .tensorflow_graph import constants_only, converted

__all__ = ["adopt", "draft_card"]

_logger = logging.getLogger(__name__)

Array = npt.NDArray[np.float32]
Losses = dict[str, npt.NDArray[np.floating]]
#: What ONNX Runtime of the oldest supported release reads.
IR_VERSION = 10
#: Jets that are put together otherwise in the second grouping.
REGROUPED = 7
#: Places of padding that are added where the network takes any number of particles.
FURTHER = 16
#: Jets that are checked on: more tell no more.
CHECKED_JETS = 2000


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
        What the model does not say itself: a TOML file, or what it would hold (see `models.foreign`).
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
        raise FileError(f"{output}: exists already: expected a new name, or --overwrite (overwrite=True)")
    described = read_card(card)
    networks = [
        load_network(one, custom=custom, trust_code=trust_code) for one in (model, decoder) if one is not None
    ]
    described = _resolved(described, networks)
    padded = _check_jets(described, jets)
    if all(isinstance(one, OnnxNetwork) for one in networks):
        build: Callable[..., dict[str, Parity]] = _adopt_onnx
    elif all(isinstance(one, TensorFlowNetwork) for one in networks):
        build = _adopt_tensorflow
    else:
        raise ModelError("encoder and decoder are of two kinds: expected both TensorFlow's, or both ONNX")
    with _whole_folder(output) as folder:
        parities = build(
            described, networks, padded, folder, _provenance(card, described, networks, model, decoder)
        )
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
    name = Path(model).stem if isinstance(model, (str, Path)) else "my-model"
    return draft(name, network.inputs, network.outputs)


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
        padded = reference_jets(card.spec)
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
        "versions": {p: _version(p) for p in ("hepvae", "tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime")},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _model_card(card: ForeignCard, batch_size: int | None, provenance: dict[str, Any]) -> ModelCard:
    """The record that every file of the model carries."""
    of, distance = card.reconstructed, "features"
    reconstruction = None
    if card.outputs.reconstruction is not None and of is not None:
        names = tuple(f.name for f in of.features)
        values: Values = "physical" if invertible(card) else "network"
        reconstruction = Reconstruction(values, names, of.n_particles or 1)
    if _compiled_distances(card) and card.loss is not None:
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


def _compiled_distances(card: ForeignCard) -> bool:
    """Whether the loop of hepvae computes their distance: of physical values, of all that a padded array has."""
    of, loss, spec = card.reconstructed, card.loss, card.spec
    if card.outputs.reconstruction is None or of is None or loss is None or loss.kind != "chamfer":
        return False
    if (
        loss.reduction != "mean"
        or any(f.moves for f in of.features)
        or spec.jet_features
        or len(spec.features) > 3
    ):
        return False
    same = [card.column(of, f) for f in of.features] == list(spec.features) and of.n_particles == spec.n_particles
    try:
        check_distance(loss.distance, spec)
    except HepvaeError:
        return False
    return same and not any(f.moves_padding for f in of.features)


@contextmanager
def _whole_folder(output: Path) -> Iterator[Path]:
    """A folder beside ``output`` to write to, which takes its place when the block ends well."""
    make_folder(output.parent)
    temporary = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    try:
        yield temporary
        os.chmod(temporary, 0o755)
        if output.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
            os.replace(output, old / "old")
            os.replace(temporary, output)
            shutil.rmtree(old)
        else:
            os.replace(temporary, output)
    except OSError as error:
        if isinstance(error, HepvaeError):
            raise
        raise FileError(f"{output}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


# --- networks of ONNX -------------------------------------------------------------------------------------------


def _adopt_onnx(
    card: ForeignCard, networks: list[OnnxNetwork], padded: Array, folder: Path, provenance: dict[str, Any]
) -> dict[str, Parity]:
    used = _used_outputs(card, networks)
    for network, names in zip(networks, used):
        network.check_random(list(names.values()))
    _check_sizes(card, networks)
    batch_size = _batch_size(networks)
    free = _free_particles(card, networks)
    record = _model_card(card, batch_size, provenance)
    path = folder / "model.onnx"

    def write(free: bool, least: int, about: dict[str, str]) -> None:
        proto = _built(card, networks, used, batch_size, free=free)
        _write(networks[0].onnx, proto, path, {**_metadata(card, record, least), **about})

    write(free, card.spec.n_particles, {})
    source = _source_losses(card, networks, used, padded, batch_size)
    least = card.spec.n_particles
    if free:
        least = _shortest(card, path, padded)
        write(free, least, {})
    parity = _checked(card, path, padded, source, "as it came")
    _check_compiled(path, padded)
    write(free, least, {EXPORT_KEY: _export_record({"source": parity})})
    return {"source": parity}


def _check_sizes(card: ForeignCard, networks: list[OnnxNetwork]) -> None:
    """Refuse tensors that are too large, before ONNX Runtime folds constants or allocates anything."""
    axes = {one.tensor: one.axes.split(", ") for one in card.inputs}
    lengths = {one.tensor: one.n_particles for one in card.inputs}

    def size(tensor: str, place: int, _: str) -> int | None:
        if place == 0:
            return 1
        of_tensor = axes.get(tensor, [])
        return lengths[tensor] if place < len(of_tensor) and of_tensor[place] == "particles" else None

    check_sizes(networks[0].proto, networks[0].where, size)
    for decoder in networks[1:]:
        check_sizes(decoder.proto, decoder.where, lambda _, place, __: 1 if place == 0 else None)


def _used_outputs(card: ForeignCard, networks: list[OnnxNetwork]) -> list[dict[str, str]]:
    """For each network, which of its outputs is used as what."""
    outputs = card.outputs
    of_last: dict[str, str | int | None] = {"reconstruction": outputs.reconstruction}
    of_first: dict[str, str | int | None] = {"z_mean": outputs.z_mean, "z_log_var": outputs.z_log_var}
    if outputs.reconstruction is None:
        of_last = {"score": outputs.score, **dict(outputs.losses)}
    if len(networks) == 1:
        of_first, of_last = {**of_last, **of_first}, {}
    used = []
    for network, keys in zip(networks, (of_first, of_last)):
        names = {name: name for name in network.outputs}
        used.append(
            {
                what: selected(names, key, _at_output(card, what), f"output.{what}")
                for what, key in keys.items()
                if key is not None
            }
        )
    return used


def _at_output(card: ForeignCard, what: str) -> str:
    return card.at(("output", what), ("output", "losses", what), ("output",))


def _batch_size(networks: list[Any]) -> int | None:
    sizes = {network.batch_size for network in networks} - {None}
    if len(sizes) > 1:
        raise ModelError(
            f"encoder and decoder take {' and '.join(map(str, sorted(sizes)))} jets at once: expected one size"
        )
    return next(iter(sizes), None)


def _free_particles(card: ForeignCard, networks: list[OnnxNetwork]) -> bool:
    """Whether the particle axis may have any length: the network has a mask, and no length of its own."""
    if card.mask is None or len(networks) > 1:
        return False
    if card.loss is not None and card.outputs.reconstruction is not None and not card.loss.masked:
        return False
    for one in card.inputs:
        shape = networks[0].inputs[one.tensor or ""]
        if one.level != "constituents" or shape is None or one.n_particles != card.spec.n_particles:
            return False
        if shape[one.axes.split(", ").index("particles")] is not None:
            return False
    return True


def _built(
    card: ForeignCard,
    networks: list[OnnxNetwork],
    used: list[dict[str, str]],
    batch_size: int | None,
    *,
    free: bool,
) -> Any:
    """The whole graph: from ``particles`` to the outputs of the card."""
    onnx = networks[0].onnx
    opset = max(network.opset for network in networks)
    protos = []
    for name, network in zip(("model", "decoder"), networks):
        proto = network.proto
        if network.opset != opset:
            proto = onnx.version_converter.convert_version(proto, opset)
        protos.append(onnx.compose.add_prefix(proto, f"{name}/"))
    spec, helper = card.spec, onnx.helper
    before, after = OnnxOps(onnx, opset, "hepvae/input"), OnnxOps(onnx, opset, "hepvae/output")
    length = None if free else spec.n_particles
    particles = Value(before, INPUT, (batch_size, length, spec.shape[1]))
    first = networks[0]
    for name, value in network_inputs(particles, card, before).items():
        _wire(onnx, before, value, f"model/{name}", first.types[name])
    raw: dict[str, Value] = {}
    for prefix, network, names in zip(("model", "decoder"), networks, used):
        for what, name in names.items():
            raw[what] = _float_value(onnx, after, f"{prefix}/{name}", network.types[name], network.outputs[name])
    nodes = [*before.nodes, *protos[0].graph.node]
    initializers = [*protos[0].graph.initializer]
    if len(networks) > 1:
        entry = OnnxOps(onnx, opset, "hepvae/z")
        z_mean = raw["z_mean"]
        names_of_decoder = list(networks[1].inputs)
        if len(names_of_decoder) != 1:
            raise ModelError(f"the decoder has the inputs {', '.join(names_of_decoder)}: expected one, z")
        name = names_of_decoder[0]
        _wire(onnx, entry, Value(entry, z_mean.name, z_mean.shape), f"decoder/{name}", networks[1].types[name])
        casts = [node for node in after.nodes if z_mean.name in node.output]
        nodes += [*casts, *entry.nodes, *protos[1].graph.node]
        after.nodes = [node for node in after.nodes if node not in casts]
        initializers += [*entry.constants, *protos[1].graph.initializer]
    padded = Value(after, INPUT, particles.shape)
    outputs = outputs_of(padded, raw, card, after, by_product=True, free=free)
    nodes += after.nodes
    record = {"losses": (batch_size or JETS_AXIS,)}
    values = []
    for name, value in outputs.items():
        nodes.append(helper.make_node("Identity", [value.name], [name]))
        shape: tuple[Any, ...] = record["losses"]
        if name == RECONSTRUCTION:
            shape = (batch_size or JETS_AXIS, PARTICLES_AXIS if free else value.shape[1], value.shape[2])
        values.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
    entry_shape = (batch_size or JETS_AXIS, PARTICLES_AXIS if free else spec.n_particles, spec.shape[1])
    graph = helper.make_graph(
        nodes,
        "hepvae",
        [helper.make_tensor_value_info(INPUT, onnx.TensorProto.FLOAT, entry_shape)],
        values,
        [*before.constants, *initializers, *after.constants],
    )
    imports = {o.domain: max(int(o.version), 1) for proto in protos for o in proto.opset_import}
    imports[""] = opset
    imports.pop("ai.onnx", None)
    proto = helper.make_model(
        graph,
        opset_imports=[
            helper.make_opsetid(d, v) for d, v in imports.items() if d == "" or d in {n.domain for n in nodes}
        ],
    )
    proto.ir_version = min(proto.ir_version, IR_VERSION)
    keep_outputs(proto, list(outputs))
    return proto


def _wire(onnx: Any, ops: OnnxOps, value: Value, name: str, kind: int) -> None:
    """Give a value the name, and the type, that an input of a network has."""
    if kind != onnx.TensorProto.FLOAT:
        value = ops.cast(value, onnx.helper.tensor_dtype_to_np_dtype(kind))
    ops.nodes.append(onnx.helper.make_node("Identity", [value.name], [name]))


def _float_value(onnx: Any, ops: OnnxOps, name: str, kind: int, shape: Any) -> Value:
    """An output of a network in float32."""
    value = Value(ops, name, shape or (None, None))
    return value if kind == onnx.TensorProto.FLOAT else ops.cast(value, np.float32)


def _metadata(card: ForeignCard, record: ModelCard, least: int) -> dict[str, str]:
    about = {CARD_KEY: record.to_json(), LEAST_PARTICLES_KEY: str(least)}
    if _compiled_distances(card) and card.loss is not None:
        about[RECO_LOSS_KEY] = card.loss.reco
    return about


def _write(onnx: Any, proto: Any, path: Path, metadata: dict[str, str]) -> None:
    try:
        onnx.checker.check_model(proto)
    except Exception as error:  # of an extension module
        raise ModelError(f"{path.name}: the adopted graph is none that ONNX allows: {one_line(error)}") from error
    write_model(proto, path, metadata)


def _source_losses(
    card: ForeignCard,
    networks: list[OnnxNetwork],
    used: list[dict[str, str]],
    padded: Array,
    batch_size: int | None,
) -> Losses:
    """The losses of the networks as they came, on ONNX Runtime, features and losses by NumPy in float64."""
    runtime = require("onnxruntime", "adopt")

    def session(network: OnnxNetwork) -> Any:
        options = runtime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        try:
            return runtime.InferenceSession(
                network.proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # a dozen classes of its own
            raise ModelError(f"{network.where}: ONNX Runtime cannot load it: {one_line(error)}") from error

    sessions = [session(network) for network in networks]

    def typed(network: OnnxNetwork, values: Mapping[str, Any]) -> dict[str, Any]:
        kind = network.onnx.helper.tensor_dtype_to_np_dtype
        return {n: np.ascontiguousarray(v, kind(network.types[n])) for n, v in values.items()}

    def run(batch: Array) -> dict[str, Any]:
        tensors: dict[str, Any] = {}
        inputs: Mapping[str, Any] = network_inputs(batch, card, np)
        for opened, network, names in zip(sessions, networks, used):
            if network is not networks[0]:
                inputs = {next(iter(network.inputs)): tensors["z_mean"]}
            try:
                results = opened.run(list(names.values()), typed(network, inputs))
            except Exception as error:  # as above
                raise ModelError(
                    f"{network.where}: ONNX Runtime fails on {len(batch)} jets: {one_line(error)}"
                ) from error
            tensors |= zip(names, results)
        return tensors

    return _by_numpy(card, padded, run, batch_size)


def _by_numpy(
    card: ForeignCard, padded: Array, run: Callable[[Array], dict[str, Any]], batch_size: int | None
) -> Losses:
    size = batch_size or 256
    parts = []
    for start in range(0, len(padded), size):
        batch = padded[start : start + size]
        count = len(batch)
        if batch_size and count < batch_size:
            batch = np.concatenate([batch, np.repeat(batch[-1:], batch_size - count, axis=0)])
        raw = {name: np.asarray(value, np.float64) for name, value in run(batch).items()}
        try:
            losses = outputs_of(batch.astype(np.float64), raw, card, np)
        except (ValueError, IndexError) as error:  # of shapes that do not go together
            shapes = ", ".join(f"{name} {value.shape}" for name, value in raw.items())
            raise ModelError(
                f"{card.at(('output',))}: outputs have the shapes {shapes} for {len(batch)} jets:"
                f" not those of [output] and [loss]: {one_line(error)}"
            ) from error
        for name in card.outputs.names:
            if losses[name].shape != (len(batch),):
                raise ModelError(
                    f"{_at_output(card, name)}: output {name!r} has shape {raw.get(name, losses[name]).shape} for"
                    f" {len(batch)} jets: expected one number a jet"
                )
        parts.append({name: losses[name][:count] for name in card.outputs.names})
    return {name: np.concatenate([part[name] for part in parts]) for name in card.outputs.names}


def _shortest(card: ForeignCard, path: Path, padded: Array) -> int:
    """The shortest particle axis with the same losses; ModelError where more padding changes them."""
    session = _plain_session(path)
    whole = _outputs_at(session, card, padded)
    further = _outputs_at(session, card, np.pad(padded, ((0, 0), (0, FURTHER), (0, 0))))
    parity = compare_losses(whole, further)
    if not parity.holds():
        raise ModelError(
            f"{card.at(('input', 'mask'), ('preprocess',))}: outputs change with {FURTHER} more places of padding"
            f" ({parity}): the mask is not"
            " used for all that counts; remove [input.mask], or export the model with a fixed number of particles"
        )
    few = padded[(padded[:, FURTHER:] == 0).all(axis=(1, 2))]
    if len(few) < 2 * REGROUPED or card.spec.n_particles <= FURTHER:
        return card.spec.n_particles
    try:
        shorter = _outputs_at(session, card, np.ascontiguousarray(few[:, :FURTHER]))
    except ModelError:
        return card.spec.n_particles
    same = compare_losses(_outputs_at(session, card, few), shorter).holds()
    return FURTHER if same else card.spec.n_particles


def _plain_session(path: Path) -> Any:
    runtime = require("onnxruntime", str(path))
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _outputs_at(session: Any, card: ForeignCard, padded: Array) -> Losses:
    names = list(card.outputs.names)
    try:
        parts = [session.run(names, {INPUT: padded[i : i + 256]}) for i in range(0, len(padded), 256)]
    except Exception as error:  # a dozen classes of ONNX Runtime's own
        raise ModelError(f"{card.where}: fails on {padded.shape[1]} particles: {one_line(error)}") from error
    return {name: np.concatenate(values) for name, values in zip(names, zip(*parts))}


# --- checks of what was written ----------------------------------------------------------------------------------


def _checked(card: ForeignCard, path: Path, padded: Array, source: Losses, what: str) -> Parity:
    """How what was written differs from the network as it came; ModelError where that is too much, or the outputs
    of a jet depend on those beside it."""
    inferer = load_inferer(path, runtime="onnxruntime", batching=False, compiled_distances=False)
    losses = inferer(padded)
    _check_grouping(card, inferer, padded, losses)
    parity = compare_losses(source, losses)
    if not parity.holds():
        raise ModelError(
            f"{card.name}: what was written and the model {what} differ: {parity}; allowed {TOLERANCE:g}"
        )
    return parity


def _check_grouping(card: ForeignCard, inferer: Any, padded: Array, losses: Mapping[str, Array]) -> None:
    """Refuse a model whose outputs for a jet depend on the other jets of a batch."""
    order = np.concatenate([np.arange(start, len(padded), REGROUPED) for start in range(REGROUPED)])
    size = max(len(padded) // 3, REGROUPED)
    parts = [inferer(padded[order[i : i + size]]) for i in range(0, len(order), size)]
    again = {name: np.empty(len(padded), np.float32) for name in losses}
    for name, values in again.items():
        values[order] = np.concatenate([part[name] for part in parts])
    parity = compare_losses(losses, again)
    if not parity.holds():
        raise ModelError(
            f"{card.name}: outputs of a jet depend on the other jets of its batch ({parity}): batch normalisation"
            " in training mode, or a batch axis used as another; export the model for inference"
        )


def _check_compiled(path: Path, padded: Array) -> None:
    """The losses as they are scored: blocks, threads, distances by the compiled loop."""
    as_written = load_inferer(path, runtime="onnxruntime", batching=False, compiled_distances=False)(padded)
    parity = compare_losses(as_written, load_inferer(path, runtime="onnxruntime")(padded))
    if not parity.holds():
        raise ModelError(f"{path.name}: losses in blocks and as a whole differ: {parity}; allowed {TOLERANCE:g}")


def _export_record(parities: Mapping[str, Parity]) -> str:
    return json.dumps(
        {
            name: {
                "jets": parity.jets,
                "worst_relative_difference": parity.worst,
                "events_that_change_sides": parity.moved,
            }
            for name, parity in parities.items()
        },
        indent=1,
    )


# --- networks of TensorFlow --------------------------------------------------------------------------------------


def _adopt_tensorflow(
    card: ForeignCard, networks: list[TensorFlowNetwork], padded: Array, folder: Path, provenance: dict[str, Any]
) -> dict[str, Parity]:
    tf, onnx = require("tensorflow", "adopt"), require("onnx", "adopt")
    batch_size = _batch_size(networks)
    record = _model_card(card, batch_size, provenance)
    names = (*card.outputs.names, *((RECONSTRUCTION,) if record.reconstruction else ()))

    def function(particles: Any, *, by_product: bool = False) -> dict[str, Any]:
        ops = _KerasOps(tf)
        raw = _raw(card, networks, network_inputs(particles, card, ops), tf)
        tensors = outputs_of(particles, raw, card, ops, by_product=by_product)
        return {name: tf.identity(tensors[name], name=name) for name in names}

    graph = constants_only(tf, function, (batch_size, *card.spec.shape), names, networks[0].where)
    check_operators(graph.nodes, networks[0].where)
    for node in graph.nodes:
        if node.op in RANDOM_OPERATORS:
            raise random_error(networks[0].where, node.op, node.name)
    saved_model = folder / SAVED_MODEL
    graph.save(saved_model, card.outputs.names)
    saved_model.joinpath(SAVED_MODEL_CARD).parent.mkdir()
    saved_model.joinpath(SAVED_MODEL_CARD).write_text(record.to_json())
    _check_grouping(
        card, load_inferer(saved_model, batching=False), padded, load_inferer(saved_model, batching=False)(padded)
    )
    if card.mask is not None:
        _check_further(card, networks, function, names, padded, tf)

    proto = converted(tf, function, (batch_size, *card.spec.shape), names, networks[0].where)
    path = folder / "model.onnx"
    metadata = _metadata(card, record, card.spec.n_particles)
    _write(onnx, proto, path, metadata)

    def as_it_came(particles: Any) -> dict[str, Any]:
        return _raw(card, networks, network_inputs(particles, card, _KerasOps(tf)), tf)

    run = tf.function(as_it_came, autograph=False)

    def raw(batch: Array) -> dict[str, Any]:
        return {name: value.numpy() for name, value in run(tf.constant(batch)).items()}

    source = _checked(card, path, padded, _by_numpy(card, padded, raw, batch_size), "as it came")
    between = compare_losses(
        load_inferer(saved_model, batching=False)(padded), load_inferer(path, batching=False)(padded)
    )
    if not between.holds():
        raise ModelError(f"{card.name}: TensorFlow and ONNX Runtime differ: {between}; allowed {TOLERANCE:g}")
    _check_compiled(path, padded)
    parities = {"source": source, "tensorflow": between}
    if batch_size is None and find_spec("ai_edge_litert"):
        parities |= _with_litert(tf, function, names, record, metadata, networks[0].where, saved_model, padded)
    _write(onnx, proto, path, {**metadata, EXPORT_KEY: _export_record(parities)})
    return parities


def _with_litert(
    tf: Any,
    function: Callable[..., dict[str, Any]],
    names: tuple[str, ...],
    record: ModelCard,
    metadata: dict[str, str],
    where: str,
    saved_model: Path,
    padded: Array,
) -> dict[str, Parity]:
    """Write ``model.tflite`` beside the SavedModel; no file where LiteRT cannot run it, which is logged."""
    path = saved_model.with_name("model.tflite")
    about = {key: value for key, value in metadata.items() if key != CARD_KEY}
    wanted = litert_outputs(record, about.get(RECO_LOSS_KEY))
    graph = constants_only(tf, function, (TRACED_JETS, *record.spec.shape), names, where)
    try:
        file = litert_file(graph.function(wanted), record, about, path, free_particles=False)
        write_litert(path, file)
        parity = compare_losses(load_inferer(saved_model, batching=False)(padded), load_inferer(path)(padded))
        if not parity.holds():
            raise ModelError(f"{path}: TensorFlow and LiteRT differ: {parity}; allowed {TOLERANCE:g}")
    except ModelError as error:
        path.unlink(missing_ok=True)
        _logger.warning("%s: without model.tflite: %s", record.hyperparameters["name"], error)
        return {}
    file.metadata[EXPORT_KEY] = _export_record({"tensorflow": parity})
    write_litert(path, file)
    return {"litert": parity}


def _raw(
    card: ForeignCard, networks: list[TensorFlowNetwork], inputs: Mapping[str, Any], tf: Any
) -> dict[str, Any]:
    """What the networks give, by the keys of [output] in the card, in float32."""
    outputs = card.outputs
    first = networks[0]({name: _as(tf, value, None) for name, value in inputs.items()})
    keys = {"z_mean": outputs.z_mean, "z_log_var": outputs.z_log_var}
    tensors = {
        w: _as(tf, selected(first, k, _at_output(card, w), f"output.{w}"), tf.float32)
        for w, k in keys.items()
        if k is not None
    }
    last = first
    if len(networks) > 1:
        names = list(networks[1].inputs) or ["z"]
        if len(names) != 1:
            raise ModelError(f"the decoder has the inputs {', '.join(names)}: expected one, z")
        last = networks[1]({names[0]: tensors["z_mean"]})
    own = {"reconstruction": outputs.reconstruction, "score": outputs.score, **dict(outputs.losses)}
    for what, key in own.items():
        if key is not None:
            tensors[what] = _as(tf, selected(last, key, _at_output(card, what), f"output.{what}"), tf.float32)
    return tensors


def _as(tf: Any, value: Any, dtype: Any) -> Any:
    tensor = tf.convert_to_tensor(value)
    return tensor if dtype is None or tensor.dtype == dtype else tf.cast(tensor, dtype)


def _check_further(
    card: ForeignCard, networks: list[TensorFlowNetwork], function: Any, names: Any, padded: Array, tf: Any
) -> None:
    """Where a network with a mask takes any number of particles: more padding must change nothing."""
    for one in card.inputs:
        shape = networks[0].inputs.get(one.tensor or "")
        if one.level != "constituents" or shape is None or "particles" not in one.axes.split(", "):
            return
        if shape[one.axes.split(", ").index("particles")] is not None:
            return
    if card.outputs.reconstruction is not None and card.loss is not None and not card.loss.masked:
        return
    longest = card.spec.n_particles + FURTHER
    inputs = tuple(replace(one, n_particles=longest) for one in card.inputs)
    longer = replace(card, inputs=inputs)

    def at(of: ForeignCard, values: Array) -> Losses:
        ops = _KerasOps(tf)
        raw = _raw(of, networks, network_inputs(tf.constant(values), of, ops), tf)
        tensors = outputs_of(tf.constant(values), raw, of, ops)
        return {name: tensors[name].numpy() for name in of.outputs.names}

    few = padded[:256]
    parity = compare_losses(at(card, few), at(longer, np.pad(few, ((0, 0), (0, FURTHER), (0, 0)))))
    if not parity.holds():
        raise ModelError(
            f"{card.at(('input', 'mask'), ('preprocess',))}: outputs change with {FURTHER} more places of padding"
            f" ({parity}): the mask is not"
            " used for all that counts; remove [input.mask], or give the model a fixed number of particles"
        )


class _KerasOps:
    """TensorFlow's functions under the names that the formulas use."""

    def __init__(self, tf: Any) -> None:
        self.where, self.transpose, self.reshape, self.stack = tf.where, tf.transpose, tf.reshape, tf.stack
        self.expand_dims, self.square, self.abs, self.exp = tf.expand_dims, tf.square, tf.abs, tf.exp
        self.maximum, self.minimum, self.matmul, self.round = tf.maximum, tf.minimum, tf.matmul, tf.round
        self.ones_like, self.split, self.concatenate = tf.ones_like, tf.split, tf.concat
        self.sum, self.mean, self.min = tf.reduce_sum, tf.reduce_mean, tf.reduce_min
        self.take = tf.gather
