"""Keras models and SavedModel folders of others: their losses on both runtimes, and code that must not run."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import hepvae
from hepvae import ModelError, adopt, load_inferer, pad_particles
from hepvae.conversion.adoption import draft_card
from hepvae.models.losses import chamfer, kl_divergence

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")
h5py = pytest.importorskip("h5py")

CARD = {
    "name": "vae",
    "input": {"features": ["eta", "phi", "pt"]},
    "output": {"reconstruction": 0, "z_mean": "z_mean", "z_log_var": "z_log_var"},
    "loss": {"reco": "chamfer", "kl_weight": 0.3},
}
ONE = {**CARD, "output": {"reconstruction": 0}, "loss": {"reco": "mse"}}


@pytest.fixture(scope="module")
def events():
    return hepvae.read_dijets(hepvae.sample_path("qcdSig"), entry_stop=40)


@keras.saving.register_keras_serializable("tests")
class Sampling(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seeds = keras.random.SeedGenerator(3)

    def call(self, inputs):
        mean, log_var = inputs
        noise = keras.random.normal(keras.ops.shape(mean), seed=self.seeds)
        return mean + keras.ops.exp(0.5 * log_var) * noise


@pytest.fixture(scope="module")
def vae():
    """Encoder and decoder in the manner of the study: z is sampled in the encoder."""
    keras.utils.set_random_seed(4)
    x = particles = keras.Input((20, 3), name="particles_in")
    x = keras.layers.Rescaling([1.0, 1.0, 0.02])(x)
    x = keras.layers.Conv1D(6, 3, activation="elu")(x)
    x = keras.layers.Flatten()(x)
    mean = keras.layers.Dense(4, name="z_mean")(x)
    log_var = keras.layers.Dense(4, name="z_log_var")(x)
    z = Sampling(name="z")([mean, log_var])
    encoder = keras.Model(particles, [z, mean, log_var], name="encoder")
    x = z = keras.Input((4,), name="z_in")
    x = keras.layers.Dense(60, activation="elu")(x)
    x = keras.layers.Reshape((20, 3))(x)
    decoder = keras.Model(z, keras.layers.Dense(3)(x), name="decoder")
    return encoder, decoder


def expected(vae, padded):
    _, mean, log_var = (np.asarray(v) for v in vae[0].predict_on_batch(padded))
    made = np.asarray(vae[1].predict_on_batch(mean))
    reco = chamfer(padded.astype(np.float64), made.astype(np.float64), np)
    kl = kl_divergence(mean.astype(np.float64), log_var.astype(np.float64), np)
    return {"loss": reco + 0.3 * kl, "reco_loss": reco, "kl_loss": kl}


def test_encoder_and_decoder_in_memory(tmp_path, events, vae):
    parities = adopt(vae[0], CARD, decoder=vae[1], output=tmp_path / "m", jets=events)
    assert set(parities) - {"litert"} == {"source", "tensorflow"}
    assert all(parity.holds() for parity in parities.values())
    losses = {}
    for runtime in ("onnxruntime", "tensorflow", *(["litert"] if "litert" in parities else [])):
        inferer = load_inferer(tmp_path / "m", runtime=runtime)
        padded = pad_particles(events, inferer.spec).reshape(-1, 20, 3)
        losses[runtime] = inferer(padded)
        for name, values in expected(vae, padded).items():
            assert losses[runtime][name] == pytest.approx(values, rel=5e-4), (runtime, name)
        again = pickle.loads(pickle.dumps(inferer))
        assert np.array_equal(again(padded)["loss"], losses[runtime]["loss"])
    # the compiled loop has the distances
    assert load_inferer(tmp_path / "m", runtime="onnxruntime")._opened().runtime.reco_loss == "chamfer"


def test_outputs_of_another_shape(tmp_path, events, vae):
    """Without --decoder, and where the network itself failed, there was TensorFlow's traceback."""
    card = {**CARD, "output": {"reconstruction": 1, "z_mean": 1, "z_log_var": 2}}
    with pytest.raises(ModelError, match=r"z_mean \(80, 4\).*; an encoder needs --decoder"):
        adopt(vae[0], card, output=tmp_path / "m", jets=events)
    x = keras.Input((20, 3))
    fixed = keras.Model(x, keras.layers.Lambda(lambda x: tf.reshape(tf.reshape(x, (7, -1)), (-1, 20, 3)))(x))
    card = {**CARD, "output": {"reconstruction": 0}, "loss": {"reco": "mse"}}
    with pytest.raises(ModelError, match="TensorFlow fails on 80 jets: "):
        adopt(fixed, card, output=tmp_path / "m", jets=events)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("kind", ["mse", "chamfer in the network", "score"])
def test_models_of_others_on_litert(tmp_path, events, vae, kind):
    """Their losses in the graph, where no loop of hepvae computes them."""
    pytest.importorskip("ai_edge_litert")
    scaled = [["eta", 0, 2], "phi", ["log_pt", 1.7, 0.7, -5, 5]]
    cards = {
        "mse": ONE,
        "chamfer in the network": {**CARD, "input": {"features": scaled}},
        "score": {**CARD, "output": {"score": 0}, "loss": None},
    }
    described = {key: value for key, value in cards[kind].items() if value is not None}
    model, decoder = vae
    if kind != "chamfer in the network":
        model, decoder = keras.Model(vae[0].inputs, vae[1](vae[0].outputs[1])), None
    if kind == "score":
        model = keras.Model(model.inputs, keras.ops.mean(model.outputs[0], axis=(1, 2)))
    parities = adopt(model, described, decoder=decoder, output=tmp_path / "m", jets=events)
    assert parities["litert"].holds()
    ours, theirs = (load_inferer(tmp_path / "m", runtime=name) for name in ("litert", "onnxruntime"))
    padded = pad_particles(events, ours.spec)
    for count in (1, 7, 80):
        jets = padded.reshape(-1, *ours.spec.shape)[:count]
        for name, values in theirs(jets).items():
            assert ours(jets)[name] == pytest.approx(values, rel=5e-4)
    if kind != "score":
        assert ours.reconstruct(padded) == pytest.approx(theirs.reconstruct(padded), rel=1e-3, abs=1e-3)


def test_what_litert_cannot_run_is_adopted_without_it(tmp_path, events, caplog):
    pytest.importorskip("ai_edge_litert")
    x = particles = keras.Input((20, 3), name="x")
    x = keras.ops.mean(keras.ops.arcsinh(x), axis=(1, 2))
    described = {**ONE, "output": {"score": 0}}
    del described["loss"]
    parities = adopt(keras.Model(particles, x), described, output=tmp_path / "m", jets=events)
    assert "litert" not in parities and not (tmp_path / "m" / "model.tflite").exists()
    assert "without model.tflite" in caplog.text


def test_a_saved_model_travels_as_bytes(tmp_path, events, vae):
    """A worker of Dask has no such folder."""
    adopt(vae[0], CARD, decoder=vae[1], output=tmp_path / "m", jets=events)
    inferer = load_inferer(tmp_path / "m" / "saved_model")
    padded = pad_particles(events, inferer.spec)
    losses, content = inferer(padded), pickle.dumps(inferer)
    (tmp_path / "m").rename(tmp_path / "moved")
    import hepvae.inference.transport as transport

    transport._kept.clear()
    assert np.array_equal(pickle.loads(content)(padded)["loss"], losses["loss"])


def test_files_of_keras_3(tmp_path, events, vae):
    for model, name in zip(vae, ("encoder", "decoder")):
        model.save(tmp_path / f"{name}.keras")
    files = {"model": tmp_path / "encoder.keras", "decoder": tmp_path / "decoder.keras"}
    with pytest.raises(ModelError, match=r"Sampling .*--trust-code"):
        adopt(**files, card=CARD, output=tmp_path / "m", jets=events)
    adopt(**files, card=CARD, output=tmp_path / "m", jets=events, custom={"Sampling": Sampling})
    assert load_inferer(tmp_path / "m").card.losses == ("loss", "reco_loss", "kl_loss")


def test_a_sampled_reconstruction_is_refused(tmp_path, events, vae):
    """Scores would differ from call to call."""
    encoder, decoder = vae
    whole = keras.Model(encoder.inputs, decoder(encoder.outputs[0]))
    with pytest.raises(ModelError, match=r"is random.*--decoder"):
        adopt(whole, ONE, output=tmp_path / "m", jets=events)
    assert list(tmp_path.iterdir()) == []


class Subclassed(keras.Model):
    """What tells neither inputs nor outputs."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(3)

    def call(self, x):
        return {"made": self.dense(x), "unused": x}


def test_subclassed_models(tmp_path, events):
    described = {**ONE, "input": {**ONE["input"], "n_particles": 20}, "output": {"reconstruction": "made"}}
    adopt(Subclassed(), described, output=tmp_path / "m", jets=events)
    lost = {**described, "output": {"reconstruction": "lost"}}
    with pytest.raises(ModelError, match=r"is 'lost': the model has the outputs made, unused"):
        adopt(Subclassed(), lost, output=tmp_path / "other", jets=events)


def test_batch_normalisation_in_training_mode_is_refused(tmp_path, events):
    class Normalised(keras.Model):
        def __init__(self):
            super().__init__()
            self.norm = keras.layers.BatchNormalization()

        def call(self, x):
            return self.norm(x, training=True)

    described = {**ONE, "input": {**ONE["input"], "n_particles": 20}}
    with pytest.raises(ModelError, match="depend on the other jets of its batch"):
        adopt(Normalised(), described, output=tmp_path / "m", jets=events)


def saved(path, function):
    module = tf.Module()
    module.f = tf.function(function, input_signature=[tf.TensorSpec((None, 20, 3), tf.float32, name="x")])
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.f})
    return path


def test_saved_models_that_run_python_or_read_files_are_refused(tmp_path, events):
    def python(x):
        return {"y": tf.ensure_shape(tf.numpy_function(lambda v: v, [x], tf.float32), x.shape)}

    def file(x):
        return {"y": x + tf.strings.to_number(tf.io.read_file("/etc/hostname"))}

    for name, function, named in (("python", python, "PyFunc"), ("file", file, "ReadFile")):
        with pytest.raises(ModelError, match=f"operator .*{named}.* runs Python or uses files"):
            adopt(saved(tmp_path / name, function), ONE, output=tmp_path / "m", jets=events)
    good = saved(tmp_path / "good", lambda x: {"y": 0.5 * x})
    adopt(good, {**ONE, "output": {"reconstruction": "y"}}, output=tmp_path / "m", jets=events)


def test_lambdas_do_not_run_unless_trusted(tmp_path, events):
    x = keras.Input((20, 3))
    model = keras.Model(x, keras.layers.Lambda(lambda v: v * 0.5)(x))
    model.save(tmp_path / "net.keras")
    with pytest.raises(ModelError, match=r"Lambda .*--trust-code"):
        adopt(tmp_path / "net.keras", ONE, output=tmp_path / "m", jets=events)
    adopt(tmp_path / "net.keras", ONE, output=tmp_path / "m", jets=events, trust_code=True)


def test_h5_files_with_weights_elsewhere_are_refused(tmp_path):
    """Other files of the machine were read as weights."""
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.attrs["model_config"] = "{}"
        file.create_dataset("w", (4,), "f4", external=[(str(tmp_path / "other"), 0, h5py.h5f.UNLIMITED)])
    with pytest.raises(ModelError, match=r"m\.h5: weights 'w' are not in the file itself"):
        draft_card(tmp_path / "m.h5")
