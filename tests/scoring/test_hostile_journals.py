"""Damaged and hostile journals of unfinished scores: each refused in one line, or resumed to the same file.

What was seen: zeroed rows of the same size were resumed as scores of 0, a dtype of objects ended the process, a
symbolic link was emptied, and a FIFO hung.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil

import numpy as np
import pytest
import uproot
from helpers.dijet_files import random_tables, write_events

import hepvae
from hepvae.scoring.unfinished import unfinished

SECRET = b"not ours"


class Interrupted:
    """An conv whose process ends in the third file."""

    def __init__(self, conv):
        self.inferer, self.calls = conv, 0

    def __getattr__(self, name):
        return getattr(self.inferer, name)

    def losses_of(self, jets, chosen):
        self.calls += 1
        if self.calls == 3:
            raise KeyboardInterrupt
        return self.inferer.losses_of(jets, chosen)


def score(folder, conv, name="s.root", **options):
    return hepvae.score_files(folder / "in", conv, folder / name, mjj_min=0, **options)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory, conv):
    """Three files of which two were scored, and the columns of all."""
    folder = tmp_path_factory.mktemp("interrupted")
    (folder / "in").mkdir()
    for i in range(3):
        write_events(folder / "in" / f"{i}.root", random_tables(np.random.default_rng(i), events=12))
    score(folder, conv, "whole.root")
    with pytest.raises(KeyboardInterrupt):
        score(folder, Interrupted(conv))
    return folder, columns(folder / "whole.root")


def columns(path):
    with uproot.open(path) as file:
        return {name: values.tobytes() for name, values in file["Events"].arrays(library="np").items()}


def lines(journal):
    return [line.split(b" ", 1)[1] for line in (journal / "parts.jsonl").read_bytes().splitlines() if line]


def rewrite(change):
    """Change the content of each part, with a digest that fits."""

    def damage(journal):
        texts = []
        for line in lines(journal):
            name, content = json.loads(line)
            text = json.dumps([name, change(content)])
            texts.append(f"{hashlib.sha256(text.encode()).hexdigest()} {text}\n")
        (journal / "parts.jsonl").write_text("".join(texts))

    return damage


def cut(name, share):
    def damage(journal):
        path = first(journal, name)
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])

    return damage


def flip(name, share):
    def damage(journal):
        path = first(journal, name)
        content = bytearray(path.read_bytes())
        content[int(share * len(content))] ^= 0x15
        path.write_bytes(content)

    return damage


def put(name, content):
    def damage(journal):
        path = first(journal, name)
        path.write_bytes(content if isinstance(content, bytes) else content(path.read_bytes()))

    return damage


def replace(name, how):
    def damage(journal):
        path = first(journal, name)
        path.unlink(missing_ok=True)
        how(path)

    return damage


def first(journal, name):
    return sorted(journal.glob(name))[0] if "*" in name else journal / name


def target(path):
    return path.parent.parent / "outside"


def linked_folder(journal):
    outside = journal.parent / "folder"
    outside.mkdir()
    (outside / "thesis.tex").write_bytes(SECRET)
    shutil.rmtree(journal)
    journal.symlink_to(outside)


def somebodys_folder(journal):
    (journal / "hepvae-journal").unlink()
    (journal / "thesis.tex").write_bytes(SECRET)


KINDS = {
    "symbolic link": lambda path: path.symlink_to(target(path)),
    "dangling link": lambda path: path.symlink_to(path.parent / "nowhere"),
    "hard link": lambda path: os.link(target(path), path),
    "fifo": os.mkfifo,
    "folder": lambda path: path.mkdir(),
}
NAMES = ("hepvae-journal", "config.json", "parts.jsonl", "*.rows")
CONTENTS = {
    "objects": lambda part: {**part, "columns": [[name, "|O"] for name, _ in part["columns"]]},
    "text": lambda part: {**part, "columns": [[name, "<U1"] for name, _ in part["columns"]]},
    "times": lambda part: {**part, "columns": [[name, "<M8[s]"] for name, _ in part["columns"]]},
    "wide": lambda part: {**part, "columns": [[name, "<f99"] for name, _ in part["columns"]]},
    "foreign column": lambda part: {**part, "columns": [["x", "<f4"], *part["columns"]]},
    "no columns": lambda part: {**part, "columns": []},
    "columns of null": lambda part: {**part, "columns": None},
    "negative size": lambda part: {**part, "bytes": -1},
    "no size": lambda part: {**part, "bytes": None},
    "no digest": lambda part: {**part, "sha256": None},
    "no report": lambda part: {**part, "report": None},
    "foreign report": lambda part: {**part, "report": {"path": "x", "import": "os"}},
    "counts of text": lambda part: {**part, "report": {**part["report"], "events_scored": "many"}},
    "more scored": lambda part: {**part, "report": {**part["report"], "events_scored": 10**12}},
    "failed": lambda part: {**part, "report": {**part["report"], "failure": "no"}},
    "null": lambda part: None,
    "list": lambda part: [part],
    "number": lambda part: 1e999,
}
DAMAGES = {
    **{f"{name} cut at {s:.2f}": cut(name, s) for name in NAMES[1:] for s in np.linspace(0, 0.95, 8)},
    **{f"{name} flipped at {s:.2f}": flip(name, s) for name in NAMES[1:] for s in np.linspace(0, 0.95, 9)},
    **{f"{name} is a {kind}": replace(name, how) for name in NAMES for kind, how in KINDS.items()},
    **{f"part with {name}": rewrite(change) for name, change in CONTENTS.items()},
    "rows of zeros": put("*.rows", lambda content: bytes(len(content))),
    "more rows": put("*.rows", lambda content: 2 * content),
    "parts nested": put("parts.jsonl", b"[" * 100_000),
    "parts of another encoding": put("parts.jsonl", b"\xff\xfe\x00"),
    "parts of an older version": put("parts.jsonl", lambda content: b'\n["0 a.root ", {"bytes": 0}]\n'),
    "config nested": put("config.json", b"[" * 100_000),
    "config is a list": put("config.json", b"[1]"),
    "config of another encoding": put("config.json", b"\xff"),
    "no config": lambda journal: (journal / "config.json").unlink(),
    "no parts": lambda journal: (journal / "parts.jsonl").unlink(),
    "no rows": lambda journal: [path.unlink() for path in journal.glob("*.rows")],
    "empty": lambda journal: [path.unlink() for path in journal.iterdir()],
    "foreign rows": lambda journal: (journal / "abc.rows").write_bytes(SECRET),
    "a link to a folder": linked_folder,
    "somebody's folder": somebodys_folder,
}


def test_there_are_a_hundred():
    assert len(DAMAGES) >= 100


@pytest.mark.timeout(30)
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_refused_in_one_line_or_resumed_to_the_same_file(interrupted, conv, tmp_path, damage):
    source, expected = interrupted
    # With their times, which tell files apart.
    journal = unfinished(source / "s.root")
    kept = tmp_path / "kept"
    shutil.copytree(journal, kept)
    (source / "outside").write_bytes(SECRET)
    try:
        damage(journal)
        try:
            report = score(source, conv, resume=True)
        except hepvae.FileError as error:
            assert str(source) in str(error) and "\n" not in str(error)
            assert not (source / "s.root").exists()
        else:
            assert columns(source / "s.root") == expected and report.failed == []
            assert not os.path.lexists(journal)
        assert (source / "outside").read_bytes() == SECRET
        for path in (source / "folder" / "thesis.tex", journal / "thesis.tex"):
            assert not path.exists() or path.read_bytes() == SECRET
        if damage in (linked_folder, somebodys_folder):
            assert (journal / "thesis.tex").exists()
    finally:
        for path in (journal, source / "folder"):
            if path.is_symlink():
                path.unlink()
            else:
                shutil.rmtree(path, ignore_errors=True)
        (source / "s.root").unlink(missing_ok=True)
        (source / "outside").unlink()
        shutil.copytree(kept, journal)
