"""Every architecture of the table, untrained."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

from hepvae import InputSpec, ModelError, OptionError
from hepvae.card import ModelCard
from hepvae.losses import chamfer, kl_divergence
from hepvae.models import ARCHITECTURES, builder

keras = pytest.importorskip("keras")
pytest.importorskip("tensorflow")


def make(architecture="conv", **changes):
    from hepvae.models.vae import VAE

    values = {"spec": InputSpec(), "mean": (0.0, 0.0, 6.0), "std": (0.2, 0.2, 20.0)} | changes
    return VAE(ModelCard(architecture, **values))


@pytest.fixture(params=ARCHITECTURES)
def model(request):
    keras.utils.set_random_seed(5)
    return make(request.param)


def test_losses_are_those_of_the_definition(model, signal_jets):
    """In NumPy and float64, from the model's own reconstruction and latent values."""
    found = {k: keras.ops.convert_to_numpy(v).astype(np.float64) for k, v in model(signal_jets).items()}
    latent = {k: keras.ops.convert_to_numpy(v).astype(np.float64) for k, v in model.encoder(signal_jets).items()}
    assert np.allclose(
        found["reco_loss"], chamfer(signal_jets.astype(np.float64), found["reconstruction"], np), rtol=1e-4
    )
    assert np.allclose(found["kl_loss"], kl_divergence(latent["z_mean"], latent["z_log_var"], np), rtol=1e-4)
    assert np.allclose(found["loss"], found["reco_loss"] + 0.01 * found["kl_loss"], rtol=1e-6)
    assert found["reconstruction"].shape == signal_jets.shape


def test_latent_is_sampled_in_training_only(model, signal_jets):
    def loss(training):
        return keras.ops.convert_to_numpy(model(signal_jets, training=training)["reco_loss"])

    assert np.array_equal(loss(False), loss(False))
    assert not np.array_equal(loss(True), loss(True))


def test_saved_and_loaded(model, signal_jets, tmp_path):
    from hepvae.models.vae import load_vae

    model.card = model.card.with_provenance(seed=5)
    model.save(tmp_path / "m.keras")
    loaded = load_vae(tmp_path / "m.keras")
    assert loaded.card == model.card
    first, second = (keras.ops.convert_to_numpy(m(signal_jets)["loss"]) for m in (model, loaded))
    assert np.array_equal(first, second)


def test_conv_is_the_network_of_the_study():
    model = make()
    # 3*12+12, 3*12*16+16, 3*16*20+20, 48*20*204+204, 204*48+48, and twice 48*12+12
    assert model.encoder.count_params() == 48 + 592 + 980 + 196_044 + 9_840 + 2 * 588
    # 12*48+48, 48*204+204, 204*960+960, 3*20*16+16, 3*16*12+12, 12*3+3
    assert model.decoder.count_params() == 624 + 9_996 + 196_800 + 976 + 588 + 39
    assert model.encoder.get_layer("flatten").output.shape[1:] == (960,)
    assert model.decoder.output.shape[1:] == (100, 3)


def test_hyperparameters_that_cannot_be():
    with pytest.raises(OptionError, match="conv has no hyperparameter 'layers'"):
        make(hyperparameters={"layers": 3})
    with pytest.raises(OptionError, match="leaves 95 of 99 particles"):
        make(spec=InputSpec(n_particles=99))


def test_unknown_architecture():
    with pytest.raises(OptionError, match="model 'transformer' is unknown: expected one of conv"):
        builder("transformer")


def test_foreign_keras_files_are_refused(tmp_path):
    from hepvae.models.vae import load_vae

    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    other.save(tmp_path / "other.keras")
    with pytest.raises(ModelError, match=r"other\.keras: a Keras Sequential, not a VAE of hepvae"):
        load_vae(tmp_path / "other.keras")
    with zipfile.ZipFile(tmp_path / "zip.keras", "w") as file:
        file.writestr("config.json", "{}")
    with pytest.raises(ModelError, match=r"zip\.keras: not a model that hepvae can load"):
        load_vae(tmp_path / "zip.keras")
    with pytest.raises(ModelError, match=r"none\.keras: no such model file"):
        load_vae(tmp_path / "none.keras")
