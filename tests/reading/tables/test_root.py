"""Opening ROOT files and their trees."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.dijet_files import random_tables, write_events

from hepvae import FileError, HepvaeError, LayoutError, read_dijets
from hepvae.reading.sources import Source
from hepvae.reading.tables import open_table


@pytest.mark.parametrize("kind", ["ttree", "rntuple", "grouped"])
def test_columns_by_name(tmp_path, rng, kind):
    """Fields of a collection that is stored as one have the names they have where each is stored alone."""
    tables = random_tables(rng)
    path = write_events(tmp_path / "x.root", tables, rntuple=kind != "ttree", grouped=kind == "grouped")
    with open_table(Source(str(path))) as table:
        assert {"FatJet_pt", "PFCand_phi", "FatJetPFCand_jetIdx", "event"} <= set(table.names)
        assert table.num_entries == 30
        found = table.read(["FatJet_pt", "event"], 3, 9)
        assert ak.almost_equal(found["FatJet_pt"], ak.values_astype(ak.Array(tables["jets"]["pt"][3:9]), "f4"))
        assert found["event"].to_list() == [4, 5, 6, 7, 8, 9]
        floats = sum(len(pt) for pt in tables["candidates"]["pt"])
        assert 4 * floats <= table.size(["PFCand_pt"]) < 12 * floats


def test_missing_file(tmp_path):
    with pytest.raises(FileError, match=r"nowhere\.root: no such file"):
        read_dijets(tmp_path / "nowhere.root")


def test_not_a_root_file(tmp_path):
    (tmp_path / "notes.root").write_text("These are my notes.\n" * 9)
    with pytest.raises(FileError, match=r"notes\.root: not a ROOT file"):
        read_dijets(tmp_path / "notes.root")
    (tmp_path / "empty.root").touch()
    with pytest.raises(FileError, match=r"empty\.root: not a ROOT file"):
        read_dijets(tmp_path / "empty.root")
    (tmp_path / "folder.root").mkdir()
    with pytest.raises(FileError, match=r"folder\.root: no \.root or \.h5 or \.hdf5 file in this folder"):
        read_dijets(tmp_path / "folder.root")


def test_truncated_file(dijet_file):
    dijet_file.write_bytes(dijet_file.read_bytes()[:2000])
    with pytest.raises(HepvaeError, match=r"dijets\.root"):
        read_dijets(dijet_file)


def test_only_tree_is_the_one_where_none_is_named(tmp_path, rng):
    path = write_events(tmp_path / "x.root", random_tables(rng), tree="Event")
    assert len(read_dijets(path)) == len(read_dijets(path, tree="Event")) == len(read_dijets({path: "Event"})) > 0


def test_no_such_tree(tmp_path, rng):
    path = write_events(tmp_path / "x.root", random_tables(rng), tree="Event")
    with uproot.update(path) as file:
        file.mktree("Runs", {"run": np.uint32})
    with pytest.raises(
        LayoutError, match=r"x\.root: no tree 'Events'; nearest: 'Event'; the file holds: Event, Runs"
    ):
        read_dijets(path)
    with pytest.raises(LayoutError, match=r"x\.root: no tree 'Lumi'; the file holds: Event"):
        read_dijets(path, tree="Lumi")


def test_not_a_tree(tmp_path):
    with uproot.recreate(tmp_path / "x.root") as file:
        file["Events"] = "a string"
    with pytest.raises(LayoutError, match="'Events' is a TObjString, not a TTree or RNTuple"):
        read_dijets(tmp_path / "x.root")


def test_message_is_one_line(tmp_path, dijet_file):
    for wrong in (tmp_path / "nowhere.root", {dijet_file: "Nope"}):
        with pytest.raises(HepvaeError) as error:
            read_dijets(wrong)
        assert "\n" not in str(error.value)
