"""Graphs after their rewriting: what is in them, and that they are the same functions."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import hepvae
from hepvae import load_inferer, model_path
from hepvae.conversion.rewrites import TRACED_JETS, TRACED_PARTICLES, rewrite
from hepvae.errors import ModelError
from hepvae.models.bundled import DETECTOR, MODELS
from hepvae.models.contract import INPUT
from hepvae.models.losses import LOSSES, chamfer, points

#: Those that reconstruct constituents.
VAES = [name for name in MODELS if name != DETECTOR]


@pytest.mark.parametrize("model", MODELS)
def test_nothing_is_left_of_the_shape_it_was_traced_with(model):
    proto = onnx.load(model_path(model))
    for tensor in proto.graph.initializer:
        sizes = [*tensor.dims]
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.int64:
            sizes += values.ravel().tolist()
        assert not {s for s in sizes if s and 0 in (s % TRACED_JETS, s % TRACED_PARTICLES)}


def test_convolutions_are_plain_and_shapes_known():
    kinds = [node.op_type for node in onnx.load(model_path("conv")).graph.node]
    assert not {"ConvTranspose", "Gather", "Slice", "Cast"}.intersection(kinds)
    # The rows of ones in the product of the distances need the number of jets.
    assert (kinds.count("Conv"), kinds.count("Shape"), kinds.count("Expand")) == (4, 1, 1)
    assert len(kinds) < 130  # of tf2onnx by itself: 157


@pytest.mark.parametrize("model", [name for name in VAES if name != "conv"])
def test_masked_models_take_any_length_and_gather_as_they_are(model):
    proto = onnx.load(model_path(model))
    (given,) = proto.graph.input
    assert [axis.dim_param for axis in given.type.tensor_type.shape.dim] == ["jets", "particles", ""]
    kinds = [node.op_type for node in proto.graph.node]
    assert kinds.count("Shape") <= 2  # of jets and of particles
    assert "Less" not in kinds  # Keras's own treatment of negative indices


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("jets", [1, 2, 97])
def test_any_number_of_jets(model, jets, signal_events):
    inferer = load_inferer(model_path(model), batching=False, compiled_distances=False)
    padded = hepvae.pad_particles(signal_events, inferer.spec).reshape(-1, *inferer.spec.shape)
    together = inferer(padded)
    for name, values in inferer(padded[:jets]).items():
        assert np.allclose(values, together[name][:jets], rtol=1e-5)


@pytest.mark.parametrize("model", VAES)
def test_losses_of_3_tev_constituents_hold_against_float64(model, signal_jets):
    """The matrix product of float32 would lose 1 GeV^2 of each distance where pt^2 is 10^7 GeV^2."""
    inferer = load_inferer(model_path(model), batching=False, compiled_distances=False)
    for scale in (1, 3000 / signal_jets[..., 2].max()):
        jets = signal_jets * np.array([1, 1, scale], np.float32)
        made = inferer.reconstruct(jets).astype(np.float64)
        mask = (jets[..., 2] > 0).astype(np.float64) if model != "conv" else None
        card = inferer.card
        sets = [points(x, card.spec, card.distance, np) for x in (jets.astype(np.float64), made)]
        expected = chamfer(*sets, np, mask)
        assert np.max(np.abs(inferer(jets)["reco_loss"] / expected - 1)) < 2e-5


def small_graph(nodes, constants):
    """A graph of particles (1009, 4, 3) to loss."""
    shape = [TRACED_JETS, 4, 3]
    given = onnx.helper.make_tensor_value_info(INPUT, onnx.TensorProto.FLOAT, shape)
    made = onnx.helper.make_tensor_value_info("loss", onnx.TensorProto.FLOAT, None)
    tensors = [onnx.numpy_helper.from_array(np.asarray(values), name) for name, values in constants.items()]
    graph = onnx.helper.make_graph(nodes, "g", [given], [made], tensors)
    proto = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    return onnx.shape_inference.infer_shapes(proto)


def run(proto, jets):
    import onnxruntime

    return onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {INPUT: jets})[0]


def test_a_chain_of_affine_operators_becomes_one(rng):
    node = onnx.helper.make_node
    constants = {
        "mean": np.float32([1, 2, 3]),
        "scale": np.float32([0.5, 2, 1]),
        "weights": rng.normal(size=(3, 8)).astype(np.float32),
        "bias": rng.normal(size=8).astype(np.float32),
        "rows": np.int64([TRACED_JETS * 4, 3]),
        "jets": np.int64([TRACED_JETS, 4, 8]),
    }
    nodes = [
        node("Sub", [INPUT, "mean"], ["a"]),
        node("Mul", ["a", "scale"], ["b"]),
        node("Reshape", ["b", "rows"], ["c"]),
        node("MatMul", ["c", "weights"], ["d"]),
        node("Reshape", ["d", "jets"], ["e"]),
        node("Add", ["e", "bias"], ["loss"]),
    ]
    proto = small_graph(nodes, constants)
    rewrite(onnx, proto, free_particles=False)
    assert sorted(n.op_type for n in proto.graph.node) == ["Gemm", "Reshape", "Reshape"]
    jets = rng.normal(size=(5, 4, 3)).astype(np.float32)
    expected = (jets - constants["mean"]) * constants["scale"] @ constants["weights"] + constants["bias"]
    assert np.allclose(run(proto, jets), expected, atol=1e-5)


@pytest.mark.parametrize("pads", [0, 1, 2])
def test_transposed_convolution(rng, pads):
    node = onnx.helper.make_node
    constants = {"kernel": rng.normal(size=(4, 5, 3)).astype(np.float32)}
    nodes = [node("ConvTranspose", [INPUT, "kernel"], ["loss"], pads=[pads, pads], strides=[1])]
    proto = small_graph(nodes, constants)
    jets = rng.normal(size=(TRACED_JETS, 4, 3)).astype(np.float32)
    expected = run(proto, jets)
    rewrite(onnx, proto, free_particles=False)
    assert [n.op_type for n in proto.graph.node] == ["Conv"]
    assert np.allclose(run(proto, jets[:7]), expected[:7], atol=1e-5)


def test_constant_that_depends_on_the_number_of_jets_is_refused(rng):
    constants = {"values": rng.normal(size=(TRACED_JETS, 1, 1)).astype(np.float32)}
    proto = small_graph([onnx.helper.make_node("Add", [INPUT, "values"], ["loss"])], constants)
    with pytest.raises(ModelError, match="constant 'values' of the traced graph depends on the number"):
        rewrite(onnx, proto, free_particles=False)


def test_fewer_particles_than_neighbours(tmp_path):
    """Then the graph keeps the length that it was built for."""
    pytest.importorskip("tensorflow")
    from dataclasses import replace

    from hepvae.models.vae import VAE, load_vae

    card = load_vae(model_path("edge", runtime="tensorflow")).card
    few = replace(card, spec=hepvae.InputSpec(n_particles=6))
    hepvae.export_onnx(VAE(few), tmp_path / "m.onnx")
    inferer = load_inferer(tmp_path / "m.onnx")
    assert set(inferer(np.ones((2, 6, 3), np.float32))) == set(LOSSES)
