"""Export to LiteRT: one self-describing file, checked against TensorFlow."""

from __future__ import annotations

import json

import numpy as np
import pytest

import hepvae
from hepvae import export_litert, model_path
from hepvae.conversion.parity import TOLERANCE
from hepvae.inference.litert_file import read_litert

pytest.importorskip("tensorflow")
pytest.importorskip("ai_edge_litert")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "new" / "model.tflite"
    return path, export_litert(model_path("conv", runtime="tensorflow").parent, path)


def test_file_describes_itself(exported):
    path, parity = exported
    assert hepvae.load_inferer(path).card == hepvae.load_inferer(model_path("conv")).card
    record = json.loads(read_litert(path).metadata["hepvae.export"])
    assert record["worst_relative_difference"] == parity.worst <= TOLERANCE and record["jets"] == 2000
    assert record["versions"]["ai-edge-litert"]
    assert [file.name for file in path.parent.iterdir()] == ["model.tflite"]


def test_same_bits_as_the_bundled_file(exported, signal_jets):
    new, bundled = (
        hepvae.load_inferer(path)(signal_jets) for path in (exported[0], model_path("conv", runtime="litert"))
    )
    assert all(np.array_equal(new[name], bundled[name]) for name in new)


def test_worse_than_the_tolerance_is_refused(tmp_path, signal_jets):
    model = model_path("conv", runtime="tensorflow")
    with pytest.raises(hepvae.ModelError, match="TensorFlow and LiteRT differ by more than 1e-12: worst of 120"):
        export_litert(model, tmp_path / "m.tflite", jets=signal_jets, tolerance=1e-12)
    with pytest.raises(hepvae.OptionError, match=r"m\.lite: expected a name that ends in \.tflite"):
        export_litert(model, tmp_path / "m.lite")
    with pytest.raises(hepvae.ModelError, match="needs jets"):
        export_litert(model, tmp_path / "m.tflite", jets=np.empty((0, 100, 3)))
    assert list(tmp_path.iterdir()) == []
