"""What is scored and how it is written: frozen options, checked once and passed whole."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from ..errors import OptionError
from ..jets.features import FEATURES
from ..jets.selection import Selection
from ..options import check_choice, check_flag
from ..output.folders import OutputFolder, open_output
from ..reading.declarations import JET_COLUMNS
from ..storage.access import ACCESS, Access
from .formats import check_format
from .strategy import ScoreStrategy

__all__ = ["FORMATS", "OBSERVABLES", "SCORED_JETS", "Format", "OutputOptions", "ScoredJets", "ScoringConfig"]

ScoredJets = Literal["dijets", "all"]
SCORED_JETS: tuple[ScoredJets, ...] = get_args(ScoredJets)
Format = Literal["root", "parquet"]
FORMATS: tuple[Format, ...] = get_args(Format)

#: What a scored file may have of each jet besides its losses: the features that constituents tell, of any layout.
OBSERVABLES = tuple(
    name for name, row in FEATURES["jet"].items() if not row.jet_columns and name not in JET_COLUMNS
)


@dataclass(frozen=True)
class ScoringConfig:
    """Which jets are scored, and how.

    Raises
    ------
    OptionError
        All jets are to be scored, and a strategy or a cut is given; or a name of the model cannot be part of the
        name of a column, or is given where no column has it.
    """

    strategy: ScoreStrategy = field(default_factory=ScoreStrategy)
    selection: Selection = field(default_factory=Selection)
    jets: ScoredJets = "dijets"
    """Those of selected dijet events; or all, without any cut."""
    model_name: str | None = None
    """In the names of the columns of all jets; None: that of the model's file, or of its folder."""
    observables: tuple[str, ...] = ()
    """Of each jet of a dijet event, beside its losses: names of `OBSERVABLES`."""

    def __post_init__(self) -> None:
        check_choice("jets", self.jets, SCORED_JETS)
        for name in self.observables:
            check_choice("observable", name, OBSERVABLES)
        if self.observables and self.all_jets:
            raise OptionError(f"observables are {', '.join(self.observables)}, and jets 'all': expected none")
        if self.model_name is not None:
            if not isinstance(self.model_name, str) or not re.fullmatch(r"\w+", self.model_name, re.ASCII):
                raise OptionError(f"name is {self.model_name!r}: expected letters, digits and _, as 'conv'")
            if not self.all_jets:
                raise OptionError(f"name is {self.model_name!r}, and jets {self.jets!r}: expected jets 'all'")
        if self.all_jets:
            for given, nothing in ((self.strategy, ScoreStrategy()), (self.selection, Selection())):
                changed = [name for name, value in vars(nothing).items() if getattr(given, name) != value]
                if changed:
                    raise OptionError(
                        f"{changed[0]} is {getattr(given, changed[0])!r}, and jets 'all': expected no cuts and no"
                        " strategy where all jets are scored"
                    )

    @property
    def all_jets(self) -> bool:
        return self.jets == "all"


@dataclass(frozen=True)
class OutputOptions:
    """How a scored file is written.

    Raises
    ------
    OptionError
        A value is neither True nor False.
    """

    resume: bool = False
    """Continue a call with the same arguments that was killed: completed input files are not read again."""
    overwrite: bool = False
    """Replace an output that exists."""
    friend: bool = False
    """One row for each entry of the input, with the mask ``scored``."""
    format: Format | None = None
    """Of the parts in a folder; None: ``root``. That of a single file is its suffix."""
    split: str | None = None
    """Score only a share of the files, ``I/N`` from 1/N to N/N, into a folder."""

    def __post_init__(self) -> None:
        for name in ("resume", "overwrite", "friend"):
            check_flag(name, getattr(self, name))
        if self.format is not None:
            check_choice("format", self.format, FORMATS)
        if self.split is not None:
            number, of = self.share
            if not 1 <= number <= of:
                raise OptionError(f"split is {self.split!r}: expected I/N with I from 1 to N, as 3/40")

    @property
    def share(self) -> tuple[int, int]:
        """Which of how many shares of the files are scored."""
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", str(self.split or "1/1"))
        return (int(match[1]), int(match[2])) if match else (0, 0)

    def check(self, output: str | Path, access: Access = ACCESS) -> tuple[OutputFolder, str]:
        """Raise where a scored file of this name cannot be written: before the work, not after it.

        Returns
        -------
        folder, str
            In which it appears, and its name there.
        """
        for name in ("format", "split"):
            if getattr(self, name) is not None:
                raise OptionError(
                    f"{name} is {getattr(self, name)!r}, and {output} a file: expected a folder, DIR/"
                )
        folder, last = open_output(output, access)
        check_format(Path(last))
        folder.check(last, overwrite=self.overwrite)
        return folder, last
