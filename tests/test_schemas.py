from __future__ import annotations

import pytest
from conftest import random_tables, write_events

from hepvae import LayoutError, OptionError, read_dijets
from hepvae.schemas import SCHEMAS, find_schema


@pytest.mark.parametrize("name", SCHEMAS)
def test_found_by_its_branches(name):
    assert find_schema([*SCHEMAS[name].branches, "MET_pt"], "x.root") is SCHEMAS[name]
    assert find_schema(SCHEMAS[name].branches, "x.root", name) is SCHEMAS[name]


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


def test_file_without_candidates(real_data):
    with pytest.raises(LayoutError, match=r"nano_dy_empty\.root: tree 'Events': no branch 'PFCand_pt'"):
        read_dijets(real_data / "nano_dy_empty.root")


def test_unknown_schema(dijet_file):
    with pytest.raises(OptionError, match="schema 'delphes' is unknown: expected auto, nanoaodv15, pfnano"):
        read_dijets(dijet_file, schema="delphes")
