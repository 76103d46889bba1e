"""Every architecture of the table, untrained."""

from __future__ import annotations

import zipfile

import awkward as ak
import numpy as np
import pytest

from hepvae import InputSpec, ModelError, OptionError
from hepvae.jets.padding import pad_particles
from hepvae.models import ARCHITECTURES, MASKED, architecture, hyperparameters
from hepvae.models.card import ModelCard
from hepvae.models.losses import DISTANCES, LOSSES, chamfer, kl_divergence, points

keras = pytest.importorskip("keras")
pytest.importorskip("tensorflow")


def make(architecture="conv", **changes):
    from hepvae.models.vae import VAE

    values = {"spec": InputSpec(), "mean": (0.0, 0.0, 6.0), "std": (0.2, 0.2, 20.0)} | changes
    keras.utils.set_random_seed(5)
    return VAE(ModelCard(architecture, **values))


@pytest.fixture(params=[name for name in ARCHITECTURES if name != "density"])
def model(request):
    return make(request.param)


@pytest.fixture(params=sorted(MASKED))
def masked(request):
    """A model that masks padding, its weights no longer the first ones: zeros would hide mistakes."""
    return shaken(make(request.param))


def shaken(model):
    """The same model with other random weights, none of them zero."""
    rng = np.random.default_rng(6)
    for part in (model.encoder, model.decoder):
        part.set_weights([w + rng.normal(0, 0.05, w.shape).astype(w.dtype) for w in part.get_weights()])
    return model


def losses_of(model, jets):
    found = model(jets)
    return {name: keras.ops.convert_to_numpy(found[name]) for name in LOSSES}


def assert_same(found, expected):
    """Sums of float32 may be in another order."""
    for name in LOSSES:
        assert np.allclose(found[name], expected[name], rtol=1e-4, atol=0), (
            name
        )  # sums of float32 in another order


@pytest.mark.parametrize("distance", DISTANCES)
def test_losses_are_those_of_the_definition(model, signal_jets, distance):
    """In NumPy and float64, from the model's own reconstruction and latent values."""
    model = shaken(make(model.card.architecture, distance=distance))
    found = {k: keras.ops.convert_to_numpy(v).astype(np.float64) for k, v in model(signal_jets).items()}
    latent = {k: keras.ops.convert_to_numpy(v).astype(np.float64) for k, v in model.encoder(signal_jets).items()}
    mask = (signal_jets[..., 2] > 0).astype(np.float64) if model.mask else None
    sets = signal_jets.astype(np.float64), found["reconstruction"]
    expected = chamfer(*[points(x, InputSpec(), distance, np) for x in sets], np, mask)
    assert np.allclose(found["reco_loss"], expected, rtol=1e-4)
    assert np.allclose(found["kl_loss"], kl_divergence(latent["z_mean"], latent["z_log_var"], np, mask), rtol=1e-4)
    assert np.allclose(found["loss"], found["reco_loss"] + 0.01 * found["kl_loss"], rtol=1e-6)
    assert found["reconstruction"].shape == signal_jets.shape


def test_latent_is_sampled_in_training_only(model, signal_jets):
    shaken(model)

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
    with pytest.raises(OptionError, match="conv has no hyperparameter 'layers': expected one of latent, filters"):
        make(hyperparameters={"layers": 3})
    with pytest.raises(OptionError, match="leaves 95 of 99 particles"):
        make(spec=InputSpec(n_particles=99))
    with pytest.raises(OptionError, match="edge: neighbours is 0: expected a whole number of at least 1"):
        make("edge", hyperparameters={"neighbours": 0})
    with pytest.raises(OptionError, match=r"graph: units is 'x': expected a whole number of at least 1"):
        make("graph", hyperparameters={"units": [8, "x"]})
    with pytest.raises(OptionError, match="graph needs phi among the features: found eta, pt"):
        make("graph", spec=InputSpec(features=("eta", "pt")), mean=(0, 6), std=(1, 20))


def test_hyperparameters_are_complete():
    """A model file must say all of them: a default may change."""
    assert hyperparameters("edge", {"neighbours": 12}) == {**architecture("edge").defaults, "neighbours": 12}


def test_unknown_architecture():
    with pytest.raises(OptionError, match="model 'transformer' is unknown: expected one of conv, graph, edge"):
        architecture("transformer")


def test_padding_further_changes_nothing(masked, signal_jets):
    """Weights do not depend on n_particles, nor a jet's losses once its constituents are all in."""
    number = (signal_jets[..., 2] > 0).sum(axis=1)
    jets = signal_jets[number < 100]
    longer = shaken(make(masked.card.architecture, spec=InputSpec(n_particles=180)))
    more = np.pad(jets, ((0, 0), (0, 80), (0, 0)))
    assert_same(losses_of(longer, more), losses_of(masked, jets))
    reconstruction = keras.ops.convert_to_numpy(longer(more)["reconstruction"])
    assert not reconstruction[more[..., 2] == 0].any()
    assert np.allclose(reconstruction[:, :100], masked(jets)["reconstruction"], rtol=1e-4, atol=1e-4)


def test_garbage_in_the_padding_changes_nothing(masked, signal_jets, rng):
    """eta and phi of what has no pt."""
    jets = signal_jets.copy()
    jets[jets[..., 2] == 0, :2] = rng.normal(size=(int((jets[..., 2] == 0).sum()), 2))
    assert_same(losses_of(masked, jets), losses_of(masked, signal_jets))


def test_order_of_constituents_before_the_padding_changes_nothing(masked, signal_events, signal_jets, rng):
    """What remains of it after the sort by pt is the order of constituents of equal pt."""
    jets = ak.flatten(signal_events.jets)
    number = ak.num(jets.constituents)
    order = ak.argsort(ak.unflatten(rng.random(ak.sum(number)), number), axis=1)
    shuffled = ak.with_field(jets, jets.constituents[order], "constituents")
    padded = pad_particles(shuffled, masked.card.spec)
    assert (shuffled.constituents.pt[:, 0] != jets.constituents.pt[:, 0]).to_numpy().any()
    assert 0 < (padded != signal_jets).any(axis=(1, 2)).sum() < len(padded)
    assert_same(losses_of(masked, padded), losses_of(masked, signal_jets))


def test_order_after_the_padding_changes_nothing(masked, signal_jets, rng):
    """With padding anywhere. Two constituents in one direction are left out: of two that are the same
    distance away the first is the nearer neighbour, and the sort by pt makes that the harder one."""
    apart = [len(np.unique(jet[jet[:, 2] > 0, :2], axis=0)) == (jet[:, 2] > 0).sum() for jet in signal_jets]
    jets = signal_jets[apart]
    assert len(jets) > 60
    order = rng.permuted(np.broadcast_to(np.arange(100), jets.shape[:2]), axis=1)
    permuted = np.take_along_axis(jets, order[..., None], axis=1)
    assert_same(losses_of(masked, permuted), losses_of(masked, jets))


@pytest.mark.parametrize("number", [1, 2, 5])
def test_jets_of_few_constituents(masked, signal_jets, number):
    """Fewer than there are neighbours to take."""
    jets = signal_jets.copy()
    jets[:, number:] = 0
    found = losses_of(masked, jets)
    assert all(np.isfinite(values).all() and (values > 0).all() for values in found.values())
    shorter = shaken(make(masked.card.architecture, spec=InputSpec(n_particles=number)))
    assert_same(losses_of(shorter, jets[:, :number]), found)


def test_a_jet_without_constituents_has_no_loss(masked, signal_jets):
    jets = np.concatenate([signal_jets[:2], np.zeros_like(signal_jets[:1])])
    for values in losses_of(masked, jets).values():
        assert np.isfinite(values[:2]).all() and np.isnan(values[2])


def test_features_in_any_order(signal_jets):
    model = shaken(make("edge"))
    other = shaken(make("edge", spec=InputSpec(features=("pt", "phi", "eta")), mean=(6, 0, 0), std=(20, 0.2, 0.2)))
    assert np.isfinite(losses_of(other, signal_jets[..., ::-1])["loss"]).all()
    neighbours = [
        keras.ops.convert_to_numpy(m.encoder.get_layer("neighbours")(jets, model.mask(signal_jets))[0])
        for m, jets in ((model, signal_jets), (other, signal_jets[..., ::-1].copy()))
    ]
    assert np.array_equal(*neighbours)


def test_dense_is_ten_to_twenty_times_edge():
    edge, dense = make("edge").count_params(), make("edge-dense").count_params()
    assert 10 <= dense / edge <= 20
    assert 4 * dense < 4 * 2**20


def test_training_takes_pairs_of_slots_and_constituents(signal_jets):
    """Never below the distance of nearest neighbours."""
    model = make("graph-slots", distance="weighted")
    model.encoder.get_layer("z_log_var").bias.assign([-50.0] * 3)  # without noise
    in_training, scored = (
        keras.ops.convert_to_numpy(model(signal_jets, training=t)["reco_loss"]) for t in (True, False)
    )
    assert (in_training >= scored * (1 - 1e-5)).all() and not np.allclose(in_training, scored)


def test_slots_need_relative_directions():
    with pytest.raises(
        OptionError, match="graph-slots needs eta and phi relative to the jet axis, and pt: found abs"
    ):
        make("graph-slots", spec=InputSpec(coordinates="absolute"))


def test_foreign_keras_files_are_refused(tmp_path):
    from hepvae.models.vae import load_vae

    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    other.save(tmp_path / "other.keras")
    with pytest.raises(ModelError, match=r"other\.keras: a Keras Sequential, not a model of hepvae"):
        load_vae(tmp_path / "other.keras")
    with zipfile.ZipFile(tmp_path / "zip.keras", "w") as file:
        file.writestr("config.json", "{}")
    with pytest.raises(ModelError, match=r"zip\.keras: not a model that hepvae can load"):
        load_vae(tmp_path / "zip.keras")
    with pytest.raises(ModelError, match=r"none\.keras: no such model file"):
        load_vae(tmp_path / "none.keras")
