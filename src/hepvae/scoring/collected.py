"""What is in a folder of parts: which inputs they are of, what they add up to, and what is missing."""

from __future__ import annotations

import json
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
from ..reading.filesets import check_cross_sections, cross_section
from ..reading.sources import Source
from .formats import provenance_of, read_columns
from .merging import merge_files
from .parts import INPUTS, RECORD, Record, inputs_of
from .report import ScoreReport

__all__ = [
    "PER_WEIGHT",
    "Collected",
    "collected",
    "merge_parts",
    "picobarns_of",
    "read_sample",
    "with_parts_named",
]

logger = logging.getLogger(__name__)

#: What a merged file calls the cross-section (pb) that a weight of one stands for, beside how it was scored.
PER_WEIGHT = "picobarns_per_weight"


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

    def there(self) -> list[ListedPart]:
        """Those that can be read, with a warning where others are missing.

        Raises
        ------
        FileError
            None is there.
        """
        there = [part for part in self.parts if part.missing is None]
        if not there:
            raise FileError(f"{self.folder.address}: no part is there: {self.parts[0].missing}")
        if self.missing:
            logger.warning(
                "%s: %d of %d inputs have no part", self.folder.address, len(self.missing), len(self.parts)
            )
        return there

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

    def picobarns(self) -> dict[str, float]:
        """Cross-section that a weight of one stands for, by dataset; empty where no fileset says it.

        Raises
        ------
        FileError
            Only some of the datasets have one.
        """
        known = {
            name: picobarns / total if total else 0.0
            for name, (total, picobarns) in self.weights().items()
            if picobarns is not None
        }
        if known and (without := sorted(self.metadata.keys() - known.keys())):
            raise FileError(
                f"{self.folder.path(without[0])}: has no cross-section, as {min(known)} has: expected xsec"
                " in the metadata of all datasets"
            )
        return known


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
    calls = sorted(inputs_of(folder, names), key=lambda call: (-len(call[1]["inputs"]), json.dumps(call[1])))
    for list_name, listed in calls:
        dataset = os.path.dirname(list_name)
        check_cross_sections(
            folder.path(dataset), metadata.setdefault(dataset, listed["metadata"]), listed["metadata"]
        )
        for name, path, tree, failure in listed["inputs"]:
            name = os.path.join(dataset, name)
            record = Record.read(folder, name) if name + RECORD in there else None
            missing = None
            if record is None or record.size is None or name not in there:
                missing = failure or (record and record.report.failure) or f"{path}: is not scored yet"
            elif (record.input[0], record.tree) != (path, tree):
                missing = f"{folder.path(name)}: is the part of another input, {record.input[0]}, not of {path}"
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


def _lists_inputs(names: Sequence[str]) -> bool:
    """Whether a call that writes parts has left a list of its inputs among some files."""
    return any(map(INPUTS.fullmatch, names))


def picobarns_of(paths: Sequence[str]) -> list[float]:
    """As `Collected.picobarns`, of each of some scored files, parts or merged; empty where it is known of none.

    Raises
    ------
    FileError
        It is known of some only.
    """
    of_parts: dict[str, float | None] = {}
    for folder in {os.path.dirname(path) for path in paths}:
        if _lists_inputs(open_folder(folder or ".").names_in("")):
            found = collected(folder or ".")
            picobarns = found.picobarns().get("")
            of_parts |= {os.path.join(folder, one.name): picobarns for one in found.parts}
    known: list[float | None] = [
        of_parts[path] if path in of_parts else provenance_of(Source(path)).get(PER_WEIGHT) for path in paths
    ]
    if any(one is not None for one in known) and None in known:
        raise FileError(
            f"{paths[known.index(None)]}: no cross-section is known of it, and of others is: expected parts of"
            " datasets with xsec, or none"
        )
    return [one for one in known if one is not None]


def with_parts_named(files: Any) -> Any:
    """Files as for `score_files`, each folder of its parts as the list of them, in the order of their inputs.

    What a folder lacks is said in a warning. Other folders, and whatever else names files, stay as they are.

    Raises
    ------
    FileError, LayoutError
        As for `collected`.
    """
    if isinstance(files, str | os.PathLike):
        name = os.path.expanduser(os.fspath(files))
        folder = open_folder(name) if is_folder(name) and not name.startswith("@") else None
        if folder is None or not _lists_inputs(folder.names()):
            return files
        found = collected(name)
        return [found.folder.path(part.name) for part in found.there()]
    if isinstance(files, Sequence):
        named = [with_parts_named(one) for one in files]
        return [path for one in named for path in (one if isinstance(one, list) else [one])]
    return files


def read_sample(
    path: str | Path, names: Sequence[str], *, luminosity: float | None = None
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], dict[str, Any]]:
    """As `read_columns`, of a scored file, or of all parts in a folder.

    Where a fileset has the cross-section of the parts, weights are pb; or events, with a luminosity (fb^-1). The
    provenance has `PER_WEIGHT` then.
    """
    per_event = 1000 * luminosity if luminosity else 1
    if not is_folder(path):
        values, weight, provenance = read_columns(path, names)
        return values, weight * provenance.get(PER_WEIGHT, 1 / per_event) * per_event, provenance
    found = collected(path)
    there = found.there()
    read = [read_columns(found.folder.path(part.name), names) for part in there]
    values, weights, provenances = zip(*read)
    picobarns = found.picobarns()
    if picobarns:
        datasets = [os.path.dirname(part.name) for part in there]
        weights = tuple(weight * picobarns[of] * per_event for weight, of in zip(weights, datasets))
        provenances[0][PER_WEIGHT] = picobarns[datasets[0]]
    return np.concatenate(values), np.concatenate(weights), provenances[0]


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
        No part is there, one cannot be read or has other columns, or they are of another format; or of several
        datasets with cross-sections; or the output is in their folder.
    """
    output = Path(output)
    picobarns = found.picobarns()
    if len(picobarns) > 1:
        raise FileError(
            f"{found.folder.address}: has datasets with cross-sections, whose weights do not add up:"
            f" {', '.join(sorted(picobarns))}: expected one of them, {found.folder.path(min(picobarns))}"
        )
    if Path(os.path.realpath(found.folder.address)) in output.resolve().parents:
        raise FileError(f"{output}: is in the folder of the parts, which is a sample: expected another folder")
    check_output(output, overwrite=overwrite)
    there = [part for part in found.parts if part.missing is None]
    suffixes = sorted({Path(part.name).suffix for part in there})
    if suffixes != [output.suffix]:
        given = " and ".join(suffixes) or "missing"
        raise FileError(f"{output}: the parts are {given}: expected a name that ends so")
    of_dataset = [(PER_WEIGHT, value) for value in picobarns.values()]
    merge_files([found.folder.path(part.name) for part in there], output, dict(of_dataset))
