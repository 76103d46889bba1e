#!/usr/bin/env python3
"""What is a score worth in a search? From samples to the scan of p-values, with a report.

python analysis/anomaly_search.py --output build/anomaly-search

The steps are those of hepvae.search.pipeline. report.html in the output has it all, results.json the numbers.
What is scored is kept, and not scored again.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import MISSING, fields
from pathlib import Path

import hepvae
from hepvae.search.pipeline import SearchOptions, SignalFiles, search

#: Those of `SearchOptions`: here they are what the command line says.
DEFAULTS = {f.name: f.default for f in fields(SearchOptions) if f.default is not MISSING}


def listed(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(",") if part)


def parsed(arguments) -> SearchOptions:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    def add(flag, text, **options):
        name = flag.removeprefix("--").replace("-", "_")
        default = DEFAULTS.get(name)
        shown = ",".join(default) if isinstance(default, tuple) else default
        text += "" if default is None or name in options else f" (default: {shown})"
        parser.add_argument(flag, default=default, help=text.replace("%", "%%"), **options)

    add("--data", "files that are searched; by default toys of the background", nargs="+", metavar="FILE")
    parser.add_argument("--unblind", action="store_true", help="show data above the loosest working point")
    add("--background", "files of QCD; by default the bundled sample", nargs="+", metavar="FILE")
    add("--signal", "NAME=MASS=FILES, the mass in GeV; several times; by default the bundled", action="append")
    add("--control", "files of independent QCD; by default a quarter of the background", nargs="+", metavar="FILE")
    add("--models", "bundled names or paths", type=listed)
    add("--search-model", "whose score is cut on; by default the last of the models")
    add("--strategies", "the first is cut on", type=listed)
    add("--working-points", "of the cuts", type=listed)
    add("--luminosity", "fb^-1", type=float)
    add("--cross-section", "pb, of the background, where no tree Runs says it", type=float)
    add("--fit-start", "GeV", type=float)
    add("--fit-stop", "GeV", type=float)
    add("--toys", "of each kind", type=int)
    add("--inject", "name of the signal to inject; by default the first")
    add("--inject-mass", "GeV", type=float)
    add("--scan-start", "GeV, the lowest mass", type=float)
    add("--replicas", "of the regressions of the working points", type=int)
    add("--cuts-from", "what working points are to be fitted to without --data: data or simulation")
    add("--criterion", "that chooses the number of parameters, f-test or aic")
    add("--normalisation", "relative uncertainty of the signal: luminosity, efficiencies", type=float)
    add("--scale", "relative uncertainty of the jet energy scale", type=float)
    add("--resolution", "relative uncertainty of the resolution of mjj", type=float)
    add("--seed", "of all that is random", type=int)
    add("--label", "text above the plots")
    add("--energy", "of the collisions, TeV", type=float)
    parser.add_argument("--output", type=Path, default=Path("build/anomaly-search"), help="folder")
    options = vars(parser.parse_args(arguments))
    signals = options.pop("signal")
    if signals:
        options["signals"] = tuple(map(SignalFiles.parse, signals))
    return SearchOptions(**options)


def main(arguments=None) -> int:
    start = time.perf_counter()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for path in search(parsed(arguments)):
        print(path)
    print(f"{time.perf_counter() - start:.0f} s")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except hepvae.HepvaeError as error:
        sys.exit(f"anomaly_search: {error}")
