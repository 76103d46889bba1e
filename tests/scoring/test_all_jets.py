"""`hepvae score --jets all`: losses of every jet, jagged, one entry for each of the input."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.dijet_files import as_collection, random_tables
from helpers.places import CHECKOUT

import hepvae
from hepvae.cli import main

SAMPLES = ("GtoWW15na", "qcdSig")
LOSSES = ("loss", "reco_loss", "kl_loss")
pytestmark = pytest.mark.filterwarnings("ignore::hepvae.UnscoredJetsWarning")


@pytest.fixture(scope="module")
def files():
    return [str(hepvae.sample_path(name)) for name in SAMPLES]


@pytest.fixture(scope="module")
def expected(files, conv):
    """Of all jets in memory, (entries, var)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return hepvae.score_jets(hepvae.read_jets(files).jets, conv)


def columns(path):
    if path.suffix == ".parquet":
        return ak.from_parquet(path)
    with uproot.open(path) as file:
        return file["Events"].arrays()


def assert_scored(path, expected, model="conv"):
    found = columns(path)
    assert found.fields == ["nFatJet", *(f"FatJet_{model}_{name}" for name in LOSSES)]
    assert ak.array_equal(found.nFatJet, ak.num(expected), dtype_exact=False)
    for name in LOSSES:
        assert ak.array_equal(found[f"FatJet_{model}_{name}"], expected[name], equal_nan=True), name


@pytest.mark.parametrize("name", ["all.root", "all.parquet"])
def test_an_entry_for_each_of_the_input_with_its_jets_in_order(files, expected, tmp_path, capsys, name):
    output = tmp_path / name
    assert main(["score", *files, "--model", "conv", "--jets", "all", "--output", str(output)]) == 0
    assert_scored(output, expected)
    said = capsys.readouterr().out
    unscored = int(ak.sum(np.isnan(expected.loss)))
    assert unscored and f"{unscored} jets without constituents" in said
    assert f"{ak.count(expected.loss) - unscored} jets scored of {ak.count(expected.loss)} in all events" in said
    if name == "all.root":
        with uproot.open(output) as file:
            provenance = json.loads(file["hepvae"])
        assert provenance["jets"] == "all" and "strategy" not in provenance
        assert main(["plot", str(output), "--output", str(tmp_path / "p.png")]) == 1
        assert "expected a file of hepvae score without --jets all" in capsys.readouterr().err


def test_chunks_do_not_matter(files, conv, expected, tmp_path):
    hepvae.score_files(files, conv, tmp_path / "s.root", jets="all", step_size=300)
    assert_scored(tmp_path / "s.root", expected)


def test_what_failed_is_scored_on_resumption_and_nothing_else(files, conv, expected, tmp_path):
    """Without a row for each entry of all files a friend would be misaligned: nothing is written before."""
    first, second = (shutil.copy(path, tmp_path / f"{i}.root") for i, path in enumerate(files))
    Path(second).write_text("no ROOT file")
    output = tmp_path / "all.root"
    report = hepvae.score_files([first, second], conv, output, jets="all")
    assert len(report.failed) == 1 and not output.exists()
    shutil.copy(files[1], second)
    report = hepvae.score_files([first, second], conv, output, jets="all", resume=True)
    assert report.written and report.files_resumed == 1
    assert_scored(output, expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.root", "1.root", "all.root"]


@pytest.mark.slow
def test_on_dask_workers(files, expected, tmp_path):
    output = tmp_path / "all.root"
    command = ["score", *files, "--model", "conv", "--jets", "all", "--dask", "local:2", "--output", str(output)]
    assert main(command) == 0
    assert_scored(output, expected)


@pytest.mark.parametrize("collection", ["Jet", "CustomAK4_CHS"])
@pytest.mark.parametrize("suffix", [".root", ".parquet"])
def test_small_jets(rng, conv, tmp_path, collection, suffix):
    """Of a collection with _ in its name, their number had a part of the name."""
    names = (collection, "PFCand", f"{collection}PFCand", "pfCandIdx")
    path = as_collection(random_tables(rng), tmp_path / "ak4.root", *names)
    output = tmp_path / f"all{suffix}"
    command = ["score", str(path), "--model", "conv", "--jets", "all", "--collection", collection]
    assert main([*command, "--output", str(output)]) == 0
    expected = hepvae.score_jets(hepvae.read_jets(path, collection=collection).jets, conv)
    scored = columns(output)
    assert scored.fields == [f"n{collection}", *(f"{collection}_conv_{name}" for name in LOSSES)]
    assert ak.array_equal(scored[f"n{collection}"], ak.num(expected), dtype_exact=False)
    assert ak.array_equal(scored[f"{collection}_conv_loss"], expected.loss, equal_nan=True)
    assert ak.sum(~np.isnan(expected.loss)) > 10


def test_dijets_of_small_jets(rng, conv, tmp_path):
    path = as_collection(random_tables(rng), tmp_path / "ak4.root", "Jet", "PFCand", "JetPFCand", "pfCandIdx")
    output = tmp_path / "s.root"
    hepvae.score_files(path, conv, output, collection="Jet", mjj_min=0)
    pairs = hepvae.dijets(hepvae.read_jets(path, collection="Jet"))
    expected = hepvae.score_dijets(hepvae.select_dijets(pairs, mjj_min=0), conv)
    with uproot.open(output) as file:
        scored = file["Events"].arrays(["event", "score"], library="np")
    good = np.isfinite(ak.to_numpy(expected.score))
    assert np.array_equal(scored["event"], ak.to_numpy(expected.event)[good]) and good.sum() > 5
    assert scored["score"] == pytest.approx(ak.to_numpy(expected.score)[good], rel=1e-5)


def test_models_of_one_file_name_side_by_side(files, tmp_path, capsys):
    """Two trainings, both ``model.onnx`` in a folder ``conv``, gave friends with the same columns."""
    sources = [tmp_path / run / "conv" / "model.onnx" for run in ("first", "second")]
    for i, source in enumerate(sources):
        source.parent.mkdir(parents=True)
        shutil.copy(hepvae.model_path(("conv", "graph")[i]), source)
    every = []
    for source, name in zip(sources, ("first", "second")):
        output = tmp_path / f"{name}.root"
        command = ["score", files[1], "--model", str(source), "--output", str(output)]
        assert main([*command, "--jets", "all", "--name", name]) == 0
        every += columns(output).fields[1:]
    assert every == [f"FatJet_{name}_{loss}" for name in ("first", "second") for loss in LOSSES]
    capsys.readouterr()
    for options, message in (
        (["--jets", "all", "--name", "a-b"], "name is 'a-b': expected letters, digits and _"),
        (["--name", "first"], "name is 'first', and jets 'dijets': expected jets 'all'"),
    ):
        assert main([*command, *options, "--overwrite"]) == 2
        assert message in capsys.readouterr().err


def test_layouts_of_other_names_are_not_mixed(files, conv, tmp_path):
    jagged = {f"j{jet}_{name}": np.ones(3, np.float32) for jet in (1, 2) for name in ("pt", "eta", "phi", "mass")}
    of_one = ak.Array([[1.0], [1.0], [1.0]])
    jagged |= {f"j{jet}_constituents_{name}": of_one for jet in (1, 2) for name in ("pt", "eta", "phi")}
    with uproot.recreate(tmp_path / "plain.root") as file:
        file["Events"] = jagged
    report = hepvae.score_files(tmp_path / "plain.root", conv, tmp_path / "one.root", jets="all")
    assert report.written and columns(tmp_path / "one.root").fields[:2] == ["nJet", "Jet_conv_loss"]
    report = hepvae.score_files([files[0], tmp_path / "plain.root"], conv, tmp_path / "two.root", jets="all")
    assert not report.written and "has other columns than the files before it: FatJet_conv_" in str(report)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--pt-min=300",), "pt_min is 300.0, and jets 'all': expected no cuts"),
        (("--region=signal",), "region is 'signal'"),
        (("--strategy=max",), "strategy is 'max'"),
        (("--collection=",), "jets is ''"),
    ],
)
def test_cuts_and_strategies_are_refused(files, tmp_path, capsys, option, message):
    command = ["score", *files, "--model", "conv", "--jets", "all", "--output", str(tmp_path / "a.root")]
    assert main([*command, *option]) == 2
    assert message in capsys.readouterr().err


def test_the_example_of_frameworks_that_pin_older_packages(conv, tmp_path, monkeypatch):
    """The page's own lines, which need uproot only."""
    shutil.copy(hepvae.sample_path("qcdSig"), tmp_path / "nano.root")
    hepvae.score_files(tmp_path / "nano.root", conv, tmp_path / "nano.conv.root", jets="all")
    monkeypatch.chdir(tmp_path)
    page = (CHECKOUT / "docs" / "frameworks.md").read_text()
    (block,) = re.findall(r"```python\n(import awkward.*?)```", page, re.DOTALL)
    assert "hepvae" not in block
    names: dict[str, object] = {}
    exec(block, names)
    jets = hepvae.read_jets(tmp_path / "nano.root", entry_start=100, entry_stop=200).jets
    assert ak.array_equal(names["loss"], hepvae.score_jets(jets, conv).loss, equal_nan=True)


#: In an environment of ROOT's own: mean loss of each model by RDataFrame, from friends beside the input.
RDATAFRAME = """
import sys, warnings
warnings.simplefilter("ignore")
import ROOT
path, *friends = sys.argv[1:]
file = ROOT.TFile.Open(path)
tree = file.Get("Events")
for friend in friends:
    tree.AddFriend("Events", friend)
frame = ROOT.RDataFrame(tree)
for model in ("conv", "graph"):
    good = frame.Define("loss", f"FatJet_{model}_loss[FatJet_{model}_loss == FatJet_{model}_loss]")
    pairs = good.Define("aligned", f"FatJet_{model}_loss.size() == FatJet_pt.size()")
    total = good.Define("of_event", "Sum(loss)").Sum("of_event").GetValue()
    number = good.Define("number", "loss.size()").Sum("number").GetValue()
    print(model, pairs.Filter("aligned").Count().GetValue(), total, number)
"""


@pytest.fixture(scope="session")
def root_python(tmp_path_factory):
    """Python of an environment that has the real ROOT, from PyPI."""
    if "HEPVAE_ROOT_PYTHON" in os.environ:
        return os.environ["HEPVAE_ROOT_PYTHON"]
    folder = tmp_path_factory.mktemp("root")
    python = folder / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=120)
    command = [python, "-m", "pip", "install", "--quiet", "--only-binary=:all:", "--pre", "root==0.1a12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=250)
    except subprocess.TimeoutExpired:
        pytest.skip("ROOT cannot be installed in 250 s")
    if done.returncode:
        pytest.skip(f"ROOT cannot be installed: {done.stderr.strip().splitlines()[-1:]}")
    return python


@pytest.mark.slow
def test_rdataframe_reads_friends_of_two_models(root_python, conv, tmp_path):
    """The mean loss of jets is that which uproot reads, and each jet has its own."""
    path = str(hepvae.sample_path("qcdSig"))
    friends = {model: tmp_path / f"{model}.root" for model in ("conv", "graph")}
    for model, output in friends.items():
        hepvae.score_files(path, hepvae.load_inferer(model), output, jets="all")
    done = subprocess.run(
        [root_python, "-c", RDATAFRAME, path, *friends.values()], capture_output=True, text=True, timeout=250,
        env={"PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    printed = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}
    for model, output in friends.items():
        loss = columns(output)[f"FatJet_{model}_loss"]
        values = ak.to_numpy(ak.flatten(loss))
        values = values[np.isfinite(values)].astype(np.float64)
        aligned, total, number = map(float, printed[model])
        assert aligned == len(loss) and number == len(values)
        assert total / number == pytest.approx(values.mean(), rel=1e-6)
