"""What is searched in, and how: the options of a search, checked when made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import OptionError
from ..models.bundled import DETECTOR, RESONANCES, sample_path
from ..models.card import ModelCard
from ..options import check_choice, check_number, check_whole_number
from ..plots.style import ENERGY_TEV, LABEL
from ..reading.sources import distinct_names
from ..scoring.strategy import ScoreStrategy, StrategyName
from .fits import CRITERIA, Criterion
from .spectrum import dijet_edges
from .working_points import working_point_efficiency

__all__ = ["BACKGROUND", "CONTROL", "DATA", "DEFAULT_MODELS", "SearchOptions", "SignalFiles"]

#: Names of samples in every table and plot.
BACKGROUND, CONTROL, DATA = "qcdSig", "control", "data"

#: Models that score files by default: the study's, and the one that tells signals from QCD best.
DEFAULT_MODELS = ("conv", DETECTOR)


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
    signals: tuple[SignalFiles, ...] = field(
        default_factory=lambda: tuple(
            SignalFiles(name, mass, sample_path(name)) for name, mass in RESONANCES.items()
        )
    )
    control: Any = None
    """Files of independent QCD; None: a quarter of the background is held out."""
    models: tuple[str, ...] = ()
    """Bundled names or paths; none: those that scored the files, and `DEFAULT_MODELS` where some were not."""
    search_model: str | None = None
    """The name of that whose score is cut on; None: the last."""
    strategies: tuple[StrategyName, ...] = ("min", "max", "sum")
    """The model's own is cut on where it is one of these, else the first."""
    working_points: tuple[str, ...] = ("eff50", "eff10", "eff1")
    luminosity: float = 138.0
    """fb^-1."""
    baselines: bool = True
    """Compare with cuts on the jet mass and on tau21, where samples have these."""
    companion: bool = True
    """Compare with a classifier that learns from windows in mjj, where samples have the observables it takes."""
    datacard: bool = False
    """Write a datacard of Combine and a workspace of pyhf for the mass that is injected."""
    cross_section: float | None = None
    """pb, of the background that is selected; None: from the tree ``Runs`` of its files."""
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
    """That chooses the number of parameters; a spurious signal that is to be small may need more."""
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
        for name in ("signals", "strategies", "working_points"):
            if not getattr(self, name):
                raise OptionError(f"no {name.replace('_', ' ')}: expected one or more")
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
        for point in self.working_points:
            working_point_efficiency(point)
        if self.inject is not None and self.inject not in names:
            raise OptionError(f"signal to inject {self.inject}: expected one of {', '.join(names)}")
        if self.models:
            self.model_of(distinct_names(self.models))

    def model_of(self, names: Sequence[str]) -> str:
        """Of some models, that whose score is cut on; an OptionError where it is none of them."""
        if self.search_model is not None and self.search_model not in names:
            raise OptionError(f"model to search with {self.search_model}: expected one of {', '.join(names)}")
        return self.search_model or names[-1]

    def strategy_of(self, card: ModelCard) -> StrategyName:
        """How the score of a model that is cut on comes of its jets."""
        return card.strategy if card.strategy in self.strategies else self.strategies[0]

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
    def observables(self) -> bool:
        """Whether jets need more than their losses."""
        return self.baselines or self.companion

    @property
    def searched(self) -> str:
        """The sample that is cut on and whose spectrum is fitted."""
        return BACKGROUND if self.data is None else DATA

    @property
    def injected(self) -> str:
        """Name of the signal that is injected."""
        return self.inject or self.signals[0].name

    @property
    def files(self) -> dict[str, Any]:
        """Of each sample, by its name."""
        background = sample_path(BACKGROUND) if self.background is None else self.background
        files = {BACKGROUND: background} | {label: signal.files for label, signal in self.labelled}
        more = {CONTROL: self.control, DATA: self.data}
        return files | {name: of for name, of in more.items() if of is not None}
