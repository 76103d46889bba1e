"""Reports as one HTML file."""

from __future__ import annotations

import base64

import pytest

from hepvae.output.html_page import html_page

PNG = b"\x89PNG no picture at all"


def test_tables_headings_and_figures_are_inside(tmp_path):
    (tmp_path / "roc_a-b.png").write_bytes(PNG)
    page = html_page(
        "# Head\n\n| a | b |\n| --- | ---: |\n| 1 | 2 |\n\n![x](roc_a-b.png)\n",
        tmp_path,
        "A search",
        ["roc_a-b.png"],
    )
    assert page.startswith("<!doctype html>")
    assert "<title>A search</title>" in page and "<h1>Head</h1>" in page
    assert page.count("<td") == 2
    assert f'src="data:image/png;base64,{base64.b64encode(PNG).decode()}"' in page
    assert ".png" not in page  # no other file is needed


def test_a_table_of_contents_leads_to_the_sections(tmp_path):
    page = html_page("# Head\n\ntop\n\n## One `x`\n\na\n\n## <b> two\n\nb\n", tmp_path, "")
    assert '<nav><a href="#section-1">One x</a><a href="#section-2">&lt;b&gt; two</a></nav>' in page
    assert page.index("<p>top</p>") < page.index("<nav>") < page.index('<h2 id="section-1">')
    assert '<h2 id="section-2">' in page


def test_names_are_no_markup(tmp_path):
    page = html_page("a < b & c", tmp_path, "<b> & co")
    assert "<title>&lt;b&gt; &amp; co</title>" in page
    assert "a &lt; b &amp; c" in page


def test_figure_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        html_page("![x](none.png)", tmp_path, "", ["none.png"])


@pytest.mark.parametrize(
    "markdown",
    [
        "- <img src=x onerror=alert(1)>",
        "<script>alert(1)</script>",
        "![a](other.png)",
        "![a](../secret.png)",
        "![a](https://example.org/a.png)",
        "[a](javascript:alert(1))",
    ],
)
def test_nothing_that_others_named_becomes_part_of_the_page(tmp_path, markdown):
    """What a reviewer saw: `<img onerror>` in a conclusion of report.html ran."""
    (tmp_path.parent / "secret.png").write_bytes(PNG)
    (tmp_path / "other.png").write_bytes(PNG)
    page = html_page(markdown, tmp_path, "", ["figure.png"])
    body = page.partition("<body>")[2]
    assert "<img" not in body and "<script" not in body and "href" not in body
