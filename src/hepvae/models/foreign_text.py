"""The text of a card: where its keys are, for messages, and its tables, from which keys are taken one by one."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import HepvaeError, ModelError
from ..options import check_choice, nearest

__all__ = ["CardTable", "CardText"]


class CardTable:
    """A table of a card, from which keys are taken one by one; what is left over is an error."""

    def __init__(self, values: Any, card: CardText, path: tuple[str, ...] = ()) -> None:
        self.card, self.path = card, path
        if not isinstance(values, Mapping):
            raise card.error(path, f"is {values!r}: expected a table")
        self.values = dict(values)
        self.known: list[str] = []

    def take(self, key: str, default: Any = None) -> Any:
        self.known.append(key)
        return self.values.pop(key, default)

    def table(self, key: str) -> CardTable | None:
        values = self.take(key)
        return None if values is None else CardTable(values, self.card, (*self.path, key))

    def required(self, key: str) -> Any:
        value = self.take(key)
        if value is None:
            raise self.missing(key)
        return value

    def missing(self, key: str, expected: str = "") -> ModelError:
        """The error to raise for a key that is not there; it has the most similar one that is left over."""
        message = f"is missing{expected}{nearest(key, self.values)}"
        return self.card.error((*self.path, key), message, of_table=self.path)

    def error(self, key: str, message: str) -> ModelError:
        return self.card.error((*self.path, key), message)

    def checked(self, key: str, check: Any, value: Any) -> Any:
        """The value of a key by one of the checks of `options`."""
        try:
            return check(value)
        except HepvaeError as error:
            raise self.error(key, str(error).removeprefix(f"{key} ")) from error

    def choice(self, key: str, choices: Collection[str], default: str) -> Any:
        return self.checked(key, lambda v: check_choice(key, v, choices), self.take(key, default))

    def text(self, key: str, value: Any) -> str:
        if not isinstance(value, str) or not value:
            raise self.error(key, f"is {value!r}: expected a name")
        return value

    def end(self) -> None:
        for key in self.values:
            raise self.error(
                key, f"is unknown: expected some of {', '.join(self.known)}{nearest(key, self.known)}"
            )


@dataclass(frozen=True)
class CardText:
    """The text of a card, to find the lines of keys in it."""

    where: str
    lines: tuple[str, ...] = ()

    def error(self, path: tuple[str, ...], message: str, of_table: tuple[str, ...] | None = None) -> ModelError:
        number = self._line(path) or (self._line(of_table) if of_table is not None else 0)
        return ModelError(f"{self._with_line(number)}: {'.'.join(path) or 'card'} {message}")

    def at(self, *paths: tuple[str, ...]) -> str:
        """Where it is, and the line of the first of some keys or tables that it has."""
        return self._with_line(next(filter(None, map(self._line, paths)), 0))

    def _with_line(self, number: int) -> str:
        return f"{self.where}, line {number}" if number else self.where

    def _line(self, path: tuple[str, ...]) -> int:
        """Number of the line where a key, or a table, is; 0 where it is not found."""
        table: tuple[str, ...] = ()
        for number, line in enumerate(self.lines, start=1):
            if header := re.match(r"\s*\[+([^\]]+)\]", line):
                table = tuple(part.strip().strip("\"'") for part in header[1].split("."))
                if table == path:
                    return number
            elif key := re.match(r"\s*([\w.\-\"' ]+?)\s*=", line):
                parts = tuple(part.strip().strip("\"'") for part in key[1].split("."))
                if path[: len(table) + len(parts)] == (*table, *parts):
                    return number
        return 0
