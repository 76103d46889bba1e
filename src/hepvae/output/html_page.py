"""Reports as one HTML file: Markdown, with its figures inside."""

from __future__ import annotations

import base64
import html
import re
from pathlib import Path

__all__ = ["html_page"]

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 1100px; margin: 2em auto; padding: 0 1em; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2em; border-bottom: 1px solid #ccc; }
table { border-collapse: collapse; font-size: 12px; font-variant-numeric: tabular-nums;
  display: block; overflow-x: auto; }
th, td { padding: 2px 8px; white-space: nowrap; border-bottom: 1px solid #eee; }
th { white-space: normal; vertical-align: bottom; }
tr:hover { background: #f6f6f6; } img { max-width: 48%; } code { background: #f2f2f2; }
"""


def html_page(markdown: str, folder: str | Path, title: str) -> str:
    """Markdown as HTML that needs no other file.

    Parameters
    ----------
    markdown : str
        CommonMark with tables. Its images are PNG files, named relative to the folder.
    folder : path
        Where the figures lie.
    title : str
        Of the window.

    Returns
    -------
    str
    """
    from markdown_it import MarkdownIt

    body = MarkdownIt("commonmark").enable("table").render(markdown)

    def inside(match):
        content = base64.b64encode((Path(folder) / match[1]).read_bytes()).decode()
        return f'src="data:image/png;base64,{content}"'

    body = re.sub(r'src="([^"]+\.png)"', inside, body)
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head += f"<title>{html.escape(title)}</title><style>{STYLE}</style>"
    return f"<!doctype html>\n<html lang='en'><head>{head}</head>\n<body>\n{body}</body></html>\n"
