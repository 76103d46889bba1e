"""A search in slices of the score: background and signal expected in each, scans of data and of toys.

The slices are orthogonal, and all together are the inclusive spectrum. What simulation expects of the background
in a slice is the fit to all of it times the share of the slice: decorrelated cuts keep the same share at all
mjj, which `Expectation.flatness` tests. A fit of each slice's own simulated events would fluctuate with them, who
are few in a slice of 1 %, and the sum of the slices would be no function that the inclusive spectrum is fitted
with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ..errors import DataError, OptionError
from .counting import Counting
from .fits import Criterion, SpectrumFit, chi2_of_groups, fit_spectrum, merged_bins
from .limits import Limits, upper_limits
from .pass_rates import ChiSquare
from .scans import COMBINED, FitOptions, Masses, Scan, ToyScan, scan, scan_toys
from .separation import Measured, in_window
from .spectrum import Floats, SignalShape, Spectrum, signal_shape
from .spurious import SpuriousSignal, spurious_signal
from .toys import expected_significance, throw_toys, yield_of_significance
from .weights import effective_events, ratio

__all__ = [
    "INCLUSIVE",
    "Expectation",
    "SlicedSignal",
    "countings_in_slices",
    "expect_background",
    "limits_in_slices",
    "measured_significances",
    "scan_slices",
    "scan_toys_in_slices",
    "significances",
    "slice_signal",
    "spurious_in_slices",
    "steps_in_mass",
    "throw_slices",
    "yields_of_significance",
]

Result = TypeVar("Result")
Indices = npt.NDArray[np.int8]
#: By slice: (bins,) or (toys, bins).
Counts = Mapping[str, npt.NDArray[np.int_] | Floats]
#: Background, signal and edges by slice: what is fitted together.
_Test = tuple[dict[str, Floats], dict[str, Floats], dict[str, Floats]]

#: Name of all slices taken as one spectrum, without a cut.
INCLUSIVE = "inclusive"

#: A slice with fewer effective signal events has the shape of all of them.
LEAST_SIGNAL = 100

#: Expected background events under the peak, in the slice that has fewest, for asymptotic significances.
LEAST_UNDER_PEAK = 10

#: Masses are scanned in steps of the resolution, but for very narrow and very broad signals.
_STEPS = (0.02, 0.08)


@dataclass(frozen=True)
class Expectation:
    """Background that is expected in each slice."""

    fit: SpectrumFit
    """Of all simulated events, weighted: the smooth expectation."""
    shares: dict[str, float]
    """Of the background in the range of the fit, by slice; they add up to one."""
    flatness: dict[str, ChiSquare]
    """Of the simulated spectrum of each slice against `events`."""
    n_parameters: int
    """For what is expected (Asimov): what an F-test finds on the smooth expectation."""
    effective_events: float
    """In the range of the fit: how well `shares` are known."""

    @property
    def edges(self) -> Floats:
        """(bins + 1,), GeV."""
        return self.fit.spectrum.edges

    @property
    def events(self) -> dict[str, Floats]:
        """(bins,), by slice."""
        return {name: share * self.fit.expected for name, share in self.shares.items()}


def expect_background(
    mjj: Floats, weight: Floats, slices: Indices, names: Sequence[str], edges: Floats
) -> Expectation:
    """Smooth expectation of the background from simulated events.

    Parameters
    ----------
    mjj, weight : arrays (events,)
        mjj in GeV; weights in expected events.
    slices : int array (events,)
        Index of the slice of each event.
    names : sequence of str
        Of the slices.
    edges : array (bins + 1,)
        GeV, of the fit.

    Raises
    ------
    DataError
        The events are too few for a fit, or a slice has none.
    """
    every = Spectrum.of_events(mjj, weight, edges=edges)
    fit = fit_spectrum(every)
    shares, flatness = {}, {}
    for i, name in enumerate(names):
        some = slices == i
        spectrum = Spectrum.of_events(mjj[some], weight[some], edges=edges)
        if not spectrum.counts.any():
            raise DataError(f"slice {name}: no background events from {edges[0]:g} GeV on")
        shares[name] = float(spectrum.counts.sum() / every.counts.sum())
        # Scaled as all events are: what a few happen to weigh says little.
        expected = shares[name] * fit.expected
        starts = merged_bins(expected * every.scale)
        chi2 = float(chi2_of_groups(spectrum.counts, expected, every.scale, starts))
        flatness[name] = ChiSquare(chi2, max(len(starts) - 1, 0))
    effective = effective_events(weight[(mjj >= edges[0]) & (mjj < edges[-1])])
    return Expectation(
        *(fit, shares, flatness, fit_spectrum(Spectrum(edges, fit.expected)).n_parameters, effective)
    )


@dataclass(frozen=True)
class SlicedSignal:
    """A signal in each slice, from samples at some masses."""

    mass: float
    """That is injected, GeV."""
    masses: Floats
    """(samples,), GeV, rising."""
    sample_shares: dict[str, Floats]
    """(samples,) by slice, of the events (all that were selected, also those outside of the range of the fit)."""
    shapes: dict[str, SignalShape]
    """By slice."""
    inclusive: SignalShape
    """Of all events."""
    sample_events: Floats
    """(samples,), effective events: how well the shares are known."""

    @property
    def shares(self) -> dict[str, float]:
        """Of the events of the injected mass, by slice."""
        return {name: float(share[0]) for name, share in self.shares_at([self.mass]).items()}

    def shares_at(self, masses: Masses) -> dict[str, Floats]:
        """Shares (masses,) by slice: linear in mass between two samples, beyond them those of the nearest."""
        return {name: np.interp(masses, self.masses, share) for name, share in self.sample_shares.items()}

    def templates(self, edges: Floats) -> dict[str, Floats]:
        """Events (bins,) in each slice, for one event of the injected mass in all."""
        return {name: share * self.shapes[name].template(self.mass, edges) for name, share in self.shares.items()}

    @property
    def central(self) -> tuple[float, float]:
        """Ends of the central 68 % in mjj / mass, at the injected mass."""
        low, high = self.inclusive.quantile([0.16, 0.84], self.mass)
        return float(low), float(high)


def slice_signal(
    samples: Mapping[float, tuple[Floats, Floats, Indices]], names: Sequence[str], mass: float | None = None
) -> SlicedSignal:
    """Shares and shapes of a signal.

    Parameters
    ----------
    samples : mapping of mass (GeV) to (mjj, weights, slices)
        Arrays (events,): mjj in GeV, weights in any unit, the index of the slice of each event.
    names : sequence of str
        Of the slices.
    mass : float, optional
        That is injected, GeV; by default that of the first sample.

    Raises
    ------
    DataError
        As `signal_shape`.
    """
    masses = sorted(samples)
    inclusive = signal_shape({m: samples[m][:2] for m in masses})
    shares: dict[str, list[float]] = {name: [] for name in names}
    shapes = {}
    for i, name in enumerate(names):
        own = {}
        for m in masses:
            mjj, weight, index = samples[m]
            inside = index == i
            shares[name].append(float(weight[inside].sum() / weight.sum()))
            enough = effective_events(weight[inside]) >= LEAST_SIGNAL
            own[m] = (mjj[inside], weight[inside]) if enough else (mjj, weight)
        few = all(len(own[m][0]) == len(samples[m][0]) for m in masses)
        shapes[name] = inclusive if few else signal_shape(own)
    injected = next(iter(samples)) if mass is None else mass
    arrays = {name: np.array(share) for name, share in shares.items()}
    events = np.array([effective_events(samples[m][1]) for m in masses])
    return SlicedSignal(injected, np.array(masses, np.float64), arrays, shapes, inclusive, events)


def steps_in_mass(signal: SlicedSignal, expectation: Expectation, lowest: float = 0.0) -> Floats:
    """Masses to scan (masses,), GeV, rising, with that of the signal among them.

    They are not below `lowest` (but for that of the signal), most of the signal is in the range of the fit, and in
    each slice `LEAST_UNDER_PEAK` background events are
    expected under the central 68 % of it.

    Raises
    ------
    OptionError
        The mass of the signal is none of these.
    """
    low, high = signal.central
    edges, smallest = expectation.edges, min(expectation.shares.values())
    step = 1 + np.clip(signal.inclusive.resolution(signal.mass), *_STEPS)
    cumulative = np.append(0.0, np.cumsum(expectation.fit.expected))

    def usable(mass: float) -> bool:
        inside = float(signal.inclusive.template(mass, edges).sum())
        under = float(np.diff(np.interp([low * mass, high * mass], edges, cumulative))[0])
        return inside >= 0.5 and high * mass < edges[-1] and smallest * under >= LEAST_UNDER_PEAK

    if not usable(signal.mass):
        raise OptionError(
            f"signal of {signal.mass:g} GeV: expected most of it from {edges[0]:g} GeV on, and"
            f" {LEAST_UNDER_PEAK} background events under it in each slice: inject another mass (--inject-mass)"
        )
    masses = [signal.mass]
    while masses[0] / step >= lowest and usable(masses[0] / step):
        masses.insert(0, masses[0] / step)
    while usable(masses[-1] * step):
        masses.append(masses[-1] * step)
    return np.array(masses)


def _tests(expectation: Expectation, signal: SlicedSignal) -> dict[str, _Test]:
    """Background, signal and edges of what is fitted: all as one spectrum, each slice, the slices together."""
    events, templates = expectation.events, signal.templates(expectation.edges)
    inclusive = {INCLUSIVE: signal.inclusive.template(signal.mass, expectation.edges)}
    tests = {INCLUSIVE: ({INCLUSIVE: expectation.fit.expected}, inclusive)}
    tests |= {name: ({name: events[name]}, {name: templates[name]}) for name in events}
    if len(events) > 1:
        tests[COMBINED] = events, templates
    return {name: (*test, dict.fromkeys(test[0], expectation.edges)) for name, test in tests.items()}


def significances(injected: float, expectation: Expectation, signal: SlicedSignal) -> dict[str, float]:
    """Expected (Asimov) significance of a number of signal events: `INCLUSIVE`, by slice, and `COMBINED`."""
    n = expectation.n_parameters
    return {
        name: expected_significance(injected, *test, n_parameters=n) if _has_signal(test) else 0.0
        for name, test in _tests(expectation, signal).items()
    }


def measured_significances(
    significances: Mapping[str, float], expectation: Expectation, signal: SlicedSignal
) -> dict[str, Measured]:
    """Expected significances with the uncertainties of the shares of background and signal.

    The shares are those of simulated events, binomial. That of `INCLUSIVE` depends on none; the smooth expectation
    is taken as it is.
    """
    events = float(np.interp(signal.mass, signal.masses, signal.sample_events))
    measured = {INCLUSIVE: Measured(significances[INCLUSIVE], 0.0)}
    for name, share in expectation.shares.items():
        own = signal.shares[name]
        of_signal, of_background = (
            np.sqrt(ratio(1 - part, part * number, 0.0))
            for part, number in ((own, events), (share, expectation.effective_events))
        )
        value = significances[name]
        measured[name] = Measured(value, float(value * np.hypot(of_signal, of_background / 2)))
    if COMBINED in significances:  # a root of the sum of squares
        terms = [measured[name].value * measured[name].uncertainty for name in expectation.shares]
        whole = significances[COMBINED]
        measured[COMBINED] = Measured(whole, float(ratio(np.sqrt(np.sum(np.square(terms))), whole)))
    return measured


def yields_of_significance(
    significance: float, expectation: Expectation, signal: SlicedSignal
) -> dict[str, float]:
    """Signal events, before any cut, for a median significance; NaN for slices that have no signal."""
    n = expectation.n_parameters
    return {
        name: yield_of_significance(significance, *test, n_parameters=n) if _has_signal(test) else np.nan
        for name, test in _tests(expectation, signal).items()
    }


def _has_signal(test: _Test) -> bool:
    _, templates, _ = test
    return any(bool(template.any()) for template in templates.values())


def countings_in_slices(
    background: tuple[Floats, Floats],
    signal: tuple[Floats, Floats],
    slices: Indices,
    names: Sequence[str],
    mass: float,
    shares: Mapping[str, float],
) -> dict[str, Counting]:
    """Counting experiments in the mjj window of a signal: `INCLUSIVE`, and in each slice that has some of it.

    Parameters
    ----------
    background, signal : (mjj, weights)
        Arrays (events,); mjj in GeV. Weights of the background are expected events.
    slices : int array (events,)
        Index of the slice of each signal event.
    names : sequence of str
        Of the slices.
    mass : float
        GeV.
    shares : mapping of slice to float
        Of the background.
    """
    mjj, weight = background
    near = weight[in_window(mjj, mass)]
    expected, of_window = float(near.sum()), 1 / effective_events(near) if near.any() else 0.0
    of_all = effective_events(weight)
    mjj, weight = signal
    inside, of_signal = weight * in_window(mjj, mass), effective_events(weight)

    def efficiency(of: Floats) -> float:
        # sums of all events, one by one, differ by rounding: no share is above one
        return min(float(of.sum() / weight.sum()), 1.0)

    def counting(passing: float, share: float) -> Counting:
        binomial = np.sqrt((1 - passing) / (passing * of_signal)) if passing else 0.0
        of_background = np.sqrt(of_window + (1 - share) / (share * of_all)) if share else 0.0
        return Counting(expected, passing, share, float(binomial), float(of_background))

    countings = {INCLUSIVE: counting(efficiency(inside), 1.0)}
    for i, name in enumerate(names):
        if (of_slice := efficiency(inside[slices == i])) > 0:
            countings[name] = counting(of_slice, shares[name])
    return countings


def throw_slices(
    expectation: Expectation,
    signal: SlicedSignal,
    toys: int,
    *,
    injected: float = 0.0,
    pass_rates: Mapping[str, Floats] | None = None,
    seed: int,
) -> dict[str, npt.NDArray[np.int_]]:
    """Counts (toys, bins) of toys in each slice, with a number of signal events expected in all of them.

    Parameters
    ----------
    injected : float
        Signal events.
    pass_rates : mapping of slice to array (nuisances, bins), optional
        As of `Systematics`: each toy has cuts of its own.
    """
    templates, rng = signal.templates(expectation.edges), np.random.default_rng([seed, 2])
    rates = pass_rates or {}
    nuisances = rng.normal(size=(toys, max([0, *(len(rate) for rate in rates.values())])))
    means = {name: np.tile(events, (toys, 1)) for name, events in expectation.events.items()}
    for name, rate in rates.items():
        means[name] = means[name] * np.exp(nuisances @ rate)
    # what one slice loses, others gain
    kept = expectation.fit.expected / np.sum(list(means.values()), axis=0)
    means = {name: mean * kept + injected * templates[name] for name, mean in means.items()}
    return throw_toys(means, toys, seed=seed)


def _with_inclusive(
    test: Callable[..., dict[str, Result]],
    counts: Counts,
    masses: Masses,
    signal: SlicedSignal,
    options: FitOptions,
) -> dict[str, Result]:
    """What a test gives without a cut (`INCLUSIVE`), for each slice, and for them together (`COMBINED`)."""
    inclusive, how = {INCLUSIVE: np.sum(list(counts.values()), axis=0)}, vars(options)
    return test(inclusive, signal.inclusive, masses, **how) | test(
        counts, signal.shapes, masses, shares=signal.shares_at(masses), **how
    )


def _spectra(counts: Counts, expectation: Expectation) -> dict[str, Spectrum]:
    return {name: Spectrum(expectation.edges, some.astype(np.float64)) for name, some in counts.items()}


def scan_toys_in_slices(
    counts: Counts, masses: Masses, expectation: Expectation, signal: SlicedSignal, options: FitOptions
) -> dict[str, ToyScan]:
    """Scans of toys: `INCLUSIVE` (the sum of the slices), each slice, and `COMBINED`.

    Parameters
    ----------
    counts : mapping of slice to array (toys, bins)
    masses : array (masses,)
        GeV.
    options : FitOptions
    """
    edges = dict.fromkeys((INCLUSIVE, *counts), expectation.edges)
    return _with_inclusive(
        lambda some, *of, **how: scan_toys(some, edges, *of, **how), counts, masses, signal, options
    )


def scan_slices(
    counts: Counts, masses: Masses, expectation: Expectation, signal: SlicedSignal, options: FitOptions
) -> dict[str, Scan]:
    """As `scan_toys_in_slices`, of one set of data, counts (bins,)."""
    return _with_inclusive(
        lambda some, *of, **how: scan(_spectra(some, expectation), *of, **how), counts, masses, signal, options
    )


def limits_in_slices(
    counts: Counts, masses: Masses, expectation: Expectation, signal: SlicedSignal, options: FitOptions
) -> dict[str, Limits]:
    """Limits on all selected signal events, before the cut: from all events (`INCLUSIVE`), each slice, `COMBINED`.

    Those of a slice are divided by its share of the signal, and infinite where it has none.
    """
    shares = signal.shares_at(masses)
    limits = _with_inclusive(
        lambda some, *of, **how: upper_limits(_spectra(some, expectation), *of, **how),
        *(counts, masses, signal, options),
    )
    return {name: one.scaled(ratio(1.0, shares.get(name, 1.0), np.inf)) for name, one in limits.items()}


def spurious_in_slices(
    counts: Counts, masses: Masses, expectation: Expectation, signal: SlicedSignal, criterion: Criterion
) -> dict[str, SpuriousSignal]:
    """That of each slice and of `INCLUSIVE`, from counts (bins,): see `spurious_signal`."""
    every = {INCLUSIVE: np.sum(list(counts.values()), axis=0), **counts}
    shapes = {INCLUSIVE: signal.inclusive, **signal.shapes}
    return spurious_signal(every, dict.fromkeys(every, expectation.edges), shapes, masses, criterion=criterion)
