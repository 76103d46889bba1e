#!/usr/bin/env python3
"""Print the physics of samples as a Markdown table: the one in data/README.md.

python analysis/check_samples.py data/*.root
"""

from __future__ import annotations

import sys

import awkward as ak
import numpy as np
import uproot

import hepvae
from hepvae.reading.sources import resolve


def peak(values, width):
    """Centre of the window of a width that holds most values."""
    values = np.sort(values)
    inside = np.searchsorted(values, values + width) - np.arange(len(values))
    first = int(np.argmax(inside))
    return float(np.median(values[first : first + inside[first]]))


def row(path):
    events = hepvae.read_dijets(path)
    with uproot.open(path) as file:
        groomed = ak.to_numpy(ak.flatten(file["Events"]["FatJet_msoftdrop"].array()[:, :2]))
        runs = file["Runs"].arrays(library="np")
    mjj, weight = ak.to_numpy(events.mjj), ak.to_numpy(events.genWeight).astype(np.float64)
    number = ak.to_numpy(ak.flatten(ak.num(events.jets.constituents, axis=2)))
    low, high = np.percentile(mjj, [16, 84])
    return (
        path.rpartition("/")[2].removesuffix(".root"),
        f"{len(events)}",
        f"{weight.sum() / runs['genEventSumw'].sum() * runs['xsec'].mean():.3g}",
        f"{weight.sum() ** 2 / (weight**2).sum():.0f}",
        f"{peak(mjj, 100):.0f}",
        f"{(high - low) / 2:.0f}",
        f"{mjj.max():.0f}",
        f"{peak(groomed, 10):.1f}",
        f"{np.mean((groomed > 65) & (groomed < 105)):.0%}",
        f"{number.mean():.1f}",
        f"{np.mean(number > 100):.1%}",
    )


HEAD = (
    "sample",
    "events",
    "selected, pb",
    "effective events",
    "mjj peak, GeV",
    "mjj half width (68 %), GeV",
    "largest mjj, GeV",
    "soft-drop mass peak, GeV",
    "jets at 65-105 GeV",
    "constituents per jet",
    "jets with over 100",
)


def main(files) -> int:
    print("| " + " | ".join(HEAD) + " |")
    print("|" + " --- |" * len(HEAD))
    for source in resolve(files):
        print("| " + " | ".join(row(source.path)) + " |")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except hepvae.HepvaeError as error:
        sys.exit(f"check_samples: {error}")
