"""Sphinx: pages and notebooks in MyST Markdown, the API from docstrings."""

from __future__ import annotations

import hepvae

project = "hepvae"
author = "The hepvae developers"
copyright = author
version = release = hepvae.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

# Notebooks are run, each in a folder of its own; what they print counts only if they run to their end.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 900  # for machines that do other work too

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
# Single backquotes in docstrings: a name of Python where there is one, else code.
default_role = "autolink"

html_theme = "sphinx_book_theme"
html_title = "hepvae"
html_theme_options = {"navigation_with_keys": False, "show_toc_level": 2, "home_page_in_toc": True}
exclude_patterns = ["_build"]
