"""Files of the LHC Olympics 2020, written here by pandas as those are."""

from __future__ import annotations

import re

import awkward as ak
import numpy as np
import pytest
from helpers.places import CHECKOUT

import hepvae
from hepvae.cli import main
from hepvae.jets.kinematics import wrapped
from hepvae.scoring.formats import open_scored
from hepvae.scoring.inspection import inspect_files
from hepvae.search import roc

pandas = pytest.importorskip("pandas")
pytest.importorskip("tables")
pytest.importorskip("h5py")
fastjet = pytest.importorskip("fastjet")

FORMATS = ("fixed", "table")
EVENTS = 40


@pytest.fixture(scope="module")
def particles():
    """(events, 700, 3): constituents of real (generated) dijets and soft noise, in no order, zero padded."""
    rng = np.random.default_rng(3)
    events = hepvae.read_dijets(hepvae.sample_path("GtoWW15na"), entry_stop=EVENTS)
    array = np.zeros((EVENTS, 700, 3))
    for i, jets in enumerate(events.jets.constituents):
        hard = np.stack([ak.to_numpy(ak.flatten(jets[name])) for name in ("pt", "eta", "phi")], axis=1)
        soft = np.stack([rng.exponential(0.5, 50), rng.uniform(-2.5, 2.5, 50), rng.uniform(-3.1, 3.1, 50)], axis=1)
        both = rng.permutation(np.concatenate([hard, soft]))
        array[i, : len(both)] = both
    return array


@pytest.fixture(scope="module")
def labels():
    return np.arange(EVENTS) % 3 % 2


def write(path, particles, labels=None, kind="fixed", whole=False):
    frame = pandas.DataFrame(particles.reshape(len(particles), -1))
    if labels is not None:
        frame[frame.shape[1]] = labels.astype(int if whole else float)
    frame.to_hdf(path, key="df", mode="w", format=kind)
    return path


def clustered(event):
    """The two leading jets of an event by FastJet's own classes, each with its constituents."""
    pt, eta, phi = event[event[:, 0] > 0].T
    momenta = [
        fastjet.PseudoJet(p * np.cos(f), p * np.sin(f), p * np.sinh(e), p * np.cosh(e))
        for p, e, f in zip(pt.tolist(), eta.tolist(), phi.tolist())
    ]
    clusters = fastjet.ClusterSequence(momenta, fastjet.JetDefinition(fastjet.antikt_algorithm, 1.0))
    jets = sorted(clusters.inclusive_jets(20.0), key=lambda jet: -jet.pt())[:2]
    return [
        ((jet.pt(), jet.eta(), wrapped(jet.phi()), jet.m()), sorted(p.pt() for p in clusters.constituents(jet)))
        for jet in jets
    ]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("whole", [False, True], ids=["labels in the block", "labels of their own"])
def test_two_leading_jets_same_as_a_plain_loop(tmp_path, particles, labels, kind, whole):
    path = write(tmp_path / "events.h5", particles, labels, kind, whole)
    events = hepvae.read_dijets(path)
    assert len(events) == EVENTS and events.label.tolist() == labels.tolist()
    for event, jets in zip(particles, events.jets):
        for (momentum, members), jet in zip(clustered(event), jets):
            assert (jet.pt, jet.eta, jet.phi, jet.mass) == pytest.approx(momentum, rel=1e-5, abs=1e-5)
            assert sorted(jet.constituents.pt.tolist()) == pytest.approx(members, rel=1e-5)
    chunks = list(hepvae.iterate_dijets(path, step_size=7))
    assert len(chunks) == 6 and ak.array_equal(ak.concatenate(chunks), events)
    entries = hepvae.read_jets(path)
    assert ak.min(entries.jets.pt) > 20 and ak.array_equal(hepvae.dijets(entries).mjj, events.mjj)
    (report,) = inspect_files(path)
    assert report.schema == "lhco" and report.health.unscorable == {}


def test_scored_like_any_other_file(tmp_path, particles, labels):
    path = write(tmp_path / "events.h5", particles, labels)
    inferer = hepvae.load_inferer(hepvae.model_path("conv"))
    events = hepvae.read_dijets(path)
    assert np.isfinite(ak.to_numpy(hepvae.score_dijets(events, inferer).score)).all()
    report = hepvae.score_files(path, inferer, tmp_path / "s.root")
    assert report.events_scored == len(hepvae.select_dijets(events)) > 0


def test_the_key_of_a_black_box(tmp_path, particles, labels):
    path = write(tmp_path / "black.box1.h5", particles)
    assert "label" not in hepvae.read_dijets(path).fields
    key = tmp_path / "black.box1.masterkey"
    key.write_text("".join(f"{label:.1f}\n" for label in labels))
    assert hepvae.read_dijets(path).label.tolist() == labels.tolist()
    assert ak.concatenate(list(hepvae.iterate_dijets(path, step_size=9))).label.tolist() == labels.tolist()
    for text, message in (
        ("0\n1\n", rf"box1\.masterkey: has 2 labels for the {EVENTS} events of .*box1\.h5"),
        ("2\n" * EVENTS, r"box1\.masterkey: label is 2 in entry 0: expected 0 or 1"),
        ("signal\n", r"box1\.masterkey: expected a label for each event, 0 or 1, one a line"),
    ):
        key.write_text(text)
        with pytest.raises(hepvae.DataError, match=message):
            hepvae.read_dijets(path)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("whole", [False, True])
def test_features_are_jets_without_constituents(tmp_path, kind, whole):
    rng = np.random.default_rng(5)
    names = [f"{name}j{i}" for i in (1, 2) for name in ("px", "py", "pz", "m", "tau1", "tau2", "tau3")]
    frame = pandas.DataFrame({name: rng.normal(0, 500, 20) for name in names})
    frame[["mj1", "mj2"]] = rng.uniform(10, 200, (20, 2))
    frame.loc[3, ["pxj2", "pyj2", "pzj2", "mj2"]] = 0.0  # an event of one jet
    frame["label"] = (np.arange(20) % 2).astype(int if whole else float)
    frame.to_hdf(tmp_path / "features.h5", key="df", mode="w", format=kind)
    entries = hepvae.read_jets(tmp_path / "features.h5", columns=["LHCOJet_tau*"])
    assert ak.num(entries.jets).tolist() == [1 if i == 3 else 2 for i in range(20)]
    first = entries.jets[:, 0]
    for name, expected in {
        "px": frame.pxj1,
        "py": frame.pyj1,
        "pz": frame.pzj1,
        "mass": frame.mj1,
        "tau3": frame.tau3j1,
    }.items():
        assert ak.to_numpy(getattr(first, name)) == pytest.approx(expected.to_numpy(), rel=1e-5)
    assert ak.sum(ak.num(entries.jets.constituents, axis=2)) == 0
    assert entries.label.tolist() == frame["label"].tolist()
    (report,) = inspect_files(tmp_path / "features.h5")
    assert report.health.unscorable == {"without constituents": 38} and report.events_without_dijet == 1


def test_no_more_than_a_chunk_is_read_at_once(tmp_path, particles, monkeypatch):
    """The real file has 1.1 million events of 17 kB."""
    from hepvae.reading.tables.frames import Frame

    path = write(tmp_path / "events.h5", particles)
    rows, read = [], Frame.read
    monkeypatch.setattr(Frame, "read", lambda self, names, a, b: rows.append(b - a) or read(self, names, a, b))
    assert sum(map(len, hepvae.iterate_dijets(path, step_size="100 kB"))) == EVENTS
    assert max(rows) * 2100 * 8 < 100_000 and sum(rows) == EVENTS


def test_events_without_particles(tmp_path, particles):
    for number in (0, 1, 3):
        some = particles[:3].copy()
        some[:number] = 0
        assert len(hepvae.read_dijets(write(tmp_path / "x.h5", some))) == 3 - number


def test_what_is_no_file_of_the_benchmark(tmp_path, particles, labels):
    for change, message in (
        (lambda p: p.__setitem__((5, 2, 1), np.nan), "a particle in entry 5 has a negative pt, or a value"),
        (lambda p: p.__setitem__((7, 0, 0), -1.0), "a particle in entry 7 has a negative pt, or a value"),
    ):
        changed = particles.copy()
        change(changed)
        with pytest.raises(hepvae.DataError, match=message):
            hepvae.read_dijets(write(tmp_path / "x.h5", changed, labels))
    with pytest.raises(hepvae.DataError, match=r"x\.h5: label is 3 in entry 0: expected 0 or 1"):
        hepvae.read_dijets(write(tmp_path / "x.h5", particles, 0 * labels + 3))
    pandas.DataFrame({"pxj1": [1.0], "mass": [2.0]}).to_hdf(tmp_path / "y.h5", key="df", mode="w")
    with pytest.raises(hepvae.LayoutError, match=r"y\.h5: unknown layout: .*or for 'pyj1'; found 'pxj1', 'mass'"):
        hepvae.read_dijets(tmp_path / "y.h5")
    pandas.DataFrame({"name": ["a"]}).to_hdf(tmp_path / "z.h5", key="df", mode="w", format="table")
    with pytest.raises(hepvae.LayoutError, match=r"of the frame is of .*: expected numbers"):
        hepvae.read_dijets(tmp_path / "z.h5")


@pytest.mark.parametrize("name", ["block0_values", "block0_items"])
def test_frames_that_are_kept_elsewhere_or_declare_too_much(tmp_path, particles, name):
    """As of the files of the study: another file of the user is never read, and memory never taken on trust."""
    h5py = pytest.importorskip("h5py")
    path = write(tmp_path / "x.h5", particles)
    with h5py.File(path, "a") as file:
        del file["df"][name]
        file["df"][name] = h5py.ExternalLink("other.h5", "secret")
    with pytest.raises(hepvae.FileError, match=rf"x\.h5: dataset '{name}' is kept in another file: not read"):
        hepvae.read_dijets(path)
    path = write(tmp_path / "y.h5", particles)
    with h5py.File(path, "a") as file:
        del file["df/block0_values"]
        file["df"].create_dataset("block0_values", (10**9, 2100), "f8", chunks=(100, 2100))
    with pytest.raises(hepvae.FileError, match=r"y\.h5: df/block0_values declares 16800000000000 bytes and has 0"):
        hepvae.read_dijets(path)


def test_names_of_columns_that_are_code(tmp_path):
    """pandas pickles the names of the format table: they are read without running anything."""
    h5py = pytest.importorskip("h5py")
    pandas.DataFrame({"pxj1": [1.0]}).to_hdf(tmp_path / "x.h5", key="df", mode="w", format="table")
    for pickled, message in (
        (b"cos\nsystem\n(S'touch hacked'\ntR.", "is no plain list of names"),
        (b"\x80\xff(lp0\nVa", "is damaged"),
    ):
        with h5py.File(tmp_path / "x.h5", "a") as file:
            file["df/table"].attrs["values_block_0_kind"] = np.bytes_(pickled)
        with pytest.raises(
            hepvae.HepvaeError, match=rf"x\.h5: attribute 'values_block_0_kind' of the frame {message}"
        ):
            hepvae.read_dijets(tmp_path / "x.h5")


@pytest.mark.parametrize("suffix", [".root", ".parquet"])
def test_label_in_the_scored_file(tmp_path, monkeypatch, capsys, particles, labels, suffix):
    """The label was read, and the scored file had none: no AUC of the benchmark could be had."""
    path = write(tmp_path / "events.h5", particles, labels)
    output, rescored = tmp_path / f"scores{suffix}", tmp_path / f"again{suffix}"
    assert main(["score", str(path), "--model", "conv", "--output", str(output)]) == 0
    assert main(["rescore", str(output), "--strategy", "max", "--output", str(rescored)]) == 0
    events = hepvae.select_dijets(hepvae.read_dijets(path))
    expected = hepvae.score_dijets(events, hepvae.load_inferer("conv"))
    with open_scored(output) as scored, open_scored(rescored) as again:
        label, score = scored.column("label"), scored.column("score")
        assert again.column("label").tolist() == label.tolist() == events.label.tolist()
    assert score == pytest.approx(ak.to_numpy(expected.score), rel=1e-4)
    assert 3 < label.sum() < len(label) - 3

    split = [(score[label == value], np.ones((label == value).sum())) for value in (0, 1)]
    pairs = np.sign(score[label == 1][:, np.newaxis] - score[label == 0])
    assert roc(*split).auc == pytest.approx((pairs.mean() + 1) / 2)
    if suffix == ".root":  # the page's own lines
        monkeypatch.chdir(tmp_path)
        page = (CHECKOUT / "docs" / "reading.md").read_text()
        (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
        exec(block, {})
        assert capsys.readouterr().out.splitlines()[-1].startswith(f"AUC {roc(*split).auc:.3f}, significance")
    friend = hepvae.score_files(path, hepvae.load_inferer("conv"), tmp_path / f"f{suffix}", friend=True)
    with open_scored(friend.output) as scored:
        assert "label" not in scored.kinds and "scored" in scored.kinds
