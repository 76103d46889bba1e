"""Toys of the bump hunt: background-only spectra, how large signals have to be, whether fits are biased."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..options import check_number
from .fits import Slice, minimum
from .scans import Scan, ToyScan, in_slices, upper_tail
from .spectrum import BackgroundFunction, Floats

__all__ = [
    "Exceedance",
    "GlobalPValue",
    "exceedances",
    "expected_significance",
    "global_p_value",
    "throw_toys",
    "uniformity",
    "yield_of_significance",
]


#: p-values below this are looked at for being too frequent.
_SMALL = 0.3


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


def throw_toys(expected: Mapping[str, Floats], toys: int, *, seed: int) -> dict[str, npt.NDArray[np.int_]]:
    """Poisson counts (toys, bins) for the expected events of each slice, (bins,) or (toys, bins)."""
    rng = np.random.default_rng(seed)
    return {name: rng.poisson(values, (toys, values.shape[-1])) for name, values in expected.items()}


def global_p_value(scan: Scan, toys: ToyScan) -> GlobalPValue:
    """Chance of a local p-value at any mass that is as small as the smallest of a scan (look-elsewhere effect).

    Parameters
    ----------
    found : Scan
    toys : ToyScan
        Of the same slices and masses, without signal.
    """
    n = len(toys.significance)
    as_large = int(np.sum(toys.significance.max(axis=1) >= scan.significance.max()))
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
    root = _correlation_root(seen)
    rng = np.random.default_rng(seed)
    parts = [rng.standard_normal((some, len(root))) @ root.T for some in [5000] * -(-draws // 5000)]
    largest, normal = seen.max(axis=1), np.concatenate([part.max(axis=1) for part in parts])
    return [
        Exceedance(float(z), float(np.mean(largest > z)), float(np.mean(normal > z)), len(seen)) for z in levels
    ]


def uniformity(scans: Sequence[ToyScan], *, draws: int = 500, seed: int = 1) -> float:
    """Chance of p-values as small as those of toys without signal, if they are uniform.

    The statistic is the largest excess of p-values below `_SMALL`, over all scans and masses (one-sided
    Kolmogorov-Smirnov); its distribution is that of normal numbers with the correlations of the toys, which the
    scans share. p-values that are too large, of systematic uncertainties that the toys do not have, are no fault.

    Parameters
    ----------
    scans : sequence of ToyScan
        Of the same toys, without signal.
    draws, seed : int
        Of sets of toys.
    """
    seen = np.concatenate([one.significance for one in scans], axis=1)
    root = _correlation_root(seen)
    rng = np.random.default_rng(seed)
    toys = len(seen)

    def statistic(significance: Floats) -> float:
        ordered = np.sort(upper_tail(significance), axis=0)
        excess = np.arange(1, toys + 1)[:, None] / toys - ordered
        return float(np.max(excess, where=ordered < _SMALL, initial=0))

    observed = statistic(seen)
    normal = [statistic(rng.standard_normal((toys, len(root))) @ root.T) for _ in range(draws)]
    return float((1 + np.sum(np.array(normal) >= observed)) / (1 + draws))


def _correlation_root(seen: Floats) -> Floats:
    """A matrix whose square is the correlation of the columns; of rank less than full where there are few toys."""
    values, vectors = np.linalg.eigh(np.atleast_2d(np.corrcoef(seen, rowvar=False)))
    root: Floats = vectors * np.sqrt(np.maximum(values, 0))
    return root


def expected_significance(
    signal_yield: float,
    expected: Mapping[str, Floats],
    templates: Mapping[str, Floats],
    edges: Mapping[str, Floats],
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


def _asimov(
    signal_yield: float,
    expected: Mapping[str, Floats],
    templates: Mapping[str, Floats],
    edges: Mapping[str, Floats],
    n_parameters: int | Mapping[str, int],
) -> tuple[float, float]:
    """Significance, and uncertainty of the yield, of spectra as expected."""
    orders = in_slices(n_parameters, expected, "numbers of parameters")

    null, full = [], []
    for name, background in expected.items():
        counts = (background + signal_yield * templates[name])[None]
        function, ones = BackgroundFunction(edges[name], background), np.ones_like(background)
        order = np.array([orders[name]])
        null.append(Slice(function, counts, ones, order))
        full.append(Slice(function, counts, ones, order, templates[name][None]))
    without = minimum(null, [one.function.start(one.counts) for one in null])
    best = minimum(full, without.coefficients, np.array([signal_yield]))
    return float(np.sqrt(2 * max(without.nll[0] - best.nll[0], 0))), float(best.uncertainties[0])


def yield_of_significance(
    significance: float,
    expected: Mapping[str, Floats],
    templates: Mapping[str, Floats],
    edges: Mapping[str, Floats],
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

    Raises
    ------
    OptionError
        The significance is not a number of at least zero.
    DataError
        No number of events gives it: the fit takes the signal for background.
    """
    check_number("significance", significance, lowest=0)
    if significance == 0:
        return 0.0
    test = expected, templates, edges, n_parameters
    number = significance * _asimov(1e-9, *test)[1]
    for _ in range(50):
        now, _ = _asimov(number, *test)
        if abs(now / significance - 1) < 1e-3:
            return number
        number *= significance / now if now > 0 else 2.0
    raise DataError(
        f"no number of signal events gives {significance:g} standard deviations: {number:g} give {now:.3g}"
    )
