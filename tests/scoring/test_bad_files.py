"""Nine good files and a bad one: the good ones are scored, the bad one is named, and the exit status is 1."""

from __future__ import annotations

import os

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.dijet_files import random_tables, write_events

from hepvae.cli import main

GOOD, EVENTS = 9, 8


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    for i in range(GOOD):
        tables = random_tables(np.random.default_rng(i), events=EVENTS, jets=(2, 2), constituents=(3, 6))
        write_events(folder / f"{i}.root", tables)
    return folder


def identifiers(name, values):
    """A file whose column of identifiers or weights is no number an event."""

    def write(path):
        tables = random_tables(np.random.default_rng(1), events=EVENTS, jets=(2, 2), constituents=(3, 6))
        write_events(path, tables, drop=(name,), weights=name != "genWeight")
        with uproot.open(path) as file:
            tree = file["Events"]
            arrays = {key: tree[key].array() for key in tree.keys(recursive=False) if not key.startswith("n")}
        groups = {"FatJet", "PFCand", "FatJetPFCand"}
        data = {
            group: ak.zip({k.partition("_")[2]: v for k, v in arrays.items() if k.partition("_")[0] == group})
            for group in groups
        }
        data |= {key: array for key, array in arrays.items() if key.partition("_")[0] not in groups}
        with uproot.recreate(path) as file:
            file["Events"] = {**data, name: values}
        return path

    return write


def text(content):
    def write(path):
        path.write_bytes(content)
        return path

    return write


def truncated(path):
    write_events(path, random_tables(np.random.default_rng(1), events=EVENTS))
    path.write_bytes(path.read_bytes()[:3000])
    return path


def without(*branches):
    return lambda path: write_events(path, random_tables(np.random.default_rng(1), events=EVENTS), drop=branches)


def other_tree(path):
    with uproot.recreate(path) as file:
        file.mktree("Runs", {"run": np.int32}).extend({"run": np.arange(3, dtype=np.int32)})
    return path


def numbered(path):
    path = path.with_name("x.root.1")
    path.write_text("notes")
    return path


def fifo(path):
    os.mkfifo(path)
    return path


def folder(path):
    path = path.with_suffix("")
    path.mkdir()
    return path


BAD = {
    "no ROOT file": text(b"notes"),
    "empty": text(b""),
    "truncated": truncated,
    "missing": lambda path: path,
    "without a branch": without("PFCand_phi"),
    "without jets": without("FatJet_pt"),
    "a ragged weight": identifiers("genWeight", ak.Array([[1.0]] * (EVENTS - 1) + [[]])),
    "a weight of fixed size": identifiers("genWeight", np.ones((EVENTS, 2))),
    "event numbers as text": identifiers("event", ak.Array(["a"] * EVENTS)),
    "another tree": other_tree,
    "a number after its suffix": numbered,
    "a pattern without a match": lambda path: path.with_name("none*.root"),
    "a fifo": fifo,
    "a folder without files": folder,
    "a list without a file": lambda path: f"@{path.with_suffix('.txt')}",
    "a dead server": lambda path: "root://127.0.0.1:1//f.root?authz=secret",
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", BAD)
def test_the_good_files_are_scored(good, tmp_path, capfd, kind):
    if kind == "a dead server":
        pytest.importorskip("XRootD")
    bad = str(BAD[kind](tmp_path / "bad.root"))
    output = tmp_path / "s.root"
    command = ["score", str(good), bad, "--model", "conv", "--mjj-min=0", "--pt-min=0", "--output", str(output)]
    assert main([*command, "--attempts=1", "--timeout=2"]) == 1
    printed = capfd.readouterr()
    name = bad.lstrip("@").partition("?")[0]
    assert printed.err.startswith("hepvae: ") and name in printed.err and printed.err.count("\n") == 1
    with uproot.open(output) as file:
        assert f"{file['Events'].num_entries} events scored" in printed.out
        assert file["Events"].num_entries > GOOD
