"""Why a jet cannot be scored: the one table of reasons."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["EMPTY", "LOSS_NOT_FINITE", "NEGATIVE", "NOT_FINITE", "NOT_OWN", "REASONS", "Counts"]

#: Numbers of the reasons, 0 for none; a jet counts under the first that holds.
EMPTY, NOT_FINITE, NEGATIVE, NOT_OWN, LOSS_NOT_FINITE = 1, 2, 3, 4, 5
REASONS = {
    EMPTY: "without constituents",  # none, or none with pt
    NOT_FINITE: "with a value that is not finite",
    NEGATIVE: "with a negative pt",
    NOT_OWN: "with constituents that are not its own",  # their sum points elsewhere
    LOSS_NOT_FINITE: "with a loss that is not finite",  # finite values can be so large that their squares are not
}


class Counts(dict[str, int]):
    """Numbers by reason."""

    def add(self, other: Mapping[str, int]) -> None:
        """Add the numbers of another one."""
        for reason, number in other.items():
            self[reason] = self.get(reason, 0) + number

    def __str__(self) -> str:
        return ", ".join(f"{number} {reason}" for reason, number in self.items())
