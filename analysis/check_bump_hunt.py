#!/usr/bin/env python3
"""Whether the search of hepvae.search can be believed: toys that can fail it.

python analysis/check_bump_hunt.py --toys 200
python analysis/check_bump_hunt.py --chain 20 --chain-events 300000     # about an hour on two cores

Truths of the background are not the function that is fitted: a dijet function with one parameter more than fits
begin with, and members of other families that describe the same data.

sculpting: cuts at 10 % are fitted to --simulated events, and to more, and put as a smooth pass rate into the
    data. Fits as before (three parameters, no nuisance parameters) and as now (parameters chosen on
    the spectrum, pass rates and spurious signal as nuisance parameters, a gate on the goodness of fit).
local excess: share of toys with more than 3 standard deviations at some mass, over what normal numbers with
    the same correlations have.
bias, coverage: mean of fitted less injected yield over the uncertainty (below a quarter); share of yields within
    one standard deviation (68 %), at each mass, for data-sized and for small counts.
limits: CLs of toys at the asymptotic limit, which should be 0.05, at three masses.
chain (--chain N): score, regression in folds, slices and fits redone in N toys, and the share that a signal of
    5 standard deviations after the cut changes the pass rate at its mass by, beside its statistical uncertainty.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time

import numpy as np
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

import hepvae
from hepvae.search import (
    BackgroundFunction,
    SignalShape,
    Spectrum,
    Systematics,
    dijet_edges,
    fit_spectrum,
    fit_working_points,
    scan_toys,
    signal_shape,
    throw_toys,
    yield_of_significance,
)
from hepvae.search.limits import toy_cls, upper_limits
from hepvae.search.spurious import ALTERNATIVES, spurious_signal
from hepvae.search.toys import exceedances, uniformity

EDGES = dijet_edges()
CENTRES = (EDGES[1:] + EDGES[:-1]) / 2
MASSES = np.array([1800.0, 2500.0, 3500.0, 4500.0])
SCANNED = np.geomspace(1800, 5000, 25)
WIDTHS = {"narrow": 0.03, "broad": 0.15}
EFFICIENCY = 0.1
CONSOLE = Console() if sys.stdout.isatty() else Console(width=180)


def truths(events):
    """Events in each bin, of several families with the same spectrum to a few per cent."""
    dijet = BackgroundFunction.of_parameters(EDGES, (0.0, 8.0, 5.0, -0.2, 0.0))
    smooth = {"dijet, 4 parameters": dijet}
    for family in ("ua2", "exponential"):
        fitted = fit_spectrum(Spectrum(EDGES, 1e6 * dijet / dijet.sum()), n_parameters=4, family=family)
        smooth[f"{family}, 4 parameters"] = fitted.expected
    return {name: events * shape / shape.sum() for name, shape in smooth.items()}


def resonance(width, rng) -> SignalShape:
    """Shape of a resonance with a Gaussian core and a tail to low masses, from 2,000 events."""
    values = np.where(rng.random(2000) < 0.8, rng.normal(1, width, 2000), 1 - rng.exponential(2 * width, 2000))
    values = values[values > 0.2]
    return signal_shape({3000.0: (3000 * values, np.ones_like(values))})


def scored(events, rng, signal=0):
    """Scores and mjj (GeV) of events whose spectrum is the first of `truths`, and of a signal of 2.5 TeV."""
    fine = np.geomspace(1300, 7000, 4000)
    density = BackgroundFunction.density(fine, (0.0, 8.0, 5.0, -0.2, 0.0)) * fine
    mjj = np.interp(rng.random(events), np.cumsum(density) / density.sum(), fine)
    x = np.log(mjj / 1300)
    # quantiles that bend, as they do behind a threshold
    score = 0.8 * x + 0.1 * np.tanh((x - 0.5) / 0.2) + (0.35 + 0.12 * x) * rng.gumbel(size=events)
    peak = rng.normal(2500, 75, signal)
    return np.exp(np.append(score, 1.5 + 0.5 * rng.normal(size=signal))), np.append(mjj, peak)


def true_rate(points, mjj):
    """Share of the background of `scored` that passes the cuts of all folds together, at mjj."""
    x = np.log(mjj / 1300)
    cut = np.log(points.thresholds(mjj)[:, 0])
    deviation = (cut - 0.8 * x - 0.1 * np.tanh((x - 0.5) / 0.2)) / (0.35 + 0.12 * x)
    return -np.expm1(-np.exp(-deviation))


def table(title, *header):
    empty = Table(title=title, box=MARKDOWN)
    for i, name in enumerate(header):
        empty.add_column(name, justify="left" if i < 2 else "right")
    return empty


def how_fitted(name, counts, shape, masses, criterion):
    """Arguments of fits of toys, decided on data; the spurious signal does not know the family of the truth."""
    families = [family for family in ALTERNATIVES if not name.startswith(family)]
    faked = spurious_signal({"": counts}, {"": EDGES}, shape, masses, families=families, criterion=criterion)[""]
    return {"n_parameters": faked.n_parameters, "systematics": Systematics(spurious={"": faked.events})}


def old_and_new(counts, shape, **how):
    """Scans of toys as before, and as now."""
    old, new = (
        scan_toys({"": counts}, {"": EDGES}, shape, SCANNED, **of)[""] for of in ({"n_parameters": 3}, how)
    )
    return {"before": old, "now": new}


def sculpting(options, shape):
    """Cuts of few and of many events, as smooth pass rates, in data-sized toys."""
    result = table(
        f"Sculpting: largest false significance in {options.events:g} background events, cuts at {EFFICIENCY:.0%}",
        *("fits", "cuts fitted to", "median", "84 %", "gate closed"),
    )
    background = EFFICIENCY * next(iter(truths(options.events).values()))
    for fitted in (options.simulated, 8000):
        largest = {"before": [], "now": []}
        closed = {"before": [], "now": []}
        for toy in range(options.experiments):
            rng = np.random.default_rng([options.seed, fitted, toy])
            score, mjj = scored(fitted, rng)
            points = fit_working_points(score, mjj, np.ones(fitted), (EFFICIENCY,), replicas=8, seed=toy)
            rate = true_rate(points, CENTRES) / EFFICIENCY
            name = points.slice_names[-1]
            modes = points.pass_rate_nuisances(CENTRES)[name]
            counts = rng.poisson(background * rate, (3, len(CENTRES)))
            how = {"systematics": Systematics(pass_rates={"": modes}), "criterion": options.criterion}
            scans = old_and_new(counts, shape, **how)
            for how, one in scans.items():
                largest[how] += list(one.significance.max(axis=1))
                closed[how] += list(one.fit_p_values < 0.01)
        for how, values in largest.items():
            shown = f"{np.median(values):.1f}", f"{np.percentile(values, 84):.1f}"
            result.add_row(how, f"{fitted:,}", *shown, "-" if how == "before" else f"{np.mean(closed[how]):.0%}")
    CONSOLE.print(result)


def excesses(options, shape):
    """Toys of truths outside the fitted family."""
    header = ("truth", "fits", "above 3 sigma", "expected", "ratio", "uniform p")
    result = table(f"Local excess in {options.toys} toys of {options.events:g} events", *header)
    for name, truth in truths(options.events).items():
        counts = throw_toys({"": truth}, options.toys, seed=options.seed)[""]
        data = throw_toys({"": truth}, 1, seed=options.seed + 1)[""][0]
        fitted = how_fitted(name, data, shape, SCANNED, options.criterion)
        for how, one in old_and_new(counts, shape, **fitted).items():
            (found,) = exceedances([one], levels=[3.0])
            ratio = found.observed / max(found.expected, 1e-9)
            chance = uniformity([one], draws=200)
            result.add_row(
                name, how, f"{found.observed:.1%}", f"{found.expected:.1%}", f"{ratio:.1f}", f"{chance:.2g}"
            )
    CONSOLE.print(result)


def yields(options, shapes):
    """Bias and coverage of injected yields."""
    header = ("truth", "signal", "events", "injected", *(f"{mass:g} GeV" for mass in MASSES))
    result = table(
        f"Yields of {options.toys} toys: parameters, bias in units of the uncertainty, coverage", *header
    )
    biases, edges = {}, {"": EDGES}
    cases = itertools.product(truths(1.0).items(), (options.events, options.events / 100), shapes.items())
    for (name, share), events, (signal, shape) in cases:
        truth = events * share
        for sigmas in (0.0, 3.0, 5.0):
            cells = []
            for mass in MASSES:
                template = shape.template(mass, EDGES)
                number = yield_of_significance(sigmas, {"": truth}, {"": template}, edges, n_parameters=4)
                # toys of their own in each cell: fluctuations of shared ones look like a bias of many
                seed = options.seed + len(biases)
                data, *counts = throw_toys({"": truth + number * template}, options.toys + 1, seed=seed)[""]
                how = how_fitted(name, data, shape, [*SCANNED, mass], options.criterion)
                faked = how["systematics"].spurious[""][-1:]
                how |= {"systematics": Systematics(spurious={"": faked})}
                pulls = scan_toys({"": np.array(counts)}, edges, shape, [mass], **how)[""].pulls(number)[:, 0]
                bias = pulls.mean(), pulls.std() / np.sqrt(options.toys)
                biases[name, signal, events, sigmas, mass] = bias
                covered = np.mean(np.abs(pulls) < 1)
                cells.append(f"{how['n_parameters']}: {bias[0]:+.2f} ± {bias[1]:.2f}, {covered:.0%}")
            result.add_row(name, signal, f"{events:g}", f"{sigmas:g}", *cells)
    CONSOLE.print(result)
    values, errors = np.array(list(biases.values())).T
    worst = int(np.argmax(np.abs(values)))
    where = "{}, {}, {:g} events, {:g} sigma injected, {:g} GeV".format(*list(biases)[worst])
    CONSOLE.print(f"- largest bias {values[worst]:+.2f} ± {errors[worst]:.2f} ({where}); a quarter is too much")
    chi2, ndf = np.sum((values / errors) ** 2), len(values)
    CONSOLE.print(f"- chi-square of all biases against none: {chi2:.0f} for {ndf} cells")


def limits(options, shape):
    """Asymptotic limits against toys."""
    header = ("events", "mass, GeV", "events under the peak", "asymptotic limit", "CLs of toys there")
    toys = 5 * options.toys
    result = table(f"Limits, {toys} toys of each kind", *header)
    for events in (options.events / 100, options.events / 10_000):
        truth = truths(events)["dijet, 4 parameters"]
        counts = np.random.default_rng(options.seed).poisson(truth)
        for mass in MASSES[1:]:
            one = upper_limits({"": Spectrum(EDGES, counts)}, shape, [mass], n_parameters=4)[""]
            limit, template = one.observed[0], shape.template(mass, EDGES)
            cls = toy_cls(limit, counts, EDGES, template, truth, n_parameters=4, toys=toys, seed=options.seed)
            # a ratio of two shares of toys: the smaller, with signal, is about 0.025 where CLs is 0.05
            uncertainty = 0.05 / np.sqrt(0.025 * toys)
            under = truth[template > template.max() / 2].sum()
            row = f"{events:g}", f"{mass:g}", f"{under:.1f}", f"{limit:.1f}", f"{cls:.3f} ± {uncertainty:.3f}"
            result.add_row(*row)
    CONSOLE.print(result)


def chain(options, shape):
    """Score, regression in folds, slices and fits, redone in each toy."""
    events = options.chain_events
    largest, closed, shifts = [], [], []
    for toy in range(options.chain):
        rng = np.random.default_rng([options.seed, 7, toy])
        state = rng.bit_generator.state
        score, mjj = scored(events, rng)
        weights = np.ones(events)
        points = fit_working_points(score, mjj, weights, (EFFICIENCY,), replicas=options.replicas, seed=toy)
        usable = EDGES[points.covers(EDGES)]
        centres = (usable[1:] + usable[:-1]) / 2
        passed = points.slices(score, mjj, points.fold) == 1
        counts = np.histogram(mjj[passed], usable)[0].astype(float)
        modes = points.pass_rate_nuisances(centres)[points.slice_names[-1]]
        faked = spurious_signal({"": counts}, {"": usable}, shape, SCANNED[:18], criterion=options.criterion)[""]
        one = scan_toys(
            *({"": counts[None]}, {"": usable}, shape, SCANNED[:18]),
            n_parameters=faked.n_parameters,
            systematics=Systematics(pass_rates={"": modes}, spurious={"": faked.events}),
        )[""]
        largest.append(one.significance.max())
        closed.append(one.fit_p_values[0] < 0.01)
        # the same background with a signal that is worth 5 standard deviations after the cut
        near = np.abs(mjj / 2500 - 1) < 0.06
        rng.bit_generator.state = state
        more = scored(events, rng, signal=int(5 * np.sqrt(EFFICIENCY * near.sum())))
        refitted = fit_working_points(*more, np.ones(len(more[0])), (EFFICIENCY,), seed=toy)
        change = true_rate(refitted, np.array([2500.0])) / true_rate(points, np.array([2500.0])) - 1
        shifts.append([change[0], points.pass_rate_band([2500.0])[0, 0]])
    change, band = np.abs(shifts).mean(axis=0)
    CONSOLE.print(f"Whole chain in {options.chain} toys of {events:,} events:")
    above = np.mean(np.array(largest) > 3)
    CONSOLE.print(f"- largest local significance {np.median(largest):.2f} in the median, above 3 in {above:.0%}")
    CONSOLE.print(f"- goodness of fit below 0.01 in {np.mean(closed):.0%}")
    CONSOLE.print(
        f"- a signal of 5 sigma after the cut changes its pass rate by {change:.1%}; statistical: {band:.1%}"
    )


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--toys", type=int, default=50, help="of each kind (default %(default)s)")
    add("--events", type=float, default=1.3e7, help="above 1460 GeV (default %(default)g)")
    add("--simulated", type=int, default=1537, help="events of the small simulation (default %(default)s)")
    add("--experiments", type=int, default=8, help="of the sculpting test (default %(default)s)")
    add("--criterion", default="conservative", help="f-test, aic or conservative (default %(default)s)")
    add("--chain", type=int, default=0, metavar="TOYS", help="redo the whole chain in so many toys")
    add("--chain-events", type=int, default=300_000, help="of these (default %(default)s)")
    add("--replicas", type=int, default=10, help="of the regressions of the chain (default %(default)s)")
    add("--only", help="one of sculpting, excesses, yields, limits")
    add("--seed", type=int, default=1, help="default %(default)s")
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    shapes = {name: resonance(width, np.random.default_rng(options.seed)) for name, width in WIDTHS.items()}
    steps = {"sculpting": sculpting, "excesses": excesses, "limits": limits}
    if options.only not in (None, "yields", *steps):
        parser.error(f"--only {options.only}: expected one of yields, {', '.join(steps)}")
    if options.chain:
        chain(options, shapes["narrow"])
    else:
        for name, step in steps.items():
            if options.only in (None, name):
                step(options, shapes["narrow"])
        if options.only in (None, "yields"):
            yields(options, shapes)
    CONSOLE.print(f"{time.perf_counter() - start:.0f} s")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except hepvae.HepvaeError as error:
        sys.exit(f"check_bump_hunt: {error}")
