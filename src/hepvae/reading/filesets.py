"""Filesets of coffea: JSON that names the files of datasets, with or without trees, steps and metadata."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import FileError, LayoutError, one_line

__all__ = [
    "Dataset",
    "FilesetEntry",
    "Span",
    "check_cross_sections",
    "cross_section",
    "entries_of",
    "is_fileset",
    "read_fileset",
]

#: Some entries of a file: the first, and that after the last.
Span = tuple[int, int]

#: What the cross-section (pb) is called in the metadata of a dataset.
CROSS_SECTIONS = ("xsec", "xs", "cross_section", "crosssection")


@dataclass(frozen=True)
class Dataset:
    """A dataset of a fileset."""

    name: str
    metadata: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """Whatever the fileset says of it."""


@dataclass(frozen=True)
class FilesetEntry:
    """A file of a dataset."""

    path: str
    dataset: Dataset
    tree: str | None = None
    entries: int | None = None
    """How many the fileset says there are."""
    span: Span | None = None
    """Those that are read, where its steps leave out others."""


def is_fileset(files: Mapping[Any, Any]) -> bool:
    """Whether a mapping is of datasets to files, and not of files to trees."""
    return any(value is not None and not isinstance(value, str) for value in files.values())


def read_fileset(path: str) -> list[FilesetEntry]:
    """The files that a fileset names.

    Raises
    ------
    FileError, LayoutError
        It cannot be read, or is no fileset.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8-sig"), object_pairs_hook=_each_once)
    except (OSError, ValueError, RecursionError) as error:
        raise FileError(f"{path}: no fileset can be read from it: {one_line(error)}") from error
    if not isinstance(content, dict):
        raise LayoutError(f"{path}: expected a fileset, as {{dataset: {{'files': {{path: tree}}}}}}")
    return list(entries_of(content, path))


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, in which no name comes twice: the first of two would be lost."""
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"{twice!r} comes twice in one place")
    return values


def entries_of(fileset: Mapping[Any, Any], where: str) -> Iterator[FilesetEntry]:
    """The files of a fileset.

    Raises
    ------
    LayoutError
        It is none, or its steps have entries of a file twice.
    """
    for name, value in fileset.items():
        described = value if isinstance(value, Mapping) else {"files": value}
        files, metadata = described.get("files", described), described.get("metadata")
        dataset = Dataset(str(name), metadata if isinstance(metadata, Mapping) else {})
        tree = described.get("treename")
        if isinstance(files, (list, tuple)):
            files = dict.fromkeys(files, tree)
        if not isinstance(files, Mapping) or not files:
            raise LayoutError(f"{where}: dataset {name!r}: expected 'files', a list or {{path: tree}}")
        for path, what in files.items():
            at = f"{where}: dataset {name!r}: {path}"
            entry: Mapping[str, Any] = what if isinstance(what, Mapping) else {"object_path": what}
            of_file = entry.get("object_path")
            if not isinstance(path, str) or not (of_file is None or isinstance(of_file, str)):
                raise LayoutError(f"{at}: expected a path, and the name of a tree")
            entries, spans = _entries(entry, at)
            for span in spans:
                yield FilesetEntry(path, dataset, of_file or tree, entries, span)


def _entries(entry: Mapping[str, Any], at: str) -> tuple[int | None, list[Span | None]]:
    """How many entries a file has, where that is said, and those that its steps name; None where they are all."""
    try:
        entries = None if entry.get("num_entries") is None else int(entry["num_entries"])
        steps = sorted((int(start), int(stop)) for start, stop in entry.get("steps") or ())
    except (TypeError, ValueError) as error:
        raise LayoutError(f"{at}: expected steps [[first, last], ...] and num_entries, numbers") from error
    spans: list[Span] = []
    for start, stop in steps:
        end = spans[-1][1] if spans else 0
        if not end <= start <= stop <= (stop if entries is None else entries):
            raise LayoutError(f"{at}: step [{start}, {stop}]: expected entries of the file, each in one step")
        spans[-1:] = [(spans[-1][0], stop)] if spans and start == end else [*spans[-1:], (start, stop)]
    return entries, [None] if not spans or spans == [(0, entries)] else [*spans]


def check_cross_sections(where: str, *metadata: Mapping[str, Any]) -> None:
    """Raise `LayoutError` where metadata of one dataset, of several filesets, say different cross-sections."""
    known = {cross_section(one, where) for one in metadata}
    if len(known) > 1:
        values = " and ".join("none" if one is None else f"{one:g} pb" for one in known)
        raise LayoutError(f"{where}: its filesets have different cross-sections, {values}: expected one")


def cross_section(metadata: Mapping[str, Any], where: str) -> float | None:
    """Of a dataset, pb; None where its metadata do not say.

    Raises
    ------
    LayoutError
        It is no number above zero.
    """
    for name in CROSS_SECTIONS:
        if name in metadata:
            try:
                value = float(metadata[name])
            except (TypeError, ValueError):
                value = 0.0
            if not 0 < value < float("inf"):
                raise LayoutError(f"{where}: {name} is {metadata[name]!r}: expected a cross-section in pb")
            return value
    return None
