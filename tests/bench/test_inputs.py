"""Jets of a study, and how scores come back to their events."""

from __future__ import annotations

import warnings

import awkward as ak
import numpy as np
import pytest
from helpers.dijet_files import random_tables, write_events

import hepvae
from hepvae.bench.accuracy import parity_of, scores_of
from hepvae.bench.inputs import Inputs, read_sample
from hepvae.bench.reader import read_jets


@pytest.fixture
def sample_with_holes(tmp_path, rng):
    """Events without a dijet, and a jet that cannot be scored."""
    tables = random_tables(rng, events=60, jets=(1, 4), constituents=(1, 40))
    tables["candidates"]["pt"][7][:] = np.nan
    return str(write_events(tmp_path / "holes.root", tables))


def test_scores_are_those_of_score_dijets(sample_with_holes):
    inferer = hepvae.load_inferer(hepvae.model_path("conv"))
    files = [str(hepvae.sample_path("GtoWW15br")), sample_with_holes]
    samples = {name: read_sample(path) for name, path in zip(("br", "holes"), files)}
    losses = inferer(read_jets(files, inferer.spec))
    found = scores_of(losses, inferer.card, samples)
    for name, path in zip(samples, files):
        expected = scored_region(path, inferer)
        assert len(expected) > 5
        np.testing.assert_allclose(found[name][0], ak.to_numpy(expected.score), rtol=1e-5)
        np.testing.assert_array_equal(found[name][1], ak.to_numpy(expected.genWeight))


def scored_region(path, inferer):
    """Events of the signal region that have a score."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", hepvae.UnscoredJetsWarning)
        scored = hepvae.score_dijets(hepvae.select_dijets(hepvae.read_dijets(path), region="signal"), inferer)
    return scored[~np.isnan(scored.score)]


def test_parity_is_with_the_first():
    one, other = ({"loss": np.ones(3), "reco_loss": np.ones(3), "kl_loss": np.full(3, kl)} for kl in (1.0, 2.0))
    parity = parity_of({"tensorflow": one, "onnxruntime": other, "third": one})
    assert {name: p.worst for name, p in parity.items()} == {"onnxruntime": 1.0, "third": 0.0}


def test_files_of_this_disk():
    path = str(hepvae.sample_path("qcdSig"))
    with Inputs((path,)) as inputs:
        assert (inputs.names, inputs.addresses("local", 0.0)) == (["qcdSig"], [path])


def test_files_that_are_far_away_are_neither_local_nor_delayed():
    with Inputs(("root://host//a.root",)) as inputs:
        assert inputs.addresses("xrootd", 0.0) == ["root://host//a.root"]
        with pytest.raises(hepvae.OptionError, match="not on this disk"):
            inputs.addresses("local", 0.0)
        with pytest.raises(hepvae.OptionError, match="a delay can be added to files of this disk only"):
            inputs.addresses("xrootd", 10.0)
