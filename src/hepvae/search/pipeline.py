"""The search, from files to a report: samples are scored and compared, and one model's score is searched with.

Figures of merit compare models and strategies for each signal in its mjj window. One model goes on: working points
of its score, decorrelated from mjj, make orthogonal slices; in each of them, in all together and without a cut,
mjj is searched for a resonance, in data or in toys of a luminosity, without and with the events of a signal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import DataError, OptionError
from ..execution.command import effective_options
from ..execution.progress import progress_bar
from ..inference import load_inferer, named_model
from ..jets.selection import select_dijets
from ..models.bundled import MODELS, RESONANCES, sample_path
from ..options import check_choice, check_number, check_whole_number
from ..output.files import make_folder
from ..output.text import console as plain_console
from ..plots.style import ENERGY_TEV, LABEL
from ..reading.dijets import read_dijets
from ..reading.sources import distinct_names
from ..scoring.strategy import ScoreStrategy, StrategyName
from . import slices
from .companion import BASELINES, baseline, dijet_observables
from .datacard import channels_of, write_datacard
from .fits import CRITERIA, Criterion
from .limits import Limits
from .report import (
    Report,
    file_name,
    legend_name,
    show_curves,
    show_cuts,
    show_data,
    show_events,
    show_expected,
    show_limits,
    show_reconstruction,
    show_samples,
    show_scores,
    show_separation,
    show_systematics,
    show_toys_with_signal,
    show_toys_without_signal,
)
from .samples import SearchSample, events_of, picobarns_per_weight, score_sample
from .scans import COMBINED, Scan, Systematics
from .separation import FiguresOfMerit, ScoredEvents, figures_of_merit, in_window, roc
from .slices import INCLUSIVE, Expectation, FitOptions, SlicedSignal
from .spectrum import Floats, dijet_edges
from .working_points import Cuts, WorkingPoints, cut_background, working_point_efficiency

__all__ = ["BACKGROUND", "CONTROL", "SearchOptions", "SignalFiles", "search"]

#: Names of samples in every table and plot.
BACKGROUND, CONTROL, DATA = "qcdSig", "control", "data"

#: The slice of events that pass no working point.
BELOW = "rest"

#: Events whose reconstruction is plotted, and most anomalous events of a sample that are drawn.
RECONSTRUCTED, DISPLAYED = 1000, 3

#: Injected are the signal events of this inclusive significance.
SIGNIFICANCE = 3.0


@dataclass(frozen=True)
class SignalFiles:
    """A resonance of one mass.

    Raises
    ------
    OptionError
        The name is empty or not printable, or the mass is not above zero.
    """

    name: str
    """In every table and plot."""
    mass: float
    """GeV."""
    files: Any
    """As for `score_files`."""

    def __post_init__(self) -> None:
        if not self.name or not self.name.isprintable():
            raise OptionError(f"signal {self.name!r}: expected a printable name")
        check_number(f"mass of {self.name}", self.mass, lowest=1, highest=1e5, unit="GeV")

    @classmethod
    def parse(cls, text: str) -> SignalFiles:
        """Of ``NAME=MASS=FILES``; an OptionError where it is none."""
        name, _, rest = text.partition("=")
        mass, _, files = rest.partition("=")
        try:
            if name and files:
                return cls(name, float(mass), files)
        except ValueError:
            pass
        raise OptionError(f"signal {text!r}: expected NAME=MASS=FILES, the mass in GeV")


def _bundled_signals() -> tuple[SignalFiles, ...]:
    return tuple(SignalFiles(name, mass, sample_path(name)) for name, mass in RESONANCES.items())


@dataclass(frozen=True)
class SearchOptions:
    """What is searched in, and how.

    Raises
    ------
    OptionError
        A value is out of range, or names come twice or are unknown.
    """

    output: Path
    """Folder of the report; scored files are kept in it."""
    data: Any = None
    """Files that are searched; None: toys of what the background is expected to be."""
    unblind: bool = False
    """Show the data above the loosest working point."""
    background: Any = None
    """Files of simulated QCD; None: the bundled sample."""
    signals: tuple[SignalFiles, ...] = field(default_factory=_bundled_signals)
    control: Any = None
    """Files of independent QCD; None: a quarter of the background is held out."""
    models: tuple[str, ...] = ("conv", MODELS[-1])
    """Bundled names or paths; by default the study's, and the one that was bundled last, which is the best."""
    search_model: str | None = None
    """The name of that whose score is cut on; None: the last."""
    strategies: tuple[StrategyName, ...] = ("min", "max", "sum")
    """The first is cut on."""
    working_points: tuple[str, ...] = ("eff50", "eff10", "eff1")
    luminosity: float = 138.0
    """fb^-1."""
    baselines: bool = True
    """Compare with cuts on the jet mass and on tau21."""
    datacard: bool = False
    """Write a datacard of Combine and a workspace of pyhf for the mass that is injected."""
    cross_section: float | None = None
    """pb, of the background; None: from its tree ``Runs``."""
    fit_start: float = 1460.0
    """GeV."""
    fit_stop: float = 6808.0
    """GeV."""
    toys: int = 200
    """Of each kind."""
    inject: str | None = None
    """The name of the signal that is injected and searched for; None: the first."""
    inject_mass: float = 2500.0
    """GeV."""
    scan_start: float = 1800.0
    """The lowest mass that is scanned, GeV: there has to be a sideband below it."""
    replicas: int = 20
    """Of the regressions of the working points, which tell how flat they are; 0: none."""
    cuts_from: Literal["data", "simulation"] = "data"
    """What the working points of a search without data are to be fitted to: data, of as many events as are
    expected, or the simulation here, whose fluctuations toys then have."""
    criterion: Criterion = "conservative"
    """That chooses the number of parameters, on the spectrum that is fitted."""
    normalisation: float = 0.05
    """Relative uncertainty of the signal by luminosity and efficiencies."""
    scale: float = 0.02
    """Relative uncertainty of the jet energy scale."""
    resolution: float = 0.05
    """Relative uncertainty of the resolution of mjj."""
    seed: int = 1
    label: str = LABEL
    """Text above the plots."""
    energy: float = ENERGY_TEV
    """Of the collisions, TeV."""

    def __post_init__(self) -> None:
        for name, what in (("signals", "signals"), ("models", "models"), ("strategies", "strategies")):
            if not getattr(self, name):
                raise OptionError(f"no {what}: expected one or more")
        labels = [label for label, _ in self.labelled]
        if len(set(labels)) < len(labels) or {BACKGROUND, CONTROL, DATA} & set(labels):
            raise OptionError(
                f"signals {', '.join(labels)}: expected names of their own, not {BACKGROUND}, {CONTROL} or {DATA}"
            )
        names = list(dict.fromkeys(signal.name for signal in self.signals))
        check_number("mass to inject", self.inject_mass, lowest=self.fit_start, highest=self.fit_stop, unit="GeV")
        check_number("lowest mass to scan", self.scan_start, lowest=0, highest=self.fit_stop, unit="GeV")
        if self.replicas:
            check_whole_number("replicas", self.replicas, lowest=2)
        check_choice("criterion", self.criterion, CRITERIA)
        check_choice("cuts from", self.cuts_from, ("data", "simulation"))
        for what in ("normalisation", "scale", "resolution"):
            check_number(f"uncertainty {what}", getattr(self, what), lowest=0, highest=0.9)
        check_number("luminosity", self.luminosity, lowest=1e-6, highest=1e9, unit="fb-1")
        check_number("energy", self.energy, lowest=0.1, highest=1e3, unit="TeV")
        if self.cross_section is not None:
            check_number("cross-section", self.cross_section, lowest=1e-12, highest=1e15, unit="pb")
        check_whole_number("toys", self.toys, lowest=2)
        check_whole_number("seed", self.seed, lowest=0)
        dijet_edges(self.fit_start, self.fit_stop)
        for strategy in self.strategies:
            ScoreStrategy(strategy)
        if not self.working_points:
            raise OptionError("no working points: expected one or more")
        for point in self.working_points:
            working_point_efficiency(point)
        for what, value, known in (
            ("signal to inject", self.inject, names),
            ("model to search with", self.search_model, distinct_names(self.models)),
        ):
            if value is not None and value not in known:
                raise OptionError(f"{what} {value}: expected one of {', '.join(known)}")

    @property
    def labelled(self) -> list[tuple[str, SignalFiles]]:
        """Samples of signals, with what tables call them: those of one name have their mass in it."""
        names = [signal.name for signal in self.signals]
        return [
            (one.name if names.count(one.name) == 1 else f"{one.name} {one.mass:g} GeV", one)
            for one in self.signals
        ]

    @property
    def masses(self) -> dict[str, float]:
        """GeV, by sample of a signal."""
        return {label: signal.mass for label, signal in self.labelled}

    def samples_of(self, name: str) -> dict[str, float]:
        """Mass (GeV) of each sample of a signal."""
        return {label: signal.mass for label, signal in self.labelled if signal.name == name}

    @property
    def searched(self) -> str:
        """The sample that is cut on and whose spectrum is fitted."""
        return BACKGROUND if self.data is None else DATA

    @property
    def injected(self) -> str:
        """Name of the signal that is injected."""
        return self.inject or self.signals[0].name

    @property
    def model(self) -> str:
        """Name of the model whose score is cut on."""
        return self.search_model or distinct_names(self.models)[-1]

    @property
    def files(self) -> dict[str, Any]:
        """Of each sample, by its name."""
        background = sample_path(BACKGROUND) if self.background is None else self.background
        files = {BACKGROUND: background} | {label: signal.files for label, signal in self.labelled}
        more = {CONTROL: self.control, DATA: self.data}
        return files | {name: of for name, of in more.items() if of is not None}


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
    inferers = {
        name: load_inferer(named_model(path), runtime="onnxruntime")
        for name, path in zip(distinct_names(options.models), options.models)
    }
    make_folder(options.output)
    drawing = {"label": options.label, "energy": options.energy}
    report = Report(options.output, plain_console(160), drawing, options.luminosity)
    report.results["options"] = effective_options()
    scored = scored_samples(options, inferers)
    samples = scored[options.model]
    show_samples(report, samples, BACKGROUND, options.fit_start)
    plain = baseline_samples(options, samples) if options.baselines else {}
    separation(options, scored, plain, report)
    control = samples.get(CONTROL) if options.data is None else None
    cuts = cut_background(
        *(samples[options.searched], control, options.working_points),
        start=options.fit_start,
        stop=options.fit_stop,
        replicas=options.replicas,
        seed=options.seed,
    )
    show_cuts(report, cuts, samples[options.searched], independent=control is not None)
    bump_hunt(options, samples, cuts, plain, report)
    hidden = {CONTROL} if options.unblind else {CONTROL, DATA}
    shown = {name: sample for name, sample in samples.items() if name not in hidden}
    show_scores(report, shown, options.model)
    events = read_dijets(options.files[BACKGROUND], entry_stop=RECONSTRUCTED)
    comparable = {model: inferer for model, inferer in inferers.items() if inferer.card.reconstructs_momenta}
    if comparable:
        show_reconstruction(report, select_dijets(events, region="signal"), comparable)
    for model in (model for model in inferers if model not in comparable):
        report.conclude(f"{model}: reconstructs no eta, phi and pt of constituents; no jets of it are displayed.")
    if options.model in comparable:
        most_anomalous(options, samples, inferers[options.model], report)
    summary = (
        f"{options.luminosity:g} fb-1 at {options.energy:g} TeV; cut on the score of {options.model}"
        f" ({options.strategies[0]} of the jets); fits of mjj from {options.fit_start:g} to"
        f" {options.fit_stop:g} GeV."
    )
    return report.write("Search for anomalous dijets", summary)


def scored_samples(options: SearchOptions, inferers: Mapping[str, Any]) -> dict[str, dict[str, SearchSample]]:
    """Samples by model and name; weights of the background are expected events."""
    files, scored = options.files, {}
    for model, inferer in inferers.items():
        folder = options.output / "scored" / file_name(model)
        scored[model] = {
            name: score_sample(
                of, inferer, folder / f"{file_name(name)}.root", name, strategy=options.strategies[0]
            )
            for name, of in files.items()
        }
    for samples in scored.values():
        background = samples[BACKGROUND]
        if DATA in samples:  # events are counted
            samples[DATA] = replace(samples[DATA], weight=np.ones_like(samples[DATA].weight))
        if options.cross_section is None:
            picobarns = picobarns_per_weight(files[BACKGROUND])
        else:
            picobarns = options.cross_section / float(background.weight.sum())
        samples[BACKGROUND] = background.scaled(1000 * options.luminosity * picobarns)
    return scored


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


def baseline_samples(
    options: SearchOptions, samples: Mapping[str, SearchSample]
) -> dict[str, dict[str, SearchSample]]:
    """Samples by baseline and name, whose score is an observable of the jets."""
    result: dict[str, dict[str, SearchSample]] = {name: {} for name in BASELINES}
    with progress_bar("baselines", len(samples)) as advance:
        for name, sample in samples.items():
            observables = dijet_observables(options.files[name], sample, ("mass", "tau21"))
            for plain in result:
                result[plain][name] = baseline(plain, sample, observables)
            advance(1)
    return result


def separation(
    options: SearchOptions,
    models: Mapping[str, Mapping[str, SearchSample]],
    plain: Mapping[str, Mapping[str, SearchSample]],
    report: Report,
) -> None:
    """Figures of merit of models, baselines, signals and strategies, and the curves of the first strategy."""
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
    show_separation(report, merits, betas)
    how = options.strategies[0]
    curves = {
        (model, signal): roc(*windowed(samples, signal, mass, "min" if model in plain else how))
        for model, samples in scored.items()
        for signal, mass in options.masses.items()
    }
    for signal in options.masses:
        show_curves(report, {m: curves[m, signal] for m in scored}, f"models_{signal}", legend_name(signal))
    one = options.model
    show_curves(report, {legend_name(s): curves[one, s] for s in options.masses}, "signals", one)


@dataclass(frozen=True)
class _Hunt:
    """What the search of mjj is given."""

    expectation: Expectation
    signal: SlicedSignal
    injected: float
    """Signal events."""
    significances: dict[str, float]
    """Of these, expected."""
    masses: Floats
    """(masses,), GeV, to scan."""
    pass_rates: dict[str, Floats]
    """(nuisances, bins) by slice."""


def expected(options: SearchOptions, samples: Mapping[str, SearchSample], cuts: Cuts, report: Report) -> _Hunt:
    """Background and signal in the slices, the number of signal events to inject, and what they are worth."""
    background, name, points = samples[options.searched], options.injected, cuts.points
    edges = usable_edges(options, points, report)
    names = points.slice_names
    expectation = slices.expect_background(background.mjj, background.weight, cuts.slices, names, edges)
    sliced = {}
    for label, mass in options.samples_of(name).items():
        sample = samples[label]
        sliced[mass] = (sample.mjj, sample.weight, points.slices(sample.score(), sample.mjj))
    signal = slices.slice_signal(sliced, names, options.inject_mass)
    needed = slices.yields_of_significance(SIGNIFICANCE, expectation, signal)
    number = needed[INCLUSIVE]
    significances = slices.significances(number, expectation, signal)
    # that of the sample nearest in mass, as if it had the mass that is injected
    nearest = min(sliced, key=lambda mass: abs(mass - signal.mass))
    mjj, weight, of_signal = sliced[nearest]
    weighted = (background.mjj, background.weight), (mjj * signal.mass / nearest, weight)
    counting = slices.countings_in_slices(*weighted, of_signal, names, signal.mass, expectation.shares)
    show_expected(report, name, expectation, signal, number, significances, needed, counting)
    masses = slices.steps_in_mass(signal, expectation, options.scan_start)
    pass_rates: dict[str, Floats] = {}
    if options.replicas:
        share = pass_rate_scale(options, background, cuts, expectation, report)
        modes = points.pass_rate_nuisances((edges[1:] + edges[:-1]) / 2)
        pass_rates = {of: share * rates for of, rates in modes.items()}
    return _Hunt(expectation, signal, number, significances, masses, pass_rates)


def usable_edges(options: SearchOptions, points: WorkingPoints, report: Report) -> Floats:
    """Bins of the fit, up to the last mjj that the regressions saw: beyond, cuts keep another share."""
    edges = dijet_edges(options.fit_start, options.fit_stop)
    covered = edges[points.covers(edges)]
    if len(covered) < 2 or covered[0] > edges[0]:
        raise DataError(
            f"working points were fitted to events from {points.mjj[0]:.0f} to {points.mjj[-1]:.0f} GeV: expected"
            f" some from {edges[0]:g} GeV on"
        )
    if covered[-1] < edges[-1]:
        report.conclude(
            f"Fits of mjj end at {covered[-1]:.0f} GeV instead of {edges[-1]:.0f} GeV: events beyond are too few"
            " for the regression of the cuts."
        )
    return covered


def pass_rate_scale(
    options: SearchOptions, background: SearchSample, cuts: Cuts, expectation: Expectation, report: Report
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
    samples: Mapping[str, SearchSample],
    cuts: Cuts,
    plain_samples: Mapping[str, Mapping[str, SearchSample]],
    report: Report,
) -> None:
    """The search of mjj in slices: what is expected, toys without and with signal, the data, and limits.

    Without data, one of the toys with signal stands for them. With data that are not unblinded, all that is shown
    of them is the slice below the loosest working point, and toys stand for the rest.
    """
    hunt = expected(options, samples, cuts, report)
    expectation, signal, masses = hunt.expectation, hunt.signal, hunt.masses
    plain = FitOptions(criterion=options.criterion)

    def with_systematics(counts: Mapping[str, Any]) -> FitOptions:
        faked = slices.spurious_in_slices(counts, masses, expectation, signal, plain)
        systematics = Systematics(hunt.pass_rates, faked, options.scale, options.resolution, options.normalisation)
        return replace(plain, systematics=systematics)

    def at_injected(how: FitOptions) -> FitOptions:
        systematics = how.systematics or Systematics()
        here = list(masses).index(signal.mass)
        faked = {name: of[[here]] for name, of in systematics.spurious.items()}
        return replace(how, systematics=replace(systematics, spurious=faked))

    with progress_bar("toys", 4) as advance:
        of_toys = with_systematics(expectation.events)
        throw: dict[str, Any] = {"pass_rates": hunt.pass_rates, "seed": options.seed}
        counts = slices.throw_slices(expectation, signal, options.toys, **throw)
        without = slices.scan_toys_in_slices(counts, masses, expectation, signal, of_toys)
        advance(1)
        throw = {"pass_rates": hunt.pass_rates, "seed": options.seed + 1, "injected": hunt.injected}
        counts = slices.throw_slices(expectation, signal, options.toys, **throw)
        with_signal = slices.scan_toys_in_slices(counts, [signal.mass], expectation, signal, at_injected(of_toys))
        advance(1)
        toy = {name: toys[0] for name, toys in counts.items()}
        data = toy if options.data is None else observed_counts(options, samples[DATA], cuts, expectation, toy)
        of_data = with_systematics(data)
        scans = slices.scan_slices(data, masses, expectation, signal, of_data)
        statistical = slices.scan_slices(data, masses, expectation, signal, plain)
        advance(1)
        limits = slices.limits_in_slices(data, masses, expectation, signal, of_data)
        advance(1)
    show_toys_without_signal(report, without, seed=options.seed)
    show_toys_with_signal(report, options.injected, with_signal, signal, hunt.injected, hunt.significances)
    uncertainties = {name: one.uncertainties for name, one in statistical.items()}
    if of_data.systematics is not None:
        show_systematics(report, of_data.systematics, uncertainties, list(masses).index(signal.mass))
    if options.data is not None and not options.unblind:
        hidden = [name for name in expectation.shares if name != BELOW]
        report.conclude(f"Blinded: in {', '.join(hidden)}, a toy stands for the data (--unblind shows them).")
        scans = {name: one for name, one in scans.items() if name in (INCLUSIVE, BELOW)}
    source = "Toy" if options.data is None else "Data"
    injected = hunt.injected if options.data is None else 0.0
    show_data(report, options.injected, scans, without, expectation, signal, injected, source)
    if options.datacard:
        write_cards(options, statistical, of_data.systematics or Systematics(), hunt, report)
    in_fb = {name: one.scaled(1 / options.luminosity) for name, one in limits.items()}
    others = {
        name: one.scaled(1 / options.luminosity)
        for name, one in baseline_limits(options, plain_samples, hunt).items()
    }
    show_limits(report, options.injected, in_fb, others, observed=options.data is None or options.unblind)


def baseline_limits(
    options: SearchOptions, plain: Mapping[str, Mapping[str, SearchSample]], hunt: _Hunt
) -> dict[str, Limits]:
    """Expected limits of slices of the baselines, with the signal's uncertainties and no others."""
    how = FitOptions(
        criterion=options.criterion,
        systematics=Systematics(
            scale=options.scale, resolution=options.resolution, normalisation=options.normalisation
        ),
    )
    limits = {}
    for name, samples in plain.items():
        background = samples[options.searched]
        cuts = cut_background(
            *(background, samples.get(CONTROL), options.working_points),
            start=options.fit_start,
            stop=options.fit_stop,
            seed=options.seed,
        )
        points, edges = cuts.points, hunt.expectation.edges
        sliced = {}
        for label, mass in options.samples_of(options.injected).items():
            one = samples[label]
            sliced[mass] = (one.mjj, one.weight, points.slices(one.score(), one.mjj))
        names = points.slice_names
        expectation = slices.expect_background(background.mjj, background.weight, cuts.slices, names, edges)
        signal = slices.slice_signal(sliced, names, options.inject_mass)
        of_slices = slices.limits_in_slices(expectation.events, hunt.masses, expectation, signal, how)
        limits[name] = of_slices.get(COMBINED, of_slices[names[-1]])
    return limits


def write_cards(
    options: SearchOptions, scans: Mapping[str, Scan], systematics: Systematics, hunt: _Hunt, report: Report
) -> None:
    """A datacard whose strength of one is a cross-section of 1 fb; where data are blinded, of toys."""
    fits = {name: scans[name].fits[name] for name in hunt.expectation.shares}
    here, signal = list(hunt.masses).index(hunt.signal.mass), hunt.signal
    events = options.luminosity
    channels = channels_of(fits, signal.shapes, signal.shares, signal.mass, events, systematics, here)
    paths = write_datacard(options.output / "datacard", channels, systematics.normalisation)
    report.conclude(
        f"Datacard of {signal.mass:g} GeV: {', '.join(path.name for path in paths)} in the folder datacard; a"
        " strength of one is a cross-section times branching ratio times acceptance of 1 fb."
    )


def observed_counts(
    options: SearchOptions,
    data: SearchSample,
    cuts: Cuts,
    expectation: Expectation,
    toy: Mapping[str, npt.NDArray[np.int_]],
) -> dict[str, npt.NDArray[np.int_]]:
    """Counts (bins,) of the data in each slice; where they are blinded, of a toy."""
    shown = {}
    for i, name in enumerate(expectation.shares):
        of_slice = np.histogram(data.mjj[cuts.slices == i], expectation.edges)[0]
        shown[name] = of_slice if options.unblind or name == BELOW else toy[name]
    return shown


def most_anomalous(
    options: SearchOptions, samples: Mapping[str, SearchSample], inferer: Any, report: Report
) -> None:
    """Displays of events of the background, and of the injected signal."""
    report.section("Most anomalous events", f"Of the background, and of {options.injected}.")
    for name in (BACKGROUND, next(iter(options.samples_of(options.injected)))):
        sample = samples[name]
        some = sample.of(np.argsort(-sample.score())[:DISPLAYED])
        if some.identifiers is None:
            report.conclude(f"{name}: no event is displayed, as its files have no event numbers to find it by.")
            continue
        events = events_of(options.files[name], some.identifiers)
        show_events(report, some, some.identifiers.tolist(), events, inferer)
