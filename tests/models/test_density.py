"""The density of jet observables, untrained."""

from __future__ import annotations

import numpy as np
import pytest

from hepvae import InputSpec, ModelError, OptionError
from hepvae.models import architecture
from hepvae.models.card import ModelCard

keras = pytest.importorskip("keras")
pytest.importorskip("tensorflow")

FEATURES = ("pt", "mass", "tau21", "multiplicity")
MEANS, STDS = (700.0, 120.0, 0.5, 60.0), (300.0, 80.0, 0.2, 20.0)
SETTINGS = {"conditions": 2, "weights": [100, 100], "components": 3, "units": [8]}


def model(**settings):
    from hepvae.models.vae import new_model

    keras.utils.set_random_seed(4)
    spec = InputSpec(1, (), jet_features=FEATURES)
    made = new_model(
        ModelCard(
            "density",
            spec,
            MEANS,
            STDS,
            hyperparameters=SETTINGS | settings,
            losses=("loss",),
            reconstruction=None,
        )
    )
    rng = np.random.default_rng(6)
    made.set_weights([w + rng.normal(0, 0.1, w.shape).astype(w.dtype) for w in made.get_weights()])
    return made


def loss(of, jets):
    return keras.ops.convert_to_numpy(of(np.float32(jets)[:, None])["loss"])


def test_is_a_density_of_the_logarithms():
    tau21, number = np.exp(np.linspace(-4.5, 3, 250)), np.exp(np.linspace(-3, 11, 350))
    every = np.stack(np.meshgrid(tau21, number, indexing="ij"), -1).reshape(-1, 2)
    for pt, mass in ((500, 80), (2000, 400)):
        jets = np.column_stack([np.full(len(every), pt), np.full(len(every), mass), every])
        cell = np.log(tau21[1] / tau21[0]) * np.log(number[1] / number[0])
        assert np.exp(-loss(model(), jets).astype(np.float64)).sum() * cell == pytest.approx(1, abs=5e-3)


def test_terms_count_by_their_weights():
    jets = np.random.default_rng(3).uniform([300, 20, 0.1, 20], [1500, 300, 0.9, 100], (50, 4))
    first, both = loss(model(weights=[100, 1]), jets), loss(model(), jets)
    half = loss(model(weights=[50, 1]), jets)
    second = (both - first) / 0.99
    assert np.allclose(half, 0.5 * (both - second) + 0.01 * second, atol=1e-4)
    # The first observable knows nothing of the second.
    moved = jets * [1, 1, 1, 1.5]
    of_moved = (loss(model(), moved) - loss(model(weights=[100, 1]), moved)) / 0.99
    assert np.allclose(loss(model(), moved) - of_moved, both - second, atol=1e-4)


def test_a_jet_far_from_all_others_has_a_finite_loss():
    jets = [[700, 120, 0, 60], [0, 0, 0.5, 60], [1e7, 1e-3, 1, 1e5]]
    found = loss(model(), jets)
    assert np.isfinite(found).all() and (found < 1000).all()


def test_what_is_no_density():
    from hepvae.models.vae import new_model

    def made(spec, means, **settings):
        card = ModelCard(
            "density",
            spec,
            means,
            (1.0,) * len(means),
            hyperparameters=SETTINGS | settings,
            losses=("loss",),
            reconstruction=None,
        )
        return new_model(card)

    jet = InputSpec(1, (), jet_features=FEATURES)
    with pytest.raises(OptionError, match="density takes features of jets only: found eta, phi, pt"):
        made(InputSpec(), (0.0, 0.0, 1.0))
    with pytest.raises(
        OptionError, match="4 features of which 2 are conditions, and 1 weights: expected a weight"
    ):
        made(jet, MEANS, weights=[100])
    with pytest.raises(OptionError, match="the mean of mass is -1: expected features that are positive"):
        made(jet, (700.0, -1.0, 0.5, 60.0))
    with pytest.raises(ModelError, match="its card has losses loss, reco_loss, kl_loss: expected loss"):
        new_model(ModelCard("density", jet, MEANS, STDS))


def test_its_card_travels():
    card = model().card
    assert ModelCard.from_json(card.to_json(), "here") == card
    row = architecture("density")
    assert row.strategy == "sum" and row.losses == ("loss",)
    named = ModelCard("density", card.spec, MEANS, STDS, losses=("loss",), reconstruction=None, strategy="sum")
    assert ModelCard.from_json(named.to_json(), "here").strategy == "sum"
    values = {**named.to_dict(), "strategy": "best"}
    with pytest.raises(ModelError, match="strategy 'best' is unknown"):
        ModelCard.from_dict(values)


def test_saved_and_loaded(tmp_path):
    from hepvae.models.vae import load_vae

    made, jets = model(), [[700, 120, 0.3, 60], [400, 20, 0.8, 30]]
    made.save(tmp_path / "model.keras")
    assert np.array_equal(loss(load_vae(tmp_path / "model.keras"), jets), loss(made, jets))
