"""All jets of files, of any collection, and further branches that are carried along."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.dijet_files import as_collection, random_tables, same_jets, write_events

import hepvae


def test_all_jets_of_an_event_same_as_the_dijets(dijet_file):
    entries = hepvae.read_jets(dijet_file)
    with uproot.open(dijet_file) as file:
        pt = file["Events"]["FatJet_pt"].array()
    assert ak.array_equal(entries.jets.pt, pt) and entries.event.tolist() == list(range(1, 31))
    expected = hepvae.read_dijets(dijet_file)
    found = hepvae.dijets(entries)
    same_jets(found, expected)
    for name in expected.fields:
        assert ak.array_equal(found[name], expected[name]), name
    chunks = list(hepvae.iterate_jets(dijet_file, step_size=7))
    assert len(chunks) == 5 and ak.array_equal(ak.concatenate(chunks), entries)
    part = hepvae.read_jets(dijet_file, entry_start=4, entry_stop=11)
    assert ak.array_equal(part, entries[4:11])


@pytest.mark.parametrize(
    ("collection", "radius", "names"),
    [
        ("Jet", 0.4, ("PFCand", "JetPFCand", "pfCandIdx")),
        ("Jet", 0.4, ("PFCands", "JetPFCands", "pFCandsIdx")),
        ("SubJet", 0.4, ("PFCand", "SubJetPFCand", "pFCandIdx")),
        ("AK15Puppi", 1.5, ("PFCands", "AK15PuppiPFCands", "pFCandsIdx")),
        ("FatJetPuppi", 0.8, ("PFCand", "FatJetPuppiPFCand", "pfCandIdx")),
    ],
)
def test_other_collections(tmp_path, rng, collection, radius, names):
    tables = random_tables(rng)
    expected = hepvae.read_jets(write_events(tmp_path / "a.root", tables))
    path = as_collection(tables, tmp_path / "b.root", collection, *names)
    found = hepvae.read_jets(path, collection=collection)
    assert ak.array_equal(found.jets.constituents.pt, expected.jets.constituents.pt)
    assert ak.array_equal(found.jets.mass, expected.jets.mass)
    from hepvae.jets.quality import examine_jets

    assert (examine_jets(ak.flatten(found.jets)).flat.radius or 0.8) == radius
    with pytest.raises(hepvae.LayoutError, match=r"unknown layout|no branch 'FatJet"):
        hepvae.read_jets(path)


def test_links_and_candidates_of_any_name(tmp_path, rng):
    tables = random_tables(rng)
    expected = hepvae.read_jets(write_events(tmp_path / "a.root", tables))
    path = as_collection(tables, tmp_path / "b.root", "Jet", "Track", "JetToTrack", "trackIdx")
    found = hepvae.read_jets(path, collection="Jet", candidates="Track", links="JetToTrack", jet_radius=0.8)
    assert ak.array_equal(found.jets, expected.jets)
    with pytest.raises(hepvae.LayoutError, match=r"b\.root.* no branch 'JetTrack_jetIdx'"):
        hepvae.read_jets(path, collection="Jet", candidates="Track")


def test_the_radius_of_the_collection_is_that_of_the_check(tmp_path, rng):
    """Constituents 0.6 from their jet are those of an AK8 jet, and not of an AK4 jet."""
    tables = random_tables(rng, jets=(2, 3), constituents=(5, 20))
    tables["jets"]["eta"] = [eta + 0.6 for eta in tables["jets"]["eta"]]
    names = ("PFCand", "JetPFCand", "pfCandIdx")
    path = as_collection(tables, tmp_path / "b.root", "Jet", *names)
    assert len(hepvae.read_jets(path, collection="Jet", jet_radius=0.8)) == 30
    with pytest.raises(hepvae.DataError, match=r"are not their own, they lie outside of the radius of 0\.4"):
        hepvae.read_jets(path, collection="Jet")


def test_columns_are_carried_along(tmp_path, rng):
    tables = random_tables(rng)
    number = [len(pt) for pt in tables["jets"]["pt"]]
    extra = {
        "FatJet_msoftdrop": ak.unflatten(rng.uniform(0, 200, sum(number)), number),
        "HLT_PFHT1050": ak.Array(rng.random(30) < 0.5),
        "HLT_AK8PFJet500": ak.Array(rng.random(30) < 0.5),
        "Muon_pt": ak.unflatten(rng.uniform(3, 20, 60), 2),
    }
    path = as_collection(tables, tmp_path / "x.root", "FatJet", "PFCand", "FatJetPFCand", "pfCandIdx", **extra)
    wanted = ["HLT_*", "FatJet_msoftdrop", "Muon_pt", "FatJet_pt", "event"]
    entries = hepvae.read_jets(path, columns=wanted)
    assert {"HLT_PFHT1050", "HLT_AK8PFJet500", "Muon_pt"} < set(entries.fields)
    for name in ("HLT_PFHT1050", "HLT_AK8PFJet500", "Muon_pt"):
        assert ak.array_equal(entries[name], extra[name])
    assert ak.almost_equal(entries.jets.msoftdrop, extra["FatJet_msoftdrop"])
    assert entries.jets.fields == ["pt", "eta", "phi", "mass", "msoftdrop", "constituents"]
    events = hepvae.read_dijets(path, columns=wanted)
    by_hand = hepvae.dijets(entries)
    assert set(events.fields) == set(by_hand.fields) - {"entry"}
    for name in events.fields:
        assert ak.array_equal(events[name], by_hand[name]), name
    assert ak.array_equal(ak.concatenate(list(hepvae.iterate_dijets(path, columns=wanted, step_size=4))), events)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["HLT_PFHT1050"], r"x\.root: tree 'Events': no branch 'HLT_PFHT1050' to carry along"),
        (["FatJet_Mass"], r"no branch 'FatJet_Mass' to carry along; nearest: 'FatJet_mass'"),
        (["HLT_*"], r"no branch 'HLT_\*' to carry along"),
        ([3], r"columns are \[3\]: expected names of branches, or patterns as 'HLT_\*'"),
        (7, "columns are 7: expected names"),
    ],
)
def test_columns_that_there_are_not(tmp_path, rng, columns, message):
    path = write_events(tmp_path / "x.root", random_tables(rng))
    for read in (hepvae.read_jets, hepvae.read_dijets):
        with pytest.raises(hepvae.HepvaeError, match=message):
            read(path, columns=columns)


def test_a_column_of_the_name_of_ours(tmp_path, rng):
    extra = {"mjj": ak.Array(np.ones(30))}
    names = ("FatJet", "PFCand", "FatJetPFCand", "pfCandIdx")
    path = as_collection(random_tables(rng), tmp_path / "x.root", *names, **extra)
    assert len(hepvae.read_jets(path)) == 30
    with pytest.raises(
        hepvae.LayoutError, match="branch 'mjj' cannot be carried along: there is a column of this"
    ):
        hepvae.read_dijets(path, columns=["mj*"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"collection": ""}, "jets is '': expected the name of a collection, as 'FatJet'"),
        ({"collection": "Fat Jet"}, "jets is 'Fat Jet': expected the name of a collection"),
        ({"candidates": 3}, "candidates is 3: expected the name of a collection"),
        ({"jet_radius": 0}, r"jet_radius is 0: expected a number from 0\.001 to 10"),
        ({"collection": "Jet", "schema": "study"}, "schema 'study' has no collection 'Jet': expected nanoaodv15"),
    ],
)
def test_options_that_cannot_be(dijet_file, options, message):
    with pytest.raises(hepvae.OptionError, match=message):
        hepvae.read_jets(dijet_file, **options)
