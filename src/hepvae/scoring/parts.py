"""Scored files as parts in a folder: one for each input file, written where it is scored, a record beside it.

A record says what the part was made of and how, and its checksum. It appears before the part, and a part that is
not as its record says counts as missing. The inputs of each call are listed in the folder, so that `hepvae report`
can tell which have no part, also while other processes score other shares of them.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import re
import tempfile
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import FileError, HepvaeError, LayoutError, OptionError, TransientError
from ..output.folders import Checksum, OutputFolder
from ..reading.filesets import check_cross_sections
from ..reading.options import ReadOptions
from ..reading.reports import FileReport
from ..reading.sources import Source, file_size, without_suffix
from .chunks import ChunkScorer
from .form import Rows, ScoredForm
from .options import OutputOptions

__all__ = [
    "INPUTS",
    "RECORD",
    "Part",
    "PartWriter",
    "Parts",
    "Record",
    "inputs_of",
    "part_names",
    "recorded_runtime",
    "share",
]

logger = logging.getLogger(__name__)

#: What follows the name of a part in that of its record.
RECORD = ".json"
#: The list of the inputs of a call.
INPUTS = re.compile(r"(.*/)?inputs-(?P<digest>[0-9a-f]{16})\.json")
#: How often a part is written that another call writes at the same time.
TURNS = 3
#: Of the options in a record: machines differ in them, and scores only in their last digits.
OF_MACHINE = ("tuning",)


def part_names(sources: list[Source], suffix: str) -> list[str]:
    """A name for the part of each file: its own; of several of one name, with a digest of where they are."""
    names = [_plain_name(source) for source in sources]
    number = Counter(names)
    for i in [i for i, name in enumerate(names) if number[name] > 1]:
        names[i] += f"-{_digest(json.dumps(_listed(sources[i])))[:8]}"
    return [name + suffix for name in names]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _plain_name(source: Source) -> str:
    """Of a file without its folders and its suffix, of letters that every storage takes."""
    name = _plain(without_suffix(source.path.partition("?")[0].rstrip("/").rpartition("/")[2]))
    if source.span is not None:
        name += f"_{source.span[0]}-{source.span[1]}"
    return name if source.dataset is None else f"{_dataset_folder(source.dataset.name)}/{name}"


def _plain(name: str) -> str:
    return re.sub(r"^[.-]|[^\w.+-]", "_", name) or "_"


def _dataset_folder(name: str) -> str:
    """Of a dataset: its name; with a digest where that has letters that not every storage takes."""
    plain = _plain(name)
    return plain if plain == name else f"{plain}-{_digest(name)[:8]}"


def share(sources: list[Source], number: int, of: int, read: ReadOptions) -> list[int]:
    """The files of one of several processes, of about as many bytes each: the same for all who ask.

    The largest file goes first, each to the share that has least so far.

    Parameters
    ----------
    number : int
        From 1 to ``of``.

    Raises
    ------
    FileError
        A server does not say how large a file is: with another division than that of the other processes, two of
        them would score a file, or none.
    """
    sizes = [0 if source.failure else file_size(source, read.access) for source in sources]
    loads, mine = [0] * min(of, len(sources)), []
    for i in sorted(range(len(sources)), key=lambda i: (-sizes[i], i)):
        least = loads.index(min(loads))
        loads[least] += max(sizes[i], 1)
        if least == number - 1:
            mine.append(i)
    return sorted(mine)


@dataclass(frozen=True)
class Record:
    """What is beside a part."""

    input: list[str | int]
    """Its `Source.stamp`."""
    tree: str | None
    options: dict[str, Any]
    """All that the scores depend on."""
    report: FileReport
    size: int | None = None
    """Bytes of the part; None where the file failed, and there is none."""
    adler32: str | None = None

    def write(self, folder: OutputFolder, part: str) -> None:
        """Beside a part."""
        values = {**vars(self), "report": self.report.to_dict()}
        with folder.new(part + RECORD) as path:
            path.write_text(json.dumps({**values, "sha256": _digest(json.dumps(values))}, indent=1) + "\n")

    @classmethod
    def read(cls, folder: OutputFolder, part: str) -> Record | None:
        """Of a part; None where there is none, or it is damaged or not of this version."""
        try:
            values = json.loads(folder.read(part + RECORD) or b"")
            whole = values.pop("sha256") == _digest(json.dumps(values))
            return cls(**{**values, "report": FileReport.from_dict(values["report"])}) if whole else None
        except (TypeError, KeyError, ValueError, AttributeError, RecursionError):
            return None

    def is_whole(self, folder: OutputFolder, part: str) -> bool:
        """Whether a part is there as it was written."""
        return self.size is not None and folder.checksum(part) == Checksum(self.size, str(self.adler32))

    def changed(self, options: dict[str, Any]) -> list[str]:
        """Names of options that are others now."""
        names = {**self.options, **options}.keys() - OF_MACHINE
        return sorted(name for name in names if self.options.get(name) != options.get(name))


@dataclass(frozen=True)
class Part:
    """An input file, and the name of its part."""

    source: Source
    name: str


class Parts:
    """The parts of a call.

    Parameters
    ----------
    sources : list of Source
        All inputs of the call.
    mine : list of int
        Those that this process scores.
    options : dict
        All that the scores depend on, for JSON.

    Raises
    ------
    FileError, OptionError
        A part exists and is not to be replaced, or is of another input, or was scored with other options.
    """

    def __init__(
        self,
        folder: OutputFolder,
        sources: list[Source],
        mine: list[int],
        suffix: str,
        options: dict[str, Any],
        writing: OutputOptions,
    ):
        self.folder, self.options = folder, json.loads(json.dumps(options))
        there = self._before = set(folder.names())
        before = dict(inputs_of(folder, there))
        names = _names_kept(folder, there, before, sources, part_names(sources, suffix))
        for source, name in zip(sources, names):
            path = folder.path(name)
            if os.path.exists(path) and os.path.exists(source.path) and os.path.samefile(path, source.path):
                raise OptionError(f"{path}: is an input file, and would be overwritten by its own scores")
        self.mine = [Part(sources[i].absolute, names[i]) for i in mine]
        self.reports: list[FileReport | None] = [self._report(part, there, writing) for part in self.mine]
        """Of parts that are there already."""
        for name, content in _inputs(sources, names, self.options).items():
            if name not in there:
                with folder.new(name) as new:
                    new.write_text(content)
            ours = {one[0] for one in json.loads(content)["inputs"]}
            for other, listed in before.items():
                of_parts = {one[0] for one in listed["inputs"]}
                if other != name and os.path.dirname(other) == os.path.dirname(name) and of_parts <= ours:
                    folder.remove(other)  # what it says is out of date

    def _report(self, part: Part, there: set[str], writing: OutputOptions) -> FileReport | None:
        """Of a part that is kept; None of one that is to be written."""
        record = Record.read(self.folder, part.name) if part.name + RECORD in there else None
        if part.name not in there or (writing.overwrite and not writing.resume):
            return None
        path, problem = self.folder.path(part.name), ""
        if not writing.resume:
            raise FileError(f"{path}: exists already: expected another folder, --resume or --overwrite")
        if record is None:
            problem = "is there without a whole record"
        elif record.input[:1] != (now := part.source.stamp)[:1] or record.tree != part.source.tree:
            problem = f"is the part of another input, {record.input[0]}"
        elif changed := record.changed(self.options):
            problem = f"was scored with other: {', '.join(changed)}"
        elif record.input == now and record.is_whole(self.folder, part.name):
            return record.report
        if problem and not writing.overwrite:
            anew = "--resume with --overwrite" if record is None else "--overwrite"
            raise FileError(f"{path}: {problem}: expected another folder, or {anew}")
        return None

    def fail(self, part: Part, report: FileReport) -> None:
        """Record why a file has no part, if the folder can be written to now."""
        try:
            self.folder.remove(part.name)
            Record(part.source.stamp, part.source.tree, self.options, report).write(self.folder, part.name)
        except HepvaeError as error:
            logger.warning("%s: that it failed is not recorded: %s", part.source.name, error)

    def clean(self) -> None:
        """Remove what killed processes have left of the parts, if the folder can be written to now."""
        try:
            names = (name for part in self.mine for name in (part.name, part.name + RECORD))
            self.folder.remove_temporaries(names, self._before)
        except HepvaeError as error:
            logger.warning("what processes that ended have left is not removed: %s", error)


def _names_kept(
    folder: OutputFolder,
    there: set[str],
    lists: dict[str, dict[str, Any]],
    sources: list[Source],
    names: list[str],
) -> list[str]:
    """Names of parts, as earlier calls with the same inputs have chosen them.

    Raises
    ------
    FileError
        An input has a part of another format.
    """
    before = {
        (os.path.dirname(name), path, tree): part
        for name, listed in lists.items()
        for part, path, tree in (
            (os.path.join(os.path.dirname(name), one[0]), *one[1:3]) for one in listed["inputs"]
        )
        if part in there
    }
    kept = []
    for source, name in zip(sources, names):
        known = before.get((os.path.dirname(name), *_listed(source)), name)
        if os.path.splitext(known)[1] != os.path.splitext(name)[1]:
            raise FileError(f"{folder.path(known)}: is a part of another format: expected another folder")
        kept.append(known)
    return kept


def _listed(source: Source) -> tuple[str, str | None]:
    """What stands for an input in the lists."""
    return source.absolute.name, source.tree


def _inputs(sources: list[Source], names: list[str], options: dict[str, Any]) -> dict[str, str]:
    """The lists of inputs, by their names: one in the folder of each dataset."""
    listed: dict[str, dict[str, Any]] = {}
    for source, name in zip(sources, names):
        folder, slash, part = name.rpartition("/")
        metadata = source.dataset.metadata if source.dataset else {}
        of_folder = listed.setdefault(folder + slash, {"metadata": metadata, "inputs": []})
        check_cross_sections(source.dataset.name if source.dataset else name, of_folder["metadata"], metadata)
        of_folder["inputs"].append([part, *_listed(source), source.failure])
    everywhere = {name: value for name, value in options.items() if name not in OF_MACHINE}
    contents = {folder: json.dumps({"options": everywhere, **one}, indent=1) for folder, one in listed.items()}
    return {f"{folder}inputs-{_digest(text)[:16]}.json": text for folder, text in contents.items()}


def inputs_of(folder: OutputFolder, names: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The lists of inputs of the calls that wrote to a folder, each with its name.

    Raises
    ------
    LayoutError
        One cannot be read.
    """
    for name in names:
        if match := INPUTS.fullmatch(name):
            try:
                content = folder.read(name)
                if content is None:  # another call has removed it
                    continue
                if _digest(content.decode())[:16] != match["digest"]:
                    raise ValueError("it was changed")
                listed = json.loads(content)
            except ValueError as error:
                raise LayoutError(
                    f"{folder.path(name)}: is no list of inputs of hepvae score, or damaged: remove it, then"
                    " hepvae score with --resume writes it again"
                ) from error
            yield name, listed


def recorded_runtime(folder: OutputFolder) -> str | None:
    """That of the parts in a folder; None where there are none."""
    for _, listed in inputs_of(folder, folder.names()):
        return str(listed["options"].get("runtime"))
    return None


@dataclass(frozen=True)
class PartWriter:
    """Reads and scores files, and writes their parts; it travels to workers with its inferer."""

    scorer: ChunkScorer
    form: ScoredForm
    folder: OutputFolder
    options: dict[str, Any]

    def __call__(
        self, part: Part, read: ReadOptions, entries: tuple[int, float], chunks: int
    ) -> tuple[FileReport, str | None]:
        """Score at most so many chunks of some entries.

        If they are the whole file its part is written, else a file of rows, whose name is given with the report.
        """
        report = self.scorer.report(part.source)
        try:
            with _spool() as spool:
                for rows in self.scorer.rows(part.source, report, read, entries, chunks):
                    spool.add(self.form.as_written(rows, report))
                if report.failure is None and report.events_read < report.entries:
                    name = self.folder.temporary(part.name)
                    with self.folder.new(name) as path, open(path, "wb") as file:
                        np.save(file, spool.rows(), allow_pickle=False)
                    return report, name
                if report.failure is None:
                    self._write(part, report, spool)
        except HepvaeError as error:
            report.failure = str(error)
        return report, None

    def join(self, part: Part, report: FileReport, pieces: list[str]) -> FileReport:
        """Write the part of a file from files of its rows, in the order of their entries."""
        try:
            with _spool() as spool:
                for piece in pieces:
                    content = self.folder.read(piece)
                    if content is None:
                        raise FileError(f"{self.folder.path(piece)}: rows that a worker wrote are gone")
                    spool.add(np.load(io.BytesIO(content), allow_pickle=False))
                self._write(part, report, spool)
            for piece in pieces:
                self.folder.remove(piece)
        except HepvaeError as error:
            self._fail(part, report, error)
        return report

    def _is_written(self, part: Part, report: FileReport) -> bool:
        """Whether a part is there, of a process that counted the same."""
        record = Record.read(self.folder, part.name)
        return record is not None and record.report == report and record.is_whole(self.folder, part.name)

    def _fail(self, part: Part, report: FileReport, error: HepvaeError) -> None:
        """Say why a part could not be written, unless another process has: one that was lost, or another call."""
        with suppress(HepvaeError):
            if not isinstance(error, TransientError) and self._is_written(part, report):
                return
        report.failure = str(error)

    def written(
        self, parts: list[Part], scored: Generator[tuple[FileReport, Rows | None], None, None]
    ) -> Generator[tuple[FileReport, None], None, None]:
        """Write the parts of files that this process scores, chunk by chunk; gives each's report at its end."""
        with closing(scored) as chunks:
            for part in parts:
                with _spool() as spool:
                    for report, rows in chunks:
                        if rows is None:
                            break
                        spool.add(self.form.as_written(rows, report))
                    if report.failure is None:
                        self._write(part, report, spool)
                yield report, None

    def _write(self, part: Part, report: FileReport, spool: _Spool) -> None:
        """Part and record, again where another call has mixed its own with them; else why in the report."""
        source = part.source
        try:
            rows = spool.rows()
            columns = [(name, rows.dtype[name].str) for name in rows.dtype.names or ()]
            for _ in range(TURNS):
                with self.folder.new(part.name) as path:
                    self.form.write(path, columns, [(report, rows)])
                    found = Checksum.of(path)
                    record = Record(source.stamp, source.tree, self.options, report, found.size, found.adler32)
                    record.write(self.folder, part.name)
                there = Record.read(self.folder, part.name)
                if (there and there.adler32 == record.adler32) or self._is_written(part, report):
                    return
            raise FileError(f"{self.folder.path(part.name)}: other processes write it again and again")
        except HepvaeError as error:
            self._fail(part, report, error)


@dataclass
class _Spool:
    """Rows of a file, on disk: memory does not grow with the file."""

    file: Any
    dtypes: list[np.dtype[np.void]] = field(default_factory=list)

    def add(self, rows: Rows) -> None:
        self.dtypes = [rows.dtype]
        self.file.write(rows.tobytes())

    def rows(self) -> Rows:
        """All rows."""
        self.file.flush()
        (dtype,) = self.dtypes
        size = os.fstat(self.file.fileno()).st_size
        return np.memmap(self.file, dtype, "r") if size else np.empty(0, dtype)


@contextmanager
def _spool() -> Iterator[_Spool]:
    try:
        with tempfile.TemporaryFile(prefix="hepvae-") as file:
            yield _Spool(file)
    except OSError as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"{tempfile.gettempdir()}: rows cannot be kept: {error.strerror or error}") from error
