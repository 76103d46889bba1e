#!/usr/bin/env python3
"""What are the models worth in a search, beside cuts on one observable of the jets: tables.

python analysis/detectors.py --models conv,graph-momenta,density --events build/report

The folder of --events has signals and qcdSig.root, unless --background names files, as analysis/make_samples.py
writes them; by default it is that of the bundled samples. Events are those of the signal region, weighted, with
mjj within the window around the resonance mass, which the name of a signal has (GtoWW15na: 1500 GeV). Each model
scores by its own strategy; the cuts are on the sum of both jets' masses (high), tau21 (low) and multiplicities
(low). Uncertainties are from 100 bootstrap replicas.

First table: the largest significance improvement (signal efficiency over the root of background efficiency) of a
cut that 20 background events pass (effective number), and the background efficiency. Second: area under the ROC
curve. Third, of all background events of the signal region: which share of them passes a cut that 10 % pass, by
the mass of their jet 1, with a constant cut and with a mass-decorrelated one: as far as it varies, the score is a
cut on the mass. Last: how fast the observables are computed.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import awkward as ak
import numpy as np
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

import hepvae
from hepvae.errors import DataError, FileError
from hepvae.inference import named_model
from hepvae.jets.features import FEATURES
from hepvae.jets.padding import flatten_jets
from hepvae.reading.sources import distinct_names
from hepvae.search.separation import in_window, roc, with_uncertainty

BACKGROUND = "qcdSig"
#: Effective number of background events that pass a cut at least.
LEAST = 20
#: Observables that are cut on, and whether low or high values are anomalous.
CUTS = {"mass": 1, "tau21": -1, "multiplicity": -1}
#: GeV, of jet 1.
MASS_BINS = (0, 50, 80, 120, 200, 300, 500)
WORKING_POINT, MJJ_BINS = 0.1, 12


@dataclass(frozen=True)
class Scored:
    """Events of a sample in the signal region."""

    scores: dict[str, np.ndarray]
    """(events,), by cut or model."""
    mjj: np.ndarray
    weight: np.ndarray
    mass: np.ndarray
    """Of jet 1, GeV."""

    def in_window(self, name: str, mass: float, window: float) -> tuple[np.ndarray, np.ndarray]:
        near = in_window(self.mjj, mass, window)
        return self.scores[name][near], self.weight[near]


def scored(files: list[Path], inferers) -> Scored:
    parts = []
    for chunk in hepvae.iterate_dijets(files):
        events = hepvae.select_dijets(chunk, region="signal")
        jets = flatten_jets(events)
        columns = {
            name: sign * jets.computed(FEATURES["jet"][name]).reshape(-1, 2).sum(axis=1)
            for name, sign in CUTS.items()
        }
        for name, inferer in inferers.items():
            columns[name] = ak.to_numpy(hepvae.score_dijets(events, inferer).score)
        parts.append((columns, *(ak.to_numpy(v) for v in (events.mjj, events.genWeight, events.jets.mass[:, 0]))))
    scores = {name: np.concatenate([part[0][name] for part in parts]) for name in (*CUTS, *inferers)}
    mjj, weight, mass = (np.concatenate([part[i] for part in parts]).astype(np.float64) for i in (1, 2, 3))
    good = np.all([np.isfinite(score) for score in scores.values()], axis=0)
    return Scored({name: score[good] for name, score in scores.items()}, mjj[good], weight[good], mass[good])


def rate(path: Path | str) -> str:
    """Jets whose observables one core computes in a second."""
    jets = flatten_jets(hepvae.read_dijets(path))
    rates = []
    for names in (("tau21", "tau32"), ("softdrop_mass",), ("multiplicity", "girth")):
        start = time.process_time()
        for name in names:
            jets.computed(FEATURES["jet"][name])
        rates.append(f"{len(jets.counts) / (time.process_time() - start):,.0f} ({', '.join(names)})")
    return f"Jets/s on a core, of {jets.counts.mean():.0f} constituents: {'; '.join(rates)}"


def resonance(signal: str) -> float:
    """GeV."""
    found = re.fullmatch(r"[A-Za-z]+(\d\d)[a-z]*", signal)
    if not found:
        raise DataError(f"{signal}: expected a name with the mass, as GtoWW15na of 1500 GeV")
    return 100.0 * int(found[1])


def largest_improvement(curve) -> tuple[float, float]:
    """And the background efficiency it is reached at."""
    enough = curve.background_events >= LEAST * (1 - 1e-9)
    improvement = np.where(enough, curve.signal / np.sqrt(np.where(enough, curve.background, 1)), 0)
    best = int(np.argmax(improvement))
    return float(improvement[best]), float(curve.background[best])


def separation_tables(samples: dict[str, Scored], window: float) -> list[Table]:
    background = samples[BACKGROUND]
    names = list(background.scores)
    tables = []
    for title in ("Largest significance improvement", "Area under the ROC curve"):
        tables.append(Table(title=f"{title}, mjj within {window:.0%} of the resonance mass", box=MARKDOWN))
        tables[-1].add_column("signal")
        for name in names:
            tables[-1].add_column(name, justify="right")
    best: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    areas: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for signal in (name for name in samples if name != BACKGROUND):
        cells = []
        for name in names:
            sides = [one.in_window(name, resonance(signal), window) for one in (background, samples[signal])]
            _, efficiency = largest_improvement(roc(*sides))
            best[name].append(with_uncertainty(lambda curve: largest_improvement(curve)[0], *sides))
            areas[name].append(with_uncertainty(lambda curve: curve.auc, *sides))
            cells.append("{:.2f} ± {:.2f}".format(*best[name][-1]) + f" ({efficiency:.2g})")
        tables[0].add_row(signal, *cells)
        tables[1].add_row(signal, *("{:.3f} ± {:.3f}".format(*areas[name][-1]) for name in names))
    for table, values, digits in zip(tables, (best, areas), (2, 3)):
        table.add_row("mean", *(f"{np.mean([value for value, _ in values[name]]):.{digits}f}" for name in names))
    return tables


def weighted_quantile(values: np.ndarray, weight: np.ndarray, share: float) -> float:
    order = np.argsort(values)
    summed = np.cumsum(weight[order])
    return float(values[order][np.searchsorted(summed, share * summed[-1])])


def thresholds(score: np.ndarray, background: Scored, follow: bool) -> np.ndarray:
    """Of each event: that of all, or that of its bin of mjj."""
    weight = background.weight
    if not follow:
        return np.full(len(score), weighted_quantile(score, weight, 1 - WORKING_POINT))
    edges = np.quantile(background.mjj, np.linspace(0, 1, MJJ_BINS + 1)[1:-1])
    bins = np.digitize(background.mjj, edges)
    of_bin = [weighted_quantile(score[bins == i], weight[bins == i], 1 - WORKING_POINT) for i in range(MJJ_BINS)]
    return np.asarray(of_bin)[bins]


def mass_table(background: Scored) -> Table:
    table = Table(title=f"QCD that passes a cut at {WORKING_POINT:.0%}, by the mass of jet 1 (GeV)", box=MARKDOWN)
    for name in ("score", "cut"):
        table.add_column(name)
    bins = list(pairwise(MASS_BINS))
    for low, high in bins:
        table.add_column(f"{low} to {high}", justify="right")
    for name, score in background.scores.items():
        for follow in (False, True):
            passing = score >= thresholds(score, background, follow)
            shares = []
            for low, high in bins:
                inside = (background.mass >= low) & (background.mass < high)
                weight = background.weight[inside]
                share = weight[passing[inside]].sum() / weight.sum()
                spread = np.sqrt((weight**2 * (passing[inside] - share) ** 2).sum()) / weight.sum()
                shares.append(f"{share:.3f} ± {spread:.3f}")
            table.add_row(name, "mass-decorrelated" if follow else "constant", *shares)
    return table


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--models",
        default="conv,graph-momenta,density",
        help="bundled names or model directories (default %(default)s)",
    )
    parser.add_argument("--events", type=Path, metavar="FOLDER", help="of the samples")
    parser.add_argument(
        "--background", nargs="+", metavar="FILES", help=f"(default: {BACKGROUND}.root of the folder)"
    )
    parser.add_argument("--window", type=float, default=0.2, help="share of the mass (default %(default)s)")
    options = parser.parse_args(arguments)
    folder = options.events or hepvae.sample_path(BACKGROUND).parent
    files = {path.stem: path for path in sorted(folder.glob("*.root")) if not path.stem.startswith("qcd")}
    background = options.background or [folder / f"{BACKGROUND}.root"]
    if not files:
        raise FileError(f"{folder}: expected signals in it, as analysis/make_samples.py writes them")
    named = options.models.split(",")
    inferers = {name: hepvae.load_inferer(named_model(path)) for name, path in zip(distinct_names(named), named)}
    samples = {BACKGROUND: scored(background, inferers)}
    samples |= {name: scored([path], inferers) for name, path in files.items()}
    console = Console() if sys.stdout.isatty() else Console(width=200)
    for table in (*separation_tables(samples, options.window), mass_table(samples[BACKGROUND])):
        console.print(table)
        console.print()
    console.print(rate(background[0]), highlight=False)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except hepvae.HepvaeError as error:
        sys.exit(f"detectors: {error}")
