"""Damaged files: each of 500 copies of a ROOT file is scored as the whole one, or reported by name.

Bits are flipped, blocks overwritten and ends cut off, half of the flips where the file has no checksum: in the
headers of the file and of its records, and in the description of the tree. What is compressed here is checked when
it is decompressed: by ZLIB, as by LZMA and LZ4, the choice of CMS. ZSTD in ROOT has no checksum.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import uproot
from helpers.dijet_files import random_tables, write_events

import hepvae

COPIES = 500

SCRIPT = """
import json, resource, sys
import hepvae
from hepvae.storage.access import Access
resource.setrlimit(resource.RLIMIT_AS, (8 * 2**30, 8 * 2**30))
folder, output = sys.argv[1:]
inferer = hepvae.load_inferer(hepvae.model_path("conv"), threads=1)
report = hepvae.score_files(folder, inferer, output, mjj_min=0, access=Access(attempts=1))
json.dump([[file.path, file.failure, file.events_scored] for file in report.files], sys.stdout)
"""


def unchecked(content: bytes) -> np.ndarray:
    """Places that no checksum covers: all but compressed blocks, which begin with their algorithm and size."""
    free = np.ones(len(content), bool)
    for block in re.finditer(rb"ZL\x08(...)(...)", content, re.DOTALL):
        size = int.from_bytes(block[1], "little")
        free[block.end() : block.end() + size] = False
    return np.flatnonzero(free)


def damaged(content: bytes, number: int) -> tuple[str, bytes]:
    """What is done to a copy, and the copy."""
    rng = np.random.default_rng(number)
    what = ("flip", "flip", "flip", "unchecked flip", "unchecked flip", "unchecked flip", "cut", "overwritten")[
        number % 8
    ]
    copy = bytearray(content)
    if what == "cut":
        return what, content[: rng.integers(len(content))]
    if what == "overwritten":
        first, size = rng.integers(len(content)), rng.integers(1, 5000)
        copy[first : first + size] = bytes(len(copy[first : first + size]))
        return what, bytes(copy)
    places = unchecked(content) if what == "unchecked flip" else np.arange(len(content))
    for place in rng.choice(places, rng.integers(1, 9) if number % 2 else 1):
        copy[place] ^= 1 << rng.integers(8)
    return what, bytes(copy)


@pytest.mark.slow
def test_every_damaged_copy_is_scored_the_same_or_reported(tmp_path, capsys):
    tables = random_tables(np.random.default_rng(5), events=40, jets=(1, 4), constituents=(20, 90))
    content = write_events(tmp_path / "whole.root", tables).read_bytes()
    assert 0.1 < len(unchecked(content)) / len(content) < 0.9
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "000 whole.root").write_bytes(content)
    done = {"000 whole.root": "nothing"}
    for number in range(1, COPIES + 1):
        what, copy = damaged(content, number)
        name = f"{number:03}.root"
        (folder / name).write_bytes(copy)
        done[name] = what
    command = [sys.executable, "-c", SCRIPT, str(folder), str(tmp_path / "s.root")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stderr[-2000:]

    with uproot.open(tmp_path / "s.root") as file:
        columns = file["Events"].arrays(library="np")
    rows = np.rec.fromarrays(list(columns.values()), names=list(columns))
    outcomes, first = {}, 0
    for path, failure, scored in json.loads(result.stdout):
        name = path.rpartition("/")[2]
        found, first = (
            rows[first : first + scored] if failure is None else rows[:0],
            first + scored * (failure is None),
        )
        if name == "000 whole.root":
            expected = found
            assert len(expected) > 10
        if failure is not None:
            assert path in failure and "\n" not in failure
            outcomes[name] = "reported"
        else:
            outcomes[name] = "scored the same" if found.tobytes() == expected.tobytes() else "scored otherwise"
    assert first == len(rows) and outcomes.keys() == done.keys()

    table = Counter((done[name], outcome) for name, outcome in outcomes.items() if done[name] != "nothing")
    with capsys.disabled():
        print(f"\n{sum(table.values())} damaged copies of a ROOT file of {len(content)} bytes")
        for (what, outcome), number in sorted(table.items()):
            print(f"  {what:15} {outcome:16} {number:4}")
    assert [name for name, outcome in outcomes.items() if outcome == "scored otherwise"] == []
    assert sum(table.values()) == COPIES


@pytest.mark.parametrize(
    ("name", "damaged_name"),
    [("genWeight", "genWfight"), ("event", "evenu"), ("luminosityBlock", "luminosityFlock")],
)
def test_column_that_need_not_be_there_is_missed(tmp_path, rng, name, damaged_name):
    """A flipped bit in the name of a branch: without genWeight, the scores would be those of data."""
    path = write_events(tmp_path / "x.root", random_tables(rng))
    content = path.read_bytes()
    title = bytes([len(name)]) + name.encode() + bytes([len(name) + 2]) + name.encode() + b"/"
    assert content.count(title) == 1
    path.write_bytes(content.replace(title, title.replace(name.encode(), damaged_name.encode(), 1)))
    with pytest.raises(hepvae.FileError, match=f"branch '{damaged_name}' has the leaf '{name}': is damaged"):
        hepvae.read_dijets(path)


def write_baskets(path):
    """A tree with five baskets of 20 entries in each branch."""
    write_events(path, random_tables(np.random.default_rng(1), events=20))
    with uproot.open(path) as file:
        columns = file["Events"].arrays()
    with uproot.recreate(path) as file:
        tree = file.mktree(
            "Events", {name: columns[name].type.content for name in columns.fields if name[0] != "n"}
        )
        for _ in range(5):
            tree.extend({name: columns[name] for name in columns.fields if name[0] != "n"})
    return path


def place_of(content: bytes, path, name: str, member: str) -> int:
    """Where a list of a branch is in the file."""
    with uproot.open(path) as file:
        branch = file["Events"][name]
        values = np.asarray(branch.member(member))[: branch.num_baskets]
    begin = re.search(bytes([len(name)]) + name.encode() + b"." + name.encode(), content, re.DOTALL).start()
    return content.index(values.astype(">i8").tobytes(), begin)


@pytest.mark.parametrize("name", ["PFCand_phi", "event"])
def test_entries_of_a_basket_that_are_others_than_the_tree_says(tmp_path, name):
    """Read with all others, uproot finds it; read alone, it gave entries of another basket."""
    path = write_baskets(tmp_path / "x.root")
    content = bytearray(path.read_bytes())
    place = place_of(content, path, name, "fBasketEntry")
    content[place + 8 + 7] ^= 16
    path.write_bytes(content)
    with pytest.raises(hepvae.FileError, match=f"basket 1 of branch '{name}' has 20 entries, the tree says 36"):
        hepvae.read_dijets(path, entry_start=25, entry_stop=30)


@pytest.mark.parametrize("name", ["PFCand_phi", "event"])
def test_two_baskets_at_one_place(tmp_path, name):
    """uproot would wait for one of them for ever."""
    path = write_baskets(tmp_path / "x.root")
    content = bytearray(path.read_bytes())
    place = place_of(content, path, name, "fBasketSeek")
    content[place + 8 : place + 16] = content[place : place + 8]
    path.write_bytes(content)
    with pytest.raises(hepvae.FileError, match=f"two baskets of branch '{name}' are at the same place"):
        hepvae.read_dijets(path)


def test_entries_of_the_tree_that_are_fewer_than_those_of_its_branches(tmp_path):
    """The rest would be lost, and nobody told."""
    path = write_baskets(tmp_path / "x.root")
    content = bytearray(path.read_bytes())
    with uproot.open(path) as file:
        written, size = (file["Events"].member(name) for name in ("fEntries", "fTotBytes"))
    place = content.index(written.to_bytes(8, "big") + size.to_bytes(8, "big"))
    content[place + 7] ^= 4
    path.write_bytes(content)
    with pytest.raises(hepvae.FileError, match="has 96 entries, and its branch 'FatJet_pt' 100"):
        hepvae.read_dijets(path)
