"""In coffea: two lines in a processor, and the processor that comes with hepvae."""

from __future__ import annotations

import json
import subprocess
import sys

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.nano import nano_events
from helpers.places import ANALYSIS, REAL_DATA
from helpers.scored import read_scores

import hepvae
from hepvae.cli import main
from hepvae.plots.histograms import SCORE_BINS, SCORE_LIMITS, score_histogram

pytest.importorskip("coffea")
from coffea import processor
from coffea.nanoevents import NanoAODSchema

from hepvae.coffea import DijetScoreProcessor

pytestmark = [
    pytest.mark.filterwarnings("ignore:Missing cross-reference index"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

SCRIPT = ANALYSIS / "coffea_scores.py"
SAMPLES = ("qcdSig", "GtoWW15na")
NEEDED = {
    *(f"FatJet_{c}" for c in ("pt", "eta", "phi", "mass")),
    *(f"PFCand_{c}" for c in ("pt", "eta", "phi")),
    "FatJetPFCand_jetIdx",
    "FatJetPFCand_pfCandIdx",
    *("run", "luminosityBlock", "event", "genWeight"),
    *("nFatJet", "nPFCand", "nFatJetPFCand"),
}


@pytest.mark.parametrize("mode", ["eager", "virtual"])
def test_two_lines_in_a_processor(conv, mode):
    path = hepvae.sample_path("GtoWW15na")
    scores = hepvae.score_dijets(nano_events(path, mode, entry_stop=300), conv)
    expected = hepvae.score_dijets(hepvae.read_dijets(path, entry_stop=300), conv)
    assert len(scores) == 300
    for name in ("score", "j1_loss", "j2_loss", "mjj", "event"):
        assert ak.array_equal(ak.drop_none(scores[name]), expected[name]), name


def test_virtual_arrays_read_the_branches_that_are_needed(conv):
    read = []
    events = nano_events(hepvae.sample_path("GtoWW15na"), "virtual", entry_stop=50, access_log=read)
    hepvae.score_dijets(events, conv)
    assert {getattr(entry, "branch", entry) for entry in read} == NEEDED


def test_lazy_scores(conv):
    """Their type is known without a model that runs, and computing reads what is needed."""
    dask_awkward = pytest.importorskip("dask_awkward")
    path = hepvae.sample_path("GtoWW15na")
    lazy = nano_events(path, "dask")

    class Fused:
        """Nobody may run it to find a type."""

        card, spec = conv.card, conv.spec

        def losses_of(self, jets, chosen):
            raise AssertionError("the network ran")

    assert isinstance(lazy, dask_awkward.Array)
    assert hepvae.score_dijets(lazy, Fused()).score.type is not None
    scores = hepvae.score_dijets(lazy, conv)
    (columns,) = dask_awkward.necessary_columns(scores.score).values()
    assert set(columns) <= NEEDED and "FatJetPFCand_jetIdx" in columns
    computed = scores.compute(scheduler="sync")
    assert str(computed.type).split("*", 1)[1] == str(scores.type).split("*", 1)[1]
    expected = hepvae.score_dijets(hepvae.read_dijets(path), conv)
    assert ak.array_equal(ak.drop_none(computed.score), expected.score)


def fileset(names=SAMPLES):
    return {name: {"files": {str(hepvae.sample_path(name)): "Events"}} for name in names}


EXECUTORS = {
    "iterative": lambda: processor.IterativeExecutor(status=False),
    "processes": lambda: processor.FuturesExecutor(workers=2, status=False),
}


@pytest.mark.parametrize("limits", [None, (1e-3, 1e6)], ids=str)
def test_scores_below_zero_are_below_all_others(limits):
    """Of ``density``, most events of QCD were in the overflow, as if they were the most anomalous ones."""
    density, (path,) = hepvae.load_inferer("density"), fileset(("qcdSig",))["qcdSig"]["files"]
    runner = processor.Runner(executor=EXECUTORS["iterative"](), schema=NanoAODSchema, chunksize=2100)
    result = runner(fileset(("qcdSig",)), processor_instance=DijetScoreProcessor(density, limits=limits))
    score = result["histogram"].project("score")
    events = hepvae.score_dijets(hepvae.select_dijets(hepvae.read_dijets(path)), density)
    within = events.score >= score.axes[0].edges[0]
    below = score.values(flow=True)[0]
    assert below == pytest.approx(ak.sum(events.genWeight[~within])) and score.values(flow=True)[-1] == 0
    assert (below > 0) == (limits is not None)


@pytest.mark.parametrize("executor", ["iterative", pytest.param("processes", marks=pytest.mark.slow)])
def test_the_processor_gives_what_the_command_line_gives(conv, executor, tmp_path):
    runner = processor.Runner(executor=EXECUTORS[executor](), schema=NanoAODSchema, chunksize=700)
    result = runner(fileset(), processor_instance=DijetScoreProcessor(conv, region="signal"))
    found = result["histogram"][{"variation": "nominal"}]
    for name in SAMPLES:
        output = tmp_path / f"{name}.root"
        report = hepvae.score_files(hepvae.sample_path(name), conv, output, region="signal")
        expected = score_histogram({name: read_scores(output)}, bins=SCORE_BINS, limits=SCORE_LIMITS)
        one = found[{"dataset": name, "mjj": sum}]
        assert one.sum(flow=True).value == pytest.approx(one.sum().value)  # the axis holds all scores
        assert np.allclose(one.values(), expected[{"dataset": name}].values(), rtol=1e-12)
        assert np.allclose(one.variances(), expected[{"dataset": name}].variances(), rtol=1e-12)
        cutflow = result["cutflow"][name]["nominal"]
        assert (cutflow["events"], cutflow["selected"], cutflow["scored"]) == (
            report.events_read,
            report.events_kept,
            report.events_scored,
        )
        with uproot.open(hepvae.sample_path(name)) as file:
            assert cutflow["sum of weights"] == pytest.approx(file["Events/genWeight"].array(library="np").sum())


def shifted(events):
    jets = hepvae.with_constituents(events)
    scaled = ak.with_field(jets, jets.pt * 1.02, "pt")
    return {"nominal": jets, "JESUp": scaled, "vetoed": ak.mask(jets, events.event < 0)}


def of_events(events):
    return {"nominal": events.genWeight, "twice": 2 * events.genWeight}


def test_hooks_give_variations(conv):
    """Jets whose inputs of the network are the same are scored once; what a scaled pt selects is filled."""
    events = nano_events(hepvae.sample_path("qcdSig"), "virtual")
    cuts = {"pt_min": 0, "mjj_min": 1300}
    plain = DijetScoreProcessor(conv, **cuts).process(events)
    varied = DijetScoreProcessor(conv, jets=shifted, weights=of_events, **cuts).process(events)
    of_plain, of_varied = (result["cutflow"]["qcdSig"] for result in (plain, varied))
    assert list(of_varied) == ["nominal", "twice", "JESUp", "vetoed"]
    assert of_varied["nominal"] == of_plain["nominal"]
    assert of_varied["twice"]["sum of weights"] == pytest.approx(2 * of_plain["nominal"]["sum of weights"])
    assert of_varied["JESUp"]["selected"] > of_varied["nominal"]["selected"] > 0
    assert list(varied["histogram"].axes["variation"]) == ["nominal", "twice", "JESUp", "vetoed"]
    assert of_varied["vetoed"]["events"] == len(events) and of_varied["vetoed"]["dijets"] == 0
    histogram, before = varied["histogram"], plain["histogram"][{"variation": "nominal"}]
    assert np.array_equal(histogram[{"variation": "nominal"}].view(flow=True), before.view(flow=True))
    assert np.allclose(histogram[{"variation": "twice"}].values(flow=True), 2 * before.values(flow=True))
    jets = hepvae.dijets(shifted(events)["JESUp"])
    expected = hepvae.score_dijets(hepvae.select_dijets(jets, **cuts), conv)
    found = histogram[{"dataset": "qcdSig", "variation": "JESUp", "score": sum}].values(flow=True)
    weight = ak.to_numpy(events.genWeight)[ak.to_numpy(expected.entry)]
    edges = [-np.inf, *histogram.axes["mjj"].edges, np.inf]
    mjj = ak.to_numpy(expected.mjj)
    assert np.allclose(found, np.histogram(mjj, edges, weights=weight.astype(np.float64))[0])


@pytest.mark.parametrize(
    ("hooks", "message"),
    [
        ({"jets": "FatJet"}, "jets is a str: expected a function"),
        ({"weights": lambda events: {"up": events.genWeight}}, "weights give variations up: expected 'nominal'"),
        ({"weights": lambda events: [1.0]}, "weights give 1 for the variation 'nominal'"),
        (
            {"jets": shifted, "weights": lambda e: of_events(e) | {"JESUp": e.genWeight}},
            "a variation 'JESUp' each",
        ),
        ({"order": "eta"}, "order 'eta' is unknown"),
    ],
)
def test_hooks_that_give_something_else(hooks, message, conv):
    events = nano_events(hepvae.sample_path("qcdSig"), "virtual", entry_stop=10)
    with pytest.raises(hepvae.OptionError, match=message):
        DijetScoreProcessor(conv, **hooks).process(events)


CUTS = ("--pt-min=170", "--mjj-min=100")  # some dijets of all files pass


def run_script(*arguments):
    done = subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "cross-reference" not in done.stderr and "List indexing" not in done.stderr


@pytest.mark.slow
def test_the_script_of_a_user(tmp_path, real_files):
    """On samples and real files, on two real Dask workers: as `hepvae score` and `hepvae plot` have it."""
    files = {name: hepvae.sample_path(name) for name in SAMPLES} | real_files
    run_script(
        *(f"{name}={path}" for name, path in files.items()), *CUTS, "--dask=local:2", "--output", tmp_path / "out"
    )
    assert (tmp_path / "out" / "anomaly_score.png").stat().st_size > 10_000
    cutflow = json.loads((tmp_path / "out" / "cutflow.json").read_text())
    with uproot.open(tmp_path / "out" / "histograms.root") as file:
        for name, path in files.items():
            scored = tmp_path / f"{name}.root"
            assert main(["score", str(path), "--model", "conv", *CUTS, "--output", str(scored)]) == 0
            expected = score_histogram({name: read_scores(scored)}, bins=SCORE_BINS, limits=SCORE_LIMITS)
            expected = expected[{"dataset": name}]
            found = file[f"{name}/score_mjj"].to_hist()
            flow = found.values(flow=True)[1:-1].sum(axis=1)
            assert np.allclose(flow, expected.values(), rtol=1e-6), name
            assert cutflow[name]["scored"] == len(read_scores(scored)[0])


@pytest.mark.slow
def test_the_script_draws_what_has_events(tmp_path):
    """No event of the sideband is in the signal region: its dataset is in the cutflow, and not in the plot."""
    datasets = [f"{name}={hepvae.sample_path(name)}" for name in ("qcdSide", "GtoWW15na")]
    run_script(*datasets, "--region=signal", "--output", tmp_path / "out")
    cutflow = json.loads((tmp_path / "out" / "cutflow.json").read_text())
    assert cutflow["qcdSide"]["scored"] == 0 < cutflow["GtoWW15na"]["scored"]
    assert (tmp_path / "out" / "anomaly_score.png").exists()
    command = [sys.executable, SCRIPT, datasets[0], "--region=signal", "--output", tmp_path / "none"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("coffea_scores: no event of any dataset passes")
    assert not (tmp_path / "none" / "anomaly_score.png").exists()


@pytest.fixture
def real_files():
    folder = REAL_DATA
    names = {"tt": "nano_tt_v15.root", "pfnano": "pfnano.root"}
    return {name: folder / file for name, file in names.items()} if folder.is_dir() else {}
