"""Jets of NanoEvents that carry their constituents, whatever is done to the jets."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import pytest
from helpers.places import REAL_DATA

import hepvae

pytest.importorskip("coffea")
from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

pytestmark = [
    pytest.mark.filterwarnings("ignore:Missing cross-reference index"),
    pytest.mark.filterwarnings("ignore:Branch .* already exists"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

MODES = ("eager", "virtual", "dask")
NEEDED = {
    *(f"FatJet_{c}" for c in ("pt", "eta", "phi", "mass")),
    *(f"PFCand_{c}" for c in ("pt", "eta", "phi")),
    "FatJetPFCand_jetIdx",
    "FatJetPFCand_pfCandIdx",
}
COUNTS = {"nFatJet", "nPFCand", "nFatJetPFCand"}


def nano_events(path, mode, **options):
    if mode == "dask":
        pytest.importorskip("dask_awkward")
    return NanoEventsFactory.from_root(
        {str(path): "Events"},
        schemaclass=NanoAODSchema,
        mode=mode,
        metadata={"dataset": Path(path).stem},
        **options,
    ).events()


def computed(array):
    return array.compute(scheduler="sync") if hasattr(array, "compute") else array


FILES = [
    pytest.param(hepvae.sample_path("qcdSig"), id="qcdSig"),
    pytest.param(REAL_DATA / "nano_tt_v15.root", id="nano_tt_v15", marks=pytest.mark.slow),  # 2656 branches
    pytest.param(REAL_DATA / "pfnano.root", id="pfnano"),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("path", FILES)
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
