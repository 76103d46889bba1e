"""Scored samples of a search: the scores are those of hepvae score, what is scored is not scored again."""

from __future__ import annotations

import os
import shutil

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.dijet_files import random_tables, write_events

import hepvae
from hepvae import DataError, HepvaeError, LayoutError
from hepvae.scoring.strategy import ScoreStrategy
from hepvae.search import samples as module
from hepvae.search.samples import events_of, load_sample, picobarns_per_weight, score_sample


@pytest.fixture(scope="module")
def narrow(conv, tmp_path_factory):
    path = tmp_path_factory.mktemp("scored") / "deep" / "narrow.root"
    return score_sample(hepvae.sample_path("GtoWW15na"), conv, path, "narrow", strategy="max")


def test_scores_are_those_of_score_dijets(narrow, conv):
    events = hepvae.select_dijets(hepvae.read_dijets(hepvae.sample_path("GtoWW15na")), region="signal")
    assert len(narrow.mjj) == len(events) > 1000
    assert np.array_equal(narrow.mjj, ak.to_numpy(events.mjj))
    assert np.array_equal(narrow.identifiers[:, 2], ak.to_numpy(events.event))
    for strategy, weight in (("max", None), ("min", 2.0)):
        expected = hepvae.score_dijets(events[:50], conv, strategy=strategy, kl_weight=weight).score
        found = narrow.score() if weight is None else narrow.score(ScoreStrategy(strategy, weight))
        assert found.dtype == np.float64
        assert found[:50] == pytest.approx(ak.to_numpy(expected), rel=1e-4)
    assert narrow.strategy == ScoreStrategy("max", conv.card.beta)


def test_some_of_the_events(narrow):
    some = narrow.of(narrow.mjj > 1500)
    assert 0 < len(some.mjj) < len(narrow.mjj) and some.mjj.min() > 1500
    assert np.array_equal(some.score(), narrow.score()[narrow.mjj > 1500])
    assert len(some.losses["reco_loss"]) == len(some.identifiers) == len(some.mjj)
    twice = some.scaled(2.0)
    assert twice.weight.sum() == pytest.approx(2 * some.weight.sum())
    assert twice.effective_events == pytest.approx(some.effective_events) == pytest.approx(len(some.mjj))


def test_nothing_is_scored_twice_unless_its_input_or_model_is_another(conv, tmp_path, monkeypatch):
    calls = []
    real = module.score_files
    monkeypatch.setattr(module, "score_files", lambda *a, **k: calls.append(a) or real(*a, **k))
    files = [str(tmp_path / "in.root")]
    shutil.copy(hepvae.sample_path("GtoWW15na"), files[0])
    output = tmp_path / "out.root"

    def scored(inferer=conv, **options):
        score_sample(files, inferer, output, "x", **options)
        return len(calls)

    assert scored() == 1
    assert scored() == 1 and scored(strategy="sum") == 1  # another score of the same losses
    edge = hepvae.load_inferer(hepvae.model_path("edge"))
    assert scored(edge) == 2
    assert load_sample(output, "x").card == edge.card
    os.utime(files[0], (1, 1))
    assert scored(edge) == 3
    output.write_bytes(output.read_bytes()[:1000])  # of another size than was written
    assert scored(edge) == 4
    output.with_suffix(".json").write_text("{ no JSON")
    assert scored(edge) == 5 and scored(edge) == 5


def test_files_without_weight_and_event_number(conv, tmp_path, rng):
    tables = random_tables(rng, 120, jets=(2, 4), constituents=(5, 40))
    tables["jets"]["pt"] = [pt + 800 for pt in tables["jets"]["pt"]]
    path = write_events(tmp_path / "bare.root", tables, weights=False, drop=("run", "luminosityBlock", "event"))
    sample = score_sample(str(path), conv, tmp_path / "scored.root", "bare")
    assert sample.identifiers is None
    assert sample.effective_events == len(sample.mjj) > 0
    assert sample.of(sample.mjj > 0).identifiers is None


def test_regions_of_all_files_count(conv, tmp_path, rng):
    """Only the first file was looked at: events of the sideband of the others were taken, too."""
    tables = random_tables(rng, 120, jets=(2, 4), constituents=(5, 40))
    tables["jets"]["pt"] = [pt + 800 for pt in tables["jets"]["pt"]]
    path = write_events(tmp_path / "in.root", tables)
    scored = {region: tmp_path / f"{region}.root" for region in ("signal", "sideband", None)}
    for region, output in scored.items():
        hepvae.score_files(str(path), conv, output, region=region)
    signal = load_sample(scored["signal"], "x")
    for both in ([scored["signal"], scored[None]], [scored[None], scored["signal"]]):
        assert np.array_equal(load_sample(both, "x").mjj, np.tile(signal.mjj, 2))
    with pytest.raises(DataError, match=r"sideband\.root: events of the sideband"):
        load_sample([scored["signal"], scored["sideband"]], "x")


def test_a_file_that_fails_is_an_error(conv, tmp_path):
    (tmp_path / "bad.root").write_text("no ROOT file")
    files = [str(hepvae.sample_path("GtoWW15na")), str(tmp_path / "bad.root")]
    with pytest.raises(HepvaeError, match=r"^x: .*bad\.root"):
        score_sample(files, conv, tmp_path / "x.root", "x")
    assert not (tmp_path / "x.json").exists()


def test_events_come_in_the_order_asked_for(narrow):
    worst = narrow.identifiers[[700, 3, 41]]
    events = events_of(hepvae.sample_path("GtoWW15na"), worst)
    assert ak.to_numpy(events.event).tolist() == worst[:, 2].tolist()
    assert events.mjj.tolist() == narrow.mjj[[700, 3, 41]].tolist()
    with pytest.raises(DataError, match="event 9:9:9 is in none of the files"):
        events_of(hepvae.sample_path("GtoWW15na"), [[9, 9, 9]])


def runs(path, **columns):
    with uproot.recreate(path) as file:
        file.mktree("Runs", {name: np.float64 for name in columns}).extend(columns)
    return str(path)


def test_cross_section_of_all_parts_of_a_generation(tmp_path):
    first = runs(tmp_path / "a.root", xsec=np.array([2.0, 4.0]), genEventSumw=np.array([10.0, 30.0]))
    second = runs(tmp_path / "b.root", xsec=np.array([6.0]), genEventSumw=np.array([60.0]))
    assert picobarns_per_weight(first) == pytest.approx(3 / 40)
    assert picobarns_per_weight([first, second]) == pytest.approx(4 / 100)
    # data/README.md: 260 pb
    sample = hepvae.read_dijets(hepvae.sample_path("qcdSig"))
    total = ak.sum(sample.genWeight) * picobarns_per_weight(hepvae.sample_path("qcdSig"))
    assert total == pytest.approx(260, rel=0.01)


def test_cross_section_that_nobody_says(tmp_path, dijet_file):
    with pytest.raises(LayoutError, match=r"dijets\.root: no tree Runs .* has to be given"):
        picobarns_per_weight(str(dijet_file))
    with pytest.raises(LayoutError, match="no tree Runs with xsec"):
        picobarns_per_weight(runs(tmp_path / "a.root", xsec=np.ones(1)))
    with pytest.raises(DataError, match="not above zero"):
        picobarns_per_weight(runs(tmp_path / "b.root", xsec=np.ones(1), genEventSumw=np.zeros(1)))
