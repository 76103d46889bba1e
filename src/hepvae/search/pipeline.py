"""The search, from files to a report: samples are scored and compared, and one model's score is searched with.

Figures of merit compare models and strategies for each signal in its mjj window. One model goes on: working points
of its score, decorrelated from mjj, make orthogonal slices; in each of them, in all together and without a cut,
mjj is searched for a resonance, in data or in toys of a luminosity, without and with the events of a signal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError, OptionError
from ..execution.progress import progress_bar
from ..execution.session import effective_options
from ..jets.selection import select_dijets
from ..output.text import console as plain_console
from ..reading.dijets import read_dijets
from ..scoring.strategy import ScoreStrategy, StrategyName
from . import report as reporting
from . import slices
from .companion import BASELINES, COMPANION, OBSERVABLES, WindowSearch, baseline, windows
from .conclusions import tev
from .datacard import channels_of, write_datacard
from .inputs import Inputs, open_inputs
from .limits import Limits
from .options import BACKGROUND, CONTROL, DATA, SearchOptions
from .report import Report, legend_name
from .samples import SearchSample, events_of
from .scans import COMBINED, FitOptions, Scan, Systematics
from .separation import FiguresOfMerit, Measured, ScoredEvents, figures_of_merit, in_window, roc
from .slices import INCLUSIVE, Expectation, Indices, SlicedSignal
from .spectrum import Floats, dijet_edges, divided
from .spurious import SpuriousSignal
from .weights import effective_events
from .working_points import Cuts, WorkingPoints, cut_background

__all__ = ["search"]

#: The slice of events that pass no working point.
BELOW = "rest"

#: Events whose reconstruction is plotted, and most anomalous events of a sample that are drawn.
RECONSTRUCTED, DISPLAYED = 1000, 3

#: Injected are the signal events of this inclusive significance.
SIGNIFICANCE = 3.0

#: Of the injected signal: how much of it classifiers of windows are trained with, and in how many replicas.
STRENGTHS, WINDOW_REPLICAS = (0.5, 1.0), 3


def search(options: SearchOptions) -> list[Path]:
    """Do all steps of a search, and print what they give.

    Returns
    -------
    list of path
        Of the reports: JSON, Markdown, HTML.

    Raises
    ------
    HepvaeError
        A file cannot be scored, or the events are too few for a step.
    """
    inputs = open_inputs(options)
    drawing = {"label": options.label, "energy": options.energy}
    report = Report(options.output, plain_console(160), drawing, options.luminosity)
    report.results["options"] = effective_options()
    samples, model = inputs.samples, inputs.model
    reporting.show_samples(report, samples, BACKGROUND, options.fit_start, options.masses)
    plain = baseline_samples(samples, report) if options.baselines else {}
    separation(options, inputs, plain, report)
    cuts = fitted_cuts(options, samples, options.replicas)
    independent = cuts.control is samples.get(CONTROL)
    blinded = options.data is not None and not options.unblind
    reporting.show_cuts(
        *(report, cuts, samples[options.searched], model),
        independent=independent,
        title="QCD" if options.data is None or blinded else "Data",
        instead=samples[BACKGROUND] if blinded else None,
    )
    cut_flow(options, samples, cuts, report)
    bump_hunt(options, inputs, cuts, plain, report)
    hidden = {CONTROL} if options.unblind else {CONTROL, DATA}
    shown = {name: sample for name, sample in samples.items() if name not in hidden}
    reporting.show_scores(report, shown, model)
    show_jets(options, inputs, report)
    strategy = options.strategy_of(samples[BACKGROUND].card)
    summary = (
        f"{options.luminosity:g} fb-1 at {options.energy:g} TeV; cut on the score of {model}"
        f" ({strategy} of the jets); fits of mjj from {tev(options.fit_start)} to"
        f" {tev(options.fit_stop)}."
    )
    return report.write("Search for anomalous dijets", summary)


def fitted_cuts(options: SearchOptions, samples: Mapping[str, SearchSample], replicas: int = 0) -> Cuts:
    """Working points of what is searched; simulation is no control sample of data."""
    control = samples.get(CONTROL) if options.data is None else None
    return cut_background(
        *(samples[options.searched], control, options.working_points),
        start=options.fit_start,
        stop=options.fit_stop,
        replicas=replicas,
        seed=options.seed,
    )


def show_jets(options: SearchOptions, inputs: Inputs, report: Report) -> None:
    """What models make of jets; nothing where the files of the background have no constituents."""
    files = inputs.files[BACKGROUND].to_read
    comparable = {model: one for model, one in inputs.inferers.items() if one.card.reconstructs_momenta}
    for model in inputs.scored:
        if model not in comparable:
            why = "reconstructs no eta, phi and pt of constituents" if model in inputs.inferers else "is not given"
            report.conclude(f"{model}: {why}; no jets of it are displayed.")
    if not files:
        report.conclude(f"{BACKGROUND}: was scored before; no jets are displayed.")
        return
    if comparable:
        events = select_dijets(read_dijets(files, entry_stop=RECONSTRUCTED), region="signal")
        reporting.show_reconstruction(report, events, comparable)
    if inputs.model in comparable:
        most_anomalous(options, inputs, report)


def windowed(
    samples: Mapping[str, SearchSample], signal: str, mass: float, strategy: StrategyName
) -> tuple[ScoredEvents, ScoredEvents]:
    """Scores and weights of background and signal in the mjj window of the signal."""
    background, resonance = (samples[name].of(in_window(samples[name].mjj, mass)) for name in (BACKGROUND, signal))
    for sample in (background, resonance):
        if not sample.weight.any():
            raise OptionError(f"signal {signal} of {mass:g} GeV: no events of {sample.name} have such mjj")
    how = ScoreStrategy(strategy)
    return (background.score(how), background.weight), (resonance.score(how), resonance.weight)


def baseline_samples(samples: Mapping[str, SearchSample], report: Report) -> dict[str, dict[str, SearchSample]]:
    """Samples by baseline and name, whose score is an observable of jets; one that a sample lacks is left out."""
    result = {}
    for plain, (observable, _) in BASELINES.items():
        without = [name for name, sample in samples.items() if observable not in sample.observables]
        if without:
            report.conclude(
                f"Without a cut on {plain}: the scored files of {', '.join(without)} have no {observable} of jets"
                f" (hepvae score --observables {observable} writes it)."
            )
            continue
        result[plain] = {name: baseline(plain, sample) for name, sample in samples.items()}
    return result


def separation(
    options: SearchOptions,
    inputs: Inputs,
    plain: Mapping[str, Mapping[str, SearchSample]],
    report: Report,
) -> None:
    """Figures of merit of models, baselines, signals and strategies, and the curves of the first strategy."""
    models = inputs.scored
    scored = {**models, **plain}
    merits: dict[tuple[str, str, str], FiguresOfMerit] = {}
    every: list[tuple[str, str, StrategyName]] = [
        (m, s, how) for m in models for s in options.masses for how in options.strategies
    ]
    every += [(m, s, "min") for m in plain for s in options.masses]
    with progress_bar("figures of merit", len(every)) as advance:
        for model, signal, strategy in every:
            sides = windowed(scored[model], signal, options.masses[signal], strategy)
            merits[model, signal, strategy] = figures_of_merit(*sides, seed=options.seed)
            advance(1)
    betas = {model: samples[BACKGROUND].card.beta for model, samples in models.items()}
    reporting.show_separation(report, merits, betas)
    how = {model: options.strategy_of(samples[BACKGROUND].card) for model, samples in models.items()}
    curves = {
        (model, signal): roc(*windowed(samples, signal, mass, how.get(model, "min")))
        for model, samples in scored.items()
        for signal, mass in options.masses.items()
    }
    for signal in options.masses:
        reporting.show_curves(
            report, {m: curves[m, signal] for m in scored}, f"models_{signal}", legend_name(signal)
        )
    one = inputs.model
    reporting.show_curves(report, {legend_name(s): curves[one, s] for s in options.masses}, "signals", one)


def cut_flow(options: SearchOptions, samples: Mapping[str, SearchSample], cuts: Cuts, report: Report) -> None:
    """Count the events of each sample after each step; those of data in slices only where they are shown."""
    names, starts = cuts.points.slice_names, {}
    in_slices: dict[str, dict[str, int]] = {}
    for name, sample in samples.items():
        above = sample.mjj >= options.fit_start
        starts[name] = int(above.sum())
        if name == DATA and not options.unblind:
            continue
        of = cuts.slices if name == options.searched else cuts.points.slices(sample.score(), sample.mjj)
        in_slices[name] = dict(zip(names, np.bincount(of[above], minlength=len(names)).tolist()))
    reporting.show_cut_flow(report, samples, in_slices, starts, options.fit_start)


@dataclass(frozen=True)
class _Hunt:
    """What the search of mjj is given."""

    expectation: Expectation
    signal: SlicedSignal
    injected: float
    """Signal events."""
    significances: dict[str, Measured]
    """Of these, expected."""
    masses: Floats
    """(masses,), GeV, to scan."""
    spurious: dict[str, SpuriousSignal]
    """Of data that are shown, else of what is expected, by slice and of `INCLUSIVE`."""
    pass_rates: dict[str, Floats]
    """(nuisances, bins) by slice."""


def expected(options: SearchOptions, samples: Mapping[str, SearchSample], cuts: Cuts, report: Report) -> _Hunt:
    """Background and signal in the slices, the number of signal events to inject, and what they are worth."""
    background, name, points = samples[options.searched], options.injected, cuts.points
    names, sliced = points.slice_names, sliced_signal(options, samples, points)
    signal = slices.slice_signal(sliced, names, options.inject_mass)
    edges = usable_edges(options, points, signal, report)
    expectation = slices.expect_background(background.mjj, background.weight, cuts.slices, names, edges)
    masses = slices.steps_in_mass(signal, expectation, options.scan_start)
    known: Mapping[str, npt.NDArray[Any]] = expectation.events
    if options.data is not None:
        known = observed_counts(options, background, cuts, expectation, known)
    spurious = slices.spurious_in_slices(known, masses, expectation, signal, options.criterion)
    least = max(one.n_parameters for one in spurious.values())
    expectation = replace(expectation, n_parameters=max(expectation.n_parameters, least))
    needed = slices.yields_of_significance(SIGNIFICANCE, expectation, signal)
    number = needed[INCLUSIVE]
    significances = slices.significances(number, expectation, signal)
    # that of the sample nearest in mass, as if it had the mass that is injected
    nearest = min(sliced, key=lambda mass: abs(mass - signal.mass))
    mjj, weight, of_signal = sliced[nearest]
    weighted = (background.mjj, background.weight), (mjj * signal.mass / nearest, weight)
    counting = slices.countings_in_slices(*weighted, of_signal, names, signal.mass, expectation.shares)
    measured = slices.measured_significances(significances, expectation, signal)
    reporting.show_expected(report, name, expectation, signal, number, measured, needed, counting)
    pass_rates: dict[str, Floats] = {}
    if options.replicas:
        share = pass_rate_scale(options, background, cuts, expectation, report)
        modes = points.pass_rate_nuisances((edges[1:] + edges[:-1]) / 2)
        pass_rates = {of: share * rates for of, rates in modes.items()}
    return _Hunt(expectation, signal, number, measured, masses, spurious, pass_rates)


def sliced_signal(
    options: SearchOptions, samples: Mapping[str, SearchSample], points: WorkingPoints
) -> dict[float, tuple[Floats, Floats, Indices]]:
    """By mass (GeV) of the injected signal's samples: mjj, weights and slices, as `slice_signal` takes them."""
    of_mass = {mass: samples[label] for label, mass in options.samples_of(options.injected).items()}
    return {mass: (one.mjj, one.weight, points.slices(one.score(), one.mjj)) for mass, one in of_mass.items()}


def usable_edges(options: SearchOptions, points: WorkingPoints, signal: SlicedSignal, report: Report) -> Floats:
    """Bins of the fit, no wider than the signal, up to the last mjj that the regressions saw.

    Beyond that, cuts keep another share.
    """
    edges = dijet_edges(options.fit_start, options.fit_stop)
    covered = edges[points.covers(edges)]
    if len(covered) < 2 or covered[0] > edges[0]:
        raise DataError(
            f"working points were fitted to events from {points.mjj[0]:.0f} to {points.mjj[-1]:.0f} GeV: expected"
            f" some from {edges[0]:g} GeV on"
        )
    if covered[-1] < edges[-1]:
        report.conclude(
            f"Fits of mjj end at {tev(covered[-1])} instead of {tev(edges[-1])}: events beyond are too few"
            " for the regression of the cuts."
        )
    resolution = signal.inclusive.resolution(signal.mass)
    fine = divided(covered, resolution)
    if len(fine) > len(covered):
        report.conclude(
            f"Bins of mjj are divided by {(len(fine) - 1) // (len(covered) - 1)}: the signal has a resolution of"
            f" {resolution:.1%}, and bins that are wider make limits rise and fall from mass to mass."
        )
    return fine


def pass_rate_scale(
    options: SearchOptions,
    background: SearchSample,
    cuts: Cuts,
    expectation: Expectation,
    report: Report,
) -> float:
    """How large the fluctuations of the pass rates are, relative to those of the events that were fitted.

    A search takes its cuts from the data: where simulation stands for them, their fluctuations fall with the root
    of the number of events.
    """
    if options.data is not None or options.cuts_from == "simulation":
        return 1.0
    above = background.of(background.mjj > expectation.edges[0])
    fitted = above.effective_events * cuts.fitted_events / len(background.mjj)
    scale = float(np.sqrt(min(fitted / expectation.fit.expected.sum(), 1.0)))
    report.conclude(
        f"Toys have the fluctuations of cuts that are fitted to as many events as are expected: {scale:.2g} of"
        f" those of the {fitted:,.0f} effective events here."
    )
    return scale


def bump_hunt(
    options: SearchOptions,
    inputs: Inputs,
    cuts: Cuts,
    plain_samples: Mapping[str, Mapping[str, SearchSample]],
    report: Report,
) -> None:
    """The search of mjj in slices: what is expected, toys without and with signal, the data, and limits.

    Without data, one of the toys with signal stands for them. With data that are not unblinded, all that is shown
    of them is the slice below the loosest working point, and a toy without signal stands for the rest.
    """
    samples = inputs.samples
    hunt = expected(options, samples, cuts, report)
    expectation, signal, masses = hunt.expectation, hunt.signal, hunt.masses
    faked = {name: one.events for name, one in hunt.spurious.items()}
    orders = {name: one.n_parameters for name, one in hunt.spurious.items()}
    systematics = Systematics(hunt.pass_rates, faked, options.scale, options.resolution, options.normalisation)
    how = FitOptions(orders, systematics=systematics)
    here = list(masses).index(signal.mass)
    faked_here = {name: events[[here]] for name, events in faked.items()}
    at_signal = replace(how, systematics=replace(systematics, spurious=faked_here))
    with progress_bar("toys", 4) as advance:
        throw: dict[str, Any] = {"pass_rates": hunt.pass_rates, "seed": options.seed}
        counts = slices.throw_slices(expectation, signal, options.toys, **throw)
        without = slices.scan_toys_in_slices(counts, masses, expectation, signal, how)
        hidden = {name: toys[0] for name, toys in counts.items()}
        advance(1)
        throw = {"pass_rates": hunt.pass_rates, "seed": options.seed + 1, "injected": hunt.injected}
        counts = slices.throw_slices(expectation, signal, options.toys, **throw)
        with_signal = slices.scan_toys_in_slices(counts, [signal.mass], expectation, signal, at_signal)
        advance(1)
        data = {name: toys[0] for name, toys in counts.items()}
        if options.data is not None:
            data = observed_counts(options, samples[DATA], cuts, expectation, hidden)
        scans = slices.scan_slices(data, masses, expectation, signal, how)
        plain = replace(how, systematics=None)
        statistical = slices.scan_slices(data, masses, expectation, signal, plain)
        advance(1)
        limits = slices.limits_in_slices(data, masses, expectation, signal, how)
        advance(1)
    reporting.show_toys_without_signal(report, without, seed=options.seed)
    significances = {name: z.value for name, z in hunt.significances.items()}
    reporting.show_toys_with_signal(report, options.injected, with_signal, signal, hunt.injected, significances)
    reporting.show_systematics(report, systematics, hunt.spurious, statistical, here)
    if options.data is not None and not options.unblind:
        blinded = ", ".join(name for name in hidden if name != BELOW)
        report.conclude(f"Blinded: in {blinded}, a toy stands for the data (--unblind shows them).")
        scans = {BELOW: scans[BELOW]}
    source = "Toy" if options.data is None else "Data"
    injected = hunt.injected if options.data is None else 0.0
    reporting.show_data(report, options.injected, scans, without, expectation, signal, injected, source)
    if options.datacard:
        write_cards(options, statistical, systematics, hunt, report)
    others = baseline_limits(options, plain_samples, hunt)
    if options.companion:
        others |= companion(options, inputs, cuts, hunt, limits[INCLUSIVE], report)
    in_fb, others = (
        {name: one.scaled(1 / options.luminosity) for name, one in of.items()} for of in (limits, others)
    )
    reporting.show_limits(
        *(report, options.injected, in_fb, others),
        observed=options.data is None or options.unblind,
        fit_p_value=list(scans.values())[-1].fit_p_value,  # of the one whose limits are shown
    )


def signal_systematics(options: SearchOptions, hunt: _Hunt) -> FitOptions:
    """Of limits that have the uncertainties of the signal, and none of the background but its fit."""
    systematics = Systematics(
        scale=options.scale, resolution=options.resolution, normalisation=options.normalisation
    )
    return FitOptions(hunt.spurious[INCLUSIVE].n_parameters, systematics=systematics)


def companion(
    options: SearchOptions, inputs: Inputs, cuts: Cuts, hunt: _Hunt, inclusive: Limits, report: Report
) -> dict[str, Limits]:
    """What a classifier of windows in mjj is worth beside the model, and its limits, where it can be trained."""
    samples, signals = inputs.samples, options.samples_of(options.injected)
    background, tightest = samples[options.searched], cuts.points.names[-1]
    lacking = [name for name in (options.searched, *signals) if {*OBSERVABLES} - {*samples[name].observables}]
    if lacking:
        report.conclude(
            f"Without a classifier of windows: the scored files of {', '.join(lacking)} have not all of"
            f" {', '.join(OBSERVABLES)} of jets (hepvae score --observables writes them)."
        )
        return {}
    by_mass = {mass: samples[label] for label, mass in signals.items()}
    how = signal_systematics(options, hunt)
    search = WindowSearch(background, by_mass, hunt.expectation, tightest, how, seed=options.seed)
    mass = hunt.signal.mass
    at = windows(hunt.masses, mass, 0.2)
    try:
        rows = []
        with progress_bar("windows", len(STRENGTHS) + 1) as advance:
            for strength in STRENGTHS:
                number = strength * hunt.injected
                of_model = slices.significances(number, hunt.expectation, hunt.signal)
                measured = slices.measured_significances(of_model, hunt.expectation, hunt.signal)
                own = search.significance(mass, number, WINDOW_REPLICAS)
                rows.append((number, measured[INCLUSIVE], measured[tightest], own))
                advance(1)
            limits = search.limits(at, np.interp(at, inclusive.masses, inclusive.expected[2]))
            shown = options.data is not None and options.unblind
            found = search.scan(background, windows(hunt.masses, mass, 0.1)) if shown else None
            advance(1)
    except DataError as error:
        report.conclude(f"Without a classifier of windows: {error}.")
        return {}
    effective = effective_events(background.weight), float(background.weight.sum())
    reporting.show_companion(report, options.injected, mass, tightest, rows, inputs.model, effective, found)
    return {COMPANION: limits}


def baseline_limits(
    options: SearchOptions, plain: Mapping[str, Mapping[str, SearchSample]], hunt: _Hunt
) -> dict[str, Limits]:
    """Expected limits of slices of the baselines, with the signal's uncertainties and no others."""
    how = signal_systematics(options, hunt)
    limits = {}
    for name, samples in plain.items():
        background, cuts = samples[options.searched], fitted_cuts(options, samples)
        sliced, names = sliced_signal(options, samples, cuts.points), cuts.points.slice_names
        edges = hunt.expectation.edges
        expectation = slices.expect_background(background.mjj, background.weight, cuts.slices, names, edges)
        signal = slices.slice_signal(sliced, names, options.inject_mass)
        of_slices = slices.limits_in_slices(expectation.events, hunt.masses, expectation, signal, how)
        limits[name] = of_slices.get(COMBINED, of_slices[names[-1]])
    return limits


def write_cards(
    options: SearchOptions,
    scans: Mapping[str, Scan],
    systematics: Systematics,
    hunt: _Hunt,
    report: Report,
) -> None:
    """A datacard whose strength of one is a cross-section of 1 fb; where data are blinded, of toys."""
    fits = {name: scans[name].fits[name] for name in hunt.expectation.shares}
    here, signal = list(hunt.masses).index(hunt.signal.mass), hunt.signal
    events = options.luminosity
    channels = channels_of(fits, signal.shapes, signal.shares, signal.mass, events, systematics, here)
    paths = write_datacard(options.output / "datacard", channels, systematics.normalisation)
    report.conclude(
        f"Datacard of {tev(signal.mass)}: {', '.join(path.name for path in paths)} in the folder datacard; a"
        " strength of one is a cross-section times branching ratio times acceptance of 1 fb."
    )


def observed_counts(
    options: SearchOptions,
    data: SearchSample,
    cuts: Cuts,
    expectation: Expectation,
    hidden: Mapping[str, npt.NDArray[Any]],
) -> dict[str, npt.NDArray[Any]]:
    """Counts (bins,) of the data in each slice; where they are blinded, those in their place."""
    shown = {}
    for i, name in enumerate(expectation.shares):
        of_slice = np.histogram(data.mjj[cuts.slices == i], expectation.edges)[0]
        shown[name] = of_slice if options.unblind or name == BELOW else hidden[name]
    return shown


def most_anomalous(options: SearchOptions, inputs: Inputs, report: Report) -> None:
    """Displays of events of the background, and of the injected signal."""
    report.section("Most anomalous events", f"Of the background, and of {options.injected}.")
    for name in (BACKGROUND, next(iter(options.samples_of(options.injected)))):
        sample = inputs.samples[name]
        some = sample.of(np.argsort(-sample.score())[:DISPLAYED])
        files = inputs.files[name].to_read
        if not files or some.identifiers is None:
            lack = "no event numbers to find it by" if files else "no constituents"
            report.conclude(f"{name}: no event is displayed, as its files have {lack}.")
            continue
        events = events_of(files, some.identifiers)
        reporting.show_events(report, some, some.identifiers.tolist(), events, inputs.inferers[inputs.model])
