"""Checks of values that users give: numbers (also NumPy's), whole numbers, names out of a list."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection
from numbers import Integral, Real

from .errors import OptionError

__all__ = ["check_choice", "check_flag", "check_names", "check_number", "check_whole_number", "nearest"]


def check_number(
    name: str, value: object, *, lowest: float = -math.inf, highest: float = math.inf, unit: str = ""
) -> float:
    """The value as a float.

    Parameters
    ----------
    name : str
        What the user calls it, for the message.
    lowest, highest : float
        Both are allowed themselves.
    unit : str
        For the message.

    Raises
    ------
    OptionError
        It is not a number (NaN is none), or out of range.
    """
    if not isinstance(value, Real) or isinstance(value, bool) or math.isnan(value):
        raise OptionError(f"{name} is {value!r}: expected a number")
    if not lowest <= float(value) <= highest:
        raise OptionError(f"{name} is {value!r}: expected a number {_range(lowest, highest)}{unit and ' ' + unit}")
    return float(value)


def check_whole_number(name: str, value: object, *, lowest: int = 1, highest: int | None = None) -> int:
    """The value as an int; as `check_number`."""
    most = math.inf if highest is None else highest
    if not isinstance(value, Integral) or isinstance(value, bool) or not lowest <= int(value) <= most:
        raise OptionError(f"{name} is {value!r}: expected a whole number {_range(lowest, most)}")
    return int(value)


def check_choice(name: str, value: object, choices: Collection[str]) -> str:
    """The value, one of some names.

    Raises
    ------
    OptionError
        It is none of them; the message has all, and the most similar.
    """
    if not isinstance(value, str) or value not in choices:
        similar = nearest(value, choices) if isinstance(value, str) else ""
        raise OptionError(f"{name} {value!r} is unknown: expected one of {', '.join(choices)}{similar}")
    return value


def check_flag(name: str, value: object) -> bool:
    """The value, True or False.

    Raises
    ------
    OptionError
        It is neither: ``"no"`` would count as true.
    """
    if not isinstance(value, bool):
        raise OptionError(f"{name} is {value!r}: expected True or False")
    return value


def check_names(what: str, given: Collection[str], known: Collection[str]) -> None:
    """Raise `OptionError` for the first of some names of options that is unknown to a function."""
    for name in given:
        if name not in known:
            raise OptionError(
                f"{what} takes no option {name!r}: expected some of {', '.join(known)}{nearest(name, known)}"
            )


def nearest(name: str, names: Collection[str]) -> str:
    """``"; nearest: 'a'"`` with the most similar of ``names``, or ``""`` where none is similar."""
    lowered = {n.lower(): n for n in names}
    close = difflib.get_close_matches(name.lower(), lowered, n=1)
    return f"; nearest: {lowered[close[0]]!r}" if close else ""


def _range(lowest: float, highest: float) -> str:
    if math.isinf(highest):
        return f"of at least {lowest:g}" if math.isfinite(lowest) else ""
    return f"from {lowest:g} to {highest:g}" if math.isfinite(lowest) else f"of at most {highest:g}"
