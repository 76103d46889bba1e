"""One ``.tflite`` file for any number of jets, on the C library of LiteRT or on its interpreter."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import hepvae
from hepvae import load_inferer, model_path
from hepvae.inference import litert_engine
from hepvae.inference.litert import KEPT_BYTES
from hepvae.inference.litert_file import MEMBER, Sizes, find_sizes, read_litert, write_litert
from hepvae.models.losses import LOSSES

pytest.importorskip("ai_edge_litert")


@pytest.fixture(scope="module")
def path():
    return model_path("conv", runtime="litert")


@pytest.fixture(scope="module")
def file(path):
    return read_litert(path)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 31, 32, 33, 63, 120])
def test_any_number_of_jets(path, signal_jets, count):
    """Each count has shapes of its own, or is filled up to one: the losses are those of ONNX Runtime."""
    losses = load_inferer(path)(signal_jets[:count])
    expected = load_inferer(model_path("conv"))(signal_jets[:count])
    for name in LOSSES:
        assert losses[name].shape == (count,)
        np.testing.assert_allclose(losses[name], expected[name], rtol=1e-4)


def test_interpreter_gives_the_same(path, signal_jets, monkeypatch):
    """Where the C library cannot be used."""
    expected = load_inferer(path)(signal_jets)
    monkeypatch.setattr(litert_engine, "_library", lambda process: None)
    losses = load_inferer(path)(signal_jets)
    assert all(np.array_equal(losses[name], expected[name]) for name in LOSSES)


def test_library_of_another_version_is_said(monkeypatch, caplog):
    monkeypatch.setitem(litert_engine._FUNCTIONS, "LiteRtNoSuchFunction", ())
    assert litert_engine._library.__wrapped__(0) is None
    assert "libLiteRt.so: cannot be used" in caplog.text and "LiteRtNoSuchFunction" in caplog.text


@pytest.mark.parametrize("parallel", ["blocks", "operators"])
def test_many_threads_at_once(path, signal_jets, parallel):
    """Engines are of one thread at a time, and their memory is not what a caller gets."""
    inferer = load_inferer(path, threads=2, block_size=8, parallel=parallel)
    parts = [signal_jets[i : i + 1 + i % 13] for i in range(60)]
    expected = [inferer(part) for part in parts]
    with ThreadPoolExecutor(6) as pool:
        for losses, alone in zip(pool.map(inferer, parts * 2), expected * 2):
            assert all(np.array_equal(losses[name], alone[name]) for name in LOSSES)


def test_engines_are_few(path, signal_jets):
    inferer = load_inferer(path, threads=1, block_size=400)
    jets = np.tile(signal_jets, (4, 1, 1))
    for count in range(1, 400, 4):
        inferer(jets[:count])
    runtime = inferer._opened().runtime
    kept = [key for key, engines in runtime._idle.items() for _ in engines]
    assert 0 < sum(runtime._bytes(*key) for key in kept[:-1]) <= KEPT_BYTES


def test_engines_share_the_memory_of_their_graph(signal_jets):
    """Each had a copy, and so few were kept that calls of 64 jets made those of edge-dense again and again."""
    runtime = load_inferer(model_path("edge-dense", runtime="litert"), threads=1)._opened().runtime
    engines = [runtime._create((jets, 100, 1)) for jets in range(1, 9)]
    for jets, engine in enumerate(engines, start=1):
        engine.run(signal_jets[:jets])
    maps = re.split(r"\n(?=[0-9a-f]+-)", Path("/proc/self/smaps").read_text())
    resident = sum(1024 * int(re.search(r"\nRss: +(\d+) kB", one)[1]) for one in maps if "memfd:hepvae" in one)
    assert 0 < resident < 0.5 * len(engines) * len(runtime._file.graph)


def test_file_is_a_plain_model_of_one_jet(path, file, signal_jets):
    """Other programs read it as it is, and ``unzip`` shows what it says of itself."""
    interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter(str(path))
    interpreter.allocate_tensors()
    (taken,) = interpreter.get_input_details()
    assert taken["shape"].tolist() == [1, 100, 3]
    interpreter.set_tensor(taken["index"], signal_jets[:1])
    interpreter.invoke()
    values = [interpreter.get_tensor(given["index"]) for given in interpreter.get_output_details()]
    reconstruction = values[file.metadata["outputs"].index("reconstruction")]
    assert np.array_equal(reconstruction, load_inferer(path).reconstruct(signal_jets[:1]))
    with zipfile.ZipFile(path) as archive:
        assert json.loads(archive.read(MEMBER))["outputs"] == ["kl_loss", "reconstruction"]


def test_same_content_gives_the_same_bytes(path, file, tmp_path):
    write_litert(tmp_path / "model.tflite", file)
    assert (tmp_path / "model.tflite").read_bytes() == path.read_bytes()


def test_sizes_are_found_and_written(file):
    traced = file.sizes.write(file.graph, 1009, 100)
    found = find_sizes(traced, 1009, None)
    assert found.to_list() == file.sizes.to_list()
    assert found.write(traced, 1, 100) == file.graph
    with pytest.raises(ValueError, match="has values for each"):
        find_sizes(traced, 1009, 204)  # of a weight


def damaged(file, tmp_path, **changes):
    path = tmp_path / "model.tflite"
    write_litert(path, replace(file, **changes))
    return path


@pytest.mark.parametrize("place", [0, 100, 50_000, 1_000_000, -3000])
def test_a_flipped_bit_is_refused(path, tmp_path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    (tmp_path / "model.tflite").write_bytes(content)
    with pytest.raises(hepvae.ModelError, match=r"model\.tflite: "):
        load_inferer(tmp_path / "model.tflite")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99, 0.9999])
def test_a_cut_file_is_refused(path, tmp_path, share):
    content = path.read_bytes()
    (tmp_path / "model.tflite").write_bytes(content[: int(share * len(content))])
    with pytest.raises(hepvae.ModelError, match=r"model\.tflite: not a model that hepvae wrote"):
        load_inferer(tmp_path / "model.tflite")


def test_metadata_that_does_not_fit(file, tmp_path):
    graph, sizes = file.graph, file.sizes
    card = json.loads(file.metadata["hepvae"])
    other = {**file.metadata, "hepvae": json.dumps({**card, "spec": {**card["spec"], "n_particles": 98}})}
    for changes, message in [
        (
            {"metadata": {"outputs": ["kl_loss"], **{k: v for k, v in file.metadata.items() if k != "outputs"}}},
            "has outputs",
        ),
        ({"metadata": {k: v for k, v in file.metadata.items() if k != "hepvae"}}, "no 'hepvae' in its metadata"),
        ({"metadata": other}, "takes jets of another shape"),
        ({"sizes": Sizes(sizes.offsets + len(graph), sizes.powers, sizes.factors)}, "does not fit its graph"),
        ({"sizes": Sizes(sizes.offsets, sizes.powers + 7, sizes.factors)}, "does not fit its graph"),
        ({"graph": b"\x00" * 64, "sizes": Sizes(sizes.offsets * 0 + 8, sizes.powers, sizes.factors)}, "."),
    ]:
        with pytest.raises(hepvae.ModelError, match=message):
            load_inferer(damaged(file, tmp_path, **changes))


def test_options_that_it_has_not(path):
    with pytest.raises(hepvae.OptionError, match="compiled_distances is False: LiteRT computes none"):
        load_inferer(path, compiled_distances=False)


def test_directory_holds_all_kinds(path, tmp_path):
    """Each file alone is enough; a directory with several has a fixed order."""
    shutil.copy(path, tmp_path)
    assert load_inferer(tmp_path).runtime == "litert"
    assert load_inferer(tmp_path).card == load_inferer(model_path("conv")).card
    shutil.copy(model_path("conv"), tmp_path)
    assert load_inferer(tmp_path).runtime == "onnxruntime"
