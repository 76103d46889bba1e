"""The physics of the bundled samples, and the bundled model."""

from __future__ import annotations

import json
from dataclasses import replace

import awkward as ak
import numpy as np
import pytest
import uproot

import hepvae
from hepvae.models.bundled import DETECTOR, MODELS, SAMPLES
from hepvae.models.losses import LOSSES

LIMIT = 4 * 2**20


@pytest.fixture(params=SAMPLES)
def sample(request):
    return request.param


def soft_drop_masses(name):
    with uproot.open(hepvae.sample_path(name)) as file:
        return np.asarray(ak.flatten(file["Events"]["FatJet_msoftdrop"].array()[:, :2]))


def test_size_and_layout(sample):
    path = hepvae.sample_path(sample)
    assert path.stat().st_size < LIMIT
    with uproot.open(path) as file:
        assert file.classname_of("Events") == "TTree"
        assert file["Events"].num_entries >= 2000
        assert {"nFatJet", "nPFCand", "nFatJetPFCand", "PFCand_mass", "PFCand_pdgId"} < set(file["Events"].keys())
        provenance = json.loads(file["provenance"])
        runs = file["Runs"].arrays(library="np")
    assert provenance["process"] == sample
    assert len(set(runs["seed"])) == len(runs["seed"])
    assert (runs["xsec"] > 0).all() and (runs["genEventCount"] > 0).all()


def test_every_event_passes_the_selection(sample):
    events = hepvae.read_dijets(hepvae.sample_path(sample))
    region = {"qcdSide": "sideband", "qcdSig": "signal"}.get(sample)
    assert len(hepvae.select_dijets(events, region=region)) == len(events)
    assert ak.all(np.isfinite(events.genWeight) & (events.genWeight > 0))


def test_constituents_add_up_to_their_jet(sample):
    """Four-momentum is conserved: constituents sum to the jet, within the rounding of the file."""
    events = hepvae.read_dijets(hepvae.sample_path(sample), entry_stop=300)
    for component in ("px", "py", "pz"):
        summed = ak.sum(getattr(events.jets.constituents, component), axis=2)
        assert ak.max(abs(summed - getattr(events.jets, component)) / events.jets.p) < 2e-3


def test_qcd_reaches_far_in_mjj():
    """The biased generation fills the tail; the weights undo it, and fall steeply with mjj."""
    for name in ("qcdSide", "qcdSig"):
        events = hepvae.read_dijets(hepvae.sample_path(name))
        mjj, weight = ak.to_numpy(events.mjj), ak.to_numpy(events.genWeight)
        assert mjj.max() > 4500
        assert np.average(mjj > 2000, weights=weight) < 0.15 < np.mean(mjj > 2000)


@pytest.mark.parametrize("sample", ["GtoWW15na", "GtoWW15br"])
def test_w_peak_in_the_groomed_jet_mass(sample):
    mass = soft_drop_masses(sample)
    counts, edges = np.histogram(mass, bins=np.arange(0, 200, 4))
    assert 76 <= edges[np.argmax(counts)] + 2 <= 86
    assert np.mean((mass > 65) & (mass < 105)) > 0.55
    qcd = soft_drop_masses("qcdSig")
    assert np.mean((qcd > 65) & (qcd < 105)) < 0.2


def test_graviton_peaks_at_its_mass_and_the_broad_one_is_broader():
    mjj = {n: ak.to_numpy(hepvae.read_dijets(hepvae.sample_path(n)).mjj) for n in ("GtoWW15na", "GtoWW15br")}
    for values in mjj.values():
        assert 1400 < np.median(values) < 1650
    spread = {n: np.subtract(*np.percentile(v, [75, 25])) for n, v in mjj.items()}
    assert spread["GtoWW15br"] > 1.5 * spread["GtoWW15na"]


def test_w_jets_have_fewer_constituents_than_qcd_jets():
    """Fewer gluons radiate from a colour singlet."""
    number = {
        n: ak.mean(ak.num(hepvae.read_dijets(hepvae.sample_path(n)).jets.constituents, axis=2))
        for n in ("qcdSig", "GtoWW15na")
    }
    assert 30 < number["GtoWW15na"] < number["qcdSig"] < 80


@pytest.mark.parametrize("model", MODELS)
def test_model_files(model):
    onnx, history = hepvae.model_path(model), hepvae.model_path(model).with_name("history.json")
    keras = hepvae.model_path(model, runtime="tensorflow")
    assert [p.name for p in (onnx, keras)] == ["model.onnx", "model.keras"]
    assert all(p.stat().st_size < LIMIT for p in (onnx, keras))
    card = hepvae.load_inferer(onnx).card
    assert model in (card.architecture, f"{card.architecture}-{card.distance}")
    if model not in ("conv", DETECTOR):
        assert {"convolutions", "width", "latent"} < set(card.hyperparameters)
    assert card.provenance["sample"]["events_used"] >= 80_000
    losses = json.loads(history.read_text())["val_loss"]
    assert card.provenance["validation_loss"] == min(losses) < losses[0]


def assert_same(found, expected):
    """As runtimes agree: a loss that is small beside others has rounding of large numbers in it."""
    assert (np.abs(found - expected) <= 1e-4 * np.maximum(np.abs(expected), np.median(np.abs(expected)))).all()


@pytest.fixture(params=[name for name in MODELS if name not in ("conv", DETECTOR)])
def masked(request):
    """A bundled model that masks padding, and its losses of real jets that it takes all constituents of."""
    keras = pytest.importorskip("keras")
    from hepvae.models.vae import load_vae

    def losses(model, jets):
        parts = [model(jets[i : i + 500]) for i in range(0, len(jets), 500)]
        return {name: np.concatenate([keras.ops.convert_to_numpy(p[name]) for p in parts]) for name in LOSSES}

    events = [hepvae.read_dijets(hepvae.sample_path(name), entry_stop=100) for name in SAMPLES]
    jets = ak.concatenate([ak.flatten(e.jets) for e in events])
    model = load_vae(hepvae.model_path(request.param, runtime="tensorflow"))
    jets = jets[ak.num(jets.constituents) <= model.card.spec.n_particles]
    return model, losses, jets, losses(model, hepvae.pad_particles(jets, model.card.spec))


def test_further_padding_leaves_the_losses(masked):
    from hepvae.models.vae import VAE

    model, losses, jets, expected = masked
    longer = VAE(replace(model.card, spec=hepvae.InputSpec(n_particles=160)))
    longer.encoder.set_weights(model.encoder.get_weights())
    longer.decoder.set_weights(model.decoder.get_weights())
    for name, values in losses(longer, hepvae.pad_particles(jets, longer.card.spec)).items():
        assert_same(values, expected[name])


def test_order_of_constituents_leaves_the_losses(masked, rng):
    model, losses, jets, expected = masked
    number = ak.num(jets.constituents)
    order = ak.argsort(ak.unflatten(rng.random(ak.sum(number)), number), axis=1)
    shuffled = ak.with_field(jets, jets.constituents[order], "constituents")
    for name, values in losses(model, hepvae.pad_particles(shuffled, model.card.spec)).items():
        assert_same(values, expected[name])


def test_unknown_names():
    with pytest.raises(hepvae.OptionError, match="sample 'ttbar' is unknown: expected one of qcdSide, qcdSig"):
        hepvae.sample_path("ttbar")
    with pytest.raises(hepvae.OptionError, match="model 'big' is unknown: expected one of conv"):
        hepvae.model_path("big")
