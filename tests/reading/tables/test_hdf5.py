"""HDF5 files of the study, written here from real (generated) dijets."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
from helpers.dijet_files import same_jets
from helpers.study_files import FEATURES, SPEC, write_study

import hepvae
from hepvae import FileError, LayoutError, read_dijets
from hepvae.cli import main

h5py = pytest.importorskip("h5py")


@pytest.fixture(scope="module")
def events():
    """Dijets of no more than 100 constituents a jet: none is cut off in the files."""
    events = hepvae.select_dijets(hepvae.read_dijets(hepvae.sample_path("GtoWW15na"), entry_stop=300))
    return events[ak.all(ak.num(events.jets.constituents, axis=2) <= 100, axis=1)]


@pytest.mark.parametrize("coordinates", SPEC)
@pytest.mark.parametrize("particles", ["particleFeatures", "jetConstituentsList"])
@pytest.mark.parametrize("names", [FEATURES, [*FEATURES, "j2Eta", "j2Phi"]], ids=["differences", "directions"])
def test_same_jets_as_the_root_file(tmp_path, events, coordinates, particles, names):
    path = write_study(tmp_path / "x.h5", events, coordinates=coordinates, particles=particles, names=names)
    found = read_dijets(path)
    sorted_by_pt = ak.argsort(events.jets.constituents.pt, axis=2, ascending=False, stable=True)
    constituents = events.jets.constituents[sorted_by_pt]
    same_jets(
        found, ak.with_field(events, ak.with_field(events.jets, constituents, "constituents"), "jets"), atol=2e-6
    )
    assert ak.almost_equal(found.mjj, events.mjj, rtol=1e-4)
    chunks = list(hepvae.iterate_dijets(path, step_size=37))
    assert len(chunks) > 3 and ak.array_equal(ak.concatenate(chunks), found)


def test_scores_are_those_of_the_root_file(tmp_path, events):
    inferer = hepvae.load_inferer(hepvae.model_path("conv"))
    expected = hepvae.score_dijets(events, inferer).score
    write_study(tmp_path / "x.h5", events)
    report = hepvae.score_files(tmp_path, inferer, tmp_path / "s.root")  # a folder
    assert report.events_scored == len(events) and report.files[0].schema == "study"
    from helpers.scored import read_scores

    assert read_scores(tmp_path / "s.root")[0] == pytest.approx(ak.to_numpy(expected), rel=1e-3)


def test_particle_names(tmp_path, events):
    """Some files name them otherwise, some not at all."""
    expected = read_dijets(write_study(tmp_path / "a.h5", events))
    for names in (["eta", "phi", "pt"], []):
        with h5py.File(tmp_path / "a.h5", "a") as file:
            del file["particleFeatureNames"]
            file["particleFeatureNames"] = np.array(names, "S8")
        assert ak.array_equal(read_dijets(tmp_path / "a.h5"), expected)
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["particleFeatureNames"][...] = np.array(["px", "py", "pz"], "S8")[: len(file["particleFeatureNames"])]
        del file["particleFeatureNames"]
        file["particleFeatureNames"] = np.array(["px", "py", "pz"], "S8")
    with pytest.raises(LayoutError, match="3 features of particles have the names px, py, pz: expected one each"):
        read_dijets(tmp_path / "a.h5")


def test_columns_under_wrong_names_are_found_by_mjj(tmp_path, events):
    """A converter of the field wrote eta, phi, pt under the names pt, eta, phi."""
    order = ["mJJ", "j1Eta", "j1Phi", "j1Pt", *FEATURES[4:]]
    path = write_study(tmp_path / "x.h5", events, order=order)
    with pytest.raises(hepvae.DataError, match=r"x\.h5: mJJ is .* in entry 0, and mjj of its two jets .* GeV"):
        read_dijets(path)


def replaced(name, **dataset):
    def change(file):
        if name in file:
            del file[name]
        if dataset:
            file.create_dataset(name, **dataset)

    return change


def linked(file):
    del file["particleFeatures"]
    file["particleFeatures"] = h5py.ExternalLink("other.h5", "particleFeatures")


def outside(file):
    shape = file["particleFeatures"].shape
    del file["particleFeatures"]
    file.create_dataset("particleFeatures", shape, "f4", external=[("/etc/hostname", 0, h5py.h5f.UNLIMITED)])


def names_linked(file):
    del file["eventFeatureNames"]
    file["eventFeatureNames"] = h5py.ExternalLink("other.h5", "eventFeatureNames")


def names_outside(file):
    del file["eventFeatureNames"]
    file.create_dataset("eventFeatureNames", (11,), "S8", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (names_linked, "'eventFeatureNames' is kept in another file: not read"),
        (names_outside, "'eventFeatureNames' is kept in another file: not read"),
        (
            replaced("eventFeatureNames", shape=(2**32,), dtype="S1", chunks=(2**20,)),
            "eventFeatureNames has 4294967296 names of 1 bytes: expected at most 1000 of 1000",
        ),
        (replaced("particleFeatureNames", shape=(3,), dtype="S1000000"), "3 names of 1000000 bytes: expected"),
        (replaced("particleFeatures"), "unknown layout: looked for a dataset 'particleFeatures' or 'jetCon"),
        (replaced("particleFeatures", data=np.zeros((9, 100, 3))), r"has shape \(9, 100, 3\), eventFeatures"),
        (replaced("eventFeatures", data=np.zeros((9, 11))), "9 in eventFeatures"),
        (replaced("eventFeatureNames"), "eventFeatureNames has 0 names for 11 features"),
        (
            replaced("particleFeatures", shape=(9, 2, 2**40, 3), dtype="f4", chunks=True),
            "events in particleFeatures",
        ),
        (replaced("eventFeatures", data=np.array([["a"] * 11], "S")), "expected numbers"),
        (linked, "'particleFeatures' is kept in another file: not read"),
        (outside, "'particleFeatures' is kept in another file: not read"),
    ],
    ids=[
        "names link",
        "names external",
        "names bomb",
        "long names",
        "none",
        "shape",
        "lengths",
        "names",
        "bomb",
        "text",
        "link",
        "external",
    ],
)
def test_refused(tmp_path, events, change, message):
    write_study(tmp_path / "other.h5", events)
    path = write_study(tmp_path / "x.h5", events)
    with h5py.File(path, "a") as file:
        change(file)
    with pytest.raises((FileError, LayoutError), match=rf"x\.h5: .*{message}"):
        read_dijets(path)


@pytest.mark.parametrize("shape", [(10**7, 2, 100, 3), (3, 2, 2**40, 3)])
def test_sizes_are_checked_before_memory_is_taken(tmp_path, shape):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("particleFeatures", shape, "f4", chunks=(1, 2, 100, 3))
        file.create_dataset("eventFeatures", (shape[0], 11), "f4", chunks=(1, 11))
        file["eventFeatureNames"] = np.array(FEATURES, "S")
    with pytest.raises(
        (FileError, LayoutError), match=r"declares .* bytes and has|expected at most 10000 particles"
    ):
        read_dijets(tmp_path / "x.h5")


def test_broken_files_are_reported(tmp_path, events, capsys):
    whole = write_study(tmp_path / "b.h5", events).read_bytes()
    (tmp_path / "a.h5").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "c.h5").write_text("These are my notes.")
    (tmp_path / "d.h5").touch()
    (tmp_path / "out").mkdir()
    arguments = ["score", str(tmp_path), "--model", "conv", "--output", str(tmp_path / "out" / "s.parquet")]
    assert main(arguments) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1].rpartition("/")[2] for line in lines] == ["a.h5", "c.h5", "d.h5"]
    assert main([*arguments, "--overwrite", "--allow-failed", "3"]) == 0
    assert main(["inspect", str(tmp_path / "nowhere.h5")]) == 1
    assert "nowhere.h5: no such file" in capsys.readouterr().err


def test_tree_of_an_hdf5_file(tmp_path, events):
    with pytest.raises(LayoutError, match="has no tree 'Events'"):
        read_dijets(write_study(tmp_path / "x.h5", events), tree="Events")


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_event_numbers_keep_all_their_digits(tmp_path, events, dtype):
    """123456789 became 123456792 on its way through float32."""
    path = write_study(tmp_path / "x.h5", events)
    numbers = 123456789 + np.arange(len(events))
    with h5py.File(path, "a") as file:
        table = np.column_stack([file["eventFeatures"][()].astype(dtype), numbers.astype(dtype)])
        del file["eventFeatures"], file["eventFeatureNames"]
        file["eventFeatures"] = table
        file["eventFeatureNames"] = np.array([*FEATURES, "event"], "S")
    if dtype == "f8":
        found = read_dijets(path)
        assert found.event.type.content.primitive == "int64" and found.event.tolist() == numbers.tolist()
        return
    # The file itself lost them.
    with pytest.raises(hepvae.DataError, match=r"x\.h5: event is 123456792 in entry 0, stored as float32, which"):
        read_dijets(path)
