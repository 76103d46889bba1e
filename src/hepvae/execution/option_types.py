"""Types of the options of commands: numbers in a range, one of some names, lists, paths."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import OptionError
from ..options import check_choice, check_number, check_whole_number

if TYPE_CHECKING:
    ParamType = click.ParamType[Any]  # generic for type checkers only, in older releases
else:
    ParamType = click.ParamType


__all__ = ["PATH", "Choice", "Listed", "Number", "Whole", "as_number", "long_name"]

#: Type of an option that is a path.
PATH = click.Path(path_type=Path)


def as_number(value: Any, kind: Callable[[str], float]) -> Any:
    """What text says as a number of a kind; it stays text where it is none, for a check to tell."""
    if isinstance(value, str):
        with suppress(ValueError):
            return kind(value)
    return value


class Number(ParamType):
    """A finite or infinite number in a range; see `check_number`."""

    name = "number"

    def __init__(self, lowest: float = -float("inf"), highest: float = float("inf"), unit: str = ""):
        self.lowest, self.highest, self.unit = lowest, highest, unit

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = as_number(value, float)
        return check_number(_named(param), number, lowest=self.lowest, highest=self.highest, unit=self.unit)


class Whole(ParamType):
    """A whole number in a range; see `check_whole_number`."""

    name = "integer"

    def __init__(self, lowest: int = 1, highest: int | None = None):
        self.lowest, self.highest = lowest, highest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        return check_whole_number(_named(param), as_number(value, int), lowest=self.lowest, highest=self.highest)


class Choice(click.Choice[str]):
    """One of some names; an error has the most similar."""

    def __init__(self, choices: Iterable[str]):
        super().__init__(list(choices))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return check_choice(_named(param), value, [str(name) for name in self.choices])


class Listed(ParamType):
    """Values of a type with commas between them, as a tuple."""

    name = "list"

    def __init__(self, each: ParamType):
        self.each = each

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in str(value).split(",") if part.strip()]
        if not parts:
            raise OptionError(f"{_named(param)} is {value!r}: expected values with commas between them")
        return tuple(self.each.convert(part, param, ctx) for part in parts)


def _named(param: click.Parameter | None) -> str:
    return long_name(param) if isinstance(param, click.Option) else str(param and param.human_readable_name)


def long_name(param: click.Parameter) -> str:
    """``--output`` of ``-o``, ``--output``."""
    return max(param.opts, key=len)
