"""The compiled loop gives what `losses.chamfer` gives in float64."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from helpers.damaged_models import without_digest

from hepvae import InputSpec, load_inferer, model_path
from hepvae.inference.chamfer_kernel import chamfer
from hepvae.models import losses
from hepvae.models.contract import RECO_LOSS_KEY
from hepvae.models.losses import LOSSES


def exact(x, y, pt):
    mask = (x[..., pt] > 0).astype(np.float64) if pt >= 0 else None
    return losses.chamfer(x.astype(np.float64), y.astype(np.float64), np, mask)


@pytest.mark.parametrize("pt", [-1, 2])
@pytest.mark.parametrize("scale", [1, 20])  # jets of up to 3 TeV in one constituent
def test_real_jets(signal_jets, pt, scale):
    jets = signal_jets * np.array([1, 1, scale], np.float32)
    near = jets * np.float32(1.01) + np.float32(0.01)
    assert scale == 1 or jets[..., 2].max() > 3000
    assert np.allclose(chamfer(jets, near, pt, -1), exact(jets, near, pt), rtol=2e-6, atol=0)
    # Both of a jet that is its own reconstruction, and of one that is far away.
    assert not chamfer(jets, jets, pt, -1).any()
    far = jets + np.float32(1e4)
    assert np.allclose(chamfer(jets, far, pt, -1), exact(jets, far, pt), rtol=2e-6)


@pytest.mark.parametrize("features", [("eta", "phi", "pt"), ("pt", "phi", "eta")])
@pytest.mark.parametrize("masked", [False, True])
def test_transverse_momenta(signal_jets, features, masked):
    jets = np.ascontiguousarray(signal_jets[..., [("eta", "phi", "pt").index(name) for name in features]])
    near = jets * np.float32(1.1) + np.float32(0.05)
    spec, pt = InputSpec(features=features), features.index("pt")
    mask = (jets[..., pt] > 0).astype(np.float64) if masked else None
    places = [losses.points(x.astype(np.float64), spec, "momenta", np) for x in (jets, near)]
    found = chamfer(jets, near, pt if masked else -1, pt)
    assert np.allclose(found, losses.chamfer(*places, np, mask), rtol=2e-6, atol=0)
    assert not np.allclose(found, chamfer(jets, near, pt if masked else -1, -1), rtol=0.5)


@pytest.mark.parametrize("features", [1, 2, 3])
@pytest.mark.parametrize("length", [1, 7, 8, 33])
def test_any_features_and_length_with_gaps(rng, features, length):
    x, y = rng.normal(size=(2, 20, length, features)).astype(np.float32)
    x[:, 0, -1] = 1  # one particle at least
    for pt in (-1, features - 1):
        assert np.allclose(chamfer(x, y, pt, -1), exact(x, y, pt), rtol=2e-6)


@pytest.mark.parametrize("wrong", [np.nan, -np.nan, np.inf, -np.inf])
def test_what_is_no_number_stays_none(rng, wrong):
    x, y = rng.normal(size=(2, 3, 12, 3)).astype(np.float32)
    y[1, 5, 0] = wrong
    assert np.isfinite(chamfer(x, y, -1, -1)).tolist() == [True, False, True]


def test_a_jet_of_padding_is_no_number():
    jets = np.zeros((1, 4, 3), np.float32)
    assert np.isnan(chamfer(jets, jets, 2, -1)).all() and not chamfer(jets, jets, -1, -1).any()
    assert len(chamfer(jets[:0], jets[:0], 2, -1)) == 0


@pytest.mark.parametrize("model", ["conv", "graph", "graph-slots"])
def test_a_file_that_does_not_name_its_distance_is_run_as_it_is(tmp_path, model, signal_jets):
    proto = without_digest(onnx.load(model_path(model)))
    names = [entry.key for entry in proto.metadata_props]
    del proto.metadata_props[names.index(RECO_LOSS_KEY)]
    onnx.save(proto, tmp_path / "model.onnx")
    whole, taken_over = load_inferer(tmp_path / "model.onnx"), load_inferer(model_path(model))
    assert whole._opened().runtime.reco_loss is None and taken_over._opened().runtime.reco_loss is not None
    for name in LOSSES:
        found, expected = whole(signal_jets)[name], taken_over(signal_jets)[name]
        # What is reconstructed well has a loss of rounded numbers.
        assert np.allclose(found, expected, rtol=2e-5, atol=1e-4 * np.median(expected))
    assert np.allclose(whole.reconstruct(signal_jets), taken_over.reconstruct(signal_jets), rtol=1e-3, atol=1e-3)
