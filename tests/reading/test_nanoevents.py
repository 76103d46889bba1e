"""NanoEvents, as coffea makes them of a file, are the dijets that hepvae reads from it."""

from __future__ import annotations

import warnings

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.dijet_files import random_tables, write_events
from helpers.foreign_models import graph

import hepvae
from hepvae.reading.nanoevents import aligned, dijets_of


def nano_of(path):
    """Collections of a file by the first part of the names of branches."""
    with uproot.open(path) as file:
        branches = file["Events"].arrays()
    collections, flat = {}, {}
    for name in branches.fields:
        collection, _, field = name.partition("_")
        if field:
            collections.setdefault(collection, {})[field] = branches[name]
        else:
            flat[name] = branches[name]
    for collection, columns in collections.items():
        flat[collection] = ak.zip(columns)
    return ak.zip(flat, depth_limit=1)


@pytest.fixture(params=["nanoaodv15", "pfnano"])
def nano_file(request, tmp_path, rng):
    path = tmp_path / "nano.root"
    write_events(path, random_tables(rng, constituents=(1, 150)), layout=request.param)
    return path


def test_same_as_read_from_the_file(nano_file):
    expected = hepvae.read_dijets(nano_file)
    found = dijets_of(nano_of(nano_file))
    for field in expected.fields:
        assert ak.array_equal(found[field], expected[field]), field


def test_scores_stand_where_their_events_do(nano_file):
    inferer = hepvae.load_inferer(hepvae.model_path("conv"))
    events = nano_of(nano_file)
    two = ak.to_numpy(ak.num(events.FatJet) >= 2)
    assert 0 < two.sum() < len(two)
    scores = hepvae.score_dijets(events, inferer)
    expected = hepvae.score_dijets(hepvae.read_dijets(nano_file), inferer)
    assert len(scores) == len(events)
    assert (ak.to_numpy(ak.is_none(scores)) == ~two).all()
    for name in ("score", "j1_loss", "j2_kl_loss", "mjj"):
        assert np.array_equal(ak.to_numpy(scores[name][two]), ak.to_numpy(expected[name]), equal_nan=True)


@pytest.fixture(scope="module")
def further(tmp_path_factory):
    """A file with further columns, and the scorer of a model that takes them: of candidates and of jets."""
    tables = random_tables(np.random.default_rng(7), constituents=(3, 60))
    rng, candidates, jets = np.random.default_rng(8), tables["candidates"], tables["jets"]
    candidates["mass"] = [np.full(len(pt), 0.1396) for pt in candidates["pt"]]
    candidates["charge"] = [rng.integers(-1, 2, len(pt)) for pt in candidates["pt"]]
    candidates["pdgId"] = [rng.choice([211, -211, 22, 130], len(pt)) for pt in candidates["pt"]]
    for name in ("tau1", "tau2"):
        jets[name] = [rng.uniform(0.1, 1, len(pt)) for pt in jets["pt"]]
    folder = tmp_path_factory.mktemp("further")
    path = write_events(folder / "nano.root", tables)
    nodes = [
        ("ReduceSum", ["c", "axes"], ["summed"], {"keepdims": 0}),
        ("Concat", ["summed", "j"], ["all"], {"axis": 1}),
        ("MatMul", ["all", "weights"], ["score"]),
    ]
    weights = np.array([[1], [-2], [0.001], [0.5], [3]], np.float32)
    network = graph(
        nodes,
        {"c": ["jets", 20, 4], "j": ["jets", 1]},
        {"score": ["jets", 1]},
        {"axes": np.array([1], np.int64), "weights": weights},
    )
    card = {
        "name": "further",
        "input": {
            "tensors": {
                "c": {"n_particles": 20, "features": ["energy_fraction", "charge", "pdgId", "deta"]},
                "j": {"level": "jet", "features": ["FatJet_tau2/FatJet_tau1"]},
            }
        },
        "output": {"score": "score"},
    }
    hepvae.adopt(network, card, output=folder / "model", jets=path)
    return path, hepvae.load_inferer(folder / "model")


@pytest.mark.parametrize("how", ["eager", "lazy", "virtual", "with constituents"])
def test_models_of_further_columns(further, how):
    """A model that takes charges and ratios of branches scores NanoEvents as it scores the file, to the bit."""
    path, inferer = further
    expected = hepvae.score_dijets(hepvae.read_dijets(path, spec=inferer.spec), inferer)
    assert np.unique(ak.to_numpy(expected.score)).size > 10 and (expected.score < 0).to_list().count(True) > 0
    events = nano_of(path)
    if how == "lazy":
        dask_awkward = pytest.importorskip("dask_awkward")
        lazy = hepvae.score_dijets(dask_awkward.from_awkward(events, 2), inferer)
        scores = lazy.compute(scheduler="sync")
        assert str(lazy._meta.type.content) == str(scores.type.content)
    elif how == "virtual":
        nanoevents = pytest.importorskip("coffea.nanoevents")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # coffea's own, of fields that no schema knows
            opened = nanoevents.NanoEventsFactory.from_root(
                {str(path): "Events"}, schemaclass=nanoevents.BaseSchema, mode="virtual"
            ).events()
            collections = {
                name: ak.zip(
                    {f.removeprefix(f"{name}_"): opened[f] for f in opened.fields if f.startswith(f"{name}_")}
                )
                for name in ("FatJet", "PFCand", "FatJetPFCand")
            }
            scores = hepvae.score_dijets(ak.zip(collections, depth_limit=1), inferer)
    else:
        if how == "with constituents":
            jets = hepvae.with_constituents(events, spec=inferer.spec)
            jets = jets[ak.argsort(jets.pt, axis=1, ascending=True)]
            events = ak.with_field(events, jets, "FatJet")
        scores = hepvae.score_dijets(events, inferer)
    scores = ak.drop_none(scores)
    for name in ("score", "j1_score", "j2_score"):
        assert ak.array_equal(scores[name], expected[name]), name


def test_events_that_were_chosen_before(nano_file):
    events = nano_of(nano_file)
    chosen = np.arange(len(events)) % 3 != 1
    whole = aligned(dijets_of(events), len(events))
    part = aligned(dijets_of(events[chosen]), int(chosen.sum()))
    assert ak.array_equal(part, whole[chosen])
    masked = events.mask[chosen]
    found = aligned(dijets_of(masked), len(masked))
    assert (ak.is_none(found) == (ak.is_none(whole) | ~chosen)).tolist() == [True] * len(events)
    assert ak.array_equal(ak.drop_none(found), ak.drop_none(part))


def test_no_events_and_no_model(nano_file):
    """Without an event no model runs, so that the type of the scores is known before it does."""

    class Unused:
        card = hepvae.load_inferer(hepvae.model_path("conv")).card
        spec = card.spec

    scores = hepvae.score_dijets(nano_of(nano_file)[:0], Unused())
    assert len(scores) == 0 and scores.score.type.content.content.primitive == "float32"


@pytest.fixture(scope="module")
def sample_nano():
    return nano_of(hepvae.sample_path("GtoWW15na"))[:300]


@pytest.mark.parametrize("change", ["smeared", "cut", "shifted"])
def test_jets_that_were_changed_after_reading(sample_nano, change):
    """Jets smeared by 5 % and sorted again had the constituents of others in 16 to 23 % of the events."""
    jets = sample_nano.FatJet
    if change == "smeared":
        random = np.random.default_rng(1).normal(1, 0.05, ak.sum(ak.num(jets)))
        jets = ak.with_field(jets, jets.pt * ak.unflatten(random, ak.num(jets)), "pt")
        jets = jets[ak.argsort(jets.pt, axis=1, ascending=False)]
        message = "NanoEvents: the constituents of .* jets are not their own, .*: were they corrected"
    elif change == "cut":
        jets = jets[:, :1]
        message = r"FatJetPFCand_jetIdx is 1 in entry 0, expected -1 to 0; the jets were cut: were they"
    else:
        jets = ak.concatenate([jets[1:], jets[:1]])
        message = "the constituents of|jetIdx is"
    with pytest.raises(
        hepvae.DataError, match=f"{message}.*hepvae.with_constituents" if change != "shifted" else message
    ):
        dijets_of(ak.with_field(sample_nano, jets, "FatJet"))


def test_jets_of_lazy_events_that_were_sorted_again(sample_nano):
    dask_awkward = pytest.importorskip("dask_awkward")
    jets = sample_nano.FatJet[ak.argsort(sample_nano.FatJet.pt, axis=1, ascending=True)]
    lazy = dask_awkward.from_awkward(ak.with_field(sample_nano, jets, "FatJet"), 2)
    scores = hepvae.score_dijets(lazy, hepvae.load_inferer(hepvae.model_path("conv")))
    with pytest.raises(hepvae.DataError, match=r"jets are not their own.*hepvae\.with_constituents"):
        scores.compute(scheduler="sync")


@pytest.mark.parametrize("how", ["eager", "lazy"])
def test_jets_with_constituents_inside_may_be_changed(sample_nano, how):
    """Jets that carried their constituents were refused as those without, and advised to carry them."""
    inferer = hepvae.load_inferer(hepvae.model_path("conv"))
    expected = hepvae.score_dijets(sample_nano, inferer)
    jets = hepvae.with_constituents(sample_nano)
    jets = jets[ak.argsort(jets.pt, axis=1, ascending=True)]
    events = ak.with_field(sample_nano, jets, "FatJet")
    if how == "lazy":
        dask_awkward = pytest.importorskip("dask_awkward")
        scores = hepvae.score_dijets(dask_awkward.from_awkward(events, 2), inferer).compute(scheduler="sync")
    else:
        scores = hepvae.score_dijets(events, inferer)
    assert scores.fields == expected.fields
    for name in ("score", "j1_loss", "j2_kl_loss", "mjj", "event"):
        assert ak.array_equal(scores[name], expected[name], equal_nan=True), name
    # Of other jets than those of the file, the others.
    without_first = ak.with_field(sample_nano, hepvae.with_constituents(sample_nano)[:, 1:], "FatJet")
    few = hepvae.score_dijets(without_first[:20], inferer)
    assert (ak.is_none(few) == (ak.num(sample_nano.FatJet[:20]) < 3)).tolist() == [True] * 20
    masked = events.mask[np.arange(len(events)) % 3 != 1]
    found = hepvae.score_dijets(masked, inferer)
    assert ak.array_equal(ak.drop_none(found.score), ak.drop_none(expected.score[np.arange(len(events)) % 3 != 1]))


@pytest.mark.parametrize("name", ["nano_tt_v15.root", "pfnano.root"])
def test_jets_of_virtual_events_that_were_sorted_again(real_data, name):
    """Of virtual arrays of coffea's `NanoEventsFactory` the links were followed as of eager ones."""
    nanoevents = pytest.importorskip("coffea.nanoevents")
    inferer = hepvae.load_inferer(hepvae.model_path("conv"))

    class Quiet(nanoevents.PFNanoAODSchema):
        warn_missing_crossrefs = False

    def opened():
        return nanoevents.NanoEventsFactory.from_root(
            {str(real_data / name): "Events"}, schemaclass=Quiet, mode="virtual"
        ).events()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # coffea's own, of fields that no schema knows
        expected = hepvae.score_dijets(opened(), inferer)
        events = opened()
        events["FatJet"] = events.FatJet[:, ::-1]
        with pytest.raises(hepvae.DataError, match=r"jets are not their own.*hepvae\.with_constituents"):
            hepvae.score_dijets(events, inferer)
        events = opened()
        events["FatJet"] = hepvae.with_constituents(events)
        events["FatJet"] = events.FatJet[:, ::-1]
        assert ak.array_equal(hepvae.score_dijets(events, inferer).score, expected.score, equal_nan=True)


def test_corrected_jets_in_their_order_keep_their_constituents(sample_nano):
    jets = ak.with_field(sample_nano.FatJet, sample_nano.FatJet.pt * 1.05, "pt")
    assert ak.array_equal(
        dijets_of(ak.with_field(sample_nano, jets, "FatJet")).jets.constituents,
        dijets_of(sample_nano).jets.constituents,
    )


def test_collections_that_are_missing():
    events = ak.zip({"Jet": ak.zip({"pt": [[1.0, 2.0]], "eta": [[0.0, 0.1]]})}, depth_limit=1)
    with pytest.raises(hepvae.LayoutError, match="NanoEvents: unknown layout: looked for nanoaodv15"):
        dijets_of(events)
