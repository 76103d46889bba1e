"""TensorFlow and ONNX Runtime must agree on every real jet."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.places import NEEDS_PACKAGE

import hepvae
from hepvae.conversion.parity import MOST_MOVED, TOLERANCE, Parity, compare_losses
from hepvae.inference import RUNTIMES
from hepvae.jets.quality import pad_scorable
from hepvae.models.bundled import MODELS, SAMPLES

OTHERS = ("litert", "tensorflow-xla", "openvino")


def compare(first, second, padded):
    return compare_losses(first(padded), second(padded))


def loaded(model, name):
    pytest.importorskip(NEEDS_PACKAGE[name])
    return hepvae.load_inferer(hepvae.model_path(model, runtime=name), runtime=name)


@pytest.fixture(scope="module", params=MODELS)
def pair(request):
    """TensorFlow and ONNX Runtime, for each bundled model."""
    return loaded(request.param, "tensorflow"), loaded(request.param, "onnxruntime")


@pytest.mark.parametrize("model", ["conv", "edge-dense"])
@pytest.mark.parametrize("name", OTHERS)
def test_runtimes_that_are_asked_for_by_name(model, name, signal_jets):
    parity = compare(loaded(model, "onnxruntime"), loaded(model, name), signal_jets)
    assert parity.worst <= TOLERANCE, str(parity)


def test_every_runtime_is_held_against_another():
    assert {"tensorflow", "onnxruntime", *OTHERS} == set(RUNTIMES)


@pytest.mark.slow
def test_every_jet_of_the_samples(pair):
    for sample in SAMPLES:
        jets = pad_scorable(hepvae.read_dijets(hepvae.sample_path(sample)), pair[0].spec)
        assert len(jets) > 4000
        parity = compare(*pair, jets)
        assert parity.holds(), f"{sample}, {parity}"


@pytest.mark.parametrize("file", ["pfnano.root", "nano_tt_v15.root"])
def test_every_jet_of_real_cms_files(pair, real_data, file):
    parity = compare(*pair, pad_scorable(hepvae.read_dijets(real_data / file), pair[0].spec))
    assert parity.jets >= 20
    assert parity.holds(), str(parity)


class Fixed:
    def __init__(self, **losses):
        self.losses = {k: np.array(v, np.float32) for k, v in losses.items()}

    def __call__(self, padded):
        return self.losses


def test_the_worst_jet_is_found():
    good = {"loss": [1, 2, 3], "reco_loss": [1, 2, 3], "kl_loss": [0, 1, 1]}
    parity = compare(Fixed(**good), Fixed(**{**good, "kl_loss": [0, 1, 1.5]}), np.zeros((3, 1, 1)))
    assert (parity.jet, parity.loss, parity.values) == (2, "kl_loss", (1.0, 1.5))
    assert parity.worst == pytest.approx(1 / 2)
    assert "kl_loss of jet 2 is 1 and 1.5" in str(parity)
    assert compare(Fixed(**good), Fixed(**good), np.zeros((3, 1, 1))).worst == 0


def test_nan_of_one_is_no_agreement():
    good = {"loss": [1.0], "reco_loss": [1.0], "kl_loss": [1.0]}
    assert compare(Fixed(**good), Fixed(**{**good, "loss": [np.nan]}), np.zeros((1, 1, 1))).worst == np.inf


def of_loss(*loss):
    return Fixed(loss=loss, reco_loss=loss, kl_loss=[1.0] * len(loss))


def test_a_loss_that_is_small_beside_others_is_held_against_their_median():
    """An accurate model was refused for a jet whose loss was all but rounding."""
    jets = np.zeros((4, 1, 1))
    parity = compare(of_loss(1e-6, 1, 1, 2), of_loss(2e-6, 1, 1, 2), jets)
    assert parity.worst == pytest.approx(1e-6)
    assert parity.holds()
    assert not compare(of_loss(1, 1, 1, 2), of_loss(1.001, 1, 1, 2), jets).holds()


def test_values_of_either_sign():
    """Scores of classifiers and flows are negative as well, and may be zero."""
    jets = np.zeros((3, 1, 1))
    assert compare(of_loss(-1, 0, 1), of_loss(-1, 0, 1), jets).worst == 0
    assert compare(of_loss(-1, 0, 1), of_loss(1, 0, 1), jets).worst == 2
    assert compare(of_loss(0, 0, 0), of_loss(0, 1e-9, 0), jets).worst == np.inf


def test_events_that_change_sides_are_counted():
    loss = np.linspace(1, 2, 1000)
    swapped = loss.copy()
    swapped[[899, 900]] = loss[[900, 899]]
    parity = compare(of_loss(*loss), of_loss(*swapped), np.zeros((1000, 1, 1)))
    assert parity.moved == pytest.approx(2e-3)
    assert parity.moved > MOST_MOVED
    assert not Parity(1000, 0.0, 0, "loss", (1.0, 1.0), parity.moved).holds()
    assert compare(of_loss(*loss), of_loss(*loss), np.zeros((1000, 1, 1))).moved == 0


def test_the_lower_jet_of_an_event_decides():
    loss = np.stack([np.linspace(1, 2, 100), np.full(100, 3.0)], axis=1)
    other = loss.copy()
    other[50, 1] = 2.9
    first, second = Fixed(loss=loss), Fixed(loss=other)
    assert compare(first, second, np.zeros((100, 2, 1, 1))).moved == 0
