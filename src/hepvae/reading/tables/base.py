"""What every kind of file offers: columns by name, entry by entry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence

import awkward as ak

__all__ = ["Table"]


class Table(ABC):
    """An open table of a file."""

    where: str
    """File and table, for messages."""
    names: Collection[str]
    """Of the columns."""
    num_entries: int

    @abstractmethod
    def read(self, names: Sequence[str], start: int, stop: int) -> dict[str, ak.Array]:
        """Some columns as awkward arrays, each (stop - start,) or (stop - start, var)."""

    @abstractmethod
    def size(self, names: Sequence[str]) -> int:
        """Bytes of some columns in memory, all entries; about."""

    def generated_weights(self) -> float | None:
        """Sum of the weights of all events that were generated for the file; None where it does not say."""
        return None
