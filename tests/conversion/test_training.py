from __future__ import annotations

import json

import numpy as np
import pytest

import hepvae
from hepvae.conversion.training import normalisation, train, training_jets
from hepvae.models import hyperparameters
from hepvae.reading.options import ReadOptions

pytest.importorskip("tensorflow")

SETTINGS = {"max_events": 300, "epochs": 2, "batch_size": 64}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    output = tmp_path_factory.mktemp("model") / "conv"
    return output, train(hepvae.sample_path("qcdSide"), "conv", output, seed=3, **SETTINGS)


def test_model_directory(trained):
    output, model = trained
    assert sorted(file.name for file in output.iterdir()) == [
        "history.json",
        "model.keras",
        "model.onnx",
        "model.tflite",
    ]
    assert json.loads((output / "history.json").read_text()) == model.history
    assert model.history["val_loss"][-1] < model.history["val_loss"][0]
    assert model.parity.worst < 1e-4


def test_no_more_chunks_are_read_than_events_are_used(monkeypatch):
    """Every chunk of every file was read before the first 300 events were taken."""
    options = ReadOptions(step_size=100)
    monkeypatch.setattr("hepvae.conversion.training.ReadOptions", lambda: options)
    files = [hepvae.sample_path("qcdSide"), hepvae.sample_path("qcdSig")]
    jets, record = training_jets(files, hepvae.InputSpec(n_particles=10), region=None, max_events=150)
    assert len(jets) == 150
    assert record["files"] == [{"path": "qcdSide.root", "events": 200}]


def test_each_file_alone_is_enough_to_score(trained, signal_events):
    output, _ = trained
    scores = [
        hepvae.score_dijets(signal_events, hepvae.load_inferer(output / name)).score
        for name in ("model.keras", "model.onnx", "model.tflite")
    ]
    assert np.allclose(scores[0], scores[1:], rtol=1e-4)


def test_provenance_says_what_was_done(trained):
    card = hepvae.load_inferer(trained[0]).card
    assert card.provenance["sample"] == {
        "files": [{"path": "qcdSide.root", "events": 2052}],
        "region": "sideband",
        "events_selected": 2052,
        "events_used": 300,
    }
    assert card.provenance["training_jets"] + card.provenance["validation_jets"] == 600
    assert card.provenance["seed"] == 3
    assert card.provenance["validation_loss"] == min(trained[1].history["val_loss"])


def test_best_weights_are_the_ones_kept(trained):
    """The validation loss of the saved model is the best of the history."""
    jets, _ = training_jets(hepvae.sample_path("qcdSide"), hepvae.InputSpec(), max_events=300)
    order = np.random.default_rng(3).permutation(300)
    validating = jets.reshape(300, 2, 100, 3)[order][:30].reshape(-1, 100, 3)
    loss = hepvae.load_inferer(trained[0])(validating)["loss"].mean()
    assert loss == pytest.approx(min(trained[1].history["val_loss"]), rel=1e-3)


@pytest.mark.slow
def test_same_seed_same_losses_other_seed_other_losses(trained, tmp_path):
    again = train(hepvae.sample_path("qcdSide"), "conv", tmp_path / "again", seed=3, **SETTINGS)
    assert again.history == trained[1].history
    other = train(hepvae.sample_path("qcdSide"), "conv", tmp_path / "other", seed=4, **SETTINGS)
    assert other.history["val_loss"] != pytest.approx(trained[1].history["val_loss"], rel=1e-3)


@pytest.mark.slow
def test_graph_of_any_seed_is_reproducible_and_passes_the_export(tmp_path):
    """A small one, with neighbours, whose gradients are summed where they were gathered from."""
    changed = {"neighbours": 3, "width": 8, "decoder_width": 8, "convolutions": 1, "decoder_convolutions": 0}
    options = {"hyperparameters": changed, "max_events": 100, "epochs": 2, "batch_size": 32}
    first, again, other = (
        train(hepvae.sample_path("qcdSide"), "edge", tmp_path / name, seed=seed, **options)
        for name, seed in (("first", 3), ("again", 3), ("other", 4))
    )
    assert again.history == first.history
    assert other.history["val_loss"] != pytest.approx(first.history["val_loss"], rel=1e-3)
    assert other.parity.worst < 1e-4
    card = hepvae.load_inferer(tmp_path / "other" / "model.onnx").card
    assert card.hyperparameters == hyperparameters("edge", changed)


def test_normalisation_is_of_the_constituents_not_of_the_padding():
    jets = np.zeros((2, 4, 3), np.float32)
    jets[0, 0], jets[0, 1], jets[1, 0] = (1, 2, 3), (2, 4, 6), (3, 6, 9)
    mean, std = normalisation(jets)
    assert mean == (2, 4, 6)
    assert std == pytest.approx(np.array([1, 2, 3]) * np.sqrt(2 / 3))


def test_too_few_events(tmp_path):
    """It did not say that the selection had removed them all."""
    with pytest.raises(hepvae.DataError, match=r"0 events to train on, of \d{4} .*read: .*sideband.*kept 0"):
        train(hepvae.sample_path("qcdSig"), "conv", tmp_path / "m", epochs=1)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"max_events": -1},
        {"validation_split": 0},
        {"validation_split": 1},
        {"validation_split": 0.999},  # two jets were left to train on
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"clip_norm": 0},
        {"beta": -1},
        {"seed": -1},
    ],
    ids=str,
)
def test_numbers_out_of_range(tmp_path, wrong):
    (name,) = wrong
    with pytest.raises(hepvae.OptionError, match=f"{name} is"):
        train(hepvae.sample_path("qcdSide"), "conv", tmp_path / "m", **wrong)


@pytest.mark.parametrize("neighbours", [0, 101])
def test_neighbours_that_a_jet_cannot_have(tmp_path, neighbours):
    with pytest.raises(hepvae.OptionError, match=f"edge: neighbours is {neighbours}: expected"):
        train(hepvae.sample_path("qcdSide"), "edge", tmp_path / "m", hyperparameters={"neighbours": neighbours})


@pytest.mark.parametrize("name", ["model.keras", "model.onnx", "model.tflite", "history.json"])
def test_a_trained_model_is_not_replaced(tmp_path, name):
    """Hours of training were lost to a second one with the same --output."""
    (tmp_path / name).write_text("trained")
    with pytest.raises(hepvae.FileError, match=rf"{name}: a trained model is there: .*--overwrite"):
        train(hepvae.sample_path("qcdSide"), "conv", tmp_path, **SETTINGS)
    assert (tmp_path / name).read_text() == "trained"


def test_output_that_is_a_file(tmp_path):
    (tmp_path / "m").touch()
    with pytest.raises(hepvae.FileError, match="no folder, and none can be made there"):
        train(hepvae.sample_path("qcdSide"), "conv", tmp_path / "m", **SETTINGS)


def test_model_that_does_not_pass_the_export_is_kept(tmp_path, monkeypatch):
    """Hours of training must not be lost to a comparison at their end."""

    def refuse(*arguments, **options):
        raise hepvae.ModelError("they differ")

    monkeypatch.setattr("hepvae.conversion.training.export_onnx", refuse)
    with pytest.raises(hepvae.ModelError, match="they differ"):
        train(hepvae.sample_path("qcdSide"), "conv", tmp_path / "m", max_events=50, epochs=1)
    assert sorted(file.name for file in (tmp_path / "m").iterdir()) == ["history.json", "model.keras"]
