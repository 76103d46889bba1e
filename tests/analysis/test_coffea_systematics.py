"""The example of systematic variations, on two Dask workers: its histograms are those of a plain loop."""

from __future__ import annotations

import subprocess
import sys
from statistics import NormalDist

import numpy as np
import pytest
import uproot
from helpers.dijet_files import LAYOUTS
from helpers.places import ANALYSIS, REAL_DATA
from helpers.reference import pad_one_by_one

import hepvae

pytest.importorskip("coffea")
SCRIPT = ANALYSIS / "coffea_systematics.py"
#: JES and JER of each variation of jets.
ENERGY = {
    "nominal": (1, 0.05),
    "JESUp": (1.02, 0.05),
    "JESDown": (0.98, 0.05),
    "JERUp": (1, 0.07),
    "JERDown": (1, 0.03),
}
LEAST_MJJ = 100


def plain_loop(path, layout, inferer):
    """For each variation mjj, score and weight of its events, one at a time."""
    candidate, link, index = LAYOUTS[layout]
    filled = {name: [] for name in (*ENERGY, "tailUp")}
    with uproot.open(path) as file:
        tree = file["Events"]
        jet, candidate_columns = ("pt", "eta", "phi", "mass"), ("pt", "eta", "phi", "puppiWeight")
        names = [f"FatJet_{c}" for c in jet] + [f"{candidate}_{c}" for c in candidate_columns]
        names += [f"{link}_jetIdx", f"{link}_{index}", "event", "genWeight", "HLT_PFJet500"]
        rows = tree.arrays([name for name in names if name in tree]).to_list()
    for row in rows:
        members = [[] for _ in row["FatJet_pt"]]
        for jet, k in zip(row[f"{link}_jetIdx"], row[f"{link}_{index}"]):
            if jet >= 0 and k >= 0:
                weight = row[f"{candidate}_puppiWeight"][k] if f"{candidate}_puppiWeight" in row else 1
                one = {c: row[f"{candidate}_{c}"][k] for c in ("pt", "eta", "phi")}
                members[jet].append({**one, "pt": weight * one["pt"]})
        jets = [{c: row[f"FatJet_{c}"][i] for c in ("pt", "eta", "phi", "mass")} for i in range(len(members))]
        weight, losses = row.get("genWeight", 1.0), {}
        tail = 1.1 if any(jet["pt"] > 1000 for jet in jets) else 1
        for variation, (jes, jer) in ENERGY.items():
            if not row.get("HLT_PFJet500", True):
                continue
            varied = []
            for i, jet in enumerate(jets):
                gauss = NormalDist().inv_cdf((row["event"] * 0.61803398875 + i * 0.75487766625) % 1)
                factor = (1 + jer * gauss) * jes
                varied.append({**jet, "index": i, "pt": jet["pt"] * factor, "mass": jet["mass"] * factor})
            two = sorted((jet for jet in varied if jet["mass"] > 20), key=lambda jet: -jet["pt"])[:2]
            if len(two) < 2 or any(jet["pt"] <= 200 or abs(jet["eta"]) >= 2.4 for jet in two):
                continue
            mjj = invariant_mass(two)
            if mjj <= LEAST_MJJ:
                continue
            for i in {jet["index"] for jet in two} - set(losses):
                if members[i]:
                    padded = pad_one_by_one([{**jets[i], "constituents": members[i]}], inferer.spec)
                    losses[i] = float(inferer(padded)["loss"][0])
            if all(jet["index"] in losses for jet in two):
                score = min(losses[jet["index"]] for jet in two)
                filled[variation].append((mjj, score, weight))
                if variation == "nominal":
                    filled["tailUp"].append((mjj, score, weight * tail))
    return filled


def invariant_mass(jets):
    px, py, pz, energy = 0, 0, 0, 0
    for jet in jets:
        x, y, z = jet["pt"] * np.cos(jet["phi"]), jet["pt"] * np.sin(jet["phi"]), jet["pt"] * np.sinh(jet["eta"])
        px, py, pz = px + x, py + y, pz + z
        energy += np.sqrt(x**2 + y**2 + z**2 + jet["mass"] ** 2)
    return np.sqrt(max(energy**2 - px**2 - py**2 - pz**2, 0))


@pytest.mark.slow
def test_histograms_are_those_of_a_plain_loop(tmp_path):
    files = {"na": (hepvae.sample_path("GtoWW15na"), "nanoaodv15")}
    if REAL_DATA.is_dir():
        files |= {
            "tt": (REAL_DATA / "nano_tt_v15.root", "nanoaodv15"),
            "pf": (REAL_DATA / "pfnano.root", "pfnano"),
        }
    output, inferer = tmp_path / "systematics.root", hepvae.load_inferer("conv")
    datasets = [f"{name}={path}" for name, (path, _) in files.items()]
    options = [f"--mjj-min={LEAST_MJJ}", "--dask=local:2", f"--output={output}"]
    done = subprocess.run(
        [sys.executable, SCRIPT, *datasets, *options], capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    with uproot.open(output) as file:
        for dataset, (path, layout) in files.items():
            for variation, events in plain_loop(path, layout, inferer).items():
                found = file[f"{dataset}/{variation}"].to_hist()
                expected = found.copy().reset()
                mjj, score, weight = np.array(events).reshape(-1, 3).T
                expected.fill(score, mjj, weight=weight)
                # Two events may be on the other side of the border of a bin: losses in float32.
                apart = np.abs(found.values(flow=True) - expected.values(flow=True)).sum()
                assert apart <= 4 * np.abs(weight).max(initial=0), (dataset, variation)
                assert dataset == "tt" or expected.sum(flow=True).value > 0
        nominal, scaled = (file[f"na/{name}"].to_hist() for name in ("nominal", "JESUp"))
        assert not np.array_equal(nominal.values(), scaled.values())
    assert "na JERDown: 2061 events," in done.stdout


def test_it_is_short():
    assert len(SCRIPT.read_text().splitlines()) < 60
