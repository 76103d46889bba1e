"""The documentation: it builds without warnings, names every public name, and its examples do what they show."""

from __future__ import annotations

import doctest
import inspect
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
from helpers.places import CHECKOUT

import hepvae

FUNCTIONS = [name for name in hepvae.__all__ if inspect.isfunction(getattr(hepvae, name))]
NEED = {"export_onnx": "tf2onnx", "export_litert": "ai_edge_litert", "to_tf_dataset": "tensorflow"}
EXAMPLES = [
    pytest.param(name, marks=pytest.mark.slow if name.startswith("export_") else ())
    for name in ("InputSpec", *FUNCTIONS)
]


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_of_a_docstring(name, tmp_path, monkeypatch):
    if name in NEED:
        pytest.importorskip(NEED[name])
    monkeypatch.chdir(tmp_path)
    public = getattr(hepvae, name)
    finder = doctest.DocTestFinder(recurse=False)
    (test,) = finder.find(public, name, globs={"hepvae": hepvae}, module=sys.modules[public.__module__])
    assert test.examples, f"hepvae.{name} has no example"
    printed: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=printed.append)
    assert result.failed == 0, "".join(printed)


def test_every_public_name_is_in_the_reference():
    listed = (CHECKOUT / "docs" / "api.md").read_text().split()
    assert set(hepvae.__all__) <= set(listed)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("sphinx") is None, reason="sphinx is not installed")
def test_it_builds_without_warnings(tmp_path):
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", "-b", "html"]
    done = subprocess.run(
        [*command, "-d", str(tmp_path / "doctrees"), "docs", str(tmp_path / "html")],
        capture_output=True,
        text=True,
        timeout=250,
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "html" / "score.html").is_file()
