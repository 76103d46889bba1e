"""What is scored and how it is written: frozen options, checked once and passed whole."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path

from ..jets.selection import Selection
from ..options import check_flag
from ..output.files import check_output
from .formats import check_format
from .strategy import ScoreStrategy

__all__ = ["OutputOptions", "ScoringConfig"]


@dataclass(frozen=True)
class ScoringConfig:
    """Which events are scored, and how."""

    strategy: ScoreStrategy
    selection: Selection = field(default_factory=Selection)


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

    def __post_init__(self) -> None:
        for one in fields(self):
            check_flag(one.name, getattr(self, one.name))

    def check(self, output: Path) -> None:
        """Raise where a scored file of this name cannot be written: before the work, not after it."""
        check_format(output)
        check_output(output, overwrite=self.overwrite)
