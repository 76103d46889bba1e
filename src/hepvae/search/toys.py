"""Toys of the bump hunt: what chance makes of spectra, how large signals have to be, whether fits are biased."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import DataError
from .bump_hunt import Scan, fit_signal, in_slices, signal_in_slices, upper_tail
from .dijet_spectrum import DijetFunction
from .likelihood import Slice, minimum
from .spectrum_fit import ORDERS, chi2_of_groups, chosen_order, merged_bins, orders_of

__all__ = [
    "Exceedance",
    "GlobalPValue",
    "ToyScan",
    "exceedances",
    "expected_significance",
    "global_p_value",
    "scan_toys",
    "throw_toys",
    "uniformity",
    "yield_of_significance",
]

#: Fits that are made together; more only need more memory.
_BATCH = 2000


@dataclass(frozen=True)
class ToyScan:
    """Tests for a signal at each mass in each toy: the fields of `Scan`, with an axis of toys."""

    name: str
    """Of the slice, or `COMBINED`."""
    masses: np.ndarray
    """(masses,), GeV."""
    yields: np.ndarray
    """(toys, masses)."""
    uncertainties: np.ndarray
    """(toys, masses)."""
    significance: np.ndarray
    """(toys, masses)."""
    n_parameters: dict[str, np.ndarray]
    """(toys,) for each slice that took part: of its background."""

    @property
    def p_value(self) -> np.ndarray:
        """(toys, masses), local, uniform from 0 to 1 without signal: deficits have more than 0.5."""
        return upper_tail(self.significance)

    def pulls(self, injected: float = 0.0) -> np.ndarray:
        """(toys, masses), fitted less injected yield, in units of the fitted uncertainty."""
        return (self.yields - injected) / self.uncertainties


@dataclass(frozen=True)
class GlobalPValue:
    """Chance of a local significance as large as one that was seen, anywhere in a scan."""

    value: float
    """(1 + toys that have it) / (1 + toys): never zero, and too small no more often than it says."""
    uncertainty: float
    """Binomial."""
    toys: int
    """How many were thrown."""


@dataclass(frozen=True)
class Exceedance:
    """How often the largest local significance of a toy, over all its scans and masses, is above a level."""

    level: float
    """Standard deviations."""
    observed: float
    """Share of the toys."""
    expected: float
    """Share that chance has."""
    toys: int
    """How many were thrown."""

    @property
    def uncertainty(self) -> float:
        """Binomial standard deviation of the share of so many toys, if `expected` is true."""
        return float(np.sqrt(self.expected * (1 - self.expected) / self.toys))

    @property
    def p_value(self) -> float:
        """Chance of so many toys or more."""
        from scipy.stats import binom

        return float(binom.sf(round(self.observed * self.toys) - 1, self.toys, self.expected))


def throw_toys(expected: Mapping[str, np.ndarray], toys: int, *, seed: int) -> dict[str, np.ndarray]:
    """Poisson counts (toys, bins) for the expected events (bins,) of each slice."""
    rng = np.random.default_rng(seed)
    return {name: rng.poisson(values, (toys, len(values))) for name, values in expected.items()}


def scan_toys(
    counts: Mapping[str, np.ndarray],
    edges: Mapping[str, np.ndarray],
    signal,
    masses: Sequence[float],
    *,
    shares: Mapping[str, float] | None = None,
    n_parameters=ORDERS,
) -> dict[str, ToyScan]:
    """`bump_hunt.scan` of many toys at once: the same likelihood, minimised together.

    The few fits that do not converge so are made by iminuit.

    Parameters
    ----------
    counts : mapping of slice to array (toys, bins)
    edges : mapping of slice to array (bins + 1,)
        GeV.
    signal, masses, shares, n_parameters
        As for `bump_hunt.scan`; the F-test is made for each toy, in bins that are merged for all alike.

    Raises
    ------
    DataError
        A fit does not converge.
    """
    masses = np.asarray(masses, np.float64)
    tests = signal_in_slices(signal, masses, {name: edges[name] for name in counts}, shares)
    orders = in_slices(n_parameters, counts, "numbers of parameters")
    alone, coefficients, likelihood = {}, {}, {}
    for name, of_slice in counts.items():
        alone[name], coefficients[name], likelihood[name] = _backgrounds(
            name, np.asarray(of_slice, np.float64), edges[name], orders_of(orders[name])
        )
    scans = {}
    for group, templates in tests.items():
        toys = len(next(iter(alone.values())).counts)
        # Every mass of every toy is a fit of its own.
        toy, mass = (index.ravel() for index in np.indices((toys, len(masses))))
        results = []
        for some in np.array_split(np.arange(len(toy)), -(-len(toy) // _BATCH)):
            slices = [
                Slice(one.function, one.counts, one.scale, one.n_parameters, template[mass[some]])
                for one, template in ((alone[name].of(toy[some]), templates[name]) for name in templates)
            ]
            found = minimum(slices, [coefficients[name][toy[some]] for name in templates])
            without = sum(likelihood[name][toy[some]] for name in templates)
            q = 2 * np.maximum(without - found.nll, 0)
            significance = np.copysign(np.sqrt(q), found.yields)
            values = np.stack([found.yields, found.uncertainties, significance])
            for i in np.flatnonzero(~found.converged):
                at = some[[i]]
                one = fit_signal([s.of([i]) for s in slices], [coefficients[name][toy[at]] for name in templates])
                if one is None:
                    where = f"{masses[mass[at[0]]]:g} GeV to toy {toy[at[0]]}"
                    raise DataError(f"{group}: fit of a signal of {where} does not converge")
                values[:, i] = one
            results.append(values)
        shaped = np.concatenate(results, axis=1).reshape(3, toys, len(masses))
        scans[group] = ToyScan(group, masses, *shaped, {name: alone[name].n_parameters for name in templates})
    return scans


def _backgrounds(name: str, counts: np.ndarray, edges: np.ndarray, orders: tuple[int, ...]):
    """Fits without signal: slice with chosen numbers of parameters, coefficients (toys, 5), -ln L (toys,)."""
    mean = counts.mean(axis=0)
    function = DijetFunction(edges, mean)
    ones = np.ones(counts.shape[1])
    start = function.start(counts)
    fits = [minimum([Slice(function, counts, ones, np.full(len(counts), n))], [start]) for n in orders]
    starts = merged_bins(mean)
    chi2 = [chi2_of_groups(counts, function.expected(fit.coefficients[0]), ones, starts) for fit in fits]
    converged = np.stack([fit.converged for fit in fits], axis=1)
    # what does not converge is not chosen, as in `fit_spectrum`
    chi2 = np.where(converged, np.stack(chi2, axis=1), 1e30)
    best = chosen_order(chi2, len(starts) - np.array(orders))
    every = np.arange(len(counts))
    if not (usable := converged[every, best]).all():
        raise DataError(f"{name}: fit of the background of toy {int(np.argmin(usable))} does not converge")
    coefficients = np.stack([fit.coefficients[0] for fit in fits])[best, every]
    likelihood = np.stack([fit.nll for fit in fits])[best, every]
    return Slice(function, counts, ones, np.array(orders)[best]), coefficients, likelihood


def global_p_value(found: Scan, toys: ToyScan) -> GlobalPValue:
    """Chance of a local p-value at any mass that is as small as the smallest of a scan (look-elsewhere effect).

    Parameters
    ----------
    found : Scan
    toys : ToyScan
        Of the same slices and masses, without signal.
    """
    n = len(toys.significance)
    as_large = int(np.sum(toys.significance.max(axis=1) >= found.significance.max()))
    value = (1 + as_large) / (1 + n)
    return GlobalPValue(value, float(np.sqrt(value * (1 - value) / n)), n)


def exceedances(
    scans: Sequence[ToyScan], levels: Sequence[float] = (1.0, 2.0, 3.0), *, draws: int = 50_000, seed: int = 1
) -> list[Exceedance]:
    """How often toys without signal have a large local significance somewhere, against what chance has.

    What chance has: significances that are standard normal, with the correlations between masses and scans that
    the toys show. Many masses are scanned, so that it is far more than one minus the normal distribution.

    Parameters
    ----------
    scans : sequence of ToyScan
        Of the same toys, without signal.
    levels : sequence of float
        Standard deviations.
    draws, seed : int
        Of the normal numbers.
    """
    seen = np.concatenate([one.significance for one in scans], axis=1)
    correlation = np.atleast_2d(np.corrcoef(seen, rowvar=False))
    values, vectors = np.linalg.eigh(correlation)  # of rank less than full where there are few toys
    root = vectors * np.sqrt(np.maximum(values, 0))
    rng = np.random.default_rng(seed)
    parts = [rng.standard_normal((some, len(root))) @ root.T for some in [5000] * -(-draws // 5000)]
    largest, normal = seen.max(axis=1), np.concatenate([part.max(axis=1) for part in parts])
    return [
        Exceedance(float(z), float(np.mean(largest > z)), float(np.mean(normal > z)), len(seen)) for z in levels
    ]


def uniformity(p_values: np.ndarray) -> float:
    """p-value of a Kolmogorov-Smirnov test that independent p-values (toys,) are uniform."""
    from scipy.stats import kstest

    return float(kstest(p_values, "uniform").pvalue)


def expected_significance(
    signal_yield: float,
    expected: Mapping[str, np.ndarray],
    templates: Mapping[str, np.ndarray],
    edges: Mapping[str, np.ndarray],
    *,
    n_parameters: int | Mapping[str, int],
) -> float:
    """Median significance of a signal: that of spectra as expected (Asimov), fitted together.

    Parameters
    ----------
    signal_yield : float
        Signal events in all slices together.
    expected, templates, edges, n_parameters
        As for `yield_of_significance`.
    """
    return _asimov(signal_yield, expected, templates, edges, n_parameters)[0]


def _asimov(signal_yield, expected, templates, edges, n_parameters) -> tuple[float, float]:
    """Significance, and uncertainty of the yield, of spectra as expected."""
    orders = in_slices(n_parameters, expected, "numbers of parameters")

    def slices(signal):
        for name, background in expected.items():
            counts = (background + signal_yield * templates[name])[None]
            template = templates[name][None] if signal else None
            function = DijetFunction(edges[name], background)
            yield Slice(function, counts, np.ones_like(background), np.array([orders[name]]), template)

    null, full = (list(slices(signal)) for signal in (False, True))
    without = minimum(null, [one.function.start(one.counts) for one in null])
    found = minimum(full, without.coefficients, np.array([signal_yield]))
    return float(np.sqrt(2 * max(without.nll[0] - found.nll[0], 0))), float(found.uncertainties[0])


def yield_of_significance(
    significance: float,
    expected: Mapping[str, np.ndarray],
    templates: Mapping[str, np.ndarray],
    edges: Mapping[str, np.ndarray],
    *,
    n_parameters: int | Mapping[str, int],
) -> float:
    """Signal events that give a median significance: that of spectra as expected (Asimov), fitted together.

    Parameters
    ----------
    significance : float
        Standard deviations.
    expected : mapping of slice to array (bins,)
        Background.
    templates : mapping of slice to array (bins,)
        Signal in each bin for a yield of one: `SignalShape.template`, times the share of the slice.
    edges : mapping of slice to array (bins + 1,)
        GeV.
    n_parameters : int, or one for each slice
        Of the backgrounds that are fitted.
    """
    asked = expected, templates, edges, n_parameters
    number = significance * _asimov(1e-9, *asked)[1]
    for _ in range(20):
        now, _ = _asimov(number, *asked)
        if abs(now / significance - 1) < 1e-3:
            break
        number *= significance / now
    return number
