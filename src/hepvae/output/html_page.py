"""Reports as one HTML file: Markdown, with its figures inside."""

from __future__ import annotations

import base64
from collections.abc import Collection, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from .text import html_text

__all__ = ["html_page"]

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 1100px; margin: 2em auto; padding: 0 1em; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2em; border-bottom: 1px solid #ccc; }
table { border-collapse: collapse; font-size: 12px; font-variant-numeric: tabular-nums;
  display: block; overflow-x: auto; }
th, td { padding: 2px 8px; white-space: nowrap; border-bottom: 1px solid #eee; }
th { white-space: normal; vertical-align: bottom; }
tr:hover { background: #f6f6f6; } img { width: 49%; } code { background: #f2f2f2; }
nav { columns: 2; font-size: 14px; } nav a { display: block; color: #06c; text-decoration: none; }
@media (max-width: 700px) { img { width: 100%; } nav { columns: 1; } }
"""


def html_page(markdown: str, folder: str | Path, title: str, figures: Collection[str] = ()) -> str:
    """Markdown as HTML that needs no other file, with a table of its second headings before the first of them.

    Parameters
    ----------
    markdown : str
        CommonMark with tables; HTML in it is shown as text.
    folder : path
        Where the figures are.
    title : str
        Of the window.
    figures : collection of str
        Names of the PNG files in ``folder`` that may be embedded. Any other image is shown as its description.

    Returns
    -------
    str

    Raises
    ------
    FileNotFoundError
        A figure is not there.
    """
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"html": False}).enable("table")

    def image(tokens: Sequence[Any], i: int, options: Any, env: Any) -> str:
        name, description = str(tokens[i].attrGet("src")), html_text(tokens[i].content)
        if name not in figures:
            return description
        content = base64.b64encode((Path(folder) / name).read_bytes()).decode()
        return f'<img src="data:image/png;base64,{content}" alt="{description}" />'

    reader.add_render_rule("image", lambda _renderer, *what: image(*what))
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head += f"<title>{html_text(title)}</title><style>{STYLE}</style>"
    tokens = reader.parse(markdown)
    first: int | None = None
    links: list[str] = []
    for i, (token, inside) in enumerate(pairwise(tokens)):
        if token.type == "heading_open" and token.tag == "h2":
            first = i if first is None else first
            token.attrSet("id", f"section-{len(links) + 1}")
            heading = "".join(child.content for child in inside.children or ())  # without its marks
            links.append(f'<a href="#section-{len(links) + 1}">{html_text(heading)}</a>')
    before, after = (reader.renderer.render(some, reader.options, {}) for some in (tokens[:first], tokens[first:]))
    body = f"{before}<nav>{''.join(links)}</nav>\n{after}" if len(links) > 1 else reader.render(markdown)
    return f"<!doctype html>\n<html lang='en'><head>{head}</head>\n<body>\n{body}</body></html>\n"
