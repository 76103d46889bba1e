from __future__ import annotations

import numpy as np
import pytest

import hepvae
from hepvae.reading.options import ReadOptions
from hepvae.reading.sources import resolve
from hepvae.training import jets as training_jets
from hepvae.training.jets import StoredJets, batches, lengths, needed, normalisation, store_jets, stored_jets

SPEC = hepvae.InputSpec(n_particles=10)


def stored(folder, jets):
    spec = hepvae.InputSpec(n_particles=jets.shape[1])
    (folder / "jets.float32").write_bytes(jets.tobytes())
    return StoredJets(folder / "jets.float32", spec, 2, needed(jets), {})


def test_no_more_chunks_are_read_than_events_are_used(tmp_path, monkeypatch):
    """Every chunk of every file was read before the first 300 events were taken."""
    options = ReadOptions(step_size=100)
    monkeypatch.setattr(training_jets, "ReadOptions", lambda: options)
    files = resolve([hepvae.sample_path("qcdSide"), hepvae.sample_path("qcdSig")])
    made = store_jets(tmp_path, files, SPEC, region=None, max_events=150)
    assert made.entries == 150
    assert made.record["files"] == [{"path": "qcdSide.root", "events": 200}]


def test_jets_come_back_in_any_order_and_length(tmp_path):
    events = hepvae.read_dijets(hepvae.sample_path("qcdSide"))[:50]
    expected = hepvae.pad_particles(events, SPEC).reshape(-1, *SPEC.shape)
    store_jets(tmp_path, resolve(hepvae.sample_path("qcdSide")), SPEC, region="sideband", max_events=50)
    kept = stored_jets(tmp_path, SPEC)
    assert kept.entries == 50
    some = np.array([99, 0, 17, 17])
    np.testing.assert_array_equal(kept.read(some, 10), expected[some])
    np.testing.assert_array_equal(kept.read(some, 4), expected[some, :4])


def test_nothing_is_kept_of_a_reading_that_was_killed(tmp_path):
    (tmp_path / "jets.float32").write_bytes(b"half")
    assert stored_jets(tmp_path, SPEC) is None


def test_file_that_is_cut(tmp_path):
    made = stored(tmp_path, np.ones((4, 3, 3), np.float32))
    (tmp_path / "jets.float32").write_bytes(bytes(4 * 3 * 3 * 3))
    with pytest.raises(hepvae.FileError, match="ends before jet 3"):
        made.read(np.array([3]), 3)


@pytest.mark.parametrize("chunk", [1, 2, 8192])
def test_normalisation_is_of_the_constituents_not_of_the_padding(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(training_jets, "CHUNK", chunk)
    jets = np.zeros((3, 4, 3), np.float32)
    jets[0, 0], jets[0, 1], jets[1, 0] = (1, 2, 3), (2, 4, 6), (3, 6, 9)
    mean, std = normalisation(stored(tmp_path, jets), np.arange(3))
    assert mean == pytest.approx((2, 4, 6))
    assert std == pytest.approx(np.array([1, 2, 3]) * np.sqrt(2 / 3))


@pytest.mark.parametrize("random", [None, np.random.default_rng(1)], ids=["in order", "shuffled"])
def test_each_jet_is_in_one_batch_that_is_long_enough(random):
    particles = np.random.default_rng(2).integers(0, 101, 1000).astype(np.uint16)
    jets = np.arange(100, 1000)
    found = batches(jets, particles, 64, (32, 48, 64, 80, 100), random)
    assert sorted(np.concatenate([batch.jets for batch in found])) == jets.tolist()
    assert all(particles[batch.jets].max() <= batch.length for batch in found)
    assert sorted(len(batch.jets) for batch in found) == [900 % 64, *[64] * (900 // 64)]
    assert sum(batch.length * len(batch.jets) for batch in found) < 0.7 * 900 * 100


def test_batches_are_shuffled_anew_by_another_generator():
    particles = np.full(100, 10, np.uint16)
    one, same, other = (
        [batch.jets.tolist() for batch in batches(np.arange(100), particles, 8, (32, 100), random)]
        for random in map(np.random.default_rng, (1, 1, 2))
    )
    assert one == same != other


def test_lengths_end_with_that_of_the_model():
    assert lengths(hepvae.InputSpec(n_particles=100), 1) == (32, 48, 64, 80, 100)
    assert lengths(hepvae.InputSpec(n_particles=50), 40) == (48, 50)
    assert lengths(hepvae.InputSpec(n_particles=20), 1) == (20,)
