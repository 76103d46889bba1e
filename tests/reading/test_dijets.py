"""Reading: held against a plain loop over the index branches."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.dijet_files import LAYOUTS, random_tables, write_events
from helpers.reference import loop_over_branches

import hepvae
from hepvae import iterate_dijets, read_dijets
from hepvae.jets.kinematics import wrapped


def assert_same_as_loop(path, layout):
    events = read_dijets(path)
    expected = loop_over_branches(path, layout)
    assert len(events) == len(expected) > 0
    assert events[["event", "jets"]].to_list() == expected


@pytest.mark.parametrize("rntuple", [False, True], ids=["ttree", "rntuple"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_same_constituents_as_a_plain_loop(tmp_path, rng, layout, rntuple):
    path = write_events(tmp_path / "x.root", random_tables(rng), layout=layout, rntuple=rntuple)
    assert_same_as_loop(path, layout)


@pytest.mark.parametrize("sample", ["qcdSide", "qcdSig", "GtoWW15na", "GtoWW15br"])
def test_bundled_samples_same_as_a_plain_loop(sample, tmp_path):
    events = read_dijets(hepvae.sample_path(sample), entry_stop=100)
    expected = loop_over_branches(hepvae.sample_path(sample), "nanoaodv15")[:100]
    assert events[["event", "jets"]].to_list() == expected


@pytest.mark.parametrize(
    ("name", "layout", "dijets"),
    [("nano_tt_v15", "nanoaodv15", 20), ("pfnano", "pfnano", 10), ("pfnano_rntuple", "pfnano", 10)],
)
def test_real_cms_files_same_as_a_plain_loop(real_data, name, layout, dijets):
    path = real_data / f"{name}.root"
    assert len(read_dijets(path)) == dijets
    assert_same_as_loop(path, layout)


def test_real_constituents_add_up_to_their_jets(real_data):
    """NanoAODv15 candidates are PUPPI weighted: summed, they are the jet before its energy correction."""
    jets = ak.flatten(read_dijets(real_data / "nano_tt_v15.root").jets)
    jets = jets[abs(jets.eta) < 2.4]
    px, py = (ak.to_numpy(ak.sum(p, axis=1)) for p in (jets.constituents.px, jets.constituents.py))
    ratio = np.hypot(px, py) / ak.to_numpy(jets.pt)
    assert ratio.min() > 0.8 and ratio.max() < 1.2
    dphi = wrapped(np.arctan2(py, px) - ak.to_numpy(jets.phi))
    assert np.abs(dphi).max() < 0.05


def test_record_types(dijet_file):
    events = read_dijets(dijet_file)
    assert events.fields == ["jets", "mjj", "deta", "run", "luminosityBlock", "event", "genWeight"]
    assert str(events.jets.type) == (
        f"{len(events)} * 2 * Momentum4D[pt: float32, eta: float32, phi: float32, mass: float32,"
        " constituents: var * Momentum3D[pt: float32, eta: float32, phi: float32]]"
    )
    assert ak.almost_equal(events.jets.px, events.jets.pt * np.cos(events.jets.phi))
    assert ak.all(events.jets.pt[:, 0] >= events.jets.pt[:, 1])


def test_event_columns_are_those_of_the_file(tmp_path, rng):
    path = write_events(tmp_path / "data.root", random_tables(rng), weights=False)
    assert "genWeight" not in read_dijets(path).fields


def test_chunks_join_to_the_whole(dijet_file):
    whole = read_dijets(dijet_file)
    for step in (1, 7, 30, "2 kB"):
        chunks = list(iterate_dijets(dijet_file, step_size=step))
        assert ak.array_equal(ak.concatenate(chunks), whole)
    assert len(chunks) > 1


def test_many_files_in_order(tmp_path, rng):
    paths = [write_events(tmp_path / f"{i}.root", random_tables(rng)) for i in range(3)]
    each = ak.concatenate([read_dijets(path) for path in paths])
    assert ak.array_equal(read_dijets(tmp_path / "*.root"), each)
    assert ak.array_equal(read_dijets([str(p) for p in paths]), each)
    assert ak.array_equal(read_dijets({path: "Events" for path in paths}), each)


def test_entry_range_counts_through_all_files(tmp_path, rng):
    for i in range(3):
        write_events(tmp_path / f"{i}.root", random_tables(rng, events=20, jets=(2, 3)))
    whole = read_dijets(tmp_path / "*.root")
    for start, stop in [
        (0, 60),
        (5, 15),
        (15, 45),
        (20, 40),
        (59, 60),
        (30, 30),
        (None, 25),
        (25, None),
        (55, 99),
    ]:
        part = read_dijets(tmp_path / "*.root", entry_start=start, entry_stop=stop)
        assert ak.array_equal(part, whole[slice(start, stop)])
    with pytest.raises(hepvae.OptionError, match="entry_stop is 3: expected at least entry_start, 5"):
        read_dijets(tmp_path / "*.root", entry_start=5, entry_stop=3)


@pytest.mark.parametrize("rntuple", [False, True], ids=["ttree", "rntuple"])
def test_zero_events(tmp_path, rng, rntuple):
    path = write_events(tmp_path / "empty.root", random_tables(rng, events=0), rntuple=rntuple)
    events = read_dijets(path)
    assert len(events) == 0
    assert events.fields[:3] == ["jets", "mjj", "deta"]
    assert len(hepvae.select_dijets(events)) == 0


def test_events_with_one_jet_are_left_out(tmp_path, rng):
    path = write_events(tmp_path / "x.root", random_tables(rng, events=12, jets=(1, 1)))
    assert len(read_dijets(path)) == 0


def test_jet_without_constituents_is_kept_empty(tmp_path, rng):
    path = write_events(tmp_path / "x.root", random_tables(rng, events=5, jets=(2, 2), constituents=(0, 0)))
    events = read_dijets(path)
    # only the three links to a candidate of another jet that the writer adds
    assert ak.max(ak.num(events.jets.constituents, axis=2)) <= 3
    assert ak.any(ak.num(events.jets.constituents, axis=2) == 0)


def test_jets_of_equal_pt_keep_their_order(tmp_path, rng):
    tables = random_tables(rng, events=3, jets=(3, 3))
    tables["jets"]["pt"] = [np.full(3, 400.0)] * 3
    events = read_dijets(write_events(tmp_path / "x.root", tables))
    assert np.allclose(events.jets.eta, [eta[:2] for eta in tables["jets"]["eta"]])


@pytest.mark.parametrize(("column", "value"), [("jet", 9), ("candidate", 10_000), ("jet", -2)])
def test_index_out_of_range_names_branch_and_entry(tmp_path, rng, column, value):
    tables = random_tables(rng, events=6, jets=(2, 3), constituents=(4, 9))
    tables["links"][column][4][2] = value
    path = write_events(tmp_path / "x.root", tables)
    with pytest.raises(
        hepvae.DataError, match=rf"x\.root.*FatJetPFCand_.*Idx is {value} in entry 4, expected -1 to"
    ):
        read_dijets(path)


def test_only_the_branches_needed_are_read(dijet_file, monkeypatch):
    read = []
    original = uproot.TTree.arrays

    def spy(self, *args, **kwargs):
        read.append(sorted(args[0]))
        return original(self, *args, **kwargs)

    monkeypatch.setattr(uproot.TTree, "arrays", spy)
    read_dijets(dijet_file)
    assert read == [
        sorted(
            ["FatJet_pt", "FatJet_eta", "FatJet_phi", "FatJet_mass", "PFCand_pt", "PFCand_eta", "PFCand_phi"]
            + ["FatJetPFCand_jetIdx", "FatJetPFCand_pfCandIdx", "run", "luminosityBlock", "event", "genWeight"]
        )
    ]


def test_files_with_other_columns_are_refused(tmp_path, rng):
    """Data and simulation together: genWeight would be there for some events only."""
    write_events(tmp_path / "a.root", random_tables(rng))
    write_events(tmp_path / "b.root", random_tables(rng), weights=False)
    with pytest.raises(
        hepvae.LayoutError, match=r"b\.root: has other columns than the files before it: genWeight"
    ):
        read_dijets(tmp_path / "*.root")


def test_step_size_must_be_a_size(dijet_file):
    for wrong in ("many", 0, -1, "1.2.3 MB", 0.5):
        with pytest.raises(hepvae.OptionError, match="step_size"):
            list(iterate_dijets(dijet_file, step_size=wrong))


def test_two_jets_of_a_known_mass(tmp_path):
    """Back to back in phi, massless: mjj = 2 pt cosh(deta / 2)."""
    tables = {
        "jets": {
            "pt": [[500.0, 500.0]],
            "eta": [[1.0, -0.5]],
            "phi": [[-3.0, -3.0 + np.pi]],
            "mass": [[0.0, 0.0]],
        },
        "candidates": {"pt": [[1.0]], "eta": [[0.0]], "phi": [[0.0]]},
        "links": {"jet": [[0]], "candidate": [[0]]},
    }
    events = read_dijets(write_events(tmp_path / "x.root", tables))
    assert events.deta[0] == pytest.approx(1.5)
    assert events.mjj[0] == pytest.approx(1000 * np.cosh(0.75), rel=1e-6)


def test_file_without_events_may_have_other_columns(tmp_path, rng):
    write_events(tmp_path / "a.root", random_tables(rng, events=0), weights=False)
    path = write_events(tmp_path / "b.root", random_tables(rng))
    write_events(tmp_path / "c.root", random_tables(rng, events=0), weights=False)
    assert ak.array_equal(read_dijets(tmp_path / "*.root"), read_dijets(path))
    assert len(read_dijets([tmp_path / "a.root", tmp_path / "c.root"])) == 0
