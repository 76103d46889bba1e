#!/usr/bin/env python3
"""Which library regresses the quantiles of a score against mjj best: the choice of hepvae.search.working_points.

python analysis/quantile_regressors.py

Each contender fits cuts that keep 50, 30, 10 and 1 % of a generated background in 5 folds, as `fit_working_points`
does. An independent sample tells how flat the pass rates are that the mean of the folds gives, in 20 bins of mjj:

    seconds     of processor time of all 20 fits, on one thread
    chi2/ndf    of the pass rate against its name; the uncertainty of the cut adds to it, the more, the larger the
                independent sample is beside the one that was fitted: 1 is out of reach
    worst       bin of all working points, in standard deviations
    off         root mean square of ln(cut) minus ln(true quantile), in %, where events are
    rough       root mean square of the bends of ln(cut) along mjj, over those of the true quantile

Events lie about flat in ln(mjj), with weights that fall like mjj^-6 and scatter by a factor of 1.8; the true
quantiles of the score bend as they do behind a threshold.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings

import numpy as np
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from hepvae.extras import require
from hepvae.search.pass_rates import pass_rate
from hepvae.search.quantiles import balanced_weights, quantile_spline
from hepvae.search.working_points import WorkingPoints, fit_working_points

EFFICIENCIES = (0.5, 0.3, 0.1, 0.01)
LOWEST, HIGHEST = 1200, 7000
BINS = 20


def location_and_spread(mjj):
    """Of ln(score): a rise with mjj, steeper behind 2 TeV, and a spread that grows."""
    x = np.log(mjj / LOWEST)
    return -0.4 + 0.8 * x + 0.15 * np.tanh((x - np.log(2000 / LOWEST)) / 0.2), 0.35 + 0.12 * x


def background(events, rng):
    """Scores, mjj in GeV, weights."""
    mjj = LOWEST * (HIGHEST / LOWEST) ** rng.beta(1, 1.6, events)
    location, spread = location_and_spread(mjj)
    weight = (mjj / LOWEST) ** -6 * rng.lognormal(0, 0.6, events)
    return np.exp(location + spread * rng.gumbel(size=events)), mjj, weight


def true_cuts(mjj):
    """ln(cut) of each efficiency, (efficiencies, events)."""
    location, spread = location_and_spread(mjj)
    return location - spread * np.log(-np.log1p(-np.array(EFFICIENCIES)))[:, None]


def spline(segments):
    """What hepvae does."""

    def regress(x, values, weight, quantile, points):
        return quantile_spline(x, values, weight, quantile, points, segments=segments)

    return regress


def leaf_size(events, quantile):
    """Events that a leaf needs at least: 20 of them beyond the quantile, in trees of up to 8 leaves."""
    return int(min(20 / min(quantile, 1 - quantile), events / 8))


def lightgbm_trees(x, values, weight, quantile, points):
    """Not monotone: LightGBM refuses that with this objective."""
    trees = require("lightgbm", "contender").LGBMRegressor(
        objective="quantile",
        alpha=quantile,
        n_estimators=100,
        learning_rate=0.1,
        num_leaves=8,
        min_child_samples=leaf_size(len(x), quantile),
        num_threads=1,
        verbose=-1,
    )
    return trees.fit(x[:, None], values, sample_weight=weight).predict(points[:, None])


def sklearn_trees(monotone):
    def regress(x, values, weight, quantile, points):
        from sklearn.ensemble import HistGradientBoostingRegressor

        trees = HistGradientBoostingRegressor(
            loss="quantile",
            quantile=quantile,
            max_iter=100,
            learning_rate=0.1,
            max_leaf_nodes=8,
            min_samples_leaf=leaf_size(len(x), quantile),
            monotonic_cst=[int(monotone)],
            early_stopping=False,
        )
        return trees.fit(x[:, None], values, sample_weight=weight).predict(points[:, None])

    return regress


#: Name -> a function that regresses, and whether weights are balanced in mjj.
CONTENDERS = {
    "QuantileRegressor, spline, 2 segments": (spline(2), True),
    "QuantileRegressor, spline, 4 segments": (spline(4), True),
    "QuantileRegressor, spline, 8 segments": (spline(8), True),
    "... 4 segments, weights as they are": (spline(4), False),
    "HistGradientBoostingRegressor": (sklearn_trees(False), True),
    "HistGradientBoostingRegressor, monotone": (sklearn_trees(True), True),
    "LightGBM": (lightgbm_trees, True),
}


def fit(regress, balanced, score, mjj, weight, seed):
    """What `fit_working_points` does, by any regression; points, folds and ends are those of hepvae's own."""
    points = fit_working_points(score, mjj, weight, EFFICIENCIES, segments=1, seed=seed)
    influence = balanced_weights(mjj, weight) if balanced else weight
    cuts = np.empty_like(points.cuts)
    began = time.process_time()
    for k, i in np.ndindex(cuts.shape[:2]):
        seen = points.fold != k
        cuts[k, i] = regress(
            np.log(mjj[seen]), np.log(score[seen]), influence[seen], 1 - EFFICIENCIES[i], np.log(points.mjj)
        )
    seconds = time.process_time() - began
    cuts.sort(axis=1)
    return WorkingPoints(points.efficiencies, points.mjj, np.exp(cuts), points.fold), seconds


def measure(points, score, mjj, weight):
    """chi2/ndf of each working point, worst bin, deviation and roughness of the cuts."""
    edges = np.quantile(mjj, np.linspace(0, 1, BINS + 1))
    slices = points.slices(score, mjj)
    chi_squares, pulls = [], []
    for i, efficiency in enumerate(EFFICIENCIES):
        rates = pass_rate(slices > i, mjj, weight, edges)
        found = rates.chi_square(efficiency)
        chi_squares.append(found.value / found.ndf)
        pulls += [rates_of_bin.chi_square(efficiency).value ** 0.5 for rates_of_bin in single_bins(rates)]
    off = np.log(points.thresholds(mjj)) - true_cuts(mjj).T
    found, true = (np.diff(cuts, 2) for cuts in (np.log(points.cuts.mean(axis=0)), true_cuts(points.mjj)))
    rough = np.sqrt(np.mean(found**2) / np.mean(true**2))
    return [*chi_squares, max(pulls), 100 * np.sqrt(np.mean(off**2)), rough]


def single_bins(rates):
    for i in range(BINS):
        one = slice(i, i + 1)
        yield type(rates)(
            rates.edges[i : i + 2],
            *(values[one] for values in (rates.passing, rates.passing_squares, rates.total, rates.total_squares)),
        )


def parse(argv):
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--events", type=int, default=40_000, help="events of each sample")
    parser.add_argument("--toys", type=int, default=3, help="pairs of samples, of which means are printed")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args(argv)
    if arguments.events < 10_000 or arguments.toys < 1:
        parser.error(f"{arguments.events} events, {arguments.toys} toys: expected 10000 or more, and 1 or more")
    return arguments


def main(argv=None) -> int:
    arguments = parse(argv)
    # read when the libraries are loaded: all contenders work on one thread
    os.environ["OMP_NUM_THREADS"] = "1"
    require("sklearn", "contenders")
    found = {name: [] for name in CONTENDERS}
    for toy in range(arguments.toys):
        rng = np.random.default_rng([arguments.seed, toy])
        fitted, independent = (background(arguments.events, rng) for _ in range(2))
        for name, (regress, balanced) in CONTENDERS.items():
            with warnings.catch_warnings():
                # LightGBM warns of names of columns that NumPy arrays do not have
                warnings.filterwarnings("ignore", message="X does not have valid feature names")
                points, seconds = fit(regress, balanced, *fitted, seed=toy)
            found[name].append([seconds, *measure(points, *independent)])
            print(f"toy {toy + 1}: {name}: {seconds:.1f} s", file=sys.stderr)
    heads = ["seconds", *(f"chi2/ndf {100 * e:g} %" for e in EFFICIENCIES), "worst, sigma", "off, %", "rough"]
    table = Table("regression", *heads, box=MARKDOWN)
    for name, rows in found.items():
        table.add_row(name, *(f"{value:.3g}" for value in np.mean(rows, axis=0)))
    Console(width=160).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
