"""Every layout gives the same jets: those of NanoAODv15, which are held against a plain loop elsewhere."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.dijet_files import random_tables, same_jets, write_events

import hepvae
from hepvae import DataError, InputSpec, LayoutError, read_dijets
from hepvae.jets.kinematics import wrapped
from hepvae.reading.options import ReadOptions
from hepvae.scoring.inspection import inspect_files


@pytest.mark.parametrize("layout", ["nanoaodv15", "pfnano"])
@pytest.mark.parametrize("counts", ["nConstituents", "nPFCand"])
@pytest.mark.parametrize("kind", ["ttree", "rntuple", "grouped"])
def test_counts_instead_of_indices(tmp_path, rng, layout, counts, kind):
    """Links that do not name their jet come jet by jet, as many as the jet says."""
    tables = random_tables(rng)
    expected = read_dijets(write_events(tmp_path / "a.root", tables))
    form = {"rntuple": kind == "rntuple", "grouped": kind == "grouped"}
    found = read_dijets(write_events(tmp_path / "b.root", tables, layout=layout, counts=counts, **form))
    same_jets(found, expected)


@pytest.mark.parametrize("kind", ["ttree", "rntuple", "grouped"])
@pytest.mark.parametrize("layout", ["pfnano", "nanoaodv15"])
@pytest.mark.parametrize("weighted", [False, True])
def test_weights_multiply_pt_where_the_sums_say_so(tmp_path, rng, kind, layout, weighted):
    """A NanoAODv15 file with weights beside a pt that was weighted already was multiplied by them again."""
    tables = random_tables(rng)
    plain = read_dijets(write_events(tmp_path / "a.root", tables, layout=layout))
    tables["candidates"]["weight"] = [np.full(len(pt), 0.25) for pt in tables["candidates"]["pt"]]
    factor = np.float32(1 if weighted else 0.25)
    # Corrections of 30 %: only the raw pt is what constituents add up to.
    sums = [
        np.bincount(jet[jet >= 0], pt[candidate[jet >= 0]], len(jets))
        for jet, candidate, pt, jets in zip(
            *tables["links"].values(), tables["candidates"]["pt"], tables["jets"]["pt"]
        )
    ]
    tables["jets"]["pt"] = [(0.25 if weighted else 1) * pt / 0.7 for pt in sums]
    tables["jets"]["rawFactor"] = [np.full(len(pt), 0.3) for pt in sums]
    plain = read_dijets(
        write_events(
            tmp_path / "a.root", tables, layout=layout, drop=["PFCand_puppiWeight", "PFCands_puppiWeight"]
        )
    )
    form = {"rntuple": kind == "rntuple", "grouped": kind == "grouped"}
    path = write_events(tmp_path / "b.root", tables, layout=layout, **form)
    found = read_dijets(path)
    assert ak.array_equal(found.jets.constituents.pt, plain.jets.constituents.pt * (0.25 / factor))
    (report,) = inspect_files(path)
    done = "is multiplied" if weighted else "is not multiplied"
    assert f"_pt {done} by PFCand" in report.weights and "1.000" in report.weights
    assert report.health.pt_ratio[0] == pytest.approx(0.7, abs=1e-3)


def misplaced(tables, number):
    """The same with the jets of so many events in the other order, and the links as they were."""
    jets = {name: list(column) for name, column in tables["jets"].items()}
    for i in range(number):
        for column in jets.values():
            column[i] = column[i][::-1]
    return {**tables, "jets": jets}


@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize("step_size", ["100 MB", 4])
def test_constituents_of_others_in_a_file(tmp_path, rng, number, step_size):
    """Links that do not fit the jets gave every event a score, of the constituents of others."""
    tables = random_tables(rng, events=20, jets=(2, 2), constituents=(40, 80))
    for i in range(20):  # back to back
        eta, phi = (tables["candidates"][c][i] for c in ("eta", "phi"))
        axis = np.zeros(len(eta))
        axis[tables["links"]["candidate"][i]] = np.pi * np.maximum(tables["links"]["jet"][i], 0)
        eta[:] = rng.uniform(-0.3, 0.3, len(eta))
        phi[:] = wrapped(axis + rng.uniform(-0.3, 0.3, len(eta)))
    tables["jets"] |= {"eta": [np.zeros(2)] * 20, "phi": [np.array([0, np.pi])] * 20}
    path = write_events(tmp_path / "x.root", misplaced(tables, number))
    (report,) = inspect_files(path, ReadOptions(step_size=step_size))
    if number == 2:  # four jets: too few to call it a mistake
        assert report.health.unscorable == {"with constituents that are not its own": 4}
        assert report.failure is None and "4 of 40 jets" not in str(report.failure)
    else:
        assert "jets are not their own, they lie outside of the radius of 0.8 (last in entry 2)" in report.failure
        with pytest.raises(DataError, match=r"x\.root: tree 'Events': the constituents of 6 of \d+ jets"):
            read_dijets(path)


@pytest.mark.parametrize(
    ("branch", "values", "message"),
    [
        (
            "genWeight",
            [[1.0], [], [2.0, 3.0]],
            r"'genWeight' has var \* float64 for each entry: expected one number",
        ),
        ("genWeight", np.ones((3, 2)), r"'genWeight' has 2 \* float64 for each entry: expected one number"),
        ("run", ["a", "b", "c"], "'run' has string for each entry: expected one number"),
        ("event", [[1], [2], [3]], r"'event' has var \* int64 for each entry: expected one number"),
        ("FatJet_pt", [1.0, 2.0, 3.0], "'FatJet_pt' has float64 for each entry: expected a list of numbers"),
    ],
)
def test_branches_of_another_form(tmp_path, branch, values, message):
    """One such file was a ValueError, or AxisError, and the end of the work on all others."""
    lists = ak.Array([[], [], []])
    names = ["FatJet_pt", "FatJet_eta", "FatJet_phi", "FatJet_mass", "PFCand_pt", "PFCand_eta", "PFCand_phi"]
    names += ["FatJetPFCand_jetIdx", "FatJetPFCand_pfCandIdx"]
    columns = {name: ak.values_astype(lists, np.float32) for name in names} | {branch: ak.Array(values)}
    path = tmp_path / "odd.root"
    with uproot.recreate(path) as file:
        file.mktree("Events", {name: column.type.content for name, column in columns.items()}).extend(columns)
    (report,) = inspect_files(path)
    with pytest.raises(DataError, match=rf"odd\.root: tree 'Events': branch {message}"):
        read_dijets(path)
    assert "branch" in report.failure


def test_weighted_constituents_of_real_pfnano_add_up_to_the_raw_jet(real_data):
    """PFNano keeps the pt of a candidate, and its PUPPI weight beside it; the jets are PUPPI jets."""
    path = real_data / "pfnano.root"
    events = read_dijets(path)
    with uproot.open(path) as file:
        columns = file["Events"].arrays(["FatJet_pt", "FatJet_mass", "FatJet_rawFactor"])
    order = ak.argsort(columns.FatJet_pt, ascending=False, stable=True)[:, :2]
    raw = 1 - columns.FatJet_rawFactor[order]
    p = events.jets.constituents
    px, py, pz, energy = (
        ak.to_numpy(ak.flatten(ak.sum(np.float64(1) * c, axis=2)))
        for c in (p.px, p.py, p.pz, p.pt * np.cosh(p.eta))
    )
    pt = np.hypot(px, py) / ak.to_numpy(ak.flatten(columns.FatJet_pt[order] * raw))
    assert np.abs(pt - 1).max() < 0.01
    # The most sensitive to soft candidates: without weights 0.97 to 1.18, and all of it less for their own mass.
    mass = np.sqrt(energy**2 - px**2 - py**2 - pz**2) / ak.to_numpy(ak.flatten(columns.FatJet_mass[order] * raw))
    assert mass.min() > 0.95 and mass.max() < 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda counts: counts + 1, "FatJet_nConstituents and FatJetPFCand_pfCandIdx differ in length in entry"),
        (lambda counts: -1 - counts, "FatJet_nConstituents is negative in entry"),
    ],
)
def test_counts_that_cannot_be(tmp_path, rng, change, message):
    from helpers import dijet_files

    tables = dijet_files.counted(random_tables(rng, jets=(1, 3)))
    tables["links"]["counts"] = [change(counts) for counts in tables["links"]["counts"]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dijet_files, "counted", lambda tables: tables)
        path = write_events(tmp_path / "x.root", tables, counts="nConstituents")
    with pytest.raises(DataError, match=message):
        read_dijets(path)


def write_plain(path, events, *, swapped=False, **more):
    """Dijets with branches of their own for each jet."""
    columns = {}
    for jet in (1, 2):
        one = events.jets[:, 2 - jet if swapped else jet - 1]
        columns |= {f"j{jet}_{c}": one[c] for c in ("pt", "eta", "phi", "mass")}
        columns |= {f"j{jet}_constituents_{c}": one.constituents[c] for c in ("pt", "eta", "phi")}
    columns |= {"event": events.event, **more}
    with uproot.recreate(path) as file:
        file.mktree("Events", {name: ak.type(column).content for name, column in columns.items()}).extend(columns)
    return path


@pytest.mark.parametrize("swapped", [False, True])
def test_plain_dijets(tmp_path, dijet_file, swapped):
    """Whatever the file calls them, jet 1 is the one with the larger pt."""
    expected = read_dijets(dijet_file)
    found = read_dijets(write_plain(tmp_path / "plain.root", expected, swapped=swapped))
    same_jets(found, expected)
    assert ak.array_equal(found.event, expected.event)
    assert ak.almost_equal(found.mjj, expected.mjj)
    (report,) = inspect_files(tmp_path / "plain.root")
    assert report.schema == "dijets" and report.events_without_dijet == 0


def test_plain_dijets_with_columns_of_different_lengths(tmp_path, dijet_file):
    events = read_dijets(dijet_file)
    wrong = ak.concatenate([events.jets[:, 1].constituents.eta, np.zeros((len(events), 1), "f4")], axis=1)
    path = write_plain(tmp_path / "x.root", events, j2_constituents_eta=wrong)
    with pytest.raises(DataError, match="pt and eta of the constituents of jet 2 differ in length in entry 0"):
        read_dijets(path)


def write_jetclass(path, jets):
    """One jet an entry, in the names of JetClass."""
    p = jets.constituents
    px, py, pz = p.pt * np.cos(p.phi), p.pt * np.sin(p.phi), p.pt * np.sinh(p.eta)
    energy = np.sqrt((jets.pt * np.cosh(jets.eta)) ** 2 + np.float64(1) * jets.mass**2)
    columns = {
        **{f"jet_{c}": jets[c] for c in ("pt", "eta", "phi")},
        "jet_energy": ak.values_astype(energy, "f4"),
        **{f"part_{c}": ak.values_astype(v, "f4") for c, v in {"px": px, "py": py, "pz": pz}.items()},
        "part_energy": ak.values_astype(np.sqrt(px**2 + py**2 + pz**2), "f4"),
    }
    with uproot.recreate(path) as file:
        file.mktree("tree", {name: ak.type(column).content for name, column in columns.items()}).extend(columns)
    return path


@pytest.fixture
def jetclass_file(tmp_path, signal_events):
    return write_jetclass(tmp_path / "jetclass.root", ak.flatten(signal_events.jets))


def test_one_jet_an_entry_is_refused_where_two_are_needed(jetclass_file):
    with pytest.raises(
        LayoutError,
        match=r"jetclass\.root: tree 'tree': has one jet an entry \(jetclass layout\): expected events",
    ):
        read_dijets(jetclass_file)


def test_all_jets_of_a_file_with_one_jet_an_entry(jetclass_file, signal_events):
    entries = hepvae.read_jets(jetclass_file, columns=["jet_energy"])
    assert ak.num(entries.jets).tolist() == [1] * 120
    found, expected = ak.flatten(entries.jets), ak.flatten(signal_events.jets)
    assert ak.almost_equal(found.pt, expected.pt, rtol=1e-6)
    assert ak.almost_equal(found.constituents.pt, expected.constituents.pt, rtol=1e-5)
    assert ak.almost_equal(found.energy, expected.energy, rtol=1e-5)


def test_one_jet_an_entry_is_padded_for_training(jetclass_file, signal_events):
    from hepvae.jets.selection import Selection
    from hepvae.reading.batches import padded_jets
    from hepvae.reading.reports import FileReport
    from hepvae.reading.sources import Source

    source, report, spec = Source(str(jetclass_file)), FileReport("x"), hepvae.InputSpec()
    parts = padded_jets(source, report, spec, ReadOptions(step_size=50), Selection(pt_min=0, eta_max=9))
    found = np.concatenate(list(parts))
    expected = hepvae.pad_particles(signal_events, spec).reshape(-1, *spec.shape)
    assert found[..., 2] == pytest.approx(expected[..., 2], rel=1e-5)
    # Constituents of equal pt may change places, as px and py are rounded.
    assert found.sum(axis=1) == pytest.approx(expected.sum(axis=1), rel=1e-4, abs=2e-3)
    assert (report.schema, report.events_read) == ("jetclass", 120)
    harder = np.concatenate(list(padded_jets(source, report, spec, ReadOptions(), Selection(pt_min=600))))
    assert len(harder) == ak.sum((signal_events.jets.pt > 600) & (abs(signal_events.jets.eta) < 2.4))
    with pytest.raises(LayoutError, match="has one jet an entry, no deta: expected no region, not 'signal'"):
        list(padded_jets(source, report, spec, ReadOptions(), Selection(region="signal")))


def test_one_jet_an_entry_is_inspected(jetclass_file, signal_events, capsys):
    from hepvae.cli import main

    (report,) = inspect_files(jetclass_file)
    (expected,) = inspect_files(hepvae.sample_path("GtoWW15na"))
    assert report.health.jets == 120 and report.events_kept == 0 and report.single_jets
    assert report.health.pt_ratio == pytest.approx(expected.health.pt_ratio, abs=0.02)
    assert main(["inspect", str(jetclass_file)]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[1:3] == ["jetclass", "120"]


def test_file_without_events_is_no_failure(tmp_path, rng):
    """Of simulation without an event that passed: nothing is lost with what it lacks."""
    lacks = ["PFCand_pt", "PFCand_eta", "PFCand_phi", "FatJetPFCand_jetIdx", "FatJetPFCand_pfCandIdx"]
    path = write_events(tmp_path / "x.root", random_tables(rng, events=0), drop=lacks)
    events = read_dijets(path)
    assert len(events) == 0 and events.fields[-1] == "genWeight"
    (report,) = inspect_files(path)
    assert (report.failure, report.schema, report.entries) == (None, None, 0)


def test_real_file_without_events(real_data):
    assert len(read_dijets(real_data / "nano_dy_empty.root")) == 0


def test_further_columns_in_other_layouts(tmp_path, signal_events, jetclass_file):
    """A model that takes columns that a layout has not is refused by their names; those it has are read."""
    from helpers.study_files import write_study

    charges, ratio = InputSpec(5, ("pt", "charge")), InputSpec(1, (), jet_features=("tau2/tau1",))
    dijets = tmp_path / "dijets.root"
    write_plain(dijets, signal_events)
    study = write_study(tmp_path / "study.h5", signal_events)
    for path, spec, named in (
        (dijets, charges, "'j1_constituents_charge', which the model needs for charge"),
        (dijets, ratio, "'j1_tau2', which the model needs for tau2, tau1"),
        (study, charges, "'j1_particles_charge', which the model needs for charge"),
        (study, ratio, "'j1_tau2', which the model needs for tau2, tau1"),
    ):
        with pytest.raises(LayoutError, match=named):
            read_dijets(path, spec=spec)
    with pytest.raises(LayoutError, match="'part_charge', which the model needs for charge"):
        hepvae.read_jets(jetclass_file, spec=charges)
    with_mass = read_dijets(dijets, spec=InputSpec(1, (), jet_features=("mass", "multiplicity")))
    assert len(with_mass) == len(signal_events)
