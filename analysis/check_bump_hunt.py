#!/usr/bin/env python3
"""Whether the bump hunt of hepvae.search can be believed: toys with and without signals.

python analysis/check_bump_hunt.py --toys 200

Backgrounds like QCD dijets at 13 TeV, of a number of parameters that the fits do not know: inclusive, and a slice
of 1 %. Signals with widths of 3 % and 15 % of their mass. Two ways to choose the number of parameters: an F-test
of each toy (all that one has with data alone), or one of the expectation (what simulation offers).

uniform: smallest Kolmogorov-Smirnov p-value, over the masses, for local p-values without signal to be uniform.
above 2: share of local significances above 2; 2.3 % is chance.
bias: mean pull (fitted less injected yield, over its uncertainty) that is furthest from zero, over the masses, for
yields that give 0, 3 and 5 standard deviations; spread: range of the standard deviations of all pulls.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

import hepvae
from hepvae.search.fits import ORDERS, fit_spectrum
from hepvae.search.scans import scan_toys
from hepvae.search.spectrum import BackgroundFunction, SignalShape, Spectrum, dijet_edges, signal_shape
from hepvae.search.toys import throw_toys, uniformity, yield_of_significance

#: ln p0, p1, p2, p3, p4; p0 is set by the number of events.
PARAMETERS = (0.0, 8.0, 5.0, -0.2, 0.0)
MASSES = np.array([1800.0, 2400.0, 3000.0, 3600.0, 4500.0])
SAMPLES = {"inclusive": 1.0, "slice": 0.01}
WIDTHS = {"narrow": 0.03, "broad": 0.15}
INJECTED = (0.0, 3.0, 5.0)


def resonance(width: float, rng) -> SignalShape:
    """Shape of a resonance with a Gaussian core and a tail to low masses, from 2,000 events."""
    values = np.where(rng.random(2000) < 0.8, rng.normal(1, width, 2000), 1 - rng.exponential(2 * width, 2000))
    values = values[values > 0.2]
    return signal_shape({3000.0: (3000 * values, np.ones_like(values))})


def checked(expected, edges, shape, n_parameters, toys: int, seed: int):
    """Smallest KS p-value, share above 2, largest bias for each of `INJECTED`, standard deviations of pulls."""
    uniform, above, bias, spread = [], [], {z: [] for z in INJECTED}, []
    order = n_parameters if np.isscalar(n_parameters) else fit_spectrum(Spectrum(edges, expected)).n_parameters
    for i, mass in enumerate(MASSES):
        template = shape.template(mass, edges)
        for j, significance in enumerate(INJECTED):
            number = 0.0
            if significance:
                number = yield_of_significance(
                    significance, {"": expected}, {"": template}, {"": edges}, n_parameters=order
                )
            counts = throw_toys({"": expected + number * template}, toys, seed=seed + 10 * i + j)
            found = scan_toys(counts, {"": edges}, shape, [mass], n_parameters=n_parameters)[""]
            pulls = found.pulls(number)
            bias[significance].append(pulls.mean())
            spread.append(pulls.std())
            if not significance:
                uniform.append(uniformity([found]))
                above.append(np.mean(found.significance > 2))
    largest = [max(of, key=abs) for of in bias.values()]
    return min(uniform), np.mean(above), largest, spread


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toys", type=int, default=200, help="of each kind (default %(default)s)")
    parser.add_argument("--events", type=float, default=5e6, help="above 1460 GeV (default %(default)g)")
    parser.add_argument("--seed", type=int, default=1, help="default %(default)s")
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    edges = dijet_edges()
    shape_of_qcd = BackgroundFunction.of_parameters(edges, PARAMETERS)
    table = Table(title=f"{options.toys} toys, masses {', '.join(f'{m:g}' for m in MASSES)} GeV", box=MARKDOWN)
    for name in ("sample", "events", "signal", "F-test of", "uniform", "above 2", "bias 0 / 3 / 5", "spread"):
        table.add_column(name, justify="left" if name in ("sample", "signal", "F-test of") else "right")
    for i, (sample, share) in enumerate(SAMPLES.items()):
        expected = options.events * share * shape_of_qcd / shape_of_qcd.sum()
        known = fit_spectrum(Spectrum(edges, expected)).n_parameters
        for j, (signal, width) in enumerate(WIDTHS.items()):
            shape = resonance(width, np.random.default_rng(options.seed))
            for name, n_parameters in ((f"expectation ({known})", known), ("each toy", ORDERS)):
                seed = options.seed + 1000 * i + 100 * j
                uniform, above, bias, spread = checked(expected, edges, shape, n_parameters, options.toys, seed)
                table.add_row(
                    sample,
                    f"{options.events * share:g}",
                    signal,
                    name,
                    f"{uniform:.3f}",
                    f"{above:.1%}",
                    " / ".join(f"{b:+.2f}" for b in bias),
                    f"{min(spread):.2f} to {max(spread):.2f}",
                )
    console = Console() if sys.stdout.isatty() else Console(width=140)
    console.print(table)
    console.print(
        f"Of {len(MASSES)} uniform p-values the smallest is below {1 - 0.95 ** (1 / len(MASSES)):.3f} in 5 %."
    )
    console.print(f"{time.perf_counter() - start:.0f} s")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except hepvae.HepvaeError as error:
        sys.exit(f"check_bump_hunt: {error}")
