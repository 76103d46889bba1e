from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

import hepvae
from hepvae import dijet_events, dijets, select_dijets


def jets(pt, eta, phi, mass):
    return ak.zip({"pt": pt, "eta": eta, "phi": phi, "mass": mass}, with_name="Momentum4D")


def test_jets_by_falling_pt_and_columns_follow_their_events():
    events = dijet_events(
        jets(
            pt=[[100.0, 300.0, 200.0], [50.0], [], [7.0, 8.0]],
            eta=[[0.1, 0.2, 0.3], [0.0], [], [1.0, -1.0]],
            phi=[[0.0, 1.0, 2.0], [0.0], [], [0.0, 3.0]],
            mass=[[1.0, 1.0, 1.0], [1.0], [], [1.0, 1.0]],
        ),
        event=np.array([11, 12, 13, 14]),
    )
    assert events.jets.pt.to_list() == [[300, 200], [8, 7]]
    assert events.event.to_list() == [11, 14]
    assert np.allclose(events.deta, [0.1, 2.0])


def test_pt_that_is_not_a_number_displaces_no_jet():
    columns = {c: ak.Array([[0.1, 0.2, 0.3, 0.4]]) for c in ("eta", "phi", "mass")}
    events = dijet_events(jets(pt=ak.Array([[500.0, np.nan, 400.0, 300.0]]), **columns))
    assert events.jets.pt.to_list() == [[500, 400]]


def test_mjj_of_a_heavy_particle_at_rest():
    """A particle of 1500 GeV to two W: equal and opposite momenta, energy sqrt(p^2 + mW^2) each."""
    mass, w = 1500.0, 80.4
    p = np.sqrt(mass**2 / 4 - w**2)
    theta = 1.1
    eta = -np.log(np.tan(theta / 2))
    pt = p * np.sin(theta)
    events = dijet_events(jets([[pt, pt]], [[eta, -eta]], [[0.3, 0.3 - np.pi]], [[w, w]]))
    assert events.mjj[0] == pytest.approx(mass, rel=1e-6)


def test_mjj_does_not_change_under_rotation_and_boost(rng):
    """Rotation about the beam adds to phi, a boost along it to eta (of massless jets)."""
    pt, eta, phi = rng.uniform(200, 900, (50, 2)), rng.normal(0, 1, (50, 2)), rng.uniform(-3, 3, (50, 2))
    zero = np.zeros((50, 2))

    def mjj(eta, phi):
        return dijet_events(jets(*(ak.from_regular(ak.Array(a)) for a in (pt, eta, phi, zero)))).mjj

    assert np.allclose(mjj(eta, phi), mjj(eta + 0.7, phi + 1.0), rtol=1e-5)


def test_selection_of_the_study():
    table = [
        # pt1, pt2, eta1, eta2, passes
        (900.0, 800.0, 0.1, -0.1, True),
        (900.0, 150.0, 0.1, -0.1, False),  # pt of jet 2
        (3000.0, 800.0, 2.5, -0.1, False),  # |eta| of jet 1
        (300.0, 300.0, 0.1, -0.1, False),  # mjj = 606 GeV
    ]
    pt1, pt2, eta1, eta2, passes = (list(column) for column in zip(*table))
    events = dijet_events(
        jets(
            ak.Array([list(p) for p in zip(pt1, pt2)]),
            ak.Array([list(e) for e in zip(eta1, eta2)]),
            ak.Array([[0.0, np.pi]] * 4),
            ak.Array([[0.0, 0.0]] * 4),
        ),
        row=np.arange(4),
    )
    assert select_dijets(events).row.to_list() == [i for i, good in enumerate(passes) if good]
    assert len(select_dijets(events, pt_min=100, eta_max=5, mjj_min=0)) == 4


def test_regions_share_no_event_and_lose_none():
    events = hepvae.read_dijets(hepvae.sample_path("GtoWW15br"), entry_stop=500)
    signal, sideband = (select_dijets(events, region=r) for r in ("signal", "sideband"))
    assert len(signal) and len(sideband)
    assert sorted([*signal.event, *sideband.event]) == sorted(select_dijets(events).event)
    assert ak.max(signal.deta) < 1.4 <= ak.min(sideband.deta)


def test_border_belongs_to_the_sideband():
    events = ak.with_field(hepvae.read_dijets(hepvae.sample_path("qcdSig"), entry_stop=3), 1.4, "deta")
    assert len(select_dijets(events, region="sideband")) == len(events) == 3
    assert len(select_dijets(events, region="signal")) == 0


def test_unknown_region_is_named():
    events = hepvae.read_dijets(hepvae.sample_path("qcdSig"), entry_stop=3)
    with pytest.raises(hepvae.OptionError, match="region 'control' is unknown: expected one of signal, sideband"):
        select_dijets(events, region="control")


def bare(pt, mass):
    pt, mass = ak.values_astype(ak.Array(pt), float), ak.values_astype(ak.Array(mass), float)
    return jets(pt, 0 * pt, 0 * pt, mass)


def with_members(pt, mass):
    """Jets (events, var), each with one constituent that has the pt of the jet."""
    records = bare(pt, mass)
    member = ak.zip({c: ak.unflatten(records[c], 1, axis=1) for c in ("pt", "eta", "phi")})
    return ak.with_field(records, member, "constituents")


PT = [[300.0, 500.0, 400.0], [100.0], [250.0, 200.0], []]
MASS = [[90.0, 20.0, 80.0], [5.0], [10.0, 60.0], []]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("pt", [[500, 400], [250, 200]]),
        ("mass", [[400, 500], [200, 250]]),  # of the two of largest pt
        ("given", [[300, 500], [250, 200]]),
    ],
)
def test_the_order_of_the_two_jets(order, expected):
    records = with_members(PT, MASS)
    events = dijets(records, order=order)
    assert events.jets.pt.tolist() == expected and events.entry.tolist() == [0, 2]
    assert ak.all(events.jets.constituents.pt[..., 0] == events.jets.pt)
    assert str(events.jets.type).startswith("2 * 2 * Momentum4D[")


def test_missing_jets_and_events():
    records = with_members(PT, MASS)
    entries = ak.zip({"jets": records.mask[records.mass > 15], "weight": [1.0, 2.0, 3.0, 4.0]}, depth_limit=1)
    events = dijets(entries)
    assert events.jets.pt.tolist() == [[500, 400]]
    assert (events.weight.tolist(), events.entry.tolist()) == ([1.0], [0])
    masked = dijets(records.mask[[False, True, True, True]])
    assert masked.jets.pt.tolist() == [[250, 200]] and masked.entry.tolist() == [2]
    assert str(masked.jets.type).startswith("1 * 2 * Momentum4D[")
    assert len(dijets(records[:0])) == 0


def test_what_are_no_jets_with_constituents():
    with pytest.raises(hepvae.SpecError, match=r"expected jets \(events, var\) with constituents, as with_const"):
        dijets(bare(PT, MASS))
    with pytest.raises(hepvae.SpecError, match=r"expected jets \(events, var\)"):
        dijets(ak.flatten(with_members(PT, MASS)))
    with pytest.raises(
        hepvae.OptionError, match="order 'Mass' is unknown: expected one of pt, mass, given; nearest"
    ):
        dijets(with_members(PT, MASS), order="Mass")


@pytest.mark.parametrize("given", [None, [1], "a.root"], ids=str)
@pytest.mark.parametrize("function", [dijets, hepvae.select_dijets])
def test_what_is_no_awkward_array(function, given):
    with pytest.raises(hepvae.SpecError, match="as an awkward array; found"):
        function(given)


def test_only_dijet_events_are_selected():
    with pytest.raises(hepvae.SpecError, match="expected dijet events, as read_dijets and dijets give"):
        hepvae.select_dijets(with_members(PT, MASS))


def test_no_dijets_are_scored_as_such():
    """A processor ended on a chunk where a trigger vetoed all events: their jets had the shape (0, 0)."""
    jets = hepvae.read_jets(hepvae.sample_path("qcdSig"), entry_stop=5).jets
    pairs = hepvae.dijets(jets[jets.pt < 0])
    assert str(pairs.jets.constituents.pt.type) == "0 * 2 * var * float32"
    assert len(hepvae.score_dijets(pairs, hepvae.load_inferer("conv"))) == 0


def test_lazy_jets_are_no_dijets():
    """The line was "expected jets, ..., as an awkward array; found Array"."""
    lazy = pytest.importorskip("dask_awkward").from_awkward(ak.Array([[{"pt": 500.0}]]), npartitions=1)
    with pytest.raises(hepvae.SpecError, match="found Array of dask: compute it first"):
        hepvae.dijets(lazy)
