"""Model files are data: loading one runs nothing of it, reads no other file, and takes no more memory than it has.

What a hostile file would do is real here: bytecode in a Lambda, weights that are links to other files,
sizes of a terabyte.
"""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from dataclasses import replace

import numpy as np
import pytest

import hepvae
from hepvae import ModelError
from hepvae.jets.spec import MOST_PARTICLES, InputSpec
from hepvae.models.card import ModelCard
from hepvae.models.contract import CARD_KEY

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
    refused(tmp_path / "model.keras", "a Keras Sequential, not a VAE of hepvae")
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
    refused(keras_file, "expected a table of values|not a VAE of hepvae")
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
