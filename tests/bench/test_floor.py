"""Work of a graph, counted by hand; rates of this machine."""

from __future__ import annotations

from hepvae import model_path
from hepvae.bench.floor import floor_s, measure, work


def test_work_of_the_conv_vae():
    """The layers of the study, and the product of 9 columns that gives the distances of 100 x 100 particles."""
    layers = [
        (100, 3, 12),
        (98, 3 * 12, 16),
        (96, 3 * 16, 20),
        (1, 960, 204),
        (1, 204, 48),
        (1, 48, 24),
        (1, 12, 48),
        (1, 48, 204),
        (1, 204, 960),
        (98, 3 * 20, 16),
        (100, 3 * 16, 12),
        (100, 12, 3),
        (100, 9, 100),
    ]
    network = sum(2 * rows * inner * outer for rows, inner, outer in layers)
    found = work(model_path("conv"), 100)
    # Operands of the product, and destandardisation, are small matrix products too.
    assert network < found.matrix_flop < 1.1 * network
    assert found.jet_bytes == 4 * (2 * 300 + 3)
    assert 4 * 400_000 < found.weight_bytes < 4 * 450_000
    assert 0 < found.other_flop < found.matrix_flop


def test_shorter_jets_are_less_work():
    half, whole = (work(model_path("graph"), n) for n in (50, 100))
    assert 0.25 < half.matrix_flop / whole.matrix_flop < 0.6
    assert half.weight_bytes == whole.weight_bytes


def test_floor_is_the_larger_of_two():
    found = work(model_path("conv"), 100)
    known = {"matrix_flop_per_s": 1e11, "bytes_per_s": 1e10}
    assert floor_s(found, known, 4096) == found.matrix_flop / 1e11
    assert floor_s(found, known, 1) == (found.weight_bytes + found.jet_bytes) / 1e10


def test_rates_are_those_of_a_computer():
    found = measure(1)
    assert 1e8 < found["matrix_flop_per_s"] < 1e14
    assert 1e8 < found["bytes_per_s"] < 1e13
