"""Blocks: each jet in one, none too large, and the same losses however jets are cut."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from hepvae import load_inferer, model_path, read_dijets, sample_path
from hepvae.inference.blocks import LEAST_CLASS, LEAST_SHARE, PARALLEL, Tuning, bytes_alive, cut, length_classes
from hepvae.jets.padding import flatten_jets
from hepvae.models.losses import LOSSES


@pytest.mark.parametrize("parallel", PARALLEL)
@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 7, 48, 49, 1000])
def test_every_jet_is_in_one_block(parallel, threads, count, rng):
    lengths = rng.integers(0, 101, count)
    classes = length_classes(8, 100)
    for given in ((None, None), (lengths, classes)):
        blocks = cut(count, Tuning(48, parallel), threads, 100, *given)
        numbers = [np.arange(count)[block.jets] for block in blocks]
        assert sorted(np.concatenate([*numbers, []]).tolist()) == list(range(count))
        assert all(0 < block.count == len(found) <= 48 for block, found in zip(blocks, numbers))
        if given[0] is not None:
            assert all(lengths[found].max() <= block.length for block, found in zip(blocks, numbers))


def test_memory_of_a_graph_is_freed_after_the_last_use():
    nodes = [(["x", "w"], ["a"]), (["a"], ["b"]), (["a", "b"], ["c"]), (["c"], ["d"])]
    sizes = {"x": 1, "a": 10, "b": 20, "c": 5, "d": 50}
    assert bytes_alive(nodes[:2], sizes, ["x"]) == 30
    assert bytes_alive(nodes[:3], sizes, ["x"]) == 35
    assert bytes_alive(nodes, sizes, ["x"]) == 55
    assert bytes_alive([], sizes, ["x"]) == 1


@pytest.mark.parametrize(
    ("jet_bytes", "expected"), [(1, 48), (2**20, 16), (2**24 // 13, 12), (2**23, 2), (2**30, 1)]
)
def test_blocks_are_small_where_a_jet_takes_much(jet_bytes, expected):
    assert Tuning(48, "blocks").of_jets(jet_bytes) == Tuning(expected, "blocks")


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
def test_models_have_blocks_of_their_size(runtime):
    """edge-dense made 50 MB of a block on each thread, and more memory than that of all other models together."""
    pytest.importorskip("ai_edge_litert" if runtime == "litert" else runtime)
    conv, dense = (load_inferer(name, runtime=runtime).tuning for name in ("conv", "edge-dense"))
    assert dense.block_size == 16 <= conv.block_size


def test_jets_are_shared_among_threads_where_it_pays():
    assert len(cut(2 * LEAST_SHARE, Tuning(48, "blocks"), 2, 100)) == 2
    assert len(cut(2 * LEAST_SHARE - 1, Tuning(48, "blocks"), 2, 100)) == 1
    assert len(cut(2 * LEAST_SHARE, Tuning(48, "operators"), 2, 100)) == 1
    # a thread is woken for one jet of a heavy model
    assert [len(cut(2, Tuning(48, "blocks").of_jets(each), 2, 100)) for each in (20_000, 700_000)] == [1, 2]
    for name, share in (("conv", LEAST_SHARE), ("graph", LEAST_SHARE), ("edge-dense", 1)):
        assert load_inferer(name).tuning.least_share == share


def test_few_jets_of_a_length_go_with_longer_ones():
    classes = length_classes(8, 100)
    assert classes.tolist() == [16, 32, 48, 64, 80, 96, 100]

    def shapes(*lengths):
        return [
            (block.count, block.length)
            for block in cut(len(lengths), Tuning(99, "operators"), 1, 100, np.array(lengths), classes)
        ]

    assert shapes(3, 20, 90) == [(3, 96)]
    assert cut(0, Tuning(99, "operators"), 1, 100, np.array([], int), classes) == []
    many, few = [10] * LEAST_CLASS, [20] * (LEAST_CLASS - 1)
    assert shapes(*many, *few) == [(len(few), 32), (len(many), 16)]
    assert shapes(*many, *few, 50) == [(len(few) + 1, 64), (len(many), 16)]


@pytest.mark.parametrize("least, most", [(1, 100), (16, 100), (17, 30), (1, 16), (1, 7)])
def test_length_classes(least, most):
    classes = length_classes(least, most)
    assert classes[-1] == most and classes[0] >= least
    assert (np.diff(classes) > 0).all()


@pytest.mark.parametrize("model", ["conv", "graph", "edge"])
@pytest.mark.parametrize("options", [{"parallel": "blocks", "threads": 3}, {"parallel": "operators"}, {}], ids=str)
def test_same_losses_however_jets_are_cut(model, options, signal_jets):
    whole = load_inferer(model_path(model), batching=False)(signal_jets)
    for block_size in (5, 32):
        cut_up = load_inferer(model_path(model), block_size=block_size, **options)(signal_jets)
        for name in LOSSES:
            assert np.allclose(cut_up[name], whole[name], rtol=1e-5)


@pytest.mark.parametrize("model", ["conv", "graph"])
def test_ragged_jets_without_a_padded_array(model, runtime):
    inferer = load_inferer(model_path(model, runtime=runtime), runtime=runtime, block_size=16)
    flat = flatten_jets(read_dijets(sample_path("qcdSig"), entry_stop=30))
    chosen = np.flatnonzero(np.arange(60) % 7 != 3)
    from hepvae.jets.padding import pad_into

    expected = inferer(pad_into(flat, chosen, inferer.spec, 100))
    for name, values in inferer.losses_of(flat, chosen).items():
        assert np.allclose(values, expected[name], rtol=1e-4)


MANY_JETS = """
import numpy as np
import hepvae
from hepvae.bench.environment import resident

inferer = hepvae.load_inferer(hepvae.model_path("conv"), threads=2)
jets = np.ones((20_000, 100, 3), np.float32)
inferer(jets[:500])
before = resident()["now"]
inferer(jets)
print(resident()["now"] - before)
"""


def test_many_jets_at_once_leave_nothing_resident():
    """Whole, 20,000 jets take ONNX Runtime's arena to gigabytes, and there they stay."""
    done = subprocess.run([sys.executable, "-c", MANY_JETS], capture_output=True, text=True, timeout=120)
    assert int(done.stdout) < 20_000_000, done.stderr


def test_padding_is_not_computed_and_not_seen(signal_jets):
    """A masked model is run with short particle axes, also on jets with gaps in them."""
    inferer = load_inferer(model_path("graph"), threads=1)
    lengths = []
    runtime = inferer._opened().runtime
    run = runtime.run
    runtime.run = lambda batch, outputs: lengths.append(batch.shape[1]) or run(batch, outputs)
    jets = signal_jets[:40].copy()
    jets[:, 2] = 0  # a gap
    jets[:, 30:] = 0
    jets[0, 60] = (0.1, 0.2, 3.0)
    found = inferer(jets)
    assert sorted(set(lengths)) == [32, 64]
    whole = load_inferer(model_path("graph"), batching=False, compiled_distances=False)(jets)
    for name in LOSSES:
        assert np.allclose(found[name], whole[name], rtol=1e-5)
