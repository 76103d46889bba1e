"""Fits of the background of spectra of mjj, with as many parameters as an F-test asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import DataError, OptionError
from ..extras import require
from .dijet_spectrum import MOST_PARAMETERS, DijetFunction, Spectrum
from .likelihood import Slice, nll, nll_and_gradient

__all__ = [
    "F_TEST",
    "ORDERS",
    "SpectrumFit",
    "chi2_of_groups",
    "chosen_order",
    "fit_spectrum",
    "merged_bins",
    "minimised",
    "orders_of",
]

#: Numbers of parameters that the F-test chooses among: 2 to 4 of shape, as in CMS's search for anomalous dijets. A
#: power law (2) is often chosen where there are few events, and biases the fit of a signal.
ORDERS = (3, 4, 5)

#: A parameter more has to improve the chi-square by more than chance does in this share of cases.
F_TEST = 0.05

#: Bins are merged until so many (effective) events are expected in each, for chi-squares.
LEAST_EXPECTED = 5

#: The F-test takes no chi-square per degree of freedom to be smaller: spectra without fluctuations have zero.
_LEAST_CHI2_PER_NDF = 0.01


@dataclass(frozen=True)
class SpectrumFit:
    """The background of a spectrum, fitted."""

    spectrum: Spectrum
    """What was fitted."""
    n_parameters: int
    """2 (p0 and p2: a power law) to 5 (p0 to p4)."""
    parameters: np.ndarray
    """(5,): ln p0, p1, p2, p3, p4; p0 in events per GeV; zero where `n_parameters` leaves them out."""
    covariance: np.ndarray
    """(5, 5), of the parameters."""
    expected: np.ndarray
    """(bins,), events of the fitted function."""
    uncertainty: np.ndarray
    """(bins,), of `expected`."""
    chi2: float
    """Of bins merged until 5 events are expected in each."""
    ndf: int
    """Merged bins less parameters."""

    @property
    def p_value(self) -> float:
        """Chance of a chi-square as large as this."""
        from scipy.stats import chi2

        return float(chi2.sf(self.chi2, self.ndf))

    def density(self, mjj) -> np.ndarray:
        """Events per GeV of the fitted function at mjj (GeV)."""
        return DijetFunction.density(mjj, self.parameters)


def fit_spectrum(spectrum: Spectrum, *, n_parameters: int | Sequence[int] = ORDERS) -> SpectrumFit:
    """Fit the background by maximum likelihood with iminuit.

    Counted events are Poisson; sums of weights are so after scaling (`Spectrum.scale`), so that the fit to
    simulation is a smooth expectation to draw toys from.

    Parameters
    ----------
    spectrum : Spectrum
    n_parameters : int or sequence of int
        Of p0 to p4, from 2 to 5; of several, rising, an F-test at 5 % chooses: each is compared to the one chosen
        so far. On data alone the test misses parameters that matter: yields of broad signals are then off by up to
        0.7 standard deviations without signal, and by 2 with one, which hides what is missing
        (analysis/check_bump_hunt.py). Made on a smooth expectation, such as a fit to simulation, it leaves less
        than 0.2: give scans of data the number that it finds there.

    Raises
    ------
    DataError
        Too few bins have events for the least number of parameters, or no fit converges.
    """
    orders = orders_of(n_parameters)
    function = DijetFunction(spectrum.edges, spectrum.counts * spectrum.scale)
    if np.count_nonzero(spectrum.counts) <= orders[0]:
        raise DataError(
            f"spectrum with {spectrum.counts.sum():g} events: {np.count_nonzero(spectrum.counts)} bins have some: "
            f"expected more than the {orders[0]} parameters of its fit"
        )
    fits = [_background(function, spectrum, n) for n in orders]
    usable = [fit for fit in fits if fit is not None]
    if not usable:
        raise DataError(f"spectrum with {spectrum.counts.sum():g} events: its fit does not converge")
    starts = merged_bins(usable[-1][2] * spectrum.scale)
    chi2, ndf = [], []
    for n, _, expected, _ in usable:
        chi2.append(float(chi2_of_groups(spectrum.counts, expected, spectrum.scale, starts)))
        ndf.append(len(starts) - n)
    best = int(chosen_order(np.array([chi2]), np.array(ndf))[0])
    n, minuit, expected, theta = usable[best]
    covariance = np.zeros((MOST_PARAMETERS, MOST_PARAMETERS))
    covariance[:n, :n] = np.array(minuit.covariance)
    _, slopes = function.expected_and_slopes(theta)
    matrix = function.parameter_matrix()
    return SpectrumFit(
        spectrum,
        n,
        function.parameters(theta[0]),
        matrix @ covariance @ matrix.T,
        expected,
        np.sqrt(np.einsum("bi,ij,bj->b", slopes[0], covariance, slopes[0])),
        chi2[best],
        ndf[best],
    )


def orders_of(n_parameters: int | Sequence[int]) -> tuple[int, ...]:
    orders = (n_parameters,) if np.isscalar(n_parameters) else tuple(n_parameters)
    possible = range(2, MOST_PARAMETERS + 1)
    if not orders or sorted(set(orders)) != list(orders) or not set(orders) <= set(possible):
        raise OptionError(f"{n_parameters} parameters of the background: expected some of 2, 3, 4, 5, rising")
    return orders


def _background(function: DijetFunction, spectrum: Spectrum, n: int):
    """(n, minuit, expected, coefficients (1, 5)) of the fit with n parameters; None where it does not converge."""
    one = Slice(function, spectrum.counts[None], spectrum.scale, np.array([n]))
    start = function.start(spectrum.counts)[:n]

    def full(x):
        theta = np.zeros((1, MOST_PARAMETERS))
        theta[0, :n] = x
        return [theta]

    def value(x):
        return nll([one], full(x), np.zeros(1))[0]

    def gradient(x):
        _, (by_coefficients,), _ = nll_and_gradient([one], full(x), np.zeros(1))
        return by_coefficients[0, :n]

    minuit = minimised(value, gradient, start)
    if minuit is None:
        return None
    (theta,) = full(np.array(minuit.values))
    return n, minuit, function.expected(theta)[0], theta


def minimised(value: Callable, gradient: Callable, start: np.ndarray, lowest: float | None = None):
    """A Minuit at the minimum of -ln L, with HESSE done; None where it does not converge.

    Parameters are expected to have uncertainties near one; `lowest` bounds the last.
    """
    iminuit = require("iminuit", "fit of a spectrum")
    minuit = iminuit.Minuit(value, start, grad=gradient)
    minuit.errordef = iminuit.Minuit.LIKELIHOOD
    minuit.errors = 1.0
    minuit.limits[-1] = (lowest, None)
    minuit.tol = 1e-3  # EDM below 1e-6: significances near zero are made of small differences
    minuit.migrad()
    if not minuit.valid:
        minuit.strategy = 2
        minuit.simplex().migrad()
    if not minuit.valid:
        return None
    minuit.hesse()
    return minuit if minuit.valid and minuit.covariance is not None else None


def merged_bins(expected: np.ndarray) -> np.ndarray:
    """First bins of groups in each of which `LEAST_EXPECTED` are expected, made from the upper end on."""
    starts, total = [], 0.0
    for i in range(len(expected) - 1, -1, -1):
        total += expected[i]
        if total >= LEAST_EXPECTED:
            starts.append(i)
            total = 0.0
    return np.array([0, *starts[::-1][1:]])


def chi2_of_groups(counts, expected, scale, starts):
    """Pearson's, (...,), of groups of bins, for (..., bins)."""
    difference, variance = (
        np.add.reduceat(values, starts, axis=-1) for values in (counts - expected, expected / scale)
    )
    return np.sum(difference**2 / np.maximum(variance, 1e-300), axis=-1)


def chosen_order(chi2: np.ndarray, ndf: np.ndarray) -> np.ndarray:
    """Index of the fit that an F-test chooses.

    Parameters
    ----------
    chi2 : array (spectra, fits)
        Of the same bins, in fits with more and more parameters.
    ndf : array (fits,)

    Returns
    -------
    array (spectra,), int
    """
    from scipy.stats import f

    best = np.zeros(len(chi2), int)
    every = np.arange(len(chi2))
    for i in range(1, len(ndf)):
        if ndf[i] < 1:
            break
        more = ndf[best] - ndf[i]
        gain = np.maximum(chi2[every, best] - chi2[:, i], 0) / more
        best[f.sf(gain / np.maximum(chi2[:, i] / ndf[i], _LEAST_CHI2_PER_NDF), more, ndf[i]) < F_TEST] = i
    return best
