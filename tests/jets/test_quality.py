from __future__ import annotations

import awkward as ak
import numpy as np

from hepvae.jets.padding import flatten_jets
from hepvae.jets.quality import unscorable


def test_each_bad_jet_counts_once_under_its_reason():
    pt = [[5.0, 3.0], [], [0.0, 0.0], [np.nan, 1.0], [-1.0, 4.0], [-1.0, np.inf]]
    other = [[0.1] * len(p) for p in pt]
    masks = unscorable(flatten_jets(ak.zip({"pt": pt, "eta": other, "phi": other})))
    assert {reason: np.flatnonzero(mask).tolist() for reason, mask in masks.items()} == {
        "without constituents": [1, 2],
        "with a value that is not finite": [3, 5],
        "with a negative pt": [4],
    }


def test_axis_that_is_not_finite(signal_events):
    jets = ak.flatten(signal_events.jets[:2])
    jets["phi"] = ak.Array([0.0, np.nan, 0.0, 0.0])
    assert unscorable(flatten_jets(jets))["with a value that is not finite"].tolist() == [
        False,
        True,
        False,
        False,
    ]


def test_good_jets_give_nothing(signal_events):
    assert unscorable(flatten_jets(signal_events)) == {}
