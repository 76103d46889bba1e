"""The slow, obvious ways to read and to pad, that the fast ones are held against."""

from __future__ import annotations

import numpy as np
import uproot

from helpers.dijet_files import LAYOUTS

__all__ = ["loop_over_branches", "pad_one_by_one"]


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
                value = constituent[feature]
                if spec.coordinates == "relative" and feature != "pt":
                    value -= jet[feature]
                    if feature == "phi":
                        value = (value + np.pi) % (2 * np.pi) - np.pi
                padded[i, k, f] = value
    return padded
