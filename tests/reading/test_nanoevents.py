"""NanoEvents, as coffea makes them of a file, are the dijets that hepvae reads from it."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.dijet_files import random_tables, write_events

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

    scores = hepvae.score_dijets(nano_of(nano_file)[:0], Unused())
    assert len(scores) == 0 and scores.score.type.content.content.primitive == "float32"


def test_collections_that_are_missing():
    events = ak.zip({"Jet": ak.zip({"pt": [[1.0, 2.0]], "eta": [[0.0, 0.1]]})}, depth_limit=1)
    with pytest.raises(hepvae.LayoutError, match="NanoEvents: unknown layout: looked for nanoaodv15"):
        dijets_of(events)
