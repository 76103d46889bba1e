from __future__ import annotations

import json
import signal
from dataclasses import replace

import numpy as np
import pytest

import hepvae
from hepvae.models import hyperparameters
from hepvae.training import TrainingOptions, train

pytest.importorskip("tensorflow")

SETTINGS = TrainingOptions(max_events=300, epochs=2, batch_size=64, seed=3)
EDGE = {
    "spec": hepvae.InputSpec(n_particles=40),  # lengths of 32 and 40
    "hyperparameters": {
        "neighbours": 3,
        "width": 8,
        "decoder_width": 8,
        "convolutions": 1,
        "decoder_convolutions": 0,
    },
}
SMALL = TrainingOptions(max_events=100, epochs=3, batch_size=32, seed=3)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    output = tmp_path_factory.mktemp("model") / "conv"
    return output, train(hepvae.sample_path("qcdSide"), "conv", output, SETTINGS)


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
    jets = hepvae.pad_particles(hepvae.read_dijets(hepvae.sample_path("qcdSide"))[:300], hepvae.InputSpec())
    validating = jets[np.random.default_rng(3).permutation(300)[:30]].reshape(-1, 100, 3)
    loss = hepvae.load_inferer(trained[0])(validating)["loss"].mean()
    assert loss == pytest.approx(min(trained[1].history["val_loss"]), rel=1e-3)


@pytest.mark.slow
def test_same_seed_same_losses_other_seed_other_losses(trained, tmp_path):
    again = train(hepvae.sample_path("qcdSide"), "conv", tmp_path / "again", SETTINGS)
    assert again.history == trained[1].history
    other = train(hepvae.sample_path("qcdSide"), "conv", tmp_path / "other", replace(SETTINGS, seed=4))
    assert other.history["val_loss"] != pytest.approx(trained[1].history["val_loss"], rel=1e-3)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A small graph, with neighbours, whose gradients are summed where they were gathered from."""
    output = tmp_path_factory.mktemp("model") / "edge"
    return train(hepvae.sample_path("qcdSide"), "edge", output, SMALL, **EDGE)


@pytest.mark.slow
def test_graph_of_any_seed_is_reproducible_and_passes_the_export(whole, tmp_path):
    again, other = (
        train(
            hepvae.sample_path("qcdSide"),
            "edge",
            tmp_path / str(seed),
            replace(SMALL, seed=seed),
            **EDGE,
        )
        for seed in (3, 4)
    )
    assert again.history == whole.history
    assert other.history["val_loss"] != pytest.approx(whole.history["val_loss"], rel=1e-3)
    assert other.parity.worst < 1e-4
    card = hepvae.load_inferer(tmp_path / "4" / "model.onnx").card
    assert card.hyperparameters == hyperparameters("edge", EDGE["hyperparameters"])


def interrupted(monkeypatch, output, after):
    """A training that gets SIGTERM in the validation after some epochs, as by a batch system."""
    from hepvae.training import loop

    metrics, taken = loop._metrics, []

    def metrics_and_stop(model):
        taken.append(1)
        if len(taken) == 2 * after:  # those of the steps, and those of the validation
            signal.raise_signal(signal.SIGTERM)
        return metrics(model)

    with monkeypatch.context() as patched:
        patched.setattr(loop, "_metrics", metrics_and_stop)
        with pytest.raises(hepvae.HepvaeError, match=f"{output}: interrupted after epoch {after}: .*--resume"):
            train(hepvae.sample_path("qcdSide"), "edge", output, SMALL, **EDGE)


@pytest.mark.slow
def test_interrupted_and_resumed_is_as_if_it_was_not(whole, tmp_path, monkeypatch):
    """Losses, weights and what is left in the folder; and what is refused meanwhile."""
    output, handler = tmp_path / "edge", signal.getsignal(signal.SIGTERM)
    interrupted(monkeypatch, output, 2)
    assert signal.getsignal(signal.SIGTERM) is handler
    assert [file.name for file in output.iterdir()] == [".training"]
    with pytest.raises(hepvae.FileError, match=f"{output}: a training was interrupted there: expected --resume"):
        train(hepvae.sample_path("qcdSide"), "edge", output, SMALL, **EDGE)
    with pytest.raises(hepvae.OptionError, match="seed is 5, and the training to resume has 3"):
        train(
            hepvae.sample_path("qcdSide"),
            "edge",
            output,
            replace(SMALL, seed=5),
            **EDGE,
            resume=True,
        )
    resumed = train(hepvae.sample_path("qcdSide"), "edge", output, SMALL, **EDGE, resume=True)
    assert resumed.history == whole.history
    for ours, theirs in zip(resumed.model.get_weights(), whole.model.get_weights()):
        np.testing.assert_array_equal(ours, theirs)
    assert not (output / ".training").exists()


@pytest.mark.slow
def test_damaged_state(tmp_path, monkeypatch):
    interrupted(monkeypatch, tmp_path / "edge", 1)
    state = tmp_path / "edge" / ".training" / "state.npz"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(hepvae.FileError, match="not the state of this training: expected --overwrite"):
        train(hepvae.sample_path("qcdSide"), "edge", tmp_path / "edge", SMALL, **EDGE, resume=True)


def test_too_few_events(tmp_path):
    """It did not say that the selection had removed them all."""
    with pytest.raises(hepvae.DataError, match=r"0 events to train on, of \d{4} .*read: .*sideband.*kept 0"):
        train(hepvae.sample_path("qcdSig"), "conv", tmp_path / "m")
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
        {"warm_up": 41},
    ],
    ids=str,
)
def test_numbers_out_of_range(wrong):
    (name,) = wrong
    with pytest.raises(hepvae.OptionError, match=f"{name} is"):
        TrainingOptions(**wrong)


@pytest.mark.parametrize("neighbours", [0, 101])
def test_neighbours_that_a_jet_cannot_have(tmp_path, neighbours):
    with pytest.raises(hepvae.OptionError, match=f"edge: neighbours is {neighbours}: expected"):
        train(hepvae.sample_path("qcdSide"), "edge", tmp_path / "m", hyperparameters={"neighbours": neighbours})


@pytest.mark.parametrize("name", ["model.keras", "model.onnx", "model.tflite", "history.json"])
def test_a_trained_model_is_not_replaced(tmp_path, name):
    """Hours of training were lost to a second one with the same --output."""
    (tmp_path / name).write_text("trained")
    with pytest.raises(hepvae.FileError, match=rf"{name}: a trained model is there: .*--overwrite"):
        train(hepvae.sample_path("qcdSide"), "conv", tmp_path, SETTINGS)
    assert (tmp_path / name).read_text() == "trained"


def test_output_that_is_a_file(tmp_path):
    (tmp_path / "m").touch()
    with pytest.raises(hepvae.FileError, match="no folder, and none can be made there"):
        train(hepvae.sample_path("qcdSide"), "conv", tmp_path / "m", SETTINGS)


def test_model_that_does_not_pass_the_export_is_kept(tmp_path, monkeypatch):
    """Hours of training must not be lost to a comparison at their end."""

    def refuse(*arguments, **options):
        raise hepvae.ModelError("they differ")

    monkeypatch.setattr("hepvae.training.training.export_onnx", refuse)
    with pytest.raises(hepvae.ModelError, match="they differ"):
        train(hepvae.sample_path("qcdSide"), "conv", tmp_path / "m", replace(SETTINGS, max_events=50, epochs=1))
    assert sorted(file.name for file in (tmp_path / "m").iterdir()) == ["history.json", "model.keras"]
