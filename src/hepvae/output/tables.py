"""Tables of text: the same rows for a terminal and for a report in Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .text import markdown_text, terminal_text

if TYPE_CHECKING:
    from rich.table import Table as RichTable

__all__ = ["Table", "figure"]


@dataclass(frozen=True)
class Table:
    """Rows of text."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: int = 1
    """Columns that stand to the left; the others are figures."""

    def to_rich(self, title: str) -> RichTable:
        """For a terminal."""
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable(title=Text(terminal_text(title)), box=None, pad_edge=False)
        for i, name in enumerate(self.header):
            table.add_column(Text(terminal_text(name)), justify="left" if i < self.left else "right")
        for row in self.rows:
            table.add_row(*(Text(terminal_text(cell)) for cell in row))  # a name with brackets is no markup
        return table

    def to_markdown(self) -> str:
        """A table of Markdown, with a line break at its end."""
        rule = ["---" if i < self.left else "---:" for i in range(len(self.header))]
        escaped = ([markdown_text(cell) or " " for cell in row] for row in self.rows)
        lines = [[markdown_text(name) for name in self.header], rule, *escaped]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def figure(value: float) -> str:
    """Three digits, or a whole number with thousands set apart; nothing for NaN."""
    if math.isnan(value):
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
