#!/usr/bin/env python3
"""What is a score worth in a search? From samples to the scan of p-values, with a report.

python analysis/anomaly_search.py --output build/anomaly-search

Samples are scored, and figures of merit compare models and strategies for each signal in its mjj window. One model
goes on: cuts on its score that follow mjj make orthogonal slices, and in each of them, in all together and without
a cut, mjj is searched for a resonance, in toys of a luminosity, without and with the events of one of the signals.

report.html in the output has it all, results.json the numbers. What is scored is kept, and not scored again.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np
from rich.console import Console

import hepvae
from hepvae.errors import OptionError
from hepvae.execution.progress import progress_bar
from hepvae.inference import named_model
from hepvae.models.bundled import MODELS, RESONANCES
from hepvae.output.files import make_folder
from hepvae.plots.style import ENERGY_TEV, LABEL
from hepvae.reading.sources import distinct_names
from hepvae.scoring.strategy import ScoreStrategy
from hepvae.search import slices
from hepvae.search.cuts import Cuts, cut_background
from hepvae.search.decorrelation import working_point_efficiency
from hepvae.search.dijet_spectrum import dijet_edges
from hepvae.search.report import (
    Report,
    legend_name,
    show_curves,
    show_cuts,
    show_data,
    show_events,
    show_expected,
    show_reconstruction,
    show_samples,
    show_scores,
    show_separation,
    show_toys_with_signal,
    show_toys_without_signal,
)
from hepvae.search.samples import SearchSample, events_of, picobarns_per_weight, score_sample
from hepvae.search.separation import figures_of_merit, in_window, roc
from hepvae.search.slices import INCLUSIVE

#: Names of samples in every table and plot.
BACKGROUND, CONTROL = "qcdSig", "control"

#: Events whose reconstruction is plotted, and most anomalous events of a sample that are drawn.
RECONSTRUCTED, DISPLAYED = 1000, 3

#: Injected are the signal events of this inclusive significance.
SIGNIFICANCE = 3.0


def scored_samples(options, files, inferers) -> dict[str, dict[str, SearchSample]]:
    """Samples by model and name; weights of the background are expected events."""
    scored = {}
    for model, inferer in inferers.items():
        folder = options.output / "scored" / model
        scored[model] = {
            name: score_sample(of, inferer, folder / f"{name}.root", name, strategy=options.strategies[0])
            for name, of in files.items()
        }
    for samples in scored.values():
        background = samples[BACKGROUND]
        if options.cross_section is None:
            picobarns = picobarns_per_weight(files[BACKGROUND])
        else:
            picobarns = options.cross_section / background.weight.sum()
        samples[BACKGROUND] = background.scaled(1000 * options.luminosity * picobarns)
    return scored


def windowed(samples, signal: str, mass: float, strategy: str) -> list[tuple]:
    """Scores and weights of background and signal in the mjj window of the signal."""
    found = [samples[name].of(in_window(samples[name].mjj, mass)) for name in (BACKGROUND, signal)]
    for sample in found:
        if not sample.weight.any():
            raise OptionError(f"signal {signal} of {mass:g} GeV: no events of {sample.name} have such mjj")
    return [(sample.score(ScoreStrategy(strategy)), sample.weight) for sample in found]


def separation(options, scored, report: Report) -> None:
    """Figures of merit of models, signals and strategies, and the curves of the first strategy."""
    merits = {}
    asked = [(m, s, how) for m in scored for s in options.masses for how in options.strategies]
    with progress_bar("figures of merit", len(asked)) as advance:
        for model, signal, strategy in asked:
            sides = windowed(scored[model], signal, options.masses[signal], strategy)
            merits[model, signal, strategy] = figures_of_merit(*sides, seed=options.seed)
            advance(1)
    betas = {model: samples[BACKGROUND].card.beta for model, samples in scored.items()}
    show_separation(report, merits, betas)
    how = options.strategies[0]
    curves = {
        (model, signal): roc(*windowed(samples, signal, mass, how))
        for model, samples in scored.items()
        for signal, mass in options.masses.items()
    }
    for signal in options.masses:
        show_curves(report, {m: curves[m, signal] for m in scored}, f"models_{signal}", legend_name(signal))
    one = options.search_model
    show_curves(report, {legend_name(s): curves[one, s] for s in options.masses}, "signals", one)


def expected(options, samples, cuts: Cuts, report: Report):
    """Background and signal in the slices, and the number of signal events to inject."""
    background, injected = samples[BACKGROUND], samples[options.inject]
    mass, names = options.masses[options.inject], cuts.points.slice_names
    edges = dijet_edges(options.fit_start, options.fit_stop)
    expectation = slices.expect_background(background.mjj, background.weight, cuts.slices, names, edges)
    of_signal = cuts.points.slices(injected.score(), injected.mjj)
    signal = slices.slice_signal(injected.mjj, injected.weight, of_signal, names, mass)
    needed = slices.yields_of_significance(SIGNIFICANCE, expectation, signal)
    number = needed[INCLUSIVE]
    significances = slices.significances(number, expectation, signal)
    events = [(sample.mjj, sample.weight) for sample in (background, injected)]
    counting = slices.countings_in_slices(*events, of_signal, names, mass, expectation.shares)
    show_expected(report, options.inject, expectation, signal, number, significances, needed, counting)
    return expectation, signal, number, significances


def bump_hunt(options, samples, cuts: Cuts, report: Report) -> None:
    """The search of mjj in slices: what is expected, toys without and with signal, and one of them as data."""
    name = options.inject
    expectation, signal, number, significances = expected(options, samples, cuts, report)
    masses = slices.steps_in_mass(signal, expectation)
    with progress_bar("toys", 3) as advance:
        counts = slices.throw_slices(expectation, signal, options.toys, seed=options.seed)
        without = slices.scan_toys_in_slices(counts, masses, expectation, signal)
        advance(1)
        counts = slices.throw_slices(expectation, signal, options.toys, injected=number, seed=options.seed + 1)
        with_signal = slices.scan_toys_in_slices(counts, [signal.mass], expectation, signal)
        advance(1)
        data = {of: toys[0] for of, toys in counts.items()}
        scans = slices.scan_slices(data, masses, expectation, signal)
        advance(1)
    show_toys_without_signal(report, without, seed=options.seed)
    show_toys_with_signal(report, name, with_signal, signal, number, significances)
    show_data(report, name, data, scans, without, expectation, signal, number)


def most_anomalous(options, files, samples, inferer, report: Report) -> None:
    """Displays of events of the background, and of the injected signal."""
    report.section("Most anomalous events", f"Of the background, and of {options.inject}.")
    for name in (BACKGROUND, options.inject):
        sample = samples[name]
        if sample.identifiers is None:
            report.conclude(f"{name}: no event is displayed, as its files have no event numbers to find it by.")
            continue
        some = sample.of(np.argsort(-sample.score())[:DISPLAYED])
        show_events(report, some, events_of(files[name], some.identifiers), inferer)


def named_signal(text: str) -> tuple[str, float, str]:
    name, _, rest = text.partition("=")
    mass, _, file = rest.partition("=")
    try:
        if name and file and float(mass) > 0:
            return name, float(mass), file
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r}: expected NAME=MASS=FILE, the mass in GeV")


def listed(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def parsed(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--background", nargs="+", metavar="FILE", help="QCD (default: the bundled sample)")
    add(
        "--signal",
        action="append",
        type=named_signal,
        metavar="NAME=MASS=FILE",
        help="a resonance and its mass in GeV; can be given several times (default: the bundled samples)",
    )
    add("--control", nargs="+", metavar="FILE", help="independent QCD (default: a quarter of the background)")
    # the study's, and the one that was bundled last, which is the best
    models = f"conv,{MODELS[-1]}"
    add("--models", type=listed, default=models, help="bundled names or paths (default: %(default)s)")
    add("--search-model", metavar="MODEL", help="whose score is cut on (default: the last of the models)")
    add("--strategies", type=listed, default="min,max,sum", help="the first is cut on (default: %(default)s)")
    add("--working-points", type=listed, default="eff50,eff10,eff1", help="of the cuts (default: %(default)s)")
    add("--luminosity", type=float, default=138.0, help="fb^-1 (default: %(default)g)")
    add("--cross-section", type=float, metavar="PB", help="of the background, where no tree Runs says it")
    add("--fit-start", type=float, default=1460.0, help="GeV (default: %(default)g)")
    add("--fit-stop", type=float, default=6808.0, help="GeV (default: %(default)g)")
    add("--toys", type=int, default=200, help="default: %(default)s")
    add("--inject", metavar="NAME", help="the signal to inject (default: the first)")
    add("--seed", type=int, default=1, help="default: %(default)s")
    add("--label", default=LABEL, help="text above the plots (default: %(default)s)")
    add("--energy", type=float, default=ENERGY_TEV, help="of the collisions, TeV (default: %(default)s)")
    add("--output", type=Path, default=Path("build/anomaly-search"), help="folder (default: %(default)s)")
    return parser.parse_args(arguments)


def prepared(options) -> tuple[dict, dict]:
    """Files of each sample and inferers, by name; options are checked before the work."""
    signals = options.signal or [(name, mass, hepvae.sample_path(name)) for name, mass in RESONANCES.items()]
    named = [(BACKGROUND, options.background or hepvae.sample_path(BACKGROUND))]
    named += [(name, file) for name, _, file in signals]
    named += [(CONTROL, options.control)] if options.control else []
    files = dict(named)
    if len(files) < len(named) or CONTROL in {name for name, *_ in signals}:
        raise OptionError(f"samples {', '.join(name for name, _ in named)}: expected names of their own")
    options.masses = {name: mass for name, mass, _ in signals}
    options.inject = options.inject or signals[0][0]
    for option, value in (("--luminosity", options.luminosity), ("--cross-section", options.cross_section)):
        if value is not None and not 0 < value < np.inf:
            raise OptionError(f"{option} {value:g}: expected more than zero")
    if options.toys < 2:
        raise OptionError(f"--toys {options.toys}: expected two or more")
    dijet_edges(options.fit_start, options.fit_stop)
    for strategy in options.strategies:
        ScoreStrategy(strategy)
    for name in options.working_points:
        working_point_efficiency(name)
    if not options.strategies or not options.working_points:
        raise OptionError("no strategies or no working points: expected one or more of each")
    inferers = {
        name: hepvae.load_inferer(named_model(path), runtime="onnxruntime")
        for name, path in zip(distinct_names(options.models), options.models)
    }
    options.search_model = options.search_model or list(inferers)[-1]
    asked = ("--inject", options.inject, options.masses), ("--search-model", options.search_model, inferers)
    for option, value, known in asked:
        if value not in known:
            raise OptionError(f"{option} {value}: expected one of {', '.join(known)}")
    return files, inferers


def main(arguments=None) -> int:
    start = time.perf_counter()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    options = parsed(arguments)
    files, inferers = prepared(options)
    make_folder(options.output)
    console = Console() if sys.stdout.isatty() else Console(width=160)
    drawing = {"label": options.label, "energy": options.energy}
    report = Report(options.output, console, drawing, options.luminosity)
    scored = scored_samples(options, files, inferers)
    samples = scored[options.search_model]
    shown = {name: sample for name, sample in samples.items() if name != CONTROL}
    show_samples(report, samples, BACKGROUND, options.fit_start)
    separation(options, scored, report)
    fit_range = {"start": options.fit_start, "stop": options.fit_stop}
    cuts = cut_background(
        samples[BACKGROUND], samples.get(CONTROL), options.working_points, seed=options.seed, **fit_range
    )
    show_cuts(report, cuts, samples[BACKGROUND], independent=CONTROL in samples)
    bump_hunt(options, samples, cuts, report)
    show_scores(report, shown, options.search_model)
    events = hepvae.read_dijets(files[BACKGROUND], entry_stop=RECONSTRUCTED)
    show_reconstruction(report, hepvae.select_dijets(events, region="signal"), inferers)
    most_anomalous(options, files, samples, inferers[options.search_model], report)
    summary = (
        f"{options.luminosity:g} fb-1 at {options.energy:g} TeV; cut on the score of {options.search_model}"
        f" ({options.strategies[0]} of the jets); fits of mjj from {options.fit_start:g} to"
        f" {options.fit_stop:g} GeV."
    )
    for path in report.write("Search for anomalous dijets", summary):
        console.print(str(path), highlight=False)
    console.print(f"{time.perf_counter() - start:.0f} s", highlight=False)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except hepvae.HepvaeError as error:
        sys.exit(f"anomaly_search: {error}")
