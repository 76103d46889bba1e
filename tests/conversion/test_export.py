from __future__ import annotations

import json
import logging

import numpy as np
import onnx
import pytest

import hepvae
from hepvae import export_onnx, model_path
from hepvae.conversion.export import _check_graph
from hepvae.conversion.tensorflow_graph import without_gemm_warnings
from hepvae.models.bundled import MODELS, reference_jets

pytest.importorskip("tensorflow")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "new" / "model.onnx"
    return path, export_onnx(model_path("conv", runtime="tensorflow"), path)


def test_one_graph_with_named_ends(exported):
    path, _ = exported
    graph = onnx.load(path).graph
    assert [node.name for node in graph.input] == ["particles"]
    assert {node.name for node in graph.output} == {"loss", "reco_loss", "kl_loss", "reconstruction"}
    batch, *rest = graph.input[0].type.tensor_type.shape.dim
    assert batch.dim_param and [d.dim_value for d in rest] == [100, 3]


def test_file_describes_itself(exported):
    path, parity = exported
    card = hepvae.load_inferer(path).card
    assert card == hepvae.load_inferer(model_path("conv", runtime="tensorflow")).card
    assert card.spec == hepvae.InputSpec() and card.beta == 0.01
    assert card.provenance["sample"]["region"] == "sideband"
    metadata = {p.key: p.value for p in onnx.load(path).metadata_props}
    record = json.loads(metadata["hepvae.export"])
    assert record["worst_relative_difference"] == parity.worst <= 1e-4
    assert record["jets"] == len(reference_jets(card.spec)) == 2000


def test_same_losses_as_the_bundled_file(exported, signal_jets):
    new, bundled = (hepvae.load_inferer(path)(signal_jets) for path in (exported[0], model_path("conv")))
    for name in new:
        assert np.allclose(new[name], bundled[name], rtol=1e-5)


def test_nothing_else_is_left(exported):
    assert [file.name for file in exported[0].parent.iterdir()] == ["model.onnx"]


def test_worse_than_the_tolerance_is_refused(tmp_path):
    with pytest.raises(hepvae.ModelError, match=r"differ by more than 1e-12: worst of 2000 jets: .*loss of jet"):
        export_onnx(model_path("conv", runtime="tensorflow"), tmp_path / "m.onnx", tolerance=1e-12)
    assert list(tmp_path.iterdir()) == []


def test_name_that_no_runtime_would_load(tmp_path):
    """It worked for 31 s, and then named a temporary file."""
    with pytest.raises(hepvae.OptionError, match=r"x\.model: expected a name that ends in \.onnx"):
        export_onnx(model_path("conv", runtime="tensorflow"), tmp_path / "new" / "x.model")
    assert list(tmp_path.iterdir()) == []


def test_keras_file_of_another_kind(tmp_path):
    (tmp_path / "func.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(hepvae.ModelError, match=r"func\.h5: .*expected a \.keras file of 'hepvae train'"):
        export_onnx(tmp_path / "func.h5", tmp_path / "func.onnx")


def test_needs_jets_to_be_checked_on(tmp_path):
    with pytest.raises(hepvae.ModelError, match="needs jets"):
        export_onnx(model_path("conv", runtime="tensorflow"), tmp_path / "m.onnx", jets=np.empty((0, 100, 3)))


def test_traps_of_the_conversion_are_caught(exported, tmp_path):
    """Constants that became inputs, lost output names, and random numbers."""
    proto = onnx.load(exported[0])
    more = onnx.load(exported[0])
    more.graph.input.append(onnx.helper.make_tensor_value_info("norm/sub/y:0", onnx.TensorProto.FLOAT, [3]))
    renamed = onnx.load(exported[0])
    renamed.graph.output[0].name = "Identity:0"
    random = onnx.load(exported[0])
    random.graph.node.append(onnx.helper.make_node("RandomNormalLike", ["loss"], ["noise"]))
    outputs = ("loss", "reco_loss", "kl_loss", "reconstruction")
    _check_graph(proto, outputs, tmp_path)
    for wrong, message in ((more, "norm/sub/y:0"), (renamed, "Identity:0"), (random, "draws random numbers")):
        with pytest.raises(hepvae.ModelError, match=message):
            _check_graph(wrong, outputs, tmp_path)


@pytest.mark.parametrize("model", [name for name in MODELS if name != "conv"])
def test_graph_has_only_operators_of_the_fast_path(model):
    """Neighbours come by TopK and Gather, rows copied whole. GatherND, GatherElements and ScatterND, which
    other ways of writing it give, go value by value; loops and control flow stop every fusion."""
    proto = onnx.load(model_path(model))
    kinds = {node.op_type for node in proto.graph.node}
    slow = {"GatherND", "GatherElements", "ScatterND", "ScatterElements", "Loop", "Scan", "If", "Tile"}
    assert not kinds & slow
    assert ("TopK" in kinds) == model.startswith("edge")
    assert {node.domain for node in proto.graph.node} == {""}


@pytest.mark.parametrize("model", MODELS)
def test_nothing_is_in_float64(model):
    """Graph models were: four casts around each sum, and runtimes without float64 gave other losses."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(model_path(model))).graph
    values = [v.type.tensor_type.elem_type for v in (*graph.value_info, *graph.output)]
    assert onnx.TensorProto.DOUBLE not in [*values, *(t.data_type for t in graph.initializer)]


def test_no_other_warning_is_kept_quiet(caplog):
    with without_gemm_warnings():
        logging.warning("For now, onnxruntime only support float32 type for Gemm rewriter")
        logging.warning("something else")
    logging.warning("after the Gemm rewriter")
    assert caplog.messages == ["something else", "after the Gemm rewriter"]
