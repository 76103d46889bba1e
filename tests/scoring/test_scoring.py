from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import warnings

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.dijet_files import directions, random_tables, write_events
from helpers.reference import loop_over_branches, pad_one_by_one
from helpers.scored import columns_of, read_scores

import hepvae
from hepvae import score_dijets, score_files
from hepvae.cli import main
from hepvae.models.losses import LOSSES
from hepvae.scoring.strategy import STRATEGIES

SAMPLES = ("qcdSig", "GtoWW15na")


def test_losses_are_those_of_the_jets(inferer, signal_events):
    scored = score_dijets(signal_events, inferer)
    losses = inferer(hepvae.pad_particles(signal_events, inferer.spec))
    for name in LOSSES:
        for jet in (0, 1):
            assert np.allclose(scored[f"j{jet + 1}_{name}"], losses[name][:, jet], rtol=1e-5)
    assert scored.score.type.content.primitive == "float32"
    assert ak.array_equal(scored[signal_events.fields], signal_events)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_score_follows_from_the_six_losses(inferer, signal_events, strategy):
    scored = score_dijets(signal_events, inferer, strategy=strategy, kl_weight=0.5)
    jet1, jet2 = (scored[f"j{j}_reco_loss"] + 0.5 * scored[f"j{j}_kl_loss"] for j in (1, 2))
    expected = {
        "min": np.minimum(jet1, jet2),
        "max": np.maximum(jet1, jet2),
        "sum": jet1 + jet2,
        "j1": jet1,
        "j2": jet2,
    }
    assert np.allclose(scored.score, expected[strategy], rtol=1e-6)


def test_default_weight_is_the_beta_of_the_model(inferer, signal_events):
    scored = score_dijets(signal_events, inferer, strategy="j1")
    assert np.allclose(scored.score, scored.j1_loss, rtol=1e-6)


def test_two_scorings_are_bit_identical(inferer, signal_events):
    first, second = (score_dijets(signal_events, inferer) for _ in range(2))
    assert ak.array_equal(first, second)


def test_no_events(inferer, signal_events):
    scored = score_dijets(signal_events[:0], inferer)
    assert len(scored) == 0 and "j2_kl_loss" in scored.fields and "score" in scored.fields


def test_jets_that_cannot_be_scored_are_nan_and_counted(inferer, tmp_path, rng):
    tables = random_tables(rng, events=8, jets=(2, 2), constituents=(5, 9))
    tables["links"]["jet"][1] = np.where(np.asarray(tables["links"]["jet"][1]) == 0, -1, tables["links"]["jet"][1])
    tables["candidates"]["pt"][3][:] = np.nan
    tables["candidates"]["pt"][5][:] = -1
    events = hepvae.read_dijets(write_events(tmp_path / "x.root", tables))
    message = (
        "5 of 16 jets not scored, their losses are NaN: 1 without constituents, 2 with a value that is not finite"
    )
    with pytest.warns(hepvae.UnscoredJetsWarning, match=message):
        scored = score_dijets(events, inferer)
    assert np.flatnonzero(np.isnan(scored.score)).tolist() == [1, 3, 5]
    good = [0, 2, 4, 6, 7]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.allclose(score_dijets(events[good], inferer).score, scored.score[good], rtol=1e-5)


def test_unknown_strategy(inferer, signal_events):
    with pytest.raises(hepvae.OptionError, match="strategy 'median'"):
        score_dijets(signal_events, inferer, strategy="median")


def test_file_equals_memory(inferer, tmp_path):
    report = score_files(
        [hepvae.sample_path(s) for s in SAMPLES], inferer, tmp_path / "scores.root", step_size=700
    )
    events = ak.concatenate([hepvae.read_dijets(hepvae.sample_path(s)) for s in SAMPLES])
    kept = hepvae.select_dijets(events)
    scored = score_dijets(kept, inferer, strategy="min")
    written = columns_of(tmp_path / "scores.root")
    assert report.events_read == len(events)
    assert report.events_kept == report.events_scored == len(kept) == len(written["score"])
    for name in ("run", "luminosityBlock", "event", "genWeight", "mjj", "deta"):
        assert np.array_equal(written[name], scored[name])
    for j in (1, 2):
        for name in ("pt", "eta", "phi", "mass"):
            assert np.array_equal(written[f"j{j}_{name}"], scored.jets[:, j - 1][name])
        for name in LOSSES:
            assert np.allclose(written[f"j{j}_{name}"], scored[f"j{j}_{name}"], rtol=1e-4)
    assert np.allclose(written["score"], scored.score, rtol=1e-4)
    assert len(written) == 4 + 2 * 4 + 2 + 6 + 1


def test_file_is_a_ttree_and_says_how_it_was_made(conv, tmp_path):
    score_files(hepvae.sample_path("qcdSig"), conv, tmp_path / "s.root", strategy="max", kl_weight=0.5)
    with uproot.open(tmp_path / "s.root") as file:
        assert file.classname_of("Events") == "TTree"
        made = json.loads(file["hepvae"])
    assert (made["strategy"], made["kl_weight"], made["runtime"]) == ("max", 0.5, "onnxruntime")
    assert made["card"] == conv.card.to_dict()
    assert made["sha256"] == hashlib.sha256(hepvae.model_path("conv").read_bytes()).hexdigest()


@pytest.mark.parametrize("region", ["signal", "sideband"])
def test_region_and_cuts(conv, tmp_path, region):
    path = hepvae.sample_path("GtoWW15br")
    report = score_files(path, conv, tmp_path / "s.root", region=region, mjj_min=1500)
    kept = hepvae.select_dijets(hepvae.read_dijets(path), region=region, mjj_min=1500)
    assert report.events_kept == len(kept)
    assert np.array_equal(columns_of(tmp_path / "s.root")["event"], kept.event)


def test_bad_files_are_reported_and_the_rest_is_scored(conv, tmp_path, rng):
    (tmp_path / "a.root").write_text("no ROOT file")
    good = write_events(tmp_path / "good.root", random_tables(rng, events=25, jets=(2, 3), constituents=(3, 5)))
    write_events(tmp_path / "b.root", random_tables(rng), drop=["PFCand_phi"])
    broken = random_tables(rng, events=20, jets=(2, 2), constituents=(3, 5))
    broken["links"]["candidate"][15][0] = 999
    write_events(tmp_path / "c.root", broken)
    bad = [tmp_path / f"{n}.root" for n in "abc"] + [tmp_path / "missing.root"]
    report = score_files([bad[0], good, *bad[1:]], conv, tmp_path / "s.root", mjj_min=0, pt_min=0, step_size=10)
    assert [file.path for file in report.failed] == [str(path) for path in bad]
    for file, reason in zip(report.failed, ["not a ROOT file", "'PFCand_phi'", "in entry 15", "no such file"]):
        assert reason in file.failure and file.path in file.failure
        assert file.failure in str(report)
    # c.root had given a chunk before it failed: nothing of it is kept or counted
    assert report.events_read == 25
    assert report.events_scored == len(columns_of(tmp_path / "s.root")["score"]) == report.events_kept > 0


def test_all_files_bad_writes_nothing(conv, tmp_path):
    (tmp_path / "a.root").write_text("no ROOT file")
    report = score_files(tmp_path / "a.root", conv, tmp_path / "s.root")
    assert len(report.failed) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.root"]


def test_file_with_other_columns_is_refused(conv, tmp_path, rng):
    first = write_events(tmp_path / "a.root", random_tables(rng))
    second = write_events(tmp_path / "b.root", random_tables(rng), weights=False)
    report = score_files([first, second], conv, tmp_path / "s.root", mjj_min=0)
    assert "b.root: has other columns than the files before it: genWeight" in report.failed[0].failure


def test_unscorable_jets_are_reported_and_their_events_left_out(conv, tmp_path, rng):
    tables = random_tables(rng, events=30, jets=(2, 2), constituents=(0, 4))
    tables["links"] = {"jet": [[] for _ in range(30)], "candidate": [[] for _ in range(30)]}
    tables["links"] = {name: [np.array(one, int) for one in lists] for name, lists in tables["links"].items()}
    tables["links"]["jet"][3], tables["links"]["candidate"][3] = np.arange(2), np.arange(2)
    tables["jets"] |= directions(tables)
    path = write_events(tmp_path / "x.root", tables)
    report = score_files(path, conv, tmp_path / "s.root", mjj_min=0, pt_min=0)
    assert (report.events_kept, report.events_scored) == (30, 1)
    assert report.unscored_jets == {"without constituents": 58}
    assert "58 jets without constituents" in str(report)
    assert columns_of(tmp_path / "s.root")["event"].tolist() == [4]


def test_no_event_passes(conv, tmp_path):
    report = score_files(hepvae.sample_path("qcdSide"), conv, tmp_path / "s.root", region="signal")
    assert (report.events_read, report.events_kept) == (2052, 0)
    assert columns_of(tmp_path / "s.root")["score"].shape == (0,)


def test_output_that_cannot_be_written(conv, tmp_path):
    with pytest.raises(hepvae.FileError, match="no such folder"):
        score_files(hepvae.sample_path("qcdSig"), conv, tmp_path / "nowhere" / "s.root")
    (tmp_path / "file").touch()
    with pytest.raises(hepvae.FileError, match="file"):
        score_files(hepvae.sample_path("qcdSig"), conv, tmp_path / "file" / "s.root")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_options_are_checked_before_anything_is_read(conv, tmp_path):
    for wrong in ({"strategy": "best"}, {"region": "control"}):
        with pytest.raises(hepvae.OptionError):
            score_files(hepvae.sample_path("qcdSig"), conv, tmp_path / "s.root", **wrong)


def test_read_scores(conv, tmp_path, rng):
    path = write_events(tmp_path / "x.root", random_tables(rng), weights=False)
    with pytest.raises(hepvae.LayoutError, match="no branch 'score': expected a file of hepvae score"):
        read_scores(path)
    score_files(path, conv, tmp_path / "s.root", mjj_min=0)
    score, weight = read_scores(tmp_path / "s.root")
    assert len(score) == len(weight) > 0 and (weight == 1).all()


def test_real_cms_files(real_data, inferer, tmp_path):
    report = score_files(
        [real_data / "pfnano.root", real_data / "pfnano_rntuple.root"], inferer, tmp_path / "s.root"
    )
    assert report.failed == [] and report.events_scored == 20
    scores = columns_of(tmp_path / "s.root")["score"]
    assert np.isfinite(scores).all() and np.allclose(scores[:10], scores[10:], rtol=1e-5)


def test_output_that_is_an_input_is_refused(conv, tmp_path, rng):
    """What a reviewer saw: the NanoAOD was replaced by its own scores."""
    path = write_events(tmp_path / "mine.root", random_tables(rng))
    before = path.read_bytes()
    with pytest.raises(hepvae.OptionError, match=r"mine\.root: is an input file"):
        score_files(tmp_path / "*.root", conv, path)
    assert path.read_bytes() == before


def test_losses_that_overflow_are_counted(conv, tmp_path, rng):
    """Finite input can give a loss that is not: it must not vanish without a word."""
    tables = random_tables(rng, events=5, jets=(2, 2), constituents=(5, 9))
    tables["candidates"]["pt"][2][:] = 1e25
    tables["jets"] |= directions(tables)
    path = write_events(tmp_path / "x.root", tables)
    report = score_files(path, conv, tmp_path / "s.root", mjj_min=0, pt_min=0)
    assert report.events_kept - report.events_scored == 1
    assert report.unscored_jets == {"with a loss that is not finite": 2}
    with pytest.warns(hepvae.UnscoredJetsWarning, match="2 with a loss that is not finite"):
        scored = score_dijets(hepvae.read_dijets(path), conv)
    assert np.flatnonzero(np.isnan(scored.score)).tolist() == [2]


def test_events_with_a_momentum_that_is_not_finite_are_counted(conv, tmp_path, rng):
    tables = random_tables(rng, events=6, jets=(2, 2), constituents=(5, 9))
    tables["jets"]["eta"][4][1] = np.inf
    path = write_events(tmp_path / "x.root", tables)
    report = score_files(path, conv, tmp_path / "s.root", mjj_min=0, pt_min=0)
    assert (report.events_read, report.events_not_finite, report.events_scored) == (6, 1, 5)
    assert "1 events have a jet whose momentum is not finite" in str(report)


@pytest.mark.parametrize("wrong", [{"kl_weight": np.nan}, {"pt_min": np.nan}, {"deta_cut": "wide"}], ids=str)
def test_options_that_are_no_number(conv, tmp_path, wrong):
    (name,) = wrong
    with pytest.raises(hepvae.OptionError, match=f"{name} is"):
        score_files(hepvae.sample_path("qcdSig"), conv, tmp_path / "s.root", **wrong)
    assert list(tmp_path.iterdir()) == []


def test_only_dijet_events_are_scored(conv, signal_events):
    with pytest.raises(hepvae.SpecError, match="no field 'jets'"):
        score_dijets(signal_events.jets, conv)
    with pytest.raises(hepvae.SpecError, match="expected dijet events, as an awkward array; found Record"):
        score_dijets(signal_events[0], conv)
    one = ak.with_field(signal_events, signal_events.jets[:, :1], "jets")
    with pytest.raises(hepvae.SpecError, match="expected two jets for each of 60 events"):
        score_dijets(one, conv)


@pytest.mark.parametrize(
    ("name", "layout"), [("nano_tt_v15", "nanoaodv15"), ("pfnano", "pfnano"), ("pfnano_rntuple", "pfnano")]
)
def test_real_files_on_the_command_line_same_as_a_plain_loop(real_data, tmp_path, conv, name, layout, capsys):
    """Every jet, one constituent at a time, from the branches to the padded array."""
    path = real_data / f"{name}.root"
    cuts = ["--pt-min", "0", "--eta-max", "9", "--mjj-min", "0"]
    assert main(["score", str(path), "--model", "conv", "--output", str(tmp_path / "s.root"), *cuts]) == 0
    events = loop_over_branches(path, layout)
    jets = [jet for event in events for jet in event["jets"]]
    losses = conv(pad_one_by_one(jets, conv.spec))
    with uproot.open(tmp_path / "s.root") as file:
        found = file["Events"].arrays(library="np")
    good = [all(len(jet["constituents"]) for jet in event["jets"]) for event in events]
    assert 0 < len(found["score"]) == sum(good)
    assert found["event"].tolist() == [event["event"] for event, one in zip(events, good) if one]
    for i, jet in enumerate(("j1", "j2")):
        for loss in LOSSES:
            expected = losses[loss].reshape(-1, 2)[good, i]
            assert found[f"{jet}_{loss}"] == pytest.approx(expected, rel=2e-4), (jet, loss)
    assert f"{sum(good)} events scored of" in capsys.readouterr().out


def test_real_file_without_events_is_scored(real_data, tmp_path):
    output = tmp_path / "s.root"
    assert main(["score", str(real_data / "nano_dy_empty.root"), "--model", "conv", "--output", str(output)]) == 0
    assert len(read_scores(output)[0]) == 0


MEMORY_SCRIPT = """
import sys
import hepvae
from hepvae.scoring import chunks as scored_chunks

def resident():
    return int(open("/proc/self/statm").read().split()[1])

seen = []
rows = scored_chunks._scored_rows
scored_chunks._scored_rows = lambda *given: (rows(*given), seen.append(resident()))[0]
inferer = hepvae.load_inferer(hepvae.model_path("conv"), threads=1)
hepvae.score_files(sys.argv[1:-1], inferer, sys.argv[-1], mjj_min=0, step_size=100)
print(len(seen), max(seen[5:15]), min(seen[95:105]))
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_chunks(tmp_path):
    """Arrays of a chunk that nobody needs any more must go: uproot and awkward have cycles."""
    files = [str(hepvae.sample_path(name)) for name in ("qcdSide", "qcdSig", "GtoWW15na", "GtoWW15br")]
    for i, file in enumerate(files):
        shutil.copyfile(file, tmp_path / f"{i}.root")
    command = [sys.executable, "-c", MEMORY_SCRIPT, *files, str(tmp_path), str(tmp_path / "s.parquet")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    chunks, after_ten, after_hundred = map(int, done.stdout.split())
    assert chunks >= 100
    assert after_hundred < 1.05 * after_ten
