"""Sphinx: pages in MyST Markdown, the API from docstrings."""

from __future__ import annotations

import hepvae

project = "hepvae"
author = "The hepvae developers"
copyright = author
version = release = hepvae.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
# Single backquotes in docstrings: a name of Python where there is one, else code.
default_role = "autolink"

html_theme = "pydata_sphinx_theme"
html_title = "hepvae"
html_theme_options = {"navigation_with_keys": False, "show_toc_level": 2}
exclude_patterns = ["_build"]
