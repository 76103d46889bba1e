"""Model files are data: loading one runs nothing of it, reads no other file, and takes no more memory than it has.

What a hostile file would do is real here: bytecode in a Lambda, weights that are links to other files,
sizes of a terabyte.
"""

from __future__ import annotations

import io
import json
import resource
import shutil
import zipfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.damaged_models import without_digest

import hepvae
from hepvae import ModelError
from hepvae.jets.spec import MOST_PARTICLES, InputSpec
from hepvae.models.bundled import MODELS
from hepvae.models.card import ModelCard
from hepvae.models.contract import CARD_KEY, DIGEST_KEY

CARD = ModelCard("conv", InputSpec(), (0.0, 0.0, 1.0), (1.0, 1.0, 1.0))


@pytest.mark.parametrize("n_particles", [0, MOST_PARTICLES + 1, 10**12])
def test_card_that_asks_for_any_amount_of_memory(n_particles):
    values = CARD.to_dict()
    values["spec"]["n_particles"] = n_particles
    with pytest.raises(hepvae.HepvaeError, match=f"n_particles is {n_particles}: expected"):
        ModelCard.from_dict(values)


def initialisers_outside(model, folder, location):
    """Move the largest tensor of a model into a file of its own."""
    import onnx

    tensor = max(model.graph.initializer, key=lambda t: len(t.raw_data))
    (folder / "outside").mkdir(exist_ok=True)
    for place in (folder / "weights.bin", folder / "outside" / "weights.bin"):
        place.write_bytes(tensor.raw_data)
    if location == "link.bin":
        (folder / "link.bin").symlink_to(folder / "outside" / "weights.bin")
    size = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(size))):
        tensor.external_data.add(key=key, value=value)


@pytest.mark.parametrize("location", ["weights.bin", "../outside/weights.bin", "/etc/hostname", "link.bin"])
def test_onnx_weights_in_other_files(tmp_path, location):
    """hepvae writes one file; what others write beside it or anywhere else is not opened."""
    import onnx

    model = onnx.load(hepvae.model_path("conv"))
    initialisers_outside(model, tmp_path, location)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"model\.onnx: has weights in other files"):
        hepvae.load_inferer(tmp_path / "model.onnx")


def test_onnx_card_of_another_shape(tmp_path):
    import onnx

    model = onnx.load(hepvae.model_path("conv"))
    for entry in model.metadata_props:
        if entry.key == CARD_KEY:
            card = ModelCard.from_json(entry.value, "x")
            entry.value = replace(card, spec=replace(card.spec, n_particles=50)).to_json()
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"takes jets of shape \(100, 3\), and its card says \(50, 3\)"):
        hepvae.load_inferer(tmp_path / "model.onnx")


@pytest.fixture
def keras_file(tmp_path):
    pytest.importorskip("tensorflow")
    return shutil.copy(hepvae.model_path("conv", runtime="tensorflow"), tmp_path / "model.keras")


def rewritten(path, *, config=None, weights=None, compression=zipfile.ZIP_STORED):
    """Write other contents into a .keras file."""
    with zipfile.ZipFile(path) as file:
        contents = {name: file.read(name) for name in file.namelist()}
    if config is not None:
        contents["config.json"] = json.dumps(config(json.loads(contents["config.json"]))).encode()
    if weights is not None:
        contents["model.weights.h5"] = weights(contents["model.weights.h5"])
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in contents.items():
            file.writestr(name, content)


def refused(path, message):
    with pytest.raises(ModelError, match=rf"model\.keras: .*({message})") as error:
        hepvae.load_inferer(path)
    assert "\n" not in str(error.value)


def test_weights_are_those_of_keras_own_loading(keras_file):
    import keras

    from hepvae.models.vae import load_vae

    ours, theirs = load_vae(keras_file), keras.saving.load_model(keras_file, compile=False)
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert np.array_equal(one, other)
    assert ours.card == theirs.card


def test_lambda_with_bytecode(tmp_path):
    keras = pytest.importorskip("keras")
    pytest.importorskip("tensorflow")
    mark = tmp_path / "it ran"
    layer = keras.layers.Lambda(lambda x, mark=str(mark): (open(mark, "w").close(), x)[1])
    model = keras.Sequential([keras.Input((3,)), layer])
    mark.unlink(missing_ok=True)
    model.save(tmp_path / "model.keras")
    refused(tmp_path / "model.keras", "a Keras Sequential, not a model of hepvae")
    assert not mark.exists()


@pytest.mark.parametrize(
    "named",
    [
        {"module": "os", "class_name": "system", "registered_name": "system"},
        {"module": "builtins", "class_name": "eval", "registered_name": "hepvae>VAE"},
    ],
)
def test_class_that_the_file_names_is_not_looked_up(keras_file, named, tmp_path):
    mark = tmp_path / "it ran"
    rewritten(keras_file, config=lambda config: {**named, "config": {"card": f"open({str(mark)!r}, 'w')"}})
    refused(keras_file, "expected a table of values|not a model of hepvae")
    assert not mark.exists()


def largest_dataset(h5py, file):
    found = {}
    file.visititems(lambda name, one: found.update({name: one.size}) if isinstance(one, h5py.Dataset) else None)
    return max(found, key=found.get)


def changed_weights(change):
    h5py = pytest.importorskip("h5py")

    def weights(content):
        memory = io.BytesIO(content)
        with h5py.File(memory, "a") as file:
            name = largest_dataset(h5py, file)
            shape = file[name].shape
            del file[name]
            change(h5py, file, name, shape)
        return memory.getvalue()

    return weights


WEIGHTS = {
    "external storage": lambda h5py, file, name, shape: file.create_dataset(
        name, shape, "f4", external=[("/etc/hostname", 0, h5py.h5f.UNLIMITED)]
    ),
    "external link": lambda h5py, file, name, shape: file.__setitem__(name, h5py.ExternalLink("/etc/x.h5", "/a")),
    "soft link": lambda h5py, file, name, shape: file.__setitem__(name, h5py.SoftLink("/elsewhere")),
    "terabyte": lambda h5py, file, name, shape: file.create_dataset(name, (2**38,), "f4", chunks=(2**20,)),
    "compressed": lambda h5py, file, name, shape: file.create_dataset(
        name, data=np.zeros(2**22, "f4"), compression="gzip"
    ),
}


@pytest.mark.parametrize("change", WEIGHTS)
def test_weights_that_are_not_in_the_file(keras_file, change):
    rewritten(keras_file, weights=changed_weights(WEIGHTS[change]))
    refused(keras_file, "weights '.*' are not in the file itself")


def test_zip_bomb(keras_file):
    rewritten(keras_file, weights=lambda content: content + bytes(10**8), compression=zipfile.ZIP_DEFLATED)
    refused(keras_file, r"config\.json in it is compressed")


def card_of(values):
    def config(config):
        config["config"]["card"] |= values
        return config

    return config


LARGE = {
    "latent": {"hyperparameters": {"latent": 10**8}},
    "dense": {"hyperparameters": {"dense": [50_000, 40_000]}},
    "units": {"architecture": "graph", "hyperparameters": {"units": [40_000, 40_000]}},
    "layers": {"architecture": "graph", "hyperparameters": {"convolutions": 10**6}},
    "particles": {"spec": {"n_particles": 10_000, "features": ["eta", "phi", "pt"], "coordinates": "relative"}},
}


@pytest.mark.parametrize("large", LARGE)
def test_card_of_a_model_that_is_larger_than_its_weights(keras_file, large):
    """A card of 50,000 x 40,000 weights took 7 GB before they were compared with those of the file."""
    rewritten(keras_file, config=card_of(LARGE[large]))
    with memory_limit(2**30):
        refused(keras_file, r"weights or more, and it has 4\d{5}|expected a whole number from")


@contextmanager
def memory_limit(more):
    """Let this process take so many bytes more than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def onnx_file(path, change):
    """The bundled Conv-VAE with a change of its graph."""
    import onnx

    model = without_digest(onnx.load(hepvae.model_path("conv")))
    change(onnx, model)
    path.write_bytes(model.SerializeToString())
    return path


def add_front(onnx, model, kind, *constants, domain="", **attributes):
    """Put an operator of constants into the graph, which ``kl_loss`` needs."""
    graph = model.graph
    names = []
    for value in constants:
        names.append(f"front {len(names)}")
        graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), names[-1]))
    graph.node.insert(0, onnx.helper.make_node(kind, names, ["front"], domain=domain, **attributes))
    graph.node.insert(1, onnx.helper.make_node("ReduceMax", ["front"], ["largest"], keepdims=0))
    last = next(node for node in graph.node if "kl_loss" in node.output)
    last.output[0] = "kl before"
    graph.node.append(onnx.helper.make_node("Add", ["kl before", "largest"], ["kl_loss"]))


def endless_loop(onnx, model):
    helper, kinds = onnx.helper, onnx.TensorProto
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go on"], ["go"]),
            helper.make_node("Identity", ["value"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", kinds.INT64, []),
            helper.make_tensor_value_info("go on", kinds.BOOL, []),
            helper.make_tensor_value_info("value", kinds.FLOAT, [1]),
        ],
        [
            helper.make_tensor_value_info("go", kinds.BOOL, []),
            helper.make_tensor_value_info("next", kinds.FLOAT, [1]),
        ],
    )
    add_front(onnx, model, "Loop", np.int64(2**62), np.True_, np.ones(1, np.float32), body=body)


def function_of_its_own(onnx, model):
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    model.functions.append(
        onnx.helper.make_function("own", "F", ["x"], ["y"], [node], [onnx.helper.make_opsetid("", 18)])
    )


def shape_of_more_values(onnx, model):
    """The inference of shapes takes 20 GB of some of these."""
    weights = next(one for one in model.graph.initializer if one.raw_data)
    weights.dims.append(2**33)


HOSTILE_GRAPHS = {
    "shape of more values": (shape_of_more_values, r"damaged: tensor '.+' has [\d,]+ bytes, and by its shape"),
    "endless loop": (endless_loop, "operator Loop .* is control flow"),
    "terabyte of ones": (
        lambda onnx, model: add_front(onnx, model, "ConstantOfShape", np.array([2**20, 2**18])),
        r"tensor 'front' has 2\.75e\+11 values for one jet",
    ),
    "terabyte by repetition": (
        lambda onnx, model: add_front(onnx, model, "Tile", np.ones((1, 1), np.float32), np.array([2**20, 2**18])),
        r"tensor 'front' has 2\.75e\+11 values for one jet",
    ),
    "range": (
        lambda onnx, model: add_front(onnx, model, "Range", np.float32(0), np.float32(1e12), np.float32(1)),
        r"tensor 'front' has 1e\+12 values for one jet",
    ),
    "random": (
        lambda onnx, model: add_front(onnx, model, "RandomNormal", shape=[1], seed=1.0),
        "operator RandomNormal .* is random",
    ),
    "operator of somebody": (
        lambda onnx, model: add_front(onnx, model, "F", np.ones(1, np.float32), domain="own"),
        "operator F of 'own'",
    ),
    "function": (function_of_its_own, "has functions or sparse weights"),
}


@pytest.mark.parametrize("hostile", HOSTILE_GRAPHS)
def test_onnx_graph_that_hepvae_never_exports(tmp_path, hostile):
    change, message = HOSTILE_GRAPHS[hostile]
    path = onnx_file(tmp_path / "model.onnx", change)
    with pytest.raises(ModelError, match=message) as error:
        hepvae.load_inferer(path)
    assert "\n" not in str(error.value)


def replaced_output(name, kind, *constants, **attributes):
    """One operator more between the graph and an output."""

    def change(onnx, model):
        graph = model.graph
        next(node for node in graph.node if name in node.output).output[0] = "before"
        for user in graph.node:
            for i, used in enumerate(user.input):
                if used == name:
                    user.input[i] = "before"
        names = []
        for value in constants:
            names.append(f"changed {len(names)}")
            graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), names[-1]))
        graph.node.append(onnx.helper.make_node(kind, ["before", *names], [name], **attributes))
        output = next(value for value in graph.output if value.name == name)
        element = onnx.TensorProto.DOUBLE if kind == "Cast" else onnx.TensorProto.FLOAT
        output.CopyFrom(onnx.helper.make_tensor_value_info(name, element, None))

    return change


WRONG_OUTPUTS = {
    "fewer particles": ("reconstruction", replaced_output("reconstruction", "Slice", [0], [50], [1])),
    "fewer features": ("reconstruction", replaced_output("reconstruction", "Slice", [0], [2], [2])),
    "fewer jets": ("reconstruction", replaced_output("reconstruction", "Slice", [0], [1], [0])),
    "no jets axis": ("kl_loss", replaced_output("kl_loss", "ReduceMean", keepdims=0)),
    "one more axis": ("kl_loss", replaced_output("kl_loss", "Unsqueeze", [1])),
    "float64": ("kl_loss", replaced_output("kl_loss", "Cast", to=11)),
    "reconstruction in float64": ("reconstruction", replaced_output("reconstruction", "Cast", to=11)),
}


@pytest.mark.parametrize("name", MODELS)
def test_any_change_of_a_bundled_model_is_refused(tmp_path, name):
    """A byte of the weights that flipped was scored without a word."""
    import onnx

    content = hepvae.model_path(name).read_bytes()
    tensor = max(onnx.load_model_from_string(content).graph.initializer, key=lambda t: len(t.raw_data))
    place = content.index(tensor.raw_data) + len(tensor.raw_data) // 2
    damaged = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
    (tmp_path / "model.onnx").write_bytes(damaged)
    with pytest.raises(ModelError, match=r"model\.onnx: damaged or changed since its export"):
        hepvae.load_inferer(tmp_path / "model.onnx")


@pytest.mark.parametrize("change", ["beta", "added", "twice"])
def test_card_that_was_changed_after_the_export(tmp_path, change):
    import onnx

    model = onnx.load(hepvae.model_path("conv"))
    if change == "beta":
        for entry in model.metadata_props:
            if entry.key == CARD_KEY:
                entry.value = entry.value.replace('"beta": 0.01', '"beta": 0.02')
    elif change == "added":
        model.metadata_props.add(key="notes", value="mine")
    else:
        model.metadata_props.add(key=DIGEST_KEY, value="0" * 64)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="damaged or changed since its export"):
        hepvae.load_inferer(tmp_path / "model.onnx")


@pytest.mark.parametrize("wrong", WRONG_OUTPUTS)
@pytest.mark.parametrize("compiled", [True, False])
def test_outputs_of_another_shape_or_type(tmp_path, wrong, compiled, signal_jets):
    """They were scored with exit status 0, and the compiled distances read memory behind the reconstruction."""
    name, change = WRONG_OUTPUTS[wrong]
    path = onnx_file(tmp_path / "model.onnx", change)
    inferer = hepvae.load_inferer(path, batching=compiled, compiled_distances=compiled)
    calls = [inferer if name == "kl_loss" else inferer.reconstruct]
    if compiled:  # both outputs are used whatever is wanted
        calls = [inferer, inferer.reconstruct]
    for call in calls:
        with pytest.raises(ModelError, match=rf"model\.onnx: output '{name}' .* is .*: expected float32"):
            call(signal_jets[:6])


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda onnx, model: model.graph.input[0].type.tensor_type.ClearField("shape"), "'particles' has no axes"),
        (lambda onnx, model: model.graph.output.pop(), "outputs .*: expected particles and kl_loss, loss"),
    ],
)
def test_onnx_ends_that_are_not_of_hepvae(tmp_path, change, message):
    with pytest.raises(ModelError, match=message):
        hepvae.load_inferer(onnx_file(tmp_path / "model.onnx", change))


@pytest.mark.parametrize(
    "name", ["architecture", "distance", "hyperparameters", "provenance", "mean", "beta", "spec"]
)
@pytest.mark.parametrize("value", [None, [], {}, 3, "x", [[]], float("nan"), 10**400], ids=str)
def test_card_with_another_type(name, value):
    values = {**CARD.to_dict(), name: value}
    try:
        ModelCard.from_json(json.dumps(values), "model.onnx")
    except ModelError as error:
        assert str(error).startswith("model.onnx: ") and "\n" not in str(error)
    else:
        kind = type(getattr(CARD, name))
        assert type(value) is kind or (name == "beta" and value == 3)
