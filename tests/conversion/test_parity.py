"""TensorFlow and ONNX Runtime must agree on every real jet."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.places import NEEDS_PACKAGE

import hepvae
from hepvae.conversion.parity import TOLERANCE, compare
from hepvae.inference import RUNTIMES
from hepvae.jets.quality import pad_scorable
from hepvae.models.bundled import MODELS, SAMPLES

#: OpenVINO computes in float32 on a CPU what the graph models ask for in float64.
OTHERS = {"tensorflow-xla": TOLERANCE, "openvino": 2e-3}


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
    assert parity.worst <= OTHERS[name], str(parity)


def test_every_runtime_is_held_against_another():
    assert {"tensorflow", "onnxruntime", *OTHERS} == set(RUNTIMES)


@pytest.mark.slow
def test_every_jet_of_the_samples(pair):
    for sample in SAMPLES:
        jets = pad_scorable(hepvae.read_dijets(hepvae.sample_path(sample)), pair[0].spec)
        assert len(jets) > 4000
        parity = compare(*pair, jets)
        assert parity.worst <= TOLERANCE, f"{sample}, {parity}"


@pytest.mark.parametrize("file", ["pfnano.root", "nano_tt_v15.root"])
def test_every_jet_of_real_cms_files(pair, real_data, file):
    parity = compare(*pair, pad_scorable(hepvae.read_dijets(real_data / file), pair[0].spec))
    assert parity.jets >= 20 and parity.worst <= TOLERANCE, str(parity)


class Fixed:
    def __init__(self, **losses):
        self.losses = {k: np.array(v, np.float32) for k, v in losses.items()}

    def __call__(self, padded):
        return self.losses


def test_the_worst_jet_is_found():
    good = {"loss": [1, 2, 3], "reco_loss": [1, 2, 3], "kl_loss": [0, 1, 1]}
    parity = compare(Fixed(**good), Fixed(**{**good, "kl_loss": [0, 1, 1.5]}), np.zeros((3, 1, 1)))
    assert (parity.jet, parity.loss, parity.values) == (2, "kl_loss", (1.0, 1.5))
    assert parity.worst == pytest.approx(1 / 3)
    assert "kl_loss of jet 2 is 1 and 1.5" in str(parity)
    assert compare(Fixed(**good), Fixed(**good), np.zeros((3, 1, 1))).worst == 0


def test_nan_of_one_is_no_agreement():
    good = {"loss": [1.0], "reco_loss": [1.0], "kl_loss": [1.0]}
    assert compare(Fixed(**good), Fixed(**{**good, "loss": [np.nan]}), np.zeros((1, 1, 1))).worst == np.inf
