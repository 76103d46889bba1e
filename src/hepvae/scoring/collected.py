"""What is in a folder of parts: which inputs they are of, what they add up to, and what is missing."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import FileError
from ..output.files import check_output
from ..output.folders import OutputFolder, is_folder, open_folder
from ..reading.filesets import cross_section
from .formats import read_columns
from .merging import merge_files
from .parts import RECORD, Record, inputs_of
from .report import ScoreReport

__all__ = ["Collected", "collected", "merge_parts", "picobarns_of", "read_sample"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ListedPart:
    """An input that a call has listed in a folder, and its part."""

    name: str
    """Of the part."""
    path: str
    """Of the input."""
    record: Record | None
    missing: str | None
    """Why there is no part, in one line."""


@dataclass(frozen=True)
class Collected:
    """The parts in a folder."""

    folder: OutputFolder
    parts: list[ListedPart]
    """In the order of the inputs."""
    metadata: Mapping[str, Mapping[str, Any]]
    """What filesets say of datasets, by their folder in this one: ``""`` where there are none."""

    @property
    def missing(self) -> list[ListedPart]:
        """Inputs without a part."""
        return [part for part in self.parts if part.missing is not None]

    @property
    def report(self) -> ScoreReport:
        """All parts that are there, added up; failures are those of inputs without one."""
        there = [part.record for part in self.parts if part.missing is None and part.record is not None]
        all_jets = any(record.options.get("jets") == "all" for record in there)
        files = [record.report for record in there]
        return ScoreReport(self.folder.address, files, all_jets=all_jets, written=bool(files))

    def weights(self) -> dict[str, tuple[float, float | None]]:
        """Of each dataset: the sum of weights, that of generation where files have it; and the cross-section."""
        sums: dict[str, tuple[float, float | None]] = {}
        for name, metadata in self.metadata.items():
            reports = [
                part.record.report
                for part in self.parts
                if part.record and part.missing is None and part.name.rpartition("/")[0] == name
            ]
            known = [one.generated_weights for one in reports if one.generated_weights is not None]
            total = sum(known) if len(known) == len(reports) else sum(one.sum_of_weights for one in reports)
            # Events without weights count as one.
            total = total or float(sum(one.events_read for one in reports))
            sums[name] = total, cross_section(metadata, self.folder.path(name))
        return sums

    @property
    def picobarns_per_weight(self) -> float | None:
        """Cross-section that a weight of one stands for; None where no fileset says it, or of several datasets."""
        if len(self.metadata) != 1:
            return None
        ((total, picobarns),) = self.weights().values()
        return None if picobarns is None or not total else picobarns / total


def collected(address: str | Path, *, check: bool = False) -> Collected:
    """What is in a folder of `score_files`.

    Parameters
    ----------
    check : bool
        Hold each part against its checksum; else only whether it is there.

    Raises
    ------
    FileError
        The folder holds no parts, or parts that were scored in different ways.
    LayoutError
        A list of inputs cannot be read.
    """
    folder = open_folder(address)
    names = folder.names()
    there = set(names)
    parts: dict[str, ListedPart] = {}
    metadata: dict[str, Mapping[str, Any]] = {}
    reference: tuple[str, Record] | None = None
    # That of most inputs decides on their order, as that of all of them where shares or single files were scored.
    calls = sorted(inputs_of(folder, names), key=lambda call: (-len(call[1]["inputs"]), call[1]["inputs"]))
    for prefix, listed in calls:
        metadata[prefix.rstrip("/")] = listed.get("metadata") or {}
        for name, path, _, failure in listed["inputs"]:
            name = prefix + name
            record = Record.read(folder, name) if name + RECORD in there else None
            missing = None
            if record is None or record.size is None or name not in there:
                missing = failure or (record and record.report.failure) or f"{path}: is not scored yet"
            elif check and not record.is_whole(folder, name):
                missing = f"{folder.path(name)}: is not as its record says: --resume scores it again"
            elif reference is None:
                reference = name, record
            elif changed := reference[1].changed(record.options):
                raise FileError(
                    f"{folder.path(name)}: was scored with other {', '.join(changed)} than {reference[0]}:"
                    " expected parts of equal options in a folder"
                )
            parts.setdefault(name, ListedPart(name, path, record, missing))
    if not parts:
        raise FileError(f"{address}: no folder of parts: expected one that hepvae score has written")
    return Collected(folder, list(parts.values()), metadata)


def picobarns_of(paths: Sequence[str]) -> float | None:
    """As `Collected.picobarns_per_weight`, of scored files: None where they are not the parts of one dataset."""
    folders = {os.path.dirname(path) for path in paths}
    if len(folders) != 1:
        return None
    try:
        return collected(folders.pop()).picobarns_per_weight
    except FileError:  # no parts
        return None


def read_sample(
    path: str | Path, names: Sequence[str], *, luminosity: float | None = None
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], dict[str, Any]]:
    """As `read_columns`, of a scored file, or of all parts in a folder.

    Where a fileset has the cross-section of the parts, weights are pb; or events, with a luminosity (fb^-1).
    """
    if not is_folder(path):
        return read_columns(path, names)
    found = collected(path)
    if found.missing:
        logger.warning("%s: %d of %d inputs have no part", path, len(found.missing), len(found.parts))
    read = [read_columns(found.folder.path(part.name), names) for part in found.parts if part.missing is None]
    if not read:
        raise FileError(f"{path}: no part is there: {found.parts[0].missing}")
    values, weights, provenances = zip(*read)
    picobarns = found.picobarns_per_weight
    scale = 1.0 if picobarns is None else picobarns * (1000 * luminosity if luminosity else 1)
    return np.concatenate(values), scale * np.concatenate(weights), provenances[0]


def merge_parts(found: Collected, output: str | Path, *, overwrite: bool = False) -> None:
    """Write one scored file of all parts in a folder, in the order of their inputs.

    Baskets of TTrees are copied as they are compressed.

    Parameters
    ----------
    output : path
        With the suffix of the parts. The file appears when it is whole.
    overwrite : bool
        Replace an output that exists.

    Raises
    ------
    FileError, LayoutError
        No part is there, one cannot be read or has other columns, or they are of another format.
    """
    output = Path(output)
    check_output(output, overwrite=overwrite)
    there = [part for part in found.parts if part.missing is None]
    suffixes = sorted({Path(part.name).suffix for part in there})
    if suffixes != [output.suffix]:
        given = " and ".join(suffixes) or "missing"
        raise FileError(f"{output}: the parts are {given}: expected a name that ends so")
    merge_files([found.folder.path(part.name) for part in there], output)
