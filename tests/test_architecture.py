"""ARCHITECTURE.md shows the tree as it is."""

from __future__ import annotations

import re

from helpers.places import CHECKOUT

TREE = re.search(r"```text\nsrc/hepvae/\n(.*?)```", (CHECKOUT / "ARCHITECTURE.md").read_text(), re.DOTALL)
PACKAGE = CHECKOUT / "src" / "hepvae"


def test_every_room_is_in_it_and_no_other():
    assert TREE is not None
    rooms = re.findall(r"^  (\w+(?:/|\.py))", TREE[1], re.MULTILINE)
    expected = {f"{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py")}
    expected |= {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py", "__main__.py"}
    assert sorted(rooms) == sorted(expected)


def test_places_of_facts_exist():
    """A module that was renamed is found under its old name by nobody."""
    text = (CHECKOUT / "ARCHITECTURE.md").read_text()
    rooms = "|".join(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
    places = re.findall(rf"`((?:{rooms})\.[a-z][a-z_.]*)", text)
    assert len(places) > 25
    for place in places:
        path = PACKAGE.joinpath(*place.rstrip(".").split("."))
        assert path.with_suffix(".py").is_file() or path.is_dir(), place
