"""Two hundred damaged model files: each is refused in one line, or gives the same losses.

An ``.onnx`` file has a digest of all, a ``.keras`` file one of each part: any byte may change. What breaks
off or changes the graph of an ``.onnx`` file is tried without its digest, as others may write it.
"""

from __future__ import annotations

import numpy as np
import pytest
from helpers.damaged_models import without_digest

import hepvae

pytestmark = pytest.mark.slow

SEEDS = range(100)


def damaged_onnx(content, rng):
    """Cut off, or without one part of its graph, or with another type or shape in it."""
    import onnx

    kind = rng.integers(8)
    if kind == 0:
        return content[: rng.integers(len(content))]
    if kind > 5:
        damaged = bytearray(content)
        damaged[rng.integers(len(damaged))] ^= 1 << int(rng.integers(8))
        return bytes(damaged)
    model = without_digest(onnx.load_model_from_string(content))
    graph = model.graph
    node, tensor = (
        graph.node[rng.integers(len(graph.node))],
        graph.initializer[rng.integers(len(graph.initializer))],
    )
    if kind == 1:
        graph.node.remove(node)
    elif kind == 2:
        graph.initializer.remove(tensor)
    elif kind == 3:
        tensor.dims.append(int(rng.integers(2, 2**40)))
    elif kind == 4:
        node.op_type = ["Loop", "NoSuchOperator", "RandomNormalLike", "If"][rng.integers(4)]
    else:
        entry = model.metadata_props[rng.integers(len(model.metadata_props))]
        entry.value = entry.value[: rng.integers(len(entry.value))]
    return model.SerializeToString()


def damaged_keras(content, rng):
    """Cut off, or with other bytes somewhere."""
    if rng.integers(4) == 0:
        return content[: rng.integers(len(content))]
    damaged = bytearray(content)
    # Half of it in the directory at the end, and in the first part: there is the card.
    size = len(damaged)
    place = int(rng.choice([rng.integers(size), rng.integers(3000), size - 1 - rng.integers(300)]))
    length = int(rng.choice([1, 8, 200]))
    damaged[place : place + length] = rng.bytes(len(damaged[place : place + length]))
    return bytes(damaged)


DAMAGE = {".onnx": ("onnxruntime", damaged_onnx), ".keras": ("tensorflow", damaged_keras)}


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("suffix", DAMAGE)
def test_refused_or_the_same(tmp_path, suffix, signal_jets):
    runtime, damage = DAMAGE[suffix]
    pytest.importorskip(runtime)
    content = hepvae.model_path("conv", runtime=runtime).read_bytes()
    jets = signal_jets[:6]
    expected = hepvae.load_inferer("conv", runtime=runtime)(jets)
    outcomes = {"refused": 0, "same": 0}
    for seed in SEEDS:
        path = tmp_path / f"{seed}{suffix}"
        path.write_bytes(damage(content, np.random.default_rng(seed)))
        try:
            losses = hepvae.load_inferer(path)(jets)
        except hepvae.HepvaeError as error:
            assert str(path) in str(error) and "\n" not in str(error), seed
            outcomes["refused"] += 1
        else:
            for name, values in expected.items():
                # Without its digest a graph may compute the distances itself, which rounds otherwise.
                assert np.allclose(values, losses[name], rtol=1e-5), f"seed {seed}: other {name}"
            outcomes["same"] += 1
    assert outcomes["refused"] > 50, outcomes
