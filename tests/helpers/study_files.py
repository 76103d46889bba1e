"""HDF5 files of the study, for tests to write."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

import hepvae

h5py = pytest.importorskip("h5py")

SPEC = {"relative": hepvae.InputSpec(), "absolute": hepvae.InputSpec(coordinates="absolute")}
FEATURES = ["mJJ", "j1Pt", "j1Eta", "j1Phi", "j1M", "j1E", "j2Pt", "j2M", "j2E", "DeltaEtaJJ", "DeltaPhiJJ"]


def features(events):
    """Features of events by their names in the study."""
    first, second = events.jets[:, 0], events.jets[:, 1]
    dphi = first.phi - second.phi
    found = {"mJJ": events.mjj, "DeltaEtaJJ": first.eta - second.eta}
    found["DeltaPhiJJ"] = dphi - 2 * np.pi * np.rint(dphi / (2 * np.pi))
    found |= {"j1Eta": first.eta, "j1Phi": first.phi, "j2Eta": second.eta, "j2Phi": second.phi}
    for name, jet in (("j1", first), ("j2", second)):
        found |= {f"{name}Pt": jet.pt, f"{name}M": jet.mass}
        found[f"{name}E"] = np.sqrt((jet.pt * np.cosh(jet.eta)) ** 2 + jet.mass**2)
    return {name: ak.to_numpy(column).astype(np.float32) for name, column in found.items()}


def write_study(path, events, *, coordinates="relative", particles="particleFeatures", names=FEATURES, order=None):
    table = features(events)
    with h5py.File(path, "w") as file:
        padded = hepvae.pad_particles(events, SPEC[coordinates])
        file.create_dataset(
            particles, data=padded, compression="gzip", chunks=(min(50, len(padded)), *padded.shape[1:])
        )
        file["eventFeatures"] = np.stack([table[name] for name in order or names], axis=1)
        file["particleFeatureNames"] = np.array(["pEta", "pPhi", "pPt"], "S")
        file["eventFeatureNames"] = np.array(names, "S")
    return path
