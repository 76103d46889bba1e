"""What every runtime must do; each test runs over all of them."""

from __future__ import annotations

import pickle
import shutil
import sys
import threading
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import numpy as np
import pytest
from helpers.places import NEEDS_PACKAGE

import hepvae
from hepvae import load_inferer, model_path
from hepvae.execution.threads import default_threads
from hepvae.inference import loading
from hepvae.models.losses import LOSSES


def test_gives_the_losses_of_each_jet(inferer, runtime, signal_jets):
    found = inferer(signal_jets)
    assert tuple(found) == LOSSES
    for values in found.values():
        assert values.shape == (len(signal_jets),)
        assert values.dtype == np.float32
        assert np.isfinite(values).all() and (values > 0).all()
    assert np.allclose(found["loss"], found["reco_loss"] + inferer.card.beta * found["kl_loss"], rtol=1e-6)
    assert inferer.runtime == runtime
    assert inferer.spec == hepvae.InputSpec()


def test_two_calls_are_bit_identical(inferer, runtime, signal_jets):
    other = load_inferer(model_path("conv", runtime=runtime), runtime=runtime)
    first, second, third = inferer(signal_jets), inferer(signal_jets), other(signal_jets)
    for name in LOSSES:
        assert np.array_equal(first[name], second[name])
        assert np.array_equal(first[name], third[name])


def test_reconstruction_is_of_the_shape_of_the_input(inferer, signal_jets):
    made = inferer.reconstruct(signal_jets)
    assert made.shape == signal_jets.shape and made.dtype == np.float32
    # The hardest constituents carry the jet: the model, trained, must make them about right. They come
    # in no order: the loss does not ask for one.
    assert 0.7 < np.median(made[..., 2].max(axis=1) / signal_jets[:, 0, 2]) < 1.3


def test_jets_do_not_see_each_other(inferer, signal_jets, rng):
    """The score of a jet is its own, whatever the batch around it: to rounding, not to the bit."""
    order = rng.permutation(len(signal_jets))
    alone = np.concatenate([inferer(jet[None])["loss"] for jet in signal_jets[:10]])
    together = inferer(signal_jets)["loss"]
    assert np.allclose(alone, together[:10], rtol=1e-4)
    assert np.allclose(inferer(signal_jets[order])["loss"], together[order], rtol=1e-4)


@pytest.mark.parametrize("block_size", [1, 7, 4096])
def test_block_size_is_the_users(inferer, runtime, signal_jets, block_size):
    jets = signal_jets[:20]
    other = load_inferer("conv", runtime=runtime, block_size=block_size)
    assert other.tuning.block_size == block_size
    losses, expected = other(jets), inferer(jets)
    for name in LOSSES:
        assert np.allclose(losses[name], expected[name], rtol=1e-4)


def test_events_keep_their_shape(inferer, signal_jets):
    by_event = inferer(signal_jets.reshape(-1, 2, 100, 3))
    assert by_event["loss"].shape == (len(signal_jets) // 2, 2)
    assert np.array_equal(by_event["loss"].ravel(), inferer(signal_jets)["loss"])


def test_no_jets(inferer):
    assert {k: v.shape for k, v in inferer(np.empty((0, 100, 3))).items()} == {name: (0,) for name in LOSSES}
    assert inferer.reconstruct(np.empty((0, 100, 3))).shape == (0, 100, 3)


def test_float64_and_strided_input_are_cast(inferer, signal_jets):
    expected = inferer(signal_jets)["loss"]
    assert np.array_equal(inferer(signal_jets.astype(np.float64))["loss"], expected)
    assert np.array_equal(inferer(signal_jets[::2])["loss"], inferer(signal_jets[::2].copy())["loss"])
    assert np.array_equal(inferer(np.asfortranarray(signal_jets))["loss"], expected)


def test_input_of_another_shape_is_refused(inferer):
    with pytest.raises(hepvae.SpecError, match=r"shape \(2, 99, 3\): expected \(jets, 100, 3\)"):
        inferer(np.zeros((2, 99, 3)))


@pytest.mark.parametrize(
    "given", [None, "jets.root", {"jets": 1}, np.full((1, 100, 3), 1j)], ids=lambda v: type(v).__name__
)
def test_input_that_is_no_numbers_is_refused(inferer, given):
    with pytest.raises(hepvae.SpecError, match="input "):
        inferer(given)


def test_events_are_no_input(inferer, signal_events):
    with pytest.raises(hepvae.SpecError, match="score_dijets takes events"):
        inferer(signal_events)


def test_masked_values_are_refused(inferer, signal_jets):
    """What was under the mask was scored."""
    with pytest.raises(hepvae.DataError, match="masked values"):
        inferer(np.ma.masked_less(signal_jets[:2], 0))


def test_values_that_are_not_finite_are_refused(inferer, signal_jets):
    jets = signal_jets[:5].copy()
    jets[3, 7, 2] = np.nan
    with pytest.raises(hepvae.DataError, match="jet 3 of the input has a value that is not finite"):
        inferer(jets)


def test_missing_and_foreign_files(runtime, tmp_path):
    suffix = loading.runtime_class(runtime).suffixes[0]
    with pytest.raises(hepvae.ModelError, match="no such model file"):
        load_inferer(tmp_path / f"none{suffix}")
    (tmp_path / f"notes{suffix}").write_text("my notes")
    with pytest.raises(hepvae.ModelError, match=rf"notes\{suffix}: not a model that"):
        load_inferer(tmp_path / f"notes{suffix}")
    (tmp_path / "notes.txt").write_text("my notes")
    with pytest.raises(hepvae.ModelError, match=rf"notes\.txt: is no model file of kind \{suffix}.*hepvae adopt"):
        load_inferer(tmp_path / "notes.txt", runtime=runtime)


def test_model_directory(runtime, tmp_path, signal_jets):
    folder = model_path("conv", runtime=runtime).parent
    inferer = load_inferer(folder, runtime=runtime)
    assert inferer.runtime == runtime and inferer(signal_jets[:2])["loss"].shape == (2,)
    with pytest.raises(hepvae.ModelError, match="expected model"):
        load_inferer(tmp_path, runtime=runtime)


def test_travels_by_pickle(inferer, signal_jets):
    copy = pickle.loads(pickle.dumps(inferer))
    assert np.array_equal(copy(signal_jets)["loss"], inferer(signal_jets)["loss"])


def test_many_threads_share_one_inferer(inferer, signal_jets):
    copy = pickle.loads(pickle.dumps(inferer))  # not opened yet: the threads race to open it
    found = []
    threads = [threading.Thread(target=lambda: found.append(copy(signal_jets)["loss"])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all(np.array_equal(values, inferer(signal_jets)["loss"]) for values in found)


def test_options_that_cannot_be(runtime):
    path = model_path("conv", runtime=runtime)
    for options in (
        {"threads": 0},
        {"block_size": 0},
        {"block_size": 1.5},
        {"parallel": "no"},
        {"batching": "no"},
    ):
        with pytest.raises(hepvae.OptionError, match=r"expected (a whole number of|one of blocks|True or False)"):
            load_inferer(path, runtime=runtime, **options)


def test_option_of_another_runtime(runtime):
    with pytest.raises(
        hepvae.OptionError, match=f"runtime {runtime} takes no option 'gpu': expected some of .*threads"
    ):
        load_inferer(model_path("conv", runtime=runtime), runtime=runtime, gpu=True)


def test_package_that_is_not_installed(runtime, monkeypatch):
    monkeypatch.setitem(sys.modules, NEEDS_PACKAGE[runtime], None)
    with pytest.raises(hepvae.MissingPackageError, match="not installed: pip install"):
        load_inferer(model_path("conv", runtime=runtime), runtime=runtime)


@pytest.mark.parametrize("name", ["onnxruntime", "litert", "tensorflow"])
def test_runtime_by_the_kind_of_the_file(name):
    """The others, which score a little otherwise or slower, only where they are asked for."""
    pytest.importorskip(NEEDS_PACKAGE[name])
    assert load_inferer(model_path("conv", runtime=name)).runtime == name


def test_bundled_names(signal_jets):
    """``load_inferer("conv")`` said that there is no such file."""
    assert load_inferer("conv").path == model_path("conv")
    with pytest.raises(hepvae.ModelError, match=r"grpah: no such model file, nor a bundled .*: conv, .*'graph'$"):
        load_inferer("grpah")


def test_unknown_runtime():
    with pytest.raises(
        hepvae.OptionError, match="runtime 'torch' is unknown: expected one of onnxruntime, litert, tensorflow"
    ):
        load_inferer(model_path("conv"), runtime="torch")


def test_execution_provider_that_is_not_there():
    """ONNX Runtime itself would warn and run on the CPU."""
    with pytest.raises(hepvae.OptionError, match="'CUDAExecutionProvider' is not in this ONNX Runtime"):
        load_inferer(model_path("conv"), providers=["CUDAExecutionProvider", "CPUExecutionProvider"])


def test_device_that_is_not_there():
    pytest.importorskip("tensorflow")
    with pytest.raises(hepvae.OptionError, match="device 'GPU:7' is not there: TensorFlow has CPU:0"):
        load_inferer(model_path("conv", runtime="tensorflow"), device="GPU:7")


def test_onnx_file_of_somebody_else(tmp_path):
    import onnx

    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([node], "g", [value], [out])
    opset = [onnx.helper.make_opsetid("", 18)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "other.onnx")
    with pytest.raises(hepvae.ModelError, match=r"other\.onnx: no 'hepvae' in its metadata"):
        load_inferer(tmp_path / "other.onnx")


class Constant(hepvae.Runtime):
    """A runtime of a third party."""

    name = "constant"
    suffixes = (".constant",)

    def open(self, path, options):
        self.value = float(path.read_text())
        return load_inferer("conv").card

    def run(self, batch, outputs):
        return [np.full(len(batch), self.value, np.float32) for _ in outputs]


def test_third_party_adds_a_runtime_by_an_entry_point(tmp_path, monkeypatch, signal_jets):
    point = EntryPoint("constant", f"{__name__}:Constant", loading.ENTRY_POINTS)
    monkeypatch.setattr(loading, "entry_points", lambda **named: EntryPoints([point]).select(**named))
    (tmp_path / "seven.constant").write_text("7")
    inferer = load_inferer(tmp_path / "seven.constant")
    assert inferer.runtime == "constant"
    assert (inferer(signal_jets)["loss"] == 7).all()
    assert "constant" in loading.runtime_names()


def test_entry_point_that_cannot_be_loaded_is_in_nobodys_way(tmp_path, monkeypatch):
    point = EntryPoint("torch", "no_such_package:Inferer", loading.ENTRY_POINTS)
    monkeypatch.setattr(loading, "entry_points", lambda **named: EntryPoints([point]).select(**named))
    assert load_inferer(model_path("conv")).runtime == "onnxruntime"
    with pytest.raises(hepvae.MissingPackageError, match=r"runtime 'torch' \(no_such_package:Inferer\) cannot be"):
        load_inferer(model_path("conv"), runtime="torch")


def test_travels_to_another_folder(runtime, tmp_path, monkeypatch, signal_jets):
    path = shutil.copy(model_path("conv", runtime=runtime), tmp_path)
    monkeypatch.chdir(tmp_path)
    packed = pickle.dumps(load_inferer(Path(path).name))
    monkeypatch.chdir("/")
    assert pickle.loads(packed)(signal_jets[:1])["loss"].shape == (1,)


def test_threads_of_the_environment(monkeypatch):
    monkeypatch.setenv("HEPVAE_NUM_THREADS", "3")
    assert default_threads() == 3
    assert load_inferer(model_path("conv")).threads == 3
    monkeypatch.setenv("HEPVAE_NUM_THREADS", "many")
    with pytest.raises(hepvae.OptionError, match="HEPVAE_NUM_THREADS is 'many'"):
        default_threads()
