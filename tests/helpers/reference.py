"""The slow, obvious ways to read and to pad, that the fast ones are held against."""

from __future__ import annotations

import numpy as np
import uproot

from helpers.dijet_files import LAYOUTS

__all__ = ["feature_of", "jet_feature_of", "loop_over_branches", "pad_one_by_one"]


def loop_over_branches(path, layout):
    """The two jets of each event with their constituents, one at a time, in plain Python."""
    candidate, link, index = LAYOUTS[layout]
    names = [f"FatJet_{c}" for c in ("pt", "eta", "phi", "mass")]
    names += [f"{candidate}_{c}" for c in ("pt", "eta", "phi")] + [f"{link}_jetIdx", f"{link}_{index}", "event"]
    with uproot.open(path) as file:
        arrays = {name: file["Events"][name].array() for name in names}
        if f"{candidate}_puppiWeight" in file["Events"].keys(recursive=False):
            arrays[f"{candidate}_pt"] = (
                arrays[f"{candidate}_pt"] * file["Events"][f"{candidate}_puppiWeight"].array()
            )
        table = {name: array.to_list() for name, array in arrays.items()}
    events = []
    for values in zip(*table.values()):
        row = dict(zip(table, values))
        order = sorted(range(len(row["FatJet_pt"])), key=lambda j: -row["FatJet_pt"][j])
        if len(order) < 2:
            continue
        jets = []
        for j in order[:2]:
            members = [
                row[f"{link}_{index}"][k] for k, jet in enumerate(row[f"{link}_jetIdx"]) if jet == j and j >= 0
            ]
            members = [m for m in members if m >= 0]
            jets.append(
                {c: row[f"FatJet_{c}"][j] for c in ("pt", "eta", "phi", "mass")}
                | {
                    "constituents": [
                        {c: row[f"{candidate}_{c}"][m] for c in ("pt", "eta", "phi")} for m in members
                    ]
                }
            )
        events.append({"event": row["event"], "jets": jets})
    return events


def pad_one_by_one(jets, spec):
    """The obvious form: one jet, one constituent at a time."""
    padded = np.zeros((len(jets), *spec.shape), np.float32)
    for i, jet in enumerate(jets):
        ordered = sorted(jet["constituents"], key=lambda c: -c["pt"])
        for k, constituent in enumerate(ordered[: spec.n_particles]):
            for f, feature in enumerate(spec.features):
                if spec.coordinates == "relative" and feature in ("eta", "phi"):
                    feature = f"d{feature}"
                padded[i, k, f] = feature_of(feature, constituent, jet)
        for f, feature in enumerate(spec.jet_features, start=len(spec.features)):
            padded[i, :, f] = jet_feature_of(feature, jet)
    return padded


def wrapped(angle):
    """In [-pi, pi]."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


def feature_of(name, constituent, jet):
    """A feature of one constituent, in float64, by its formula."""
    pt, eta, phi = (constituent[c] for c in ("pt", "eta", "phi"))
    energy = np.sqrt((pt * np.cosh(eta)) ** 2 + constituent.get("mass", np.nan) ** 2)
    jet_energy = np.sqrt((jet["pt"] * np.cosh(jet["eta"])) ** 2 + jet["mass"] ** 2)
    with np.errstate(divide="ignore"):
        log_pt, log_energy = np.log(pt), np.log(energy)
    values = {
        "deta": eta - jet["eta"],
        "dphi": wrapped(phi - jet["phi"]),
        "delta_r": np.hypot(eta - jet["eta"], wrapped(phi - jet["phi"])),
        "log_pt": log_pt,
        "pt_fraction": pt / jet["pt"],
        "log_pt_fraction": log_pt - np.log(jet["pt"]),
        "px": pt * np.cos(phi),
        "py": pt * np.sin(phi),
        "pz": pt * np.sinh(eta),
        "energy": energy,
        "log_energy": log_energy,
        "energy_fraction": energy / jet_energy,
        "log_energy_fraction": log_energy - np.log(jet_energy),
        "is_photon": abs(constituent.get("pdgId", 0)) in (22, 2),
    }
    return values[name] if name in values else constituent[name]


def jet_feature_of(name, jet):
    """A feature of one jet, likewise."""
    pt = np.array([c["pt"] for c in jet["constituents"]], np.float64)
    distance = [feature_of("delta_r", c, jet) for c in jet["constituents"]]
    values = {
        "log_pt": np.log(jet["pt"]),
        "multiplicity": len(pt),
        "pt_dispersion": np.sqrt(np.sum(pt**2)) / pt.sum(),
        "girth": np.sum(pt * distance) / pt.sum(),
    }
    if "/" in name:
        first, second = name.split("/")
        return jet[first.removeprefix("FatJet_")] / jet[second.removeprefix("FatJet_")]
    return values[name] if name in values else jet[name]
