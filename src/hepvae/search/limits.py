"""Upper limits on the number of signal events against the mass of a resonance, by the CLs method.

Asymptotic formulas of Cowan, Cranmer, Gross and Vitells, Eur. Phys. J. C 71 (2011) 1554 (arXiv:1007.1727), with
the test statistic q-tilde: eq. 16 of the test, 62 to 66 of its distributions; bands: eq. 89.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..options import check_number
from .fits import ORDERS, Criterion, YieldPrior, fit_backgrounds, minimum
from .scans import FitOptions, Masses, Orders, Shares, Signal, SignalTest, Systematics, as_toys, signal_tests
from .spectrum import Floats, Spectrum

__all__ = ["BANDS", "Limits", "asymptotic_cls", "toy_cls", "upper_limits"]

#: Standard deviations of the bands of the expected limit.
BANDS = (-2, -1, 0, 1, 2)

_ITERATIONS = 40


@dataclass(frozen=True)
class Limits:
    """95 % (or other) CLs upper limits on signal events, at each mass."""

    name: str
    """Of the slice, or `COMBINED`."""
    masses: Floats
    """(masses,), GeV."""
    observed: Floats
    """(masses,), events: of the slice, or of all slices together."""
    expected: Floats
    """(5, masses), without signal: at -2, -1, 0, 1, 2 standard deviations."""

    def scaled(self, factor: npt.ArrayLike) -> Limits:
        """In other units: all limits times a number, or one for each mass.

        Divided by luminosity and the share of the signal that is in the slice, they are of cross-section times
        branching ratio times acceptance.
        """
        factor = np.asarray(factor, np.float64)
        return replace(self, observed=self.observed * factor, expected=self.expected * factor)


def asymptotic_cls(q: npt.ArrayLike, q_asimov: npt.ArrayLike) -> Floats:
    """CLs of a value of q-tilde, from that of the spectrum expected without signal (Asimov).

    Parameters
    ----------
    q, q_asimov : arrays (...,)
        Zero or more.
    """
    from scipy.special import ndtr

    root, asimov = np.sqrt(np.asarray(q, np.float64)), np.sqrt(np.maximum(np.asarray(q_asimov, np.float64), 1e-12))
    beyond = root > asimov  # the bound of q-tilde at yields of zero
    with_signal = np.where(beyond, (root**2 + asimov**2) / (2 * asimov), root)
    without = np.where(beyond, (root**2 - asimov**2) / (2 * asimov), root - asimov)
    return np.asarray(ndtr(-with_signal) / np.maximum(ndtr(-without), 1e-300), np.float64)


@dataclass(frozen=True)
class _Tested:
    """One set of data with a signal at each mass, and its best fit."""

    test: SignalTest
    normalisation: float
    yields: Floats
    """(masses,), fitted."""
    uncertainties: Floats
    """(masses,)."""
    best: Floats
    """(masses,), -ln L of the best fit with a yield of at least zero."""

    @classmethod
    def of(cls, test: SignalTest, normalisation: float) -> _Tested:
        none, masses = np.zeros(len(test.masses)), np.arange(len(test.masses))
        slices, start = test.sliced(np.zeros_like(masses), masses)
        free = minimum(slices, start)
        without = minimum(slices, start, none, prior=YieldPrior(none, none))
        if not (free.converged & without.converged).all():
            raise DataError(f"{test.name}: a fit of the signal for its limit does not converge")
        best = np.where(free.yields >= 0, free.nll, without.nll)
        return cls(test, normalisation, free.yields, free.uncertainties, best)

    def q(self, signal: Floats) -> Floats:
        """q-tilde (masses,) of numbers of signal events (masses,)."""
        masses = np.arange(len(signal))
        slices, start = self.test.sliced(np.zeros_like(masses), masses)
        fitted = minimum(slices, start, signal, prior=YieldPrior(signal, self.normalisation * signal))
        q = 2 * np.maximum(fitted.nll - self.best, 0)
        return np.where(self.yields > signal, 0.0, q)


def upper_limits(
    spectra: Mapping[str, Spectrum],
    signal: Signal,
    masses: Masses,
    *,
    shares: Shares | None = None,
    n_parameters: Orders = ORDERS,
    criterion: Criterion = "f-test",
    systematics: Systematics | None = None,
    level: float = 0.95,
) -> dict[str, Limits]:
    """CLs limits at each mass, of each slice and of all together; parameters are those of `scan`.

    The expected limits are those of the backgrounds that are fitted to the spectra. All nuisance parameters are
    profiled; that of the normalisation changes the signal that is tested.

    Raises
    ------
    OptionError, DataError
        As `scan`.
    """
    check_number("confidence level", level, lowest=0.5, highest=0.9999)
    options = FitOptions(n_parameters, criterion, systematics)
    tests = signal_tests(signal=signal, masses=masses, shares=shares, options=options, **as_toys(spectra))
    normalisation = 0.0 if systematics is None else systematics.normalisation
    limits = {}
    for group, test in tests.items():
        as_expected = {
            name: replace(fit, slice=replace(fit.slice, counts=fit.expected), nll=np.zeros_like(fit.nll))
            for name, fit in test.fits.items()
        }
        data, asimov = (_Tested.of(one, normalisation) for one in (test, replace(test, fits=as_expected)))
        bands = np.stack([_expected(asimov, band, 1 - level) for band in BANDS])
        limits[group] = Limits(group, test.masses, _observed(data, asimov, bands, 1 - level), bands)
    return limits


def _expected(asimov: _Tested, band: float, alpha: float) -> Floats:
    """Limit (masses,) of data that fluctuate by some standard deviations.

    There CLs is (1 - Phi(root - band)) / Phi(band), with the root of q-tilde of the limit without fluctuations.
    """
    from scipy.special import ndtr, ndtri

    target = float(ndtri(1 - alpha * ndtr(band)) + band)
    limit = target * asimov.uncertainties
    for _ in range(_ITERATIONS):
        root = np.sqrt(asimov.q(limit))
        step = np.clip(target / np.maximum(root, 1e-6), 0.5, 2)
        limit = limit * step
        if np.abs(step - 1).max() < 1e-4:
            break
    return limit


def _observed(data: _Tested, asimov: _Tested, bands: Floats, alpha: float) -> Floats:
    """Limit (masses,): where CLs falls through alpha, by bisection in ln(signal)."""
    low, high = bands[0] / 20, bands[-1] + np.maximum(data.yields, 0) + 2 * bands[2]
    for _ in range(_ITERATIONS):
        middle = np.sqrt(low * high)
        excluded = asymptotic_cls(data.q(middle), asimov.q(middle)) < alpha
        low, high = np.where(excluded, low, middle), np.where(excluded, middle, high)
        if np.max(high / low) < 1 + 1e-4:
            break
    limit: Floats = np.sqrt(low * high)
    return limit


def toy_cls(
    signal_yield: float,
    counts: Floats,
    edges: Floats,
    template: Floats,
    background: Floats,
    *,
    n_parameters: int,
    toys: int,
    seed: int,
) -> float:
    """CLs of a number of signal events in one spectrum, with toys in the place of the asymptotic formulas.

    Parameters
    ----------
    signal_yield : float
        That is tested.
    counts, template, background : arrays (bins,)
        Data; signal for a yield of one; expected background of the toys.
    edges : array (bins + 1,)
        GeV.
    n_parameters : int
        Of the background that is fitted.
    toys : int
        Of each kind: with the signal, and without.
    """
    rng = np.random.default_rng(seed)
    means = (background + signal_yield * template, background)
    thrown = [rng.poisson(mean, (toys, len(mean))).astype(np.float64) for mean in means]

    def statistic(spectra: Floats) -> Floats:
        fits = fit_backgrounds("toys", spectra, edges, n_parameters=n_parameters)
        every, tested = np.arange(len(spectra)), np.full(len(spectra), signal_yield)
        test = SignalTest("toys", np.zeros(1), {"": fits}, {"": template[None]})
        slices, start = test.sliced(every, np.zeros_like(every))
        free = minimum(slices, start)
        held = minimum(slices, start, tested, prior=YieldPrior(tested, np.zeros(len(spectra))))
        best = np.where(free.yields >= 0, free.nll, fits.nll)
        return np.where(free.yields > signal_yield, 0.0, 2 * np.maximum(held.nll - best, 0))

    observed = statistic(np.asarray(counts, np.float64)[None])[0]
    with_signal, without = (np.mean(statistic(spectra) >= observed - 1e-9) for spectra in thrown)
    return float(with_signal / max(without, 1 / toys))
