"""Which cells a plan has, and which of them are timed in turns."""

from __future__ import annotations

from math import prod

from hepvae.bench.cells import (
    CHOSEN_SIZES,
    DELAYS_MS,
    KEYS,
    Cell,
    Matrix,
    Plan,
    cell_key,
    full_matrices,
    seeds,
    unit_key,
)

RUNTIMES = ("tensorflow", "onnxruntime")


def test_matrix_is_all_combinations():
    matrix = Matrix(("a", "b"), RUNTIMES, (8, 1), (("local", 0.0), ("xrootd", 0.0)), ("numpy", "tf.data"), runs=3)
    units = matrix.units()
    cells = [cell for unit in units for cell in unit]
    assert len(cells) == prod([2, 2, 2, 2, 2, 3]) == len({cell_key(cell.keys) for cell in cells})
    for unit in units:
        assert [cell.runtime for cell in unit] == list(RUNTIMES)
        assert len({unit_key(cell.keys) for cell in unit}) == 1


def test_matrices_that_overlap_have_each_cell_once_and_trainings_beside_the_original():
    plan = Plan(
        (
            Matrix(("a",), RUNTIMES, (1, 8, 64), runs=2),
            Matrix(("a",), RUNTIMES, (1, 64), trainings=seeds(2)),
        )
    )
    units = plan.units()
    assert [len(unit) for unit in units] == [6, 2, 6, 2, 2, 2]
    assert {cell.training for cell in units[0]} == {"", "seed 1", "seed 2"}
    keys = [cell_key(cell.keys) for unit in units for cell in unit]
    assert len(keys) == len(set(keys))
    # RUN 1 of everything before RUN 2, so that they are apart in time.
    assert [unit[0].run for unit in units] == [1, 1, 1, 2, 2, 2]


def test_full_study_has_what_the_talk_had():
    plan = Plan(full_matrices(("conv", "graph"), RUNTIMES, runs=2, trainings=3), trainings=3)
    cells = [cell for unit in plan.units() for cell in unit]
    plain = [c for c in cells if (c.source, c.pipeline, c.training) == ("local", "numpy", "")]
    assert {c.batch_size for c in plain} == {2**i for i in range(13)}
    assert {c.run for c in plain} == {1, 2}
    assert {(c.source, c.pipeline) for c in cells if not c.rtt_ms} == {
        (source, pipeline) for source in ("local", "xrootd") for pipeline in ("numpy", "tf.data")
    }
    assert {c.rtt_ms for c in cells} == {0.0, *DELAYS_MS}
    assert {c.batch_size for c in cells if c.training} == set(CHOSEN_SIZES)


def test_cell_says_what_it_is():
    cell = Cell("conv", "seed 1", "tensorflow", "xrootd", 10.0, "tf.data", 64, run=2)
    assert str(cell) == "conv, seed 1, tensorflow, xrootd +10 ms, tf.data, batch 64, run 2"
    assert list(cell.keys) == list(KEYS)
