"""A search in slices of the score: background and signal expected in each, scans of data and of toys.

The slices are orthogonal, and all together are the inclusive spectrum. What simulation expects of the background
in a slice is the fit to all of it times the share of the slice: cuts that follow mjj keep the same share at every
mjj, which `Expectation.flatness` tests. A fit of each slice's own simulated events would fluctuate with them, who
are few in a slice of 1 %, and the sum of the slices would be no function that the inclusive spectrum is fitted
with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import DataError, OptionError
from .bump_hunt import COMBINED, Scan, scan
from .decorrelation import ChiSquare
from .dijet_spectrum import Spectrum
from .injection import Counting
from .separation import in_window
from .signal_shape import SignalShape, signal_shape
from .spectrum_fit import SpectrumFit, chi2_of_groups, fit_spectrum, merged_bins
from .toys import ToyScan, expected_significance, scan_toys, throw_toys, yield_of_significance

__all__ = [
    "INCLUSIVE",
    "Expectation",
    "SlicedSignal",
    "countings_in_slices",
    "expect_background",
    "scan_slices",
    "scan_toys_in_slices",
    "significances",
    "slice_signal",
    "steps_in_mass",
    "throw_slices",
    "yields_of_significance",
]

#: Name of all slices taken as one spectrum, without a cut.
INCLUSIVE = "inclusive"

#: A slice with fewer effective signal events has the shape of all of them.
LEAST_SIGNAL = 100

#: Expected background events under the peak, in the slice that has fewest, for asymptotic significances.
LEAST_UNDER_PEAK = 10

#: Masses are scanned in steps of half of the central 68 % of the signal, but for very narrow and very broad ones.
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
    """That an F-test finds on the smooth expectation: for all fits of data and toys."""

    @property
    def edges(self) -> np.ndarray:
        """(bins + 1,), GeV."""
        return self.fit.spectrum.edges

    @property
    def events(self) -> dict[str, np.ndarray]:
        """(bins,), by slice."""
        return {name: share * self.fit.expected for name, share in self.shares.items()}


def expect_background(mjj, weight, slices, names: Sequence[str], edges) -> Expectation:
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
    return Expectation(fit, shares, flatness, fit_spectrum(Spectrum(edges, fit.expected)).n_parameters)


@dataclass(frozen=True)
class SlicedSignal:
    """A signal in each slice."""

    mass: float
    """Of the resonance, GeV."""
    shares: dict[str, float]
    """Of its events (all that were selected, also those outside of the range of the fit), by slice."""
    shapes: dict[str, SignalShape]
    """By slice."""
    inclusive: SignalShape
    """Of all its events."""

    def templates(self, edges) -> dict[str, np.ndarray]:
        """Events (bins,) in each slice, for one event in all."""
        return {name: share * self.shapes[name].template(self.mass, edges) for name, share in self.shares.items()}

    @property
    def central(self) -> tuple[float, float]:
        """Ends of the central 68 % in mjj / mass."""
        levels = np.linspace(0, 1, self.inclusive.quantiles.shape[1])
        low, high = np.interp([0.16, 0.84], levels, self.inclusive.quantiles[0])
        return float(low), float(high)


def slice_signal(mjj, weight, slices, names: Sequence[str], mass: float) -> SlicedSignal:
    """Shares and shapes of a signal; parameters are those of `expect_background`, weights in any unit."""
    inclusive = signal_shape({mass: (mjj, weight)})
    shares, shapes = {}, {}
    for i, name in enumerate(names):
        own = weight[slices == i]
        shares[name] = float(own.sum() / weight.sum())
        enough = own.any() and own.sum() ** 2 / np.sum(own**2) >= LEAST_SIGNAL
        shapes[name] = signal_shape({mass: (mjj[slices == i], own)}) if enough else inclusive
    return SlicedSignal(mass, shares, shapes, inclusive)


def steps_in_mass(signal: SlicedSignal, expectation: Expectation) -> np.ndarray:
    """Masses to scan (masses,), GeV, rising, with that of the signal among them.

    Most of the signal is in the range of the fit, and in each slice `LEAST_UNDER_PEAK` background events are
    expected under the central 68 % of it.

    Raises
    ------
    OptionError
        The mass of the signal is none of these.
    """
    low, high = signal.central
    edges, smallest = expectation.edges, min(expectation.shares.values())
    step = 1 + np.clip((high - low) / 2, *_STEPS)
    cumulative = np.append(0.0, np.cumsum(expectation.fit.expected))

    def usable(mass) -> bool:
        inside = signal.inclusive.template(mass, edges).sum()
        under = np.diff(np.interp([low * mass, high * mass], edges, cumulative))[0]
        return inside >= 0.5 and high * mass < edges[-1] and smallest * under >= LEAST_UNDER_PEAK

    if not usable(signal.mass):
        raise OptionError(
            f"signal of {signal.mass:g} GeV: expected most of it from {edges[0]:g} GeV on, and"
            f" {LEAST_UNDER_PEAK} background events under it in each slice"
        )
    masses = [signal.mass]
    while usable(masses[0] / step):
        masses.insert(0, masses[0] / step)
    while usable(masses[-1] * step):
        masses.append(masses[-1] * step)
    return np.array(masses)


def _asked(expectation: Expectation, signal: SlicedSignal) -> dict[str, tuple[dict, dict, dict]]:
    """Background, signal and edges of what is fitted: all as one spectrum, each slice, the slices together."""
    events, templates = expectation.events, signal.templates(expectation.edges)
    inclusive = sum(events.values()), signal.inclusive.template(signal.mass, expectation.edges)
    tests = {INCLUSIVE: ({INCLUSIVE: inclusive[0]}, {INCLUSIVE: inclusive[1]})}
    tests |= {name: ({name: events[name]}, {name: templates[name]}) for name in events}
    if len(events) > 1:
        tests[COMBINED] = events, templates
    return {name: (*test, dict.fromkeys(test[0], expectation.edges)) for name, test in tests.items()}


def significances(injected: float, expectation: Expectation, signal: SlicedSignal) -> dict[str, float]:
    """Expected (Asimov) significance of a number of signal events: `INCLUSIVE`, by slice, and `COMBINED`."""
    n = expectation.n_parameters
    return {
        name: expected_significance(injected, *test, n_parameters=n) if _has_signal(test) else 0.0
        for name, test in _asked(expectation, signal).items()
    }


def yields_of_significance(
    significance: float, expectation: Expectation, signal: SlicedSignal
) -> dict[str, float]:
    """Signal events, before any cut, for a median significance; NaN for slices that have no signal."""
    n = expectation.n_parameters
    return {
        name: yield_of_significance(significance, *test, n_parameters=n) if _has_signal(test) else np.nan
        for name, test in _asked(expectation, signal).items()
    }


def _has_signal(test: tuple[dict, dict, dict]) -> bool:
    _, templates, _ = test
    return any(template.any() for template in templates.values())


def countings_in_slices(
    background, signal, slices, names: Sequence[str], mass: float, shares
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
    expected = float(weight[in_window(mjj, mass)].sum())
    mjj, weight = signal
    efficiency = weight * in_window(mjj, mass) / weight.sum()
    found = {INCLUSIVE: Counting(expected, efficiency.sum())}
    for i, name in enumerate(names):
        if (of_slice := efficiency[slices == i].sum()) > 0:
            found[name] = Counting(expected, of_slice, shares[name])
    return found


def throw_slices(
    expectation: Expectation, signal: SlicedSignal, toys: int, *, injected: float = 0.0, seed: int
) -> dict[str, np.ndarray]:
    """Counts (toys, bins) of toys in each slice, with a number of signal events expected in all of them."""
    templates = signal.templates(expectation.edges)
    means = {name: events + injected * templates[name] for name, events in expectation.events.items()}
    return throw_toys(means, toys, seed=seed)


def scan_toys_in_slices(
    counts: Mapping[str, np.ndarray], masses, expectation: Expectation, signal: SlicedSignal
) -> dict[str, ToyScan]:
    """Scans of toys: `INCLUSIVE` (the sum of the slices), each slice, and `COMBINED`.

    Parameters
    ----------
    counts : mapping of slice to array (toys, bins)
    masses : array (masses,)
        GeV.
    """
    edges, n = expectation.edges, expectation.n_parameters
    every = {INCLUSIVE: sum(np.asarray(of_slice) for of_slice in counts.values())}
    found = scan_toys(every, {INCLUSIVE: edges}, signal.inclusive, masses, n_parameters=n)
    asked = {"shares": signal.shares, "n_parameters": n}
    return found | scan_toys(counts, dict.fromkeys(counts, edges), signal.shapes, masses, **asked)


def scan_slices(
    counts: Mapping[str, np.ndarray], masses, expectation: Expectation, signal: SlicedSignal
) -> dict[str, Scan]:
    """As `scan_toys_in_slices`, of one set of data, counts (bins,), with iminuit."""
    edges, n = expectation.edges, expectation.n_parameters
    spectra = {name: Spectrum(edges, of_slice) for name, of_slice in counts.items()}
    every = {INCLUSIVE: Spectrum(edges, sum(np.asarray(of_slice) for of_slice in counts.values()))}
    found = scan(every, signal.inclusive, masses, n_parameters=n)
    return found | scan(spectra, signal.shapes, masses, shares=signal.shares, n_parameters=n)
