"""The search, from files to a report: samples are scored and compared, and one model's score is searched with.

Figures of merit compare models and strategies for each signal in its mjj window. One model goes on: working points
of its score, decorrelated from mjj, make orthogonal slices; in each of them, in all together and without a cut,
mjj is searched for a resonance, in toys of a luminosity, without and with the events of one of the signals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import OptionError
from ..execution.progress import progress_bar
from ..inference import load_inferer, named_model
from ..jets.selection import select_dijets
from ..models.bundled import MODELS, RESONANCES, sample_path
from ..options import check_number, check_whole_number
from ..output.files import make_folder
from ..output.text import console as plain_console
from ..plots.style import ENERGY_TEV, LABEL
from ..reading.dijets import read_dijets
from ..reading.sources import distinct_names
from ..scoring.strategy import ScoreStrategy, StrategyName
from . import slices
from .report import (
    Report,
    file_name,
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
from .samples import SearchSample, events_of, picobarns_per_weight, score_sample
from .separation import FiguresOfMerit, ScoredEvents, figures_of_merit, in_window, roc
from .slices import INCLUSIVE, Expectation, SlicedSignal
from .spectrum import dijet_edges
from .working_points import Cuts, cut_background, working_point_efficiency

__all__ = ["BACKGROUND", "CONTROL", "SearchOptions", "SignalFiles", "search"]

#: Names of samples in every table and plot.
BACKGROUND, CONTROL = "qcdSig", "control"

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
    background: Any = None
    """Files of QCD; None: the bundled sample."""
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
    cross_section: float | None = None
    """pb, of the background; None: from its tree ``Runs``."""
    fit_start: float = 1460.0
    """GeV."""
    fit_stop: float = 6808.0
    """GeV."""
    toys: int = 200
    """Of each kind."""
    inject: str | None = None
    """The name of the signal that is injected; None: the first."""
    seed: int = 1
    label: str = LABEL
    """Text above the plots."""
    energy: float = ENERGY_TEV
    """Of the collisions, TeV."""

    def __post_init__(self) -> None:
        for name, what in (("signals", "signals"), ("models", "models"), ("strategies", "strategies")):
            if not getattr(self, name):
                raise OptionError(f"no {what}: expected one or more")
        names = [signal.name for signal in self.signals]
        if len(set(names)) < len(names) or {BACKGROUND, CONTROL} & set(names):
            raise OptionError(
                f"signals {', '.join(names)}: expected names of their own, not {BACKGROUND} or {CONTROL}"
            )
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
    def masses(self) -> dict[str, float]:
        """GeV, by signal."""
        return {signal.name: signal.mass for signal in self.signals}

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
        files = {BACKGROUND: background} | {signal.name: signal.files for signal in self.signals}
        return files if self.control is None else files | {CONTROL: self.control}


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
    scored = scored_samples(options, inferers)
    samples = scored[options.model]
    show_samples(report, samples, BACKGROUND, options.fit_start)
    separation(options, scored, report)
    cuts = cut_background(
        *(samples[BACKGROUND], samples.get(CONTROL), options.working_points),
        start=options.fit_start,
        stop=options.fit_stop,
        seed=options.seed,
    )
    show_cuts(report, cuts, samples[BACKGROUND], independent=CONTROL in samples)
    bump_hunt(options, samples, cuts, report)
    shown = {name: sample for name, sample in samples.items() if name != CONTROL}
    show_scores(report, shown, options.model)
    events = read_dijets(options.files[BACKGROUND], entry_stop=RECONSTRUCTED)
    show_reconstruction(report, select_dijets(events, region="signal"), inferers)
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


def separation(options: SearchOptions, scored: Mapping[str, Mapping[str, SearchSample]], report: Report) -> None:
    """Figures of merit of models, signals and strategies, and the curves of the first strategy."""
    merits: dict[tuple[str, str, str], FiguresOfMerit] = {}
    every = [(m, s, how) for m in scored for s in options.masses for how in options.strategies]
    with progress_bar("figures of merit", len(every)) as advance:
        for model, signal, strategy in every:
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
    one = options.model
    show_curves(report, {legend_name(s): curves[one, s] for s in options.masses}, "signals", one)


def expected(
    options: SearchOptions, samples: Mapping[str, SearchSample], cuts: Cuts, report: Report
) -> tuple[Expectation, SlicedSignal, float, dict[str, float]]:
    """Background and signal in the slices, the number of signal events to inject, and what they are worth."""
    background, injected = samples[BACKGROUND], samples[options.injected]
    mass, names = options.masses[options.injected], cuts.points.slice_names
    edges = dijet_edges(options.fit_start, options.fit_stop)
    expectation = slices.expect_background(background.mjj, background.weight, cuts.slices, names, edges)
    of_signal = cuts.points.slices(injected.score(), injected.mjj)
    signal = slices.slice_signal({mass: (injected.mjj, injected.weight, of_signal)}, names)
    needed = slices.yields_of_significance(SIGNIFICANCE, expectation, signal)
    number = needed[INCLUSIVE]
    significances = slices.significances(number, expectation, signal)
    weighted = (background.mjj, background.weight), (injected.mjj, injected.weight)
    counting = slices.countings_in_slices(*weighted, of_signal, names, mass, expectation.shares)
    show_expected(report, options.injected, expectation, signal, number, significances, needed, counting)
    return expectation, signal, number, significances


def bump_hunt(options: SearchOptions, samples: Mapping[str, SearchSample], cuts: Cuts, report: Report) -> None:
    """The search of mjj in slices: what is expected, toys without and with signal, and one of them as data."""
    name = options.injected
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


def most_anomalous(
    options: SearchOptions, samples: Mapping[str, SearchSample], inferer: Any, report: Report
) -> None:
    """Displays of events of the background, and of the injected signal."""
    report.section("Most anomalous events", f"Of the background, and of {options.injected}.")
    for name in (BACKGROUND, options.injected):
        sample = samples[name]
        some = sample.of(np.argsort(-sample.score())[:DISPLAYED])
        if some.identifiers is None:
            report.conclude(f"{name}: no event is displayed, as its files have no event numbers to find it by.")
            continue
        events = events_of(options.files[name], some.identifiers)
        show_events(report, some, some.identifiers.tolist(), events, inferer)
