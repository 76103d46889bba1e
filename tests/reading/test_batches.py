"""From files to padded batches, for NumPy and for TensorFlow."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.dijet_files import random_tables, write_events

import hepvae
from hepvae.jets.selection import Selection
from hepvae.reading.batches import padded_jets
from hepvae.reading.options import ReadOptions
from hepvae.reading.reports import FileReport
from hepvae.reading.sources import resolve

SPEC = hepvae.InputSpec(n_particles=30)
EVERYTHING = {"pt_min": 0, "eta_max": np.inf, "mjj_min": 0}


def stream(path, report=None, **options):
    (source,) = resolve(path)
    reading = ReadOptions(step_size=options.pop("step_size", "100 MB"))
    return list(padded_jets(source, report or FileReport(str(path)), SPEC, reading, Selection(**options)))


@pytest.mark.parametrize(("region", "step_size"), [(None, "100 MB"), ("sideband", 170), ("signal", "1 MB")])
def test_same_as_read_select_and_pad(region, step_size):
    path = hepvae.sample_path("qcdSig" if region == "signal" else "qcdSide")
    report = FileReport(str(path))
    found = np.concatenate(stream(path, report, step_size=step_size, region=region))
    events = hepvae.select_dijets(hepvae.read_dijets(path), region=region)
    expected = hepvae.pad_particles(events, SPEC)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected.reshape(-1, *SPEC.shape))
    assert report.events_kept == len(events) > 1000


@pytest.fixture
def broken_file(tmp_path, rng):
    """Jets that cannot be scored: one with a NaN, one without constituents."""
    tables = random_tables(rng, events=20, jets=(2, 2))
    tables["candidates"]["pt"][3][:] = np.nan
    tables["links"]["jet"][5] = np.full_like(tables["links"]["jet"][5], 1)
    return write_events(tmp_path / "broken.root", tables)


def test_events_with_a_jet_that_cannot_be_scored_are_left_out(broken_file):
    report = FileReport(str(broken_file))
    found = np.concatenate(stream(broken_file, report, **EVERYTHING))
    events = hepvae.select_dijets(hepvae.read_dijets(broken_file), **EVERYTHING)
    good = [i for i in range(len(events)) if i not in (3, 5)]
    np.testing.assert_array_equal(found, hepvae.pad_particles(events[good], SPEC).reshape(-1, *SPEC.shape))
    assert report.unscored_jets["with a value that is not finite"] == 2
    assert report.unscored_jets["without constituents"] == 1


@pytest.fixture
def tensorflow():
    pytest.importorskip("tensorflow")


@pytest.mark.usefixtures("tensorflow")
@pytest.mark.parametrize("batch_size", [1, 64, 5000])
def test_dataset_cuts_the_stream_into_batches(batch_size):
    files = [hepvae.sample_path("GtoWW15na"), hepvae.sample_path("GtoWW15br")]
    dataset = hepvae.to_tf_dataset(files, SPEC, batch_size, region="signal")
    assert dataset.element_spec.shape[1:] == SPEC.shape
    if batch_size == 1:
        dataset = dataset.take(200)
    batches = [batch.numpy() for batch in dataset]
    expected = np.concatenate([jets for file in files for jets in stream(file, region="signal")])
    assert {len(batch) for batch in batches[:-1]} <= {batch_size}
    np.testing.assert_array_equal(np.concatenate(batches), expected[: sum(map(len, batches))])
    assert batch_size == 1 or sum(map(len, batches)) == len(expected)


@pytest.mark.usefixtures("tensorflow")
def test_dataset_can_be_read_again_and_gives_the_same_losses(inferer):
    dataset = hepvae.to_tf_dataset(hepvae.sample_path("GtoWW15na"), inferer.spec, 256).take(3)
    jets = np.concatenate([batch.numpy() for batch in dataset])
    losses = np.concatenate([inferer(batch)["loss"] for batch in dataset])
    np.testing.assert_allclose(losses, inferer(jets)["loss"], rtol=1e-5)


@pytest.mark.usefixtures("tensorflow")
def test_a_model_trains_on_a_dataset():
    import keras

    from hepvae.models.card import ModelCard
    from hepvae.models.vae import VAE

    keras.utils.set_random_seed(1)
    model = VAE(ModelCard("conv", SPEC, (0, 0, 10), (0.3, 0.3, 30)))
    model.compile(optimizer=keras.optimizers.Adam(1e-3))
    dataset = hepvae.to_tf_dataset(hepvae.sample_path("qcdSide"), SPEC, 256, region="sideband")
    history = model.fit(dataset.repeat(), steps_per_epoch=8, epochs=3, verbose=0, shuffle=False).history
    losses = history["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.usefixtures("tensorflow")
def test_dataset_says_what_it_left_out(broken_file):
    dataset = hepvae.to_tf_dataset(broken_file, SPEC, 8, **EVERYTHING)
    with pytest.warns(hepvae.UnscoredJetsWarning, match="2 with a value that is not finite"):
        assert sum(len(batch) for batch in dataset) == 2 * (20 - 2)


@pytest.mark.usefixtures("tensorflow")
def test_errors(tmp_path):
    import tensorflow as tf

    with pytest.raises(hepvae.OptionError, match="batch_size is 0"):
        hepvae.to_tf_dataset("x.root", SPEC, 0)
    with pytest.raises(hepvae.OptionError, match="region 'middle' is unknown"):
        hepvae.to_tf_dataset(hepvae.sample_path("qcdSide"), SPEC, 8, region="middle")
    with pytest.raises(hepvae.FileError, match="no file matches"):
        hepvae.to_tf_dataset(str(tmp_path / "*.root"), SPEC, 8)
    with uproot.recreate(tmp_path / "other.root") as file:
        file["Events"] = {"x": ak.Array([1, 2])}
    dataset = hepvae.to_tf_dataset(tmp_path / "other.root", SPEC, 8)
    with pytest.raises(tf.errors.OpError, match=r"other\.root"):
        list(dataset)
