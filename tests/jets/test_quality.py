from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from hepvae.jets.quality import examine_jets
from hepvae.jets.reasons import REASONS


def test_each_bad_jet_counts_once_under_its_reason():
    pt = [[5.0, 3.0], [], [0.0, 0.0], [np.nan, 1.0], [-1.0, 4.0], [-1.0, np.inf]]
    other = [[0.1] * len(p) for p in pt]
    jets = examine_jets(ak.zip({"pt": pt, "eta": other, "phi": other}))
    assert [REASONS.get(number) for number in jets.reason] == [
        None,
        "without constituents",
        "without constituents",
        "with a value that is not finite",
        "with a negative pt",
        "with a value that is not finite",
    ]
    assert jets.counts == {
        "without constituents": 2,
        "with a value that is not finite": 2,
        "with a negative pt": 1,
    }


def test_axis_that_is_not_finite(signal_events):
    jets = ak.flatten(signal_events.jets[:2])
    jets["phi"] = ak.where(np.arange(4) == 1, np.nan, jets.phi)
    assert examine_jets(jets).reason.tolist() == [0, 2, 0, 0]


def test_good_jets_give_nothing(signal_events):
    assert examine_jets(signal_events).counts == {}


@pytest.mark.parametrize("phi", [0.0, 3.1, -3.1])
@pytest.mark.parametrize(
    ("deta", "dphi", "own"), [(0, 0, True), (0.7, 0, True), (0, -0.75, True), (0.9, 0, False), (0, 3, False)]
)
def test_constituents_lie_within_the_radius_of_their_jet(phi, deta, dphi, own):
    """Smeared and sorted again, jets of NanoEvents had the constituents of others, and were scored with them."""
    constituents = ak.zip(
        {"pt": [[50.0, 30.0, 20.0]], "eta": [[0.1, 0.0, -0.3]], "phi": [[phi - 0.05, phi, phi + 0.1]]}
    )
    jets = ak.zip({"pt": [100.0], "eta": [-0.01 + deta], "phi": [phi + dphi]}, depth_limit=1)
    jets["constituents"] = constituents
    assert examine_jets(jets).counts == ({} if own else {"with constituents that are not its own": 1})
    assert examine_jets(jets.constituents).counts == {}  # no axis
