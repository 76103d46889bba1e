#!/usr/bin/env python3
"""What a shift of the jet energy scale does to scores, and what variations cost: figures of docs/systematics.md.

python analysis/systematics.py data/qcdSig.root data/GtoWW15na.root

For each file: the selected events, the median score, and the events above the score that 1 %
of the nominal events exceed, for jets scaled up and down by 2 %, with constituents as they were and scaled like
their jet. For a chunk of all files, repeated as often as it takes: the time of DijetScoreProcessor for the nominal
jets alone and with 20 variations of their energy.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings

import awkward as ak
import numpy as np
from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

import hepvae
from hepvae.coffea import NOMINAL, DijetScoreProcessor
from hepvae.reading.sources import resolve

SHIFT = 0.02
VARIATIONS = 20


def scaled(jets, factor):
    """Jets of other energies: pt and mass."""
    return ak.with_field(ak.with_field(jets, jets.pt * factor, "pt"), jets.mass * factor, "mass")


def effect(events, inferer) -> None:
    """Print the table of the effect."""
    print(f"{'constituents':16}{'jets':>8}{'selected':>10}{'median score':>14}{'above':>8}{'scored again':>14}")
    for constituents in ("kept", "scaled"):
        jets = hepvae.with_constituents(events, scale_constituents=constituents == "scaled")
        cached, threshold = hepvae.CachedInferer(inferer), np.inf
        for name, factor in ((NOMINAL, 1.0), ("up", 1 + SHIFT), ("down", 1 - SHIFT)):
            before = cached.jets_scored
            dijets = hepvae.select_dijets(hepvae.dijets(scaled(jets, factor)))
            score = ak.to_numpy(hepvae.score_dijets(dijets, cached).score)
            if name == NOMINAL:
                threshold = np.quantile(score, 0.99)
            row = (len(score), f"{np.median(score):.4f}", int(np.sum(score > threshold)))
            again = "" if name == NOMINAL else f"{cached.jets_scored - before} of {2 * len(score)}"
            print(f"{constituents:16}{name:>8}{row[0]:>10}{row[1]:>14}{row[2]:>8}{again:>14}")


def shifts(events):
    """The nominal jets, and 20 variations of them."""
    jets = hepvae.with_constituents(events)
    factors = np.linspace(1 - 2 * SHIFT, 1 + 2 * SHIFT, VARIATIONS)
    return {NOMINAL: jets} | {f"scale {factor:.4f}": scaled(jets, factor) for factor in factors}


def cost(files, inferer, number, repeats) -> float:
    """Print the times of one chunk of so many events of all files; gives their ratio."""
    one = DijetScoreProcessor(inferer, jets=hepvae.with_constituents)
    all_of_them = DijetScoreProcessor(inferer, jets=shifts)
    times: dict[str, list[float]] = {"one": [], "all": []}
    events = ak.concatenate([nano_events(path) for path in files])
    events = ak.concatenate([events] * -(-number // len(events)))[:number]
    hepvae.with_constituents(events)  # all columns are read
    for _ in range(repeats):
        for name, processor in (("one", one), ("all", all_of_them)):
            begin = time.perf_counter()
            processor.process(events)
            times[name].append(time.perf_counter() - begin)
    single, together = (min(values) for values in times.values())
    ratio = together / single
    print(
        f"{number} events: nominal {single:.2f} s, with {VARIATIONS} variations {together:.2f} s:"
        f" {ratio:.2f} times as long"
    )
    return ratio


def nano_events(path):
    with warnings.catch_warnings():  # about links that no dijet needs
        warnings.filterwarnings("ignore", "Missing cross-reference")
        return NanoEventsFactory.from_root(
            {path: "Events"}, schemaclass=NanoAODSchema, mode="virtual", metadata={"dataset": "sample"}
        ).events()


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--model", default="conv", help="a bundled name or a path (default conv)")
    parser.add_argument("--events", type=int, default=20_000, help="of the chunk that is timed (default 20000)")
    parser.add_argument("--repeats", type=int, default=3, help="of the times, of which the shortest is printed")
    options = parser.parse_args(arguments)
    inferer = hepvae.load_inferer(options.model)
    sources = resolve(options.files)
    for source in sources:
        print(f"{source.path}: jet pt and mass times {1 + SHIFT} and {1 - SHIFT}")
        effect(nano_events(source.path), inferer)
    cost([source.path for source in sources], inferer, options.events, options.repeats)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except hepvae.HepvaeError as error:
        sys.exit(f"systematics: {error}")
