"""A search begins with the same of files that it scores, of scored files, and of friends with their inputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import hepvae
from hepvae import DataError, OptionError
from hepvae.scoring.options import OBSERVABLES
from hepvae.search import inputs as inputs_of_search
from hepvae.search.companion import BASELINES, baseline
from hepvae.search.inputs import open_inputs
from hepvae.search.options import BACKGROUND, DATA, SearchOptions, SignalFiles
from hepvae.search.samples import SampleFiles

QCD, NARROW = (str(hepvae.sample_path(name)) for name in ("qcdSig", "GtoWW15na"))


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """Files of two models for both samples, by model and sample, and friends of the inputs."""
    folder, paths = tmp_path_factory.mktemp("scored"), {}
    for model in ("conv", "edge"):
        inferer = hepvae.load_inferer(model)
        for name, path in ((BACKGROUND, QCD), ("narrow", NARROW)):
            one = paths[model, name] = str(folder / f"{model}-{name}.root")
            hepvae.score_files(path, inferer, one, region="signal", observables=OBSERVABLES)
    for name, path in ((BACKGROUND, QCD), ("narrow", NARROW)):
        one = paths["friend", name] = str(folder / f"friend-{name}.root")
        hepvae.score_files(path, hepvae.load_inferer("conv"), one, friend=True, observables=["tau21"])
    return paths


def options(folder, background, narrow, **more):
    signals = (SignalFiles("narrow", 1500.0, narrow),)
    return SearchOptions(folder, background=background, signals=signals, cross_section=260.0, **more)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return open_inputs(options(tmp_path_factory.mktemp("raw"), QCD, NARROW, models=("edge", "conv")))


def same(one, other):
    assert np.array_equal(one.mjj, other.mjj) and np.array_equal(one.identifiers, other.identifiers)
    assert one.weight == pytest.approx(other.weight, rel=1e-12)
    assert one.score() == pytest.approx(other.score(), rel=1e-4)
    assert one.strategy == other.strategy and one.card == other.card


@pytest.mark.parametrize("format", ["root", "parquet"])
def test_folders_of_parts_are_samples(raw, tmp_path, format, caplog):
    conv, missing = hepvae.load_inferer("conv"), str(tmp_path / "missing.root")
    for name, paths in ((BACKGROUND, [QCD, missing]), ("narrow", [NARROW])):
        hepvae.score_files(
            paths, conv, f"{tmp_path}/{name}/", region="signal", format=format, observables=OBSERVABLES
        )
    inputs = open_inputs(options(tmp_path / "out", f"{tmp_path}/{BACKGROUND}/", tmp_path / "narrow"))
    assert f"{tmp_path}/{BACKGROUND}: 1 of 2 inputs have no part" in caplog.text
    for name, sample in inputs.samples.items():
        same(sample, raw.scored["conv"][name])


def test_scored_files_are_what_would_be_scored(raw, scored, tmp_path):
    models = ("conv", "edge")
    files = ([scored[model, name] for model in models] for name in (BACKGROUND, "narrow"))
    inputs = open_inputs(options(tmp_path, *files))
    assert list(inputs.scored) == ["conv", "edge"] and inputs.model == "edge" and not inputs.inferers
    assert not list(tmp_path.glob("scored/**/*.root"))
    for model in models:
        for name, sample in inputs.scored[model].items():
            same(sample, raw.scored[model][name])
    for name, sample in raw.samples.items():  # of conv: the last that was named
        again = inputs.scored["conv"][name]
        assert set(sample.observables) == set(again.observables) == {"mass", *OBSERVABLES}
        for plain in BASELINES:
            assert np.array_equal(baseline(plain, sample).score(), baseline(plain, again).score())
        assert sample.read > 0 and again.read is None
        assert len(sample.mjj) == len(again.mjj)


def test_friends_with_their_inputs(raw, scored, tmp_path):
    files = ([path, scored["friend", name]] for name, path in ((BACKGROUND, QCD), ("narrow", NARROW)))
    inputs = open_inputs(options(tmp_path, *files))
    for name, sample in inputs.samples.items():
        same(sample, raw.samples[name])
        assert set(sample.observables) == {"mass", "tau21"}
    # a friend alone has no weights; another input has other entries
    for files, message in (
        ([scored["friend", BACKGROUND]], "is a friend of its input, which has the weights"),
        ([NARROW, scored["friend", BACKGROUND]], "2050 rows for 2061 entries of its inputs"),
    ):
        with pytest.raises(hepvae.HepvaeError, match=message):
            open_inputs(options(tmp_path, files, scored["conv", "narrow"]))


def test_some_scored_and_some_not(raw, scored, tmp_path):
    files = [scored[model, BACKGROUND] for model in ("conv", "edge")]
    given = options(tmp_path, files, NARROW, models=("conv",))
    inputs = open_inputs(given)
    assert list(inputs.scored) == ["conv"] and list(inputs.inferers) == ["conv"]
    for name, sample in inputs.samples.items():
        same(sample, raw.samples[name])
    with pytest.raises(DataError, match="qcdSig: has scores of conv, edge: expected some of graph, too"):
        open_inputs(replace(given, models=("graph",)))


def test_data_need_no_cross_section(scored, tmp_path):
    data = SearchOptions(
        *(tmp_path, scored["edge", BACKGROUND]),
        background=scored["edge", BACKGROUND],
        signals=(SignalFiles("narrow", 1500.0, scored["edge", "narrow"]),),
    )
    samples = open_inputs(data).samples
    assert (samples[DATA].weight == 1).all()
    assert samples[BACKGROUND].weight.sum() == pytest.approx(2050)
    with pytest.raises(DataError, match="qcdSig: scored files do not say the cross-section"):
        open_inputs(replace(data, data=None))


def test_files_that_do_not_go_together(scored, tmp_path):
    conv = hepvae.load_inferer("conv")
    other, side = str(tmp_path / "other.root"), str(tmp_path / "side.root")
    hepvae.score_files(NARROW, conv, other, region="signal", pt_min=300)
    hepvae.score_files(NARROW, conv, side, region="sideband")
    background, narrow = scored["conv", BACKGROUND], scored["conv", "narrow"]
    for files, message in (
        (
            (background, scored["edge", "narrow"]),
            r"no model has scored all samples \(qcdSig: conv; narrow: edge\)",
        ),
        ((background, other), "narrow: selected by pt_min 300, .*; qcdSig by pt_min 200, .*: expected the same"),
        ((background, side), "events of the sideband: expected those of the signal region"),
        ((background, [narrow, other]), r"other\.root: differs from .*narrow\.root in its (selection|columns)"),
    ):
        with pytest.raises(DataError, match=message):
            open_inputs(options(tmp_path, *files))
    with pytest.raises(OptionError, match="model to search with big: expected one of conv"):
        open_inputs(options(tmp_path, background, narrow, search_model="big"))


def test_background_and_signal_of_the_same_events(scored, tmp_path):
    """A search for QCD in QCD ended in a report that said nothing of it."""
    (link := tmp_path / "link.root").symlink_to(QCD)
    (copy := tmp_path / "copy.root").write_bytes(Path(QCD).read_bytes())
    background = scored["conv", BACKGROUND]
    for files, message in (
        ((QCD, str(link)), rf"narrow: .*link\.root is the file {QCD} of qcdSig: expected files of the signal"),
        (
            (background, [scored["conv", "narrow"], background]),
            rf"narrow: {background} is the file {background} of",
        ),
        ((background, str(copy)), r"narrow: (\d+) of its \1 events are events of qcdSig, too"),
    ):
        with pytest.raises(DataError, match=message):
            open_inputs(options(tmp_path, *files, models=("conv",)))


def test_all_events_are_cut_to_the_signal_region(raw, tmp_path):
    path = str(tmp_path / "all.parquet")
    hepvae.score_files(NARROW, hepvae.load_inferer("conv"), path)
    sample = open_inputs(options(tmp_path, QCD, path, models=("conv",))).samples["narrow"]
    same(sample, raw.samples["narrow"])
    assert set(sample.observables) == {"mass"}


def test_models_of_one_name_that_differ():
    """The line said "qcdSig: conv; narrow: conv", and not what was wrong."""
    card = hepvae.load_inferer("conv").card
    files = [
        SampleFiles(name, (), ((replace(card, beta=beta), "conv", ()),)) for name, beta in (("a", 0.1), ("b", 0.2))
    ]
    with pytest.raises(DataError, match=r"\(a: conv; b: conv\): those of one name differ"):
        inputs_of_search._shared(files)
