"""Names and messages from outside, escaped once where they leave: terminal, Markdown, HTML and CSV."""

from __future__ import annotations

import html
import re
import unicodedata
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import without_tokens

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["console", "csv_cell", "html_text", "markdown_text", "terminal_text"]

Value = TypeVar("Value")

#: What spreadsheets take for the beginning of a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def terminal_text(text: str, keep: str = "") -> str:
    """Text on one line, without tokens, with control, direction and undecodable characters as escape sequences.

    Parameters
    ----------
    keep : str
        Control characters that stay.
    """
    text = without_tokens(text)
    if text.isprintable():
        return text
    return "".join(_escaped(c) if c not in keep and unicodedata.category(c) in _INVISIBLE else c for c in text)


#: Unicode categories of control and format characters, surrogates, and separators of lines and paragraphs.
_INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def markdown_text(text: str) -> str:
    """Text for a sentence or a cell of a table of Markdown: no markup, no HTML, no end of the cell."""
    return re.sub(r"([\\|<>*_`\[\]&!#~])", r"\\\1", terminal_text(text))


def html_text(text: str) -> str:
    """Text for an element or a quoted attribute of HTML."""
    return html.escape(terminal_text(text, keep="\n"))


def csv_cell(value: Value) -> Value | str:
    """A value for a cell of CSV; text that a spreadsheet would take for a formula gets an apostrophe in front."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def console(width: int = 200) -> Console:
    """A console of rich on standard output, which takes no text for markup and escapes it as `terminal_text`.

    Parameters
    ----------
    width : int
        Of lines where standard output is no terminal.
    """
    from rich.console import Console
    from rich.text import Text

    class PlainConsole(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(terminal_text(text, keep="\n"), **options)

    plain = PlainConsole(markup=False, highlight=False, emoji=False)
    return plain if plain.is_terminal else PlainConsole(width=width, markup=False, highlight=False, emoji=False)
