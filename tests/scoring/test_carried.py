"""Branches of the input that are carried into the scored file."""

from __future__ import annotations

import json
import re
import shutil

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.dijet_files import as_collection, random_tables, write_events

import hepvae
from hepvae.cli import main
from hepvae.scoring.formats import open_scored

pytestmark = pytest.mark.filterwarnings("ignore::hepvae.UnscoredJetsWarning")


@pytest.fixture
def nano(tmp_path, rng):
    """A file with columns of several kinds, and those columns by event."""
    tables = random_tables(rng, events=60, jets=(1, 4))
    extra = {
        "HLT_PFHT1050": ak.Array(rng.random(60) < 0.5),
        "HLT_AK8PFJet500": ak.Array(rng.random(60) < 0.5),
        "PV_npvs": ak.Array(rng.integers(1, 80, 60).astype(np.int32)),
        "Muon_pt": ak.unflatten(rng.uniform(3, 20, 120), 2),
        "FatJet_msoftdrop": ak.Array([rng.uniform(0, 200, len(pt)) for pt in tables["jets"]["pt"]]),
        "score": ak.Array(rng.random(60)),
    }
    path = as_collection(tables, tmp_path / "n.root", "FatJet", "PFCand", "FatJetPFCand", "pfCandIdx", **extra)
    return path, extra


@pytest.mark.parametrize("suffix", [".root", ".parquet"])
def test_numbers_of_events_go_with_their_event(nano, conv, tmp_path, suffix):
    path, extra = nano
    output = tmp_path / f"s{suffix}"
    command = ["score", str(path), "--model", "conv", "--mjj-min", "0", "--output", str(output), "--overwrite"]
    assert main([*command, "--columns", "HLT_*,PV_npvs,event"]) == 0
    carried = ["HLT_AK8PFJet500", "HLT_PFHT1050", "PV_npvs"]
    with open_scored(output) as scored:
        assert list(scored.kinds)[-4:] == ["score", *carried] and next(iter(scored.kinds)) == "run"
        place = scored.column("event") - 1
        assert 20 < len(place) < 60
        for name in carried:
            assert scored.column(name).dtype == extra[name].to_numpy().dtype
            assert np.array_equal(scored.column(name), extra[name].to_numpy()[place]), name
        score = scored.column("score")
    report = hepvae.score_files(path, conv, tmp_path / f"p{suffix}", columns=["PV_*"], step_size=9, mjj_min=0)
    assert report.events_scored == len(score)
    assert main(command) == 0
    with open_scored(output) as scored:
        assert list(scored.kinds)[-1] == "score" and np.array_equal(scored.column("score"), score)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("Muon_pt", r"n\.root: branch 'Muon_pt' has .* for each entry: expected one number"),
        ("FatJet_msoftdrop", r"n\.root: 'msoftdrop' is a column of the jets"),
        ("score", r"n\.root: branch 'score' cannot be carried along: the scored file has a column"),
        ("HLT_PFHT105", r"n\.root.*: no branch 'HLT_PFHT105' to carry along.*HLT_PFHT1050"),
        ("FatJet_p*", r"columns: 'FatJet_p\*' is of jets or constituents"),
        ("PFCand_pt", r"columns: 'PFCand_pt' is of jets or constituents"),
        ("", r"columns are \['']: expected names of branches"),
    ],
)
def test_others_are_refused(nano, tmp_path, capsys, columns, message):
    path, _ = nano
    command = ["score", str(path), "--model", "conv", "--output", str(tmp_path / "s.root"), "--columns", columns]
    assert main(command) == (2 if message.startswith("columns") else 1)
    error = capsys.readouterr().err
    assert re.search(message, error) and error.count("\n") == 1
    assert not (tmp_path / "s.root").exists()


@pytest.mark.parametrize("options", [{"friend": True}, {"jets": "all"}])
def test_a_friend_has_none(nano, conv, tmp_path, options):
    with pytest.raises(hepvae.OptionError, match="columns are PV_npvs: expected none in a friend"):
        hepvae.score_files(nano[0], conv, tmp_path / "s.root", columns=["PV_npvs"], **options)


def test_files_that_have_other_columns(nano, conv, tmp_path, rng):
    """Triggers come and go: a row of one file must not be filled up for the other."""
    other = write_events(tmp_path / "o.root", random_tables(rng))
    report = hepvae.score_files([nano[0], other], conv, tmp_path / "s.root", columns=["HLT_*"], mjj_min=0)
    assert len(report.failed) == 1 and "o.root" in str(report.failed[0].failure)
    assert "no branch 'HLT_*'" in report.failed[0].failure


def test_what_was_kept_with_other_columns_is_not_resumed(nano, conv, tmp_path, caplog):
    path = nano[0]
    bad = tmp_path / "bad.root"
    bad.write_text("no ROOT file")
    output = tmp_path / "s.root"
    hepvae.score_files([path, bad], conv, output, friend=True)
    shutil.copy(path, bad)
    report = hepvae.score_files([path, bad], conv, output, columns=["PV_npvs"], resume=True)
    assert report.files_resumed == 0 and "scored with other: columns" in caplog.text.replace("friend, ", "")
    with uproot.open(output) as file:
        assert json.loads(file["hepvae"])["options"]["carried"] == ["PV_npvs"]


def test_observables_of_each_jet_are_those_that_models_may_take(conv, tmp_path, capsys):
    """They are computed from all constituents, before padding, for each jet of the events that are scored."""
    path = str(hepvae.sample_path("GtoWW15na"))
    names = ("tau21", "multiplicity")
    command = ["score", path, "--model", "conv", "--region", "signal", "--observables", ",".join(names)]
    assert main([*command, "--output", str(tmp_path / "s.root")]) == 0
    events = hepvae.select_dijets(hepvae.read_dijets(path), region="signal")
    spec = hepvae.InputSpec(n_particles=1, features=(), jet_features=names)
    expected = hepvae.pad_particles(events, spec).reshape(len(events), 2, len(names))
    with open_scored(tmp_path / "s.root") as scored:
        for jet in (1, 2):
            for i, name in enumerate(names):
                assert np.array_equal(scored.column(f"j{jet}_{name}"), expected[:, jet - 1, i])
    hepvae.score_files(path, conv, tmp_path / "p.root", region="signal", observables=names)
    with open_scored(tmp_path / "p.root") as again, open_scored(tmp_path / "s.root") as scored:
        assert again.kinds == scored.kinds

    assert main([*command[:-1], "tau21,mass", "--output", str(tmp_path / "t.root")]) == 2
    assert "observable 'mass' is unknown: expected one of multiplicity, " in capsys.readouterr().err
    assert main(["score", path, "--model", "conv", "--jets", "all", *command[-2:], "--output", "a.root"]) == 2
    assert "observables are tau21, multiplicity, and jets 'all': expected none" in capsys.readouterr().err
