"""Jets of NanoEvents that carry their constituents, whatever is done to the jets."""

from __future__ import annotations

import logging

import awkward as ak
import numpy as np
import pytest
from helpers.dijet_files import random_tables, write_events
from helpers.nano import nano_events
from helpers.places import REAL_DATA

import hepvae
from hepvae.jets.quality import examine_jets

pytest.importorskip("coffea")

pytestmark = [
    pytest.mark.filterwarnings("ignore:Missing cross-reference index"),
    pytest.mark.filterwarnings("ignore:.* jets not scored"),  # some third jets have no constituents
    pytest.mark.filterwarnings("ignore:Branch .* already exists"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

MODES = ("eager", "virtual", "dask")
#: Of real files with thousands of branches, which coffea takes long to open.
REAL_MODES = [
    pytest.param("virtual"),
    pytest.param("eager", marks=pytest.mark.slow),
    pytest.param("dask", marks=pytest.mark.slow),
]
NEEDED = {
    *(f"FatJet_{c}" for c in ("pt", "eta", "phi", "mass")),
    *(f"PFCand_{c}" for c in ("pt", "eta", "phi")),
    "FatJetPFCand_jetIdx",
    "FatJetPFCand_pfCandIdx",
}
COUNTS = {"nFatJet", "nPFCand", "nFatJetPFCand"}


def computed(array):
    return array.compute(scheduler="sync") if hasattr(array, "compute") else array


FILES = [
    *(pytest.param(hepvae.sample_path("qcdSig"), mode, id=f"qcdSig-{mode}") for mode in MODES),
    pytest.param(REAL_DATA / "pfnano.root", "virtual", id="pfnano-virtual"),
    *(
        pytest.param(REAL_DATA / f"{name}.root", mode, id=f"{name}-{mode}", marks=pytest.mark.slow)
        for name, modes in (("pfnano", ("eager", "dask")), ("nano_tt_v15", MODES))
        for mode in modes
    ),
]


@pytest.mark.parametrize(("path", "mode"), FILES)
def test_the_two_leading_jets_are_those_that_are_read(path, mode):
    if not path.exists():
        pytest.skip("no real CMS files beside this checkout")
    jets = computed(hepvae.with_constituents(nano_events(path, mode)))
    expected = hepvae.read_dijets(path)
    found = hepvae.dijets(jets)
    assert ak.array_equal(found.jets.constituents, expected.jets.constituents)
    assert ak.array_equal(found.mjj, expected.mjj) and ak.array_equal(found.deta, expected.deta)
    whole = hepvae.read_jets(path).jets
    assert ak.array_equal(whole.constituents, jets.constituents) and len(whole) == len(jets)


def test_only_what_is_needed_is_read():
    read = []
    path = hepvae.sample_path("GtoWW15na")
    events = nano_events(path, "virtual", entry_stop=50, access_log=read)
    jets = hepvae.with_constituents(events)
    assert {getattr(entry, "branch", entry) for entry in read} == NEEDED | COUNTS
    jets = jets[ak.argsort(jets.pt, ascending=True)][:, :1]
    assert ak.to_numpy(ak.num(jets.constituents, axis=2)).min() > 0
    assert {getattr(entry, "branch", entry) for entry in read} == NEEDED | COUNTS
    assert ak.all(jets.delta_r(jets) == 0)  # the methods that coffea gives to jets


def test_lazy_jets_read_only_what_is_needed():
    dask_awkward = pytest.importorskip("dask_awkward")
    events = nano_events(hepvae.sample_path("GtoWW15na"), "dask")
    jets = hepvae.with_constituents(events)
    (columns,) = dask_awkward.necessary_columns(jets.constituents.pt).values()
    assert columns == NEEDED | COUNTS


@pytest.mark.parametrize(("path", "mode"), FILES)
def test_losses_of_the_leading_jets_are_those_of_the_dijets(path, mode, conv):
    if not path.exists():
        pytest.skip("no real CMS files beside this checkout")
    events = nano_events(path, mode)
    jets = hepvae.with_constituents(events)
    losses, expected = computed(hepvae.score_jets(jets, conv)), computed(hepvae.score_dijets(events, conv))
    pt = computed(jets.pt)
    assert ak.num(losses).tolist() == ak.num(pt).tolist()
    two = ~ak.is_none(expected)
    leading = losses[ak.argsort(pt, axis=1, ascending=False, stable=True)][two][:, :2]
    assert len(leading) > 0
    for i in (0, 1):
        for name in ("loss", "reco_loss", "kl_loss"):
            found = ak.to_numpy(leading[:, i][name])
            assert np.array_equal(found, ak.to_numpy(expected[two][f"j{i + 1}_{name}"]), equal_nan=True)


def test_each_jet_keeps_its_own_loss(conv):
    """Smeared by 5 % and sorted again, jets of 16 to 23 % of the events had the constituents of others."""
    rng = np.random.default_rng(1)
    jets = hepvae.with_constituents(nano_events(hepvae.sample_path("qcdSig"), "eager", entry_stop=400))
    nominal = hepvae.score_jets(jets, conv)
    event, index = ak.broadcast_arrays(np.arange(len(jets)), ak.local_index(jets, axis=1))
    jets = ak.with_field(ak.with_field(jets, event, "of_event"), index, "of_index")

    smeared = jets.pt * ak.unflatten(rng.normal(1, 0.05, ak.sum(ak.num(jets))), ak.num(jets))
    jets = ak.with_field(jets, smeared, "pt")
    jets = jets[ak.argsort(jets.pt, axis=1, ascending=False)]
    assert ak.any(jets.of_index != ak.local_index(jets, axis=1))
    jets = jets[(jets.mass > 30) & (jets.pt > 200)]
    jets = ak.concatenate([jets[200:], jets[:200]])
    jets = jets.mask[jets.mass < 500]
    pairs = hepvae.dijets(jets, order="mass")
    assert ak.all(pairs.jets.mass[:, 0] >= pairs.jets.mass[:, 1]) and ak.any(
        pairs.jets.pt[:, 0] < pairs.jets.pt[:, 1]
    )
    assert len(pairs) > 100
    for found in (jets, pairs.jets, ak.pad_none(jets, 3), ak.flatten(jets)):
        losses = hepvae.score_jets(found, conv)
        place = [ak.to_numpy(ak.drop_none(ak.flatten(found[c], axis=None))) for c in ("of_event", "of_index")]
        expected = ak.to_numpy(ak.flatten(nominal.loss))[ak.to_numpy(_starts(nominal))[place[0]] + place[1]]
        found = ak.to_numpy(ak.drop_none(ak.flatten(losses.loss, axis=None)))
        assert np.array_equal(found, expected, equal_nan=True)


def _starts(jagged):
    counts = ak.to_numpy(ak.num(jagged))
    return np.cumsum(counts) - counts


def test_constituents_that_follow_the_pt_of_the_jet(conv):
    """By default a correction of the jet leaves its constituents as they are: a choice, and not an oversight."""
    events = nano_events(hepvae.sample_path("GtoWW15na"), "virtual", entry_stop=50)
    spec = hepvae.InputSpec(n_particles=30)
    plain = hepvae.with_constituents(events)
    following = hepvae.with_constituents(events, scale_constituents=True)
    nominal = hepvae.pad_particles(ak.flatten(plain), spec)
    assert np.array_equal(hepvae.pad_particles(ak.flatten(following), spec), nominal)
    for jets, factor in ((plain, 1), (following, 1.02)):
        shifted = ak.with_field(jets, jets.pt * 1.02, "pt")
        shifted = shifted[ak.argsort(shifted.mass)]
        padded = hepvae.pad_particles(ak.flatten(shifted), spec)
        nominal = hepvae.pad_particles(ak.flatten(plain[ak.argsort(plain.mass)]), spec)
        assert padded[..., 2] == pytest.approx(nominal[..., 2] * factor, rel=1e-5)
        assert np.array_equal(padded[..., :2], nominal[..., :2])
    dask_awkward = pytest.importorskip("dask_awkward")
    lazy = hepvae.with_constituents(nano_events(hepvae.sample_path("GtoWW15na"), "dask"), scale_constituents=True)
    lazy = dask_awkward.with_field(lazy, lazy.pt * 1.02, "pt")
    losses = computed(hepvae.score_jets(lazy, conv))[:50]
    shifted = ak.with_field(following, following.pt * np.float32(1.02), "pt")
    assert ak.almost_equal(losses.loss, hepvae.score_jets(shifted, conv).loss, rtol=1e-4)


def test_coffeas_property_gives_way_to_the_field():
    """coffea's jets have a property of this name: it failed with 'only available for PFNano'."""
    events = nano_events(hepvae.sample_path("GtoWW15na"), "eager", entry_stop=20)
    jets = hepvae.with_constituents(events)
    assert ak.array_equal(jets.constituents.pt, jets["constituents"].pt)
    changed = ak.with_field(events, jets, "FatJet").FatJet
    assert ak.array_equal(changed.constituents.pt, jets["constituents"].pt)
    assert ak.array_equal(changed[0, 0].constituents.pt, jets[0, 0]["constituents"].pt)
    with pytest.raises(RuntimeError, match="only available for PFNano"):
        _ = events.FatJet.constituents


@pytest.mark.parametrize("mode", REAL_MODES)
def test_small_jets_of_real_pfnano(real_data, mode):
    """CHS jets: their candidates count with their whole pt, and the sum of the constituents is the raw jet."""
    jets = computed(hepvae.with_constituents(nano_events(real_data / "pfnano.root", mode), "Jet"))
    p = jets.constituents
    sums = np.hypot(ak.sum(p.px, axis=2), ak.sum(p.py, axis=2)) / (jets.pt * (1 - jets.rawFactor))
    assert ak.num(jets).tolist() == ak.num(sums).tolist()
    assert np.abs(ak.to_numpy(ak.flatten(sums)) - 1).max() < 0.005
    assert examine_jets(ak.flatten(jets)).flat.radius == 0.4
    read = hepvae.read_jets(real_data / "pfnano.root", collection="Jet", columns=["Jet_rawFactor", "HLT_PFJet4*"])
    assert ak.array_equal(read.jets.constituents, jets.constituents)
    assert ak.array_equal(read.jets.rawFactor, ak.without_parameters(jets.rawFactor))
    assert read.HLT_PFJet450.tolist() == read["HLT_PFJet450"].tolist() and "HLT_PFJet40" in read.fields


def test_events_that_were_chosen_before():
    events = nano_events(hepvae.sample_path("GtoWW15na"), "eager", entry_stop=60)
    whole = hepvae.with_constituents(events).constituents
    chosen = np.arange(60) % 3 != 1
    assert ak.array_equal(hepvae.with_constituents(events[chosen]).constituents, whole[chosen])
    masked = hepvae.with_constituents(events.mask[chosen])
    assert ak.is_none(masked).tolist() == (~chosen).tolist()
    assert ak.array_equal(ak.drop_none(masked.constituents, axis=0), whole[chosen])


@pytest.mark.parametrize("mode", ["eager", "virtual"])
def test_jets_that_were_sorted_before(mode, conv):
    events = nano_events(hepvae.sample_path("GtoWW15na"), mode, entry_stop=60)
    jets = events.FatJet[ak.argsort(events.FatJet.pt, ascending=True)]
    with pytest.raises(hepvae.DataError, match=r"not their own.*radius of 0\.8.*hepvae\.with_constituents"):
        hepvae.with_constituents(ak.with_field(events, jets, "FatJet"))
    with pytest.raises(hepvae.DataError, match=r"not their own.*hepvae\.with_constituents"):
        hepvae.score_dijets(ak.with_field(events, jets, "FatJet"), conv)
    with pytest.raises(hepvae.DataError, match=r"radius of 0\.9"):
        hepvae.with_constituents(ak.with_field(events, jets, "FatJet"), jet_radius=0.9)


@pytest.mark.parametrize("mode", ["eager", "virtual"])
def test_weights_are_those_of_the_file_in_each_chunk(tmp_path, rng, mode, caplog):
    """Each chunk decided on PUPPI weights by its own jets: one with few could decide otherwise than the others."""
    tables = random_tables(rng, events=30, jets=(2, 2), constituents=(20, 40))
    tables["candidates"]["weight"] = [np.full(len(pt), 0.25) for pt in tables["candidates"]["pt"]]
    sums = [
        np.bincount(jet[jet >= 0], pt[candidate[jet >= 0]], len(jets))
        for jet, candidate, pt, jets in zip(
            *tables["links"].values(), tables["candidates"]["pt"], tables["jets"]["pt"]
        )
    ]
    # Of the last five events, jets that look as if weights were in pt already.
    tables["jets"]["pt"] = [(0.25 if i < 25 else 1) * pt for i, pt in enumerate(sums)]
    path = write_events(tmp_path / "a.root", tables, layout="pfnano")
    whole = hepvae.read_jets(path).jets.constituents
    for start, stop in ((25, 30), (0, 10)):
        events = nano_events(path, mode, entry_start=start, entry_stop=stop)
        jets = hepvae.with_constituents(events)
        assert ak.array_equal(jets.constituents.pt, whole.pt[start:stop])
        chosen = events[np.arange(stop - start) % 2 == 0]
        assert ak.array_equal(hepvae.with_constituents(chosen).constituents.pt, whole.pt[start:stop:2])
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]

    elsewhere = ak.Array(events.layout, behavior=events.behavior)[:4]
    with caplog.at_level(logging.WARNING):
        assert ak.array_equal(hepvae.with_constituents(elsewhere).constituents.pt, whole.pt[:4])
    assert "decided by 8 jets of this chunk" in caplog.text


def test_scores_of_jets_read_only_what_is_needed(conv):
    """Momenta of jets and candidates, and their links: nothing else of the file is read, lazily or virtually."""
    dask_awkward = pytest.importorskip("dask_awkward")
    path = hepvae.sample_path("GtoWW15na")
    lazy = hepvae.score_jets(hepvae.with_constituents(nano_events(path, "dask")), conv)
    (columns,) = dask_awkward.necessary_columns(lazy).values()
    assert columns == NEEDED | COUNTS
    read = []
    jets = hepvae.with_constituents(nano_events(path, "virtual", entry_stop=50, access_log=read))
    losses = hepvae.score_jets(jets, conv)
    assert {getattr(entry, "branch", entry) for entry in read} == NEEDED | COUNTS
    assert ak.almost_equal(computed(lazy).loss[:50], losses.loss, rtol=1e-4)
