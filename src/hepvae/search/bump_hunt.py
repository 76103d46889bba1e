"""The search for a resonance in spectra of mjj: significance of a signal at each mass, by slice and together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import DataError, OptionError
from .dijet_spectrum import MOST_PARAMETERS, DijetFunction, Spectrum
from .likelihood import Slice, lowest_yield, nll, nll_and_gradient, yield_uncertainty
from .signal_shape import SignalShape
from .spectrum_fit import ORDERS, SpectrumFit, fit_spectrum, minimised

__all__ = ["COMBINED", "Scan", "fit_signal", "in_slices", "scan", "signal_in_slices", "upper_tail"]

#: Name of the scan of all slices together.
COMBINED = "combined"


def upper_tail(significance) -> np.ndarray:
    """Chance of a standard normal number above `significance`."""
    from scipy.stats import norm

    return norm.sf(significance)


@dataclass(frozen=True)
class Scan:
    """Test for a signal at each mass."""

    name: str
    """Of the slice, or `COMBINED`."""
    masses: np.ndarray
    """(masses,), GeV, of the resonance."""
    yields: np.ndarray
    """(masses,), fitted number of signal events: of the slice, or of all slices; negative for deficits."""
    uncertainties: np.ndarray
    """(masses,), of the yields."""
    significance: np.ndarray
    """(masses,), standard deviations: square root of twice the ln of the likelihood ratio to no signal, with the
    sign of the yield."""
    fits: dict[str, SpectrumFit]
    """Backgrounds without signal of the slices that took part."""

    @property
    def p_value(self) -> np.ndarray:
        """(masses,), local, of q0 (Cowan et al., arXiv:1007.1727, eq. 52): 0.5 where the yield is not positive."""
        return upper_tail(np.maximum(self.significance, 0))

    @property
    def most_significant(self) -> int:
        """Index of the mass with the smallest p-value."""
        return int(np.argmax(self.significance))


def scan(
    spectra: Mapping[str, Spectrum],
    signal: SignalShape | Mapping[str, SignalShape],
    masses: Sequence[float],
    *,
    shares: Mapping[str, float] | None = None,
    n_parameters=ORDERS,
) -> dict[str, Scan]:
    """Test each mass for a signal, with the parameters of the backgrounds profiled, by iminuit.

    Significances are asymptotic: with fewer than about ten events of background under the peak, toys tell more
    (`toys`). The number of parameters had better come from a smooth expectation than from the data: see
    `fit_spectrum`.

    Parameters
    ----------
    spectra : mapping of slice to Spectrum
        No event is in two slices.
    signal : SignalShape, or one for each slice
    masses : sequence of float
        GeV.
    shares : mapping of slice to float, optional
        Share of the signal that is in each slice; with it, and more than one slice, slices are combined too:
        one yield, backgrounds of their own.
    n_parameters : int or sequence of int, or mapping of slice to either
        As for `fit_spectrum`; chosen without signal, slice by slice.

    Returns
    -------
    dict of str to Scan
        Of each slice, and last `COMBINED`.

    Raises
    ------
    OptionError
        Shares are missing or no shares, or a mass has no signal in the range of the fit.
    DataError
        A fit does not converge.
    """
    masses = np.asarray(masses, np.float64)
    edges = {name: spectrum.edges for name, spectrum in spectra.items()}
    templates = signal_in_slices(signal, masses, edges, shares)
    orders = in_slices(n_parameters, spectra, "numbers of parameters")
    fits = {name: fit_spectrum(spectrum, n_parameters=orders[name]) for name, spectrum in spectra.items()}
    scans = {}
    for group, shapes in templates.items():
        found = [
            _test(mass, [(fits[name], template[i]) for name, template in shapes.items()])
            for i, mass in enumerate(masses)
        ]
        yields, uncertainties, significance = np.array(found).reshape(-1, 3).T
        used = {name: fits[name] for name in shapes}
        scans[group] = Scan(group, masses, yields, uncertainties, significance, used)
    return scans


def in_slices(value, names, what: str) -> dict:
    """A value for each slice: from a mapping, or the same for all."""
    if not isinstance(value, Mapping):
        return dict.fromkeys(names, value)
    if missing := [name for name in names if name not in value]:
        raise OptionError(f"bump hunt: no {what} for {', '.join(missing)}")
    return dict(value)


def signal_in_slices(signal, masses, edges: Mapping[str, np.ndarray], shares) -> dict[str, dict[str, np.ndarray]]:
    """What is tested: of each slice, and combined, templates (masses, bins) of the slices, for a yield of one."""
    if not len(edges):
        raise OptionError("bump hunt: no slices")
    shapes = in_slices(signal, edges, "signal shape")
    templates = {name: shapes[name].templates(masses, edges[name]) for name in edges}
    tests = {name: {name: template} for name, template in templates.items()}
    if shares is not None:
        wrong = [name for name in edges if not 0 <= shares.get(name, -1) <= 1]
        if wrong or not 0 < sum(shares[name] for name in edges) <= 1 + 1e-9:
            raise OptionError(
                f"shares of the signal {dict(shares)}: expected one from 0 to 1 for each of {', '.join(edges)}, "
                "that add up to no more than 1"
            )
        if len(edges) > 1:
            tests[COMBINED] = {name: shares[name] * template for name, template in templates.items()}
    for group, of_slices in tests.items():
        inside = sum(template.sum(axis=1) for template in of_slices.values())
        if (inside <= 0).any():
            mass = np.asarray(masses)[np.argmin(inside)]
            raise OptionError(f"{group}: a signal of {mass:g} GeV has no events in the range of the fit")
    return tests


def _test(mass: float, parts: list[tuple[SpectrumFit, np.ndarray]]) -> tuple[float, float, float]:
    """Yield, its uncertainty, and significance of a signal in some slices, from their fits without it."""
    slices, start = [], []
    for fit, template in parts:
        spectrum = fit.spectrum
        function = DijetFunction(spectrum.edges, spectrum.counts * spectrum.scale)
        counts, n = spectrum.counts[None], np.array([fit.n_parameters])
        slices.append(Slice(function, counts, spectrum.scale, n, template[None]))
        start.append(function.coefficients(fit.parameters)[None])
    found = fit_signal(slices, start)
    if found is None:
        raise DataError(f"fit of a signal of {mass:g} GeV does not converge")
    return found


def fit_signal(slices: Sequence[Slice], coefficients) -> tuple[float, float, float] | None:
    """Yield, its uncertainty, and significance by iminuit, for one toy.

    Parameters
    ----------
    slices : sequence of Slice
        With a signal, and one toy.
    coefficients : sequence of arrays (1, 5)
        Of the fits without signal.

    Returns
    -------
    (float, float, float), or None where the fit does not converge
    """
    nothing = np.zeros(1)
    without = nll(slices, coefficients, nothing)[0]
    unit = yield_uncertainty(slices, coefficients, nothing)[0]
    lowest = lowest_yield(slices, coefficients)[0]
    ends = np.cumsum([one.n_parameters[0] for one in slices])

    def full(x):
        theta = []
        for part in np.split(x[:-1], ends[:-1]):
            theta.append(np.zeros((1, MOST_PARAMETERS)))
            theta[-1][0, : len(part)] = part
        return theta, np.array([x[-1] * unit])

    def value(x):
        return nll(slices, *full(x))[0]

    def gradient(x):
        _, by_coefficients, by_yield = nll_and_gradient(slices, *full(x))
        parts = [g[0, : one.n_parameters[0]] for g, one in zip(by_coefficients, slices)]
        return np.concatenate([*parts, by_yield * unit])

    at = [theta[0, : one.n_parameters[0]] for theta, one in zip(coefficients, slices)]
    minuit = minimised(value, gradient, np.concatenate([*at, nothing]), lowest / unit)
    if minuit is None:
        return None
    theta, yields = full(np.array(minuit.values))
    uncertainty = minuit.errors[-1] * unit
    if yields[0] < 0.99 * lowest:  # at its bound, where HESSE says nothing
        uncertainty = yield_uncertainty(slices, theta, yields)[0]
    q = max(2 * (without - minuit.fval), 0.0)
    return float(yields[0]), float(uncertainty), float(np.copysign(np.sqrt(q), yields[0]))
