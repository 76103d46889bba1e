"""The documentation (`make docs` builds it): it names every public name, and its examples do what they show."""

from __future__ import annotations

import doctest
import inspect
import re
import sys
from configparser import ConfigParser

import numpy as np
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


def run_the_code_of(page, **names):
    """Run the Python of a page with what it takes for granted; gives the names it defines."""
    text = (CHECKOUT / page).read_text()
    for block in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        exec(compile(block, page, "exec"), names)
    return names


@pytest.mark.parametrize("page", ["README.md", pytest.param("docs/score.md", marks=pytest.mark.slow)])
def test_the_code_of_a_page_on_scores(page, tmp_path, monkeypatch):
    if "score" in page:
        pytest.importorskip("tensorflow")
    monkeypatch.chdir(tmp_path)
    assert len(run_the_code_of(page)["scored"].score) == 1131


def test_the_code_of_the_page_on_the_search(rng):
    pytest.importorskip("sklearn")
    mjj = 1200 + rng.exponential(500, 4000)
    arrays = {"score": rng.lognormal(mjj / 3000, 0.5), "mjj": mjj, "weight": np.ones(4000)}
    data = {"data_score": arrays["score"][:500], "data_mjj": mjj[:500]}
    signal = {"signal_score": rng.lognormal(2, 0.5, 500), "signal_weight": np.ones(500)}
    names = run_the_code_of("docs/resonance-search.md", **arrays, **data, **signal)
    assert 0.05 < names["chosen"].mean() < 0.15
    assert names["merits"].auc.value > 0.9


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Missing cross-reference index")
@pytest.mark.filterwarnings("ignore::hepvae.UnscoredJetsWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_code_of_the_page_on_coffea():
    nanoevents = pytest.importorskip("coffea.nanoevents")
    path = str(hepvae.sample_path("GtoWW15na"))
    events = nanoevents.NanoEventsFactory.from_root(
        {path: "Events"}, schemaclass=nanoevents.NanoAODSchema, mode="eager"
    ).events()
    fileset = {"G": {"files": {path: "Events"}}}
    names = run_the_code_of("docs/coffea.md", hepvae=hepvae, events=events, smearing=1.01, fileset=fileset)
    assert len(names["scores"]) == len(names["weights"]) <= len(events)
    assert names["result"]["histogram"]


def test_links_between_pages_lead_somewhere():
    """In README and data/README.md, which are read outside of the site too; the build checks the other pages."""
    for page in ("README.md", "data/README.md"):
        for link in re.findall(r"\]\((?!http)([^)#]+)(?:#[^)]*)?\)", (CHECKOUT / page).read_text()):
            assert (CHECKOUT / page).parent.joinpath(link).exists(), f"{page} links to {link}"


def test_what_is_cited_and_packaged_is_this_version_with_its_requirements():
    citation, recipe = (CHECKOUT / name for name in ("CITATION.cff", "packaging/meta.yaml"))
    assert f"version: {hepvae.__version__}\n" in citation.read_text()
    assert f'version = "{hepvae.__version__}"' in recipe.read_text()
    setup = ConfigParser()
    setup.read(CHECKOUT / "setup.cfg")
    wanted = {
        line.partition(";")[0].replace(">=", " >=").replace("matplotlib ", "matplotlib-base ").strip()
        for line in setup["options"]["install_requires"].strip().splitlines()
        if not line.startswith("ai-edge-litert")  # which conda-forge has not
    }
    listed = recipe.read_text().partition("  run:\n")[2].partition("\n\n")[0]
    assert wanted == {line.strip("- ") for line in listed.splitlines() if "python >=" not in line}


def test_the_front_page_is_short():
    words = (CHECKOUT / "README.md").read_text().split()
    assert len(words) < 650, "details belong to docs/"


def test_every_public_name_is_in_the_reference():
    listed = (CHECKOUT / "docs" / "api.md").read_text().split()
    assert set(hepvae.__all__) <= set(listed)


def test_patterns_of_options_are_quoted():
    """A shell made several words of `--check mine/*.root`, and all but the first were no value of it."""
    pages = [CHECKOUT / "README.md", *(CHECKOUT / "docs").glob("*.md")]
    lines = [line for page in pages for line in page.read_text().splitlines() if line.startswith("$ ")]
    lines = [line for line in lines if "hepvae.bench" not in line]  # --input takes all up to the next option
    assert lines and [line for line in lines if re.search(r" --[a-z-]+[ =][^ '\"]*\*", line)] == []
