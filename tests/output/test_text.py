"""Names with markup, control characters and formulas at every door."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from hepvae.output.text import console, csv_cell, html_text, markdown_text, terminal_text

HOSTILE = [
    "a[/]b.root",
    "\x1b[2Ja\x07.root",
    "a\nb",
    "x|y",
    "<img src=x onerror=alert(1)>",
    "*a* _b_ `c`",
    "\u202etoor.a",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_terminal(name, capsys):
    shown = terminal_text(name)
    assert shown.isprintable()
    assert shown.encode().decode("unicode_escape") == name
    console().print(name.replace("\n", " "))
    assert capsys.readouterr().out == terminal_text(name.replace("\n", " ")) + "\n"


def test_accents_and_file_names_that_are_no_utf8():
    assert terminal_text("Schöße μ→e.root") == "Schöße μ→e.root"
    assert terminal_text("a\udce9.root") == "a\\udce9.root"


def test_tables_on_a_console(capsys):
    from rich.table import Table

    table = Table("[bold]file[/]", title="[/]")
    table.add_row("a[/]b\x1b.root")
    console().print(table)
    printed = capsys.readouterr().out
    assert "a[/]b\\x1b.root" in printed and "[bold]file[/]" in printed


@pytest.mark.parametrize("name", HOSTILE)
def test_a_cell_of_markdown_is_the_text(name):
    page = MarkdownIt("commonmark").enable("table").render(f"| a |\n| --- |\n| {markdown_text(name)} |\n")
    assert f"<td>{html_text(name.replace(chr(10), chr(92) + 'n'))}</td>" in page.replace("&amp;#39;", "'")


def test_html():
    assert html_text('<a href="x">\x1b') == "&lt;a href=&quot;x&quot;&gt;\\x1b"


@pytest.mark.parametrize("formula", ["=1+1", "@SUM(A1)", "+1", "-1+1", "\t=1"])
def test_formulas_are_text_and_numbers_stay(formula):
    assert csv_cell(formula) == f"'{formula}"
    assert csv_cell("conv") == "conv" and csv_cell(-1.5) == -1.5
