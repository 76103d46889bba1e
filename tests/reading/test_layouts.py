from __future__ import annotations

import numpy as np
import pytest
import uproot
from helpers.dijet_files import random_tables, write_events

import hepvae
from hepvae import LayoutError, OptionError, read_dijets
from hepvae.reading.declarations import Counts, Formula
from hepvae.reading.layouts import SCHEMAS, find_schema


@pytest.mark.parametrize("name", SCHEMAS)
def test_found_by_its_branches(name):
    found = find_schema([*SCHEMAS[name].branches, "MET_pt"], "x.root")
    assert found.name == name and found.branches == SCHEMAS[name].branches
    assert find_schema(SCHEMAS[name].branches, "x.root", name) == found


def test_first_of_the_ways_that_a_file_has():
    candidates = ["FatJet_pt", "FatJet_eta", "FatJet_phi", "FatJet_mass", "PFCand_pt", "PFCand_eta", "PFCand_phi"]
    indexed = [*candidates, "FatJetPFCand_pfCandIdx", "FatJetPFCand_jetIdx"]
    counted = [*candidates, "FatJetPFCand_pfCandIdx", "FatJet_nPFCand"]
    for branches in (indexed, counted):
        assert set(find_schema(branches, "x").branches) == set(branches) - {"FatJet_nPFCand"} | (
            {"FatJet_nPFCand"} if branches is counted else set()
        )
    both = find_schema([*indexed, "FatJet_nConstituents", "PFCand_puppiWeight"], "x").layout
    assert both.jet_of_link == "FatJetPFCand_jetIdx" and isinstance(both.candidates["pt"], Formula)
    assert find_schema(counted, "x").layout.jet_of_link == Counts("FatJet_nPFCand")


def test_missing_branch_is_named_with_the_nearest(tmp_path, rng):
    path = write_events(tmp_path / "x.root", random_tables(rng), drop=["FatJet_mass"])
    with pytest.raises(
        LayoutError,
        match=r"x\.root: tree 'Events': no branch 'FatJet_mass' of the nanoaodv15"
        r" layout; nearest: 'FatJet_",
    ):
        read_dijets(path)


def test_asked_for_one_and_the_file_has_another(dijet_file):
    with pytest.raises(
        LayoutError, match=r"no branch 'PFCands_pt' \(and 4 more\) of the pfnano layout; nearest: 'PFCand_pt'"
    ):
        read_dijets(dijet_file, schema="pfnano")


def test_unknown_file_says_what_was_looked_for_and_found(tmp_path):
    with uproot.recreate(tmp_path / "x.root") as file:
        file.mktree("Events", {f"muon_{i}": np.float32 for i in range(7)}).extend(
            {f"muon_{i}": np.ones(3, "f4") for i in range(7)}
        )
    with pytest.raises(LayoutError) as error:
        read_dijets(tmp_path / "x.root")
    looked_for = ", ".join(f"{name} ({schema.branches[0]!r}, ...)" for name, schema in SCHEMAS.items())
    found = ", ".join(f"'muon_{i}'" for i in range(5))
    assert str(error.value) == (
        f"{tmp_path / 'x.root'}: tree 'Events': unknown layout: looked for {looked_for}; found {found} and 2 more"
    )


def test_scored_files_are_recognised(dijet_file, tmp_path):
    hepvae.score_files(dijet_file, hepvae.load_inferer("conv"), tmp_path / "scores.root")
    with pytest.raises(LayoutError, match=r"scores\.root: tree 'Events': is a scored file.*hepvae plot"):
        read_dijets(tmp_path / "scores.root")


def test_unknown_schema(dijet_file):
    with pytest.raises(OptionError, match="schema 'delphes' is unknown: expected one of auto, nanoaodv15, pfnano"):
        read_dijets(dijet_file, schema="delphes")
