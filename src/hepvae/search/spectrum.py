"""Spectra of mjj in the bins of CMS dijet searches, and the functions that describe background and signal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import DataError, OptionError
from ..options import check_choice
from .weights import Floats, checked_weights, effective_events

__all__ = [
    "DIJET_EDGES",
    "FAMILIES",
    "MOST_PARAMETERS",
    "SQRT_S",
    "BackgroundFunction",
    "Family",
    "Floats",
    "SignalShape",
    "Spectrum",
    "dijet_edges",
    "divided",
    "signal_shape",
]

#: Families of smooth functions of x = mjj / 13 TeV, each with up to `MOST_PARAMETERS` parameters.
Family = Literal["dijet", "ua2", "atlas", "exponential"]

#: Energy of the collisions, GeV: x of the function is mjj over it.
SQRT_S = 13000.0

#: Edges of the bins of mjj (GeV), as wide as the resolution, of the CMS dijet searches since arXiv:1010.0203.
# fmt: off
DIJET_EDGES = np.array([
    1000, 1058, 1118, 1181, 1246, 1313, 1383, 1455, 1530, 1607, 1687, 1770, 1856, 1945, 2037, 2132, 2231, 2332,
    2438, 2546, 2659, 2775, 2895, 3019, 3147, 3279, 3416, 3558, 3704, 3854, 4010, 4171, 4337, 4509, 4686, 4869,
    5058, 5253, 5455, 5663, 5877, 6099, 6328, 6564, 6808, 7060, 7320, 7589, 7866, 8152, 8447, 8752, 9067, 9391,
    9726, 10072, 10430, 10798, 11179, 11571, 11977, 12395, 12827,
], np.float64)
# fmt: on

#: A function with all its parameters has p0, p1, p2, p3, p4, p5.
MOST_PARAMETERS = 6

#: So many effective events tell what events of their mjj weigh.
_KNOWN_FROM = 100

#: Where p0, p1, p2, ... are among the parameters in the order in which they come in.
_ORDER = [0, 2, 1, *range(3, MOST_PARAMETERS)]

#: Gauss-Legendre points in each bin: with three, integrals are right to better than 1e-6.
_POINTS = 3

#: Cumulative shares at which the shapes of two masses are put together; 0.05 % of the events between two.
_LEVELS = np.linspace(0, 1, 2001)

#: Bins are no wider than so many standard deviations of the signal, and divided into no more parts.
_WIDEST, _MOST_PARTS = 4 / 3, 4

#: Bins of mjj / mass that samples are smoothed in.
_FINE = 0.001


def dijet_edges(start: float = 1460, stop: float = 6808) -> Floats:
    """Edges of the dijet bins from `start` to `stop` (GeV), each of which stands for the edge beyond it.

    1460 GeV, where the fits of CMS's search for anomalous dijets begin (arXiv:2412.03747), makes bins 1460, 1530,
    1607, ...

    Raises
    ------
    OptionError
        The ends do not rise, or lie outside of the binning.
    """
    if not DIJET_EDGES[0] <= start < stop <= DIJET_EDGES[-1]:
        raise OptionError(
            f"dijet bins from {start:g} to {stop:g} GeV: expected rising ends from "
            f"{DIJET_EDGES[0]:g} to {DIJET_EDGES[-1]:g}"
        )
    inner = DIJET_EDGES[np.searchsorted(DIJET_EDGES, start, "right") : np.searchsorted(DIJET_EDGES, stop)]
    return np.concatenate([[start], inner, [stop]])


def divided(edges: Floats, resolution: float) -> Floats:
    """Edges of the same bins, each in as many equal parts as make all no wider than `_WIDEST` resolutions.

    A peak in one bin of its own is measured better than one in two halves: with bins that are wider than a signal,
    limits rise and fall from mass to mass.
    """
    parts = int(np.clip(np.ceil(np.max(np.diff(edges) / edges[:-1]) / (_WIDEST * resolution)), 1, _MOST_PARTS))
    steps = np.arange(parts) / parts
    return np.append((edges[:-1, None] + np.diff(edges)[:, None] * steps).ravel(), edges[-1])


@dataclass(frozen=True)
class Spectrum:
    """Events in bins of mjj: counted, or sums of weights with their variances."""

    edges: Floats
    """(bins + 1,), GeV, rising, below `SQRT_S`."""
    counts: Floats
    """(bins,), events or sums of weights."""
    variances: Floats | None = None
    """(bins,), sums of squared weights; None where events are counted."""

    def __post_init__(self) -> None:
        for name in ("edges", "counts", "variances"):
            values = getattr(self, name)
            if values is None and name == "variances":
                continue
            values = np.asarray(values, np.float64)
            object.__setattr__(self, name, values)
            bins = len(self.edges) - 1
            if name != "edges" and values.shape != (bins,):
                raise DataError(f"spectrum: {name} of shape {values.shape}: expected ({bins},)")
            if not np.isfinite(values).all() or values.min(initial=0) < 0:
                raise DataError(f"spectrum: {name} from {values.min():g}: expected finite values, none below zero")
        if len(self.edges) < 2 or not (np.diff(self.edges) > 0).all() or not 0 < self.edges[0] < SQRT_S:
            raise DataError(f"spectrum: {len(self.edges)} edges: expected two or more, rising from above zero")
        if self.edges[-1] >= SQRT_S:
            raise DataError(f"spectrum: bins up to {self.edges[-1]:g} GeV: expected less than {SQRT_S:g}")
        if self.variances is not None and (self.variances[self.counts > 0] == 0).any():
            raise DataError("spectrum: a bin with events has no variance")

    @classmethod
    def of_events(
        cls, mjj: npt.ArrayLike, weights: npt.ArrayLike | None = None, *, edges: npt.ArrayLike | None = None
    ) -> Spectrum:
        """Spectrum of events; those outside of the edges (by default `dijet_edges()`) are left out.

        Parameters
        ----------
        mjj : array (events,)
            GeV.
        weights : array (events,), optional
            Without, events are counted.
        """
        edges = dijet_edges() if edges is None else np.asarray(edges, np.float64)
        mjj = np.asarray(mjj, np.float64)
        counts, _ = np.histogram(mjj, edges)
        if weights is None:
            return cls(edges, counts.astype(np.float64))
        weights = np.asarray(weights, np.float64)
        sums = [np.histogram(mjj, edges, weights=w)[0] for w in (weights, weights**2)]
        return cls(edges, *sums)

    @classmethod
    def of_histogram(cls, histogram: Any) -> Spectrum:
        """Spectrum of a `hist.Hist` with one axis in GeV; its variances are taken where it has weights."""
        edges, counts, variances = histogram.axes[0].edges, histogram.values(), histogram.variances()
        return cls(edges, counts, None if variances is None or (variances == counts).all() else variances)

    @cached_property
    def scale(self) -> Floats:
        """(bins,), number of unweighted events that one of these is worth: counts / variances.

        Counts and expectation times this are distributed almost as Poisson (Bohm and Zech, NIM A 748 (2014) 1).
        Where a bin has fewer than `_KNOWN_FROM` effective events, those around it count too.
        """
        bins = len(self.counts)
        if self.variances is None or not self.counts.any():
            return np.ones(bins)
        scale = np.empty(bins)
        for i in range(bins):
            for reach in range(bins):
                around = slice(max(i - reach, 0), i + reach + 1)
                counts, variance = self.counts[around].sum(), self.variances[around].sum()
                if counts**2 >= _KNOWN_FROM * variance > 0:
                    break
            scale[i] = counts / variance  # of all bins, where there are fewer events
        return scale


#: The derivatives of the logarithm of each family by p2, p1, p3, p4, p5, in which order parameters come in. All
#: are positive, and their logarithms linear in the parameters:
#: "dijet": p0 (1-x)^p1 / x^(p2 + p3 ln x + p4 ln^2 x + p5 ln^3 x), that of CMS (arXiv:2412.03747 with 2 parameters
#: of shape);
#: "ua2": p0 x^-p2 exp(-p1 x - p3 x^2 - p4 x^3 - p5 x^4) (UA2, Z. Phys. C 49 (1991) 17);
#: "atlas": as dijet with 1 - x^(1/3) (ATLAS, arXiv:1606.03833);
#: "exponential": p0 exp(-p2 x^(1/4) - p1 x^(1/2) - p3 x^(3/4) - p4 x - p5 x^(5/4)), a stretched exponential.
FAMILIES: dict[str, Callable[[Floats], list[Floats]]] = {
    "dijet": lambda x: [-np.log(x), np.log1p(-x), *(-(np.log(x) ** k) for k in (2, 3, 4))],
    "ua2": lambda x: [-np.log(x), *(-(x**k) for k in (1, 2, 3, 4))],
    "atlas": lambda x: [-np.log(x), np.log1p(-np.cbrt(x)), *(-(np.log(x) ** k) for k in (2, 3, 4))],
    "exponential": lambda x: [-((x**0.25) ** k) for k in (1, 2, 3, 4, 5)],
}


class BackgroundFunction:
    """A smooth function of mjj, events per GeV, integrated over bins: one of `FAMILIES`.

    The logarithm of the function is linear in ln p0, p2, p1, p3, p4, p5, in which order parameters come in: 2 of
    "dijet" make a power law, 3 the function of CMS's fits with two parameters of shape, and so on. Fits use the
    coefficients of functions that are orthonormal for the given counts: uncorrelated, with uncertainties near one,
    and the first n of them span what the first n parameters do.

    Parameters
    ----------
    edges : array (bins + 1,)
        GeV.
    counts : array (bins,)
        About what the spectrum has, in effective events; only how well a fit converges depends on it.
    family : str
        One of `FAMILIES`.

    Raises
    ------
    OptionError
        The family is unknown.
    """

    def __init__(self, edges: npt.ArrayLike, counts: npt.ArrayLike, family: Family = "dijet") -> None:
        self.edges = np.asarray(edges, np.float64)
        self.family: Family = family
        points, self.weights = _quadrature(self.edges)
        raw = _logarithms(points, family)
        share = self.weights / self.weights.sum(axis=1, keepdims=True)
        importance = (np.asarray(counts, np.float64)[:, None] + 0.01) * share
        _, triangle = np.linalg.qr((np.sqrt(importance)[..., None] * raw).reshape(-1, MOST_PARAMETERS))
        to_raw: Floats = np.linalg.inv(triangle)
        #: (parameters, parameters), from coefficients to (ln p0, p1, p2, ...).
        self.parameter_matrix: Floats = to_raw[_ORDER]
        #: (bins, points, parameters), the orthonormal functions.
        self.basis: Floats = raw @ to_raw
        self._flat = np.ascontiguousarray(self.basis.reshape(-1, MOST_PARAMETERS).T)
        # The coefficients of a logarithm of the spectrum: a projection with the same weights.
        self._project = np.einsum("bkj,bk->jb", self.basis, importance)

    def start(self, counts: Floats) -> Floats:
        """Coefficients (..., parameters) to begin a fit to counts (..., bins) with."""
        start: Floats = np.log((counts + 0.5) / np.diff(self.edges)) @ self._project.T
        return start

    def _densities(self, coefficients: Floats) -> Floats:
        densities: Floats = np.exp(np.clip(coefficients @ self._flat, -200, 600))
        return densities.reshape(*coefficients.shape[:-1], *self.weights.shape) * self.weights

    def expected(self, coefficients: Floats) -> Floats:
        """Events in each bin, (..., bins), for coefficients (..., parameters)."""
        events: Floats = np.sum(self._densities(coefficients), axis=-1)
        return events

    def expected_and_slopes(self, coefficients: Floats) -> tuple[Floats, Floats]:
        """Events (toys, bins), and their derivatives by the coefficients, (toys, bins, parameters)."""
        densities = self._densities(coefficients)
        slopes = densities.transpose(1, 0, 2) @ self.basis  # bin by bin: (toys, points) @ (points, parameters)
        return densities.sum(axis=-1), slopes.transpose(1, 0, 2)

    def parameters(self, coefficients: Floats) -> Floats:
        """(ln p0, p1, p2, ...) of coefficients (parameters,)."""
        return self.parameter_matrix @ coefficients

    @staticmethod
    def density(mjj: npt.ArrayLike, parameters: npt.ArrayLike, family: Family = "dijet") -> Floats:
        """Events per GeV at mjj (GeV) for (ln p0, p1, p2, ...); those that are left out are zero."""
        logarithms = _logarithms(np.asarray(mjj, np.float64), family)
        given = np.asarray(parameters, np.float64)
        return np.exp(logarithms @ np.pad(given, (0, MOST_PARAMETERS - len(given)))[_ORDER])

    @classmethod
    def of_parameters(cls, edges: npt.ArrayLike, parameters: npt.ArrayLike, family: Family = "dijet") -> Floats:
        """Events in each bin, (bins,), for (ln p0, p1, p2, ...); those that are left out are zero."""
        points, weights = _quadrature(np.asarray(edges, np.float64))
        events: Floats = np.sum(cls.density(points, parameters, family) * weights, axis=1)
        return events


def _quadrature(edges: Floats) -> tuple[Floats, Floats]:
    """Points (bins, points) in GeV of the integral over each bin, and their weights."""
    nodes, shares = np.polynomial.legendre.leggauss(_POINTS)
    half = np.diff(edges)[:, None] / 2
    return (edges[1:] + edges[:-1])[:, None] / 2 + half * nodes, half * shares


def _logarithms(mjj: Floats, family: Family) -> Floats:
    """Derivatives of the logarithm of a function by its parameters, (..., parameters)."""
    check_choice("family of functions", family, FAMILIES)
    x = mjj / SQRT_S
    return np.stack([np.ones_like(x), *FAMILIES[family](x)], axis=-1)


@dataclass(frozen=True)
class SignalShape:
    """Distribution of mjj / mass of a resonance, at some masses."""

    masses: Floats
    """(samples,), GeV, rising."""
    quantiles: Floats
    """(samples, levels), mjj / mass that the shares 0, 0.0005, ..., 1 of the events are below."""

    def _quantiles_at(self, mass: float) -> Floats:
        position = np.interp(mass, self.masses, np.arange(len(self.masses)))
        below, above = int(np.floor(position)), int(np.ceil(position))
        share = position - below
        quantiles: Floats = (1 - share) * self.quantiles[below] + share * self.quantiles[above]
        return quantiles

    def quantile(self, levels: npt.ArrayLike, mass: float) -> Floats:
        """mjj / mass that some shares of the events are below."""
        return np.interp(np.asarray(levels, np.float64), _LEVELS, self._quantiles_at(mass))

    def resolution(self, mass: float) -> float:
        """In mjj / mass, of the peak: the standard deviation of a Gaussian with half of its events as close."""
        quantiles, half = self._quantiles_at(mass), len(_LEVELS) // 2
        return float(np.min(quantiles[half:] - quantiles[:-half])) / 1.349

    def template(
        self, mass: float, edges: npt.ArrayLike, *, scale: float = 1.0, resolution: float = 1.0
    ) -> Floats:
        """Share of the signal in each bin of mjj; what is left to one is outside of the bins.

        Between two samples, each quantile of mjj / mass is interpolated linearly ("horizontal morphing": Read,
        NIM A 425 (1999) 357); beyond the samples, the nearest is scaled. With it scales what selects in mjj:
        a sample of 1500 GeV generated with mjj > 1200 GeV has nothing below 2400 GeV at 3000 GeV.

        Parameters
        ----------
        mass : float
            Of the resonance, GeV.
        edges : array (bins + 1,)
            GeV.
        scale : float
            All mjj times a factor: of the jet energy scale.
        resolution : float
            The distances of mjj from its median times a factor: of the resolution.
        """
        quantiles = self._quantiles_at(mass)
        median = quantiles[len(quantiles) // 2]
        quantiles = scale * (median + resolution * (quantiles - median))
        cumulative = np.interp(np.asarray(edges, np.float64) / mass, quantiles, _LEVELS, left=0, right=1)
        return np.diff(cumulative).astype(np.float64)

    def templates(self, masses: Sequence[float] | Floats, edges: npt.ArrayLike, **moved: float) -> Floats:
        """`template` at each mass, (masses, bins), with the same scale and resolution."""
        return np.stack([self.template(mass, edges, **moved) for mass in masses])


def signal_shape(samples: Mapping[float, tuple[npt.ArrayLike, npt.ArrayLike]]) -> SignalShape:
    """Shape of a resonance from weighted events.

    Each sample is smoothed by a Gaussian kernel of Silverman's width (about a fifth of the width of the peak for
    2,000 events, which widens it by 2 %).

    Parameters
    ----------
    samples : mapping of mass (GeV) to (mjj, weights)
        Arrays (events,), mjj in GeV; all events of the slice, those outside of a fit's range too.

    Raises
    ------
    DataError
        A sample has no events, mjj that is not positive, or weights that do not add up to more than zero.
    """
    if not samples:
        raise DataError("signal shape: no samples")
    masses = sorted(samples)
    quantiles = []
    for mass in masses:
        mjj, name = np.asarray(samples[mass][0], np.float64), f"signal of {mass:g} GeV"
        if mass <= 0 or len(mjj) == 0 or not (np.isfinite(mjj) & (mjj > 0)).all():
            raise DataError(f"{name}: {len(mjj)} events: expected some, all with mjj above zero")
        quantiles.append(_quantiles(mjj / mass, checked_weights(name, samples[mass][1])))
    return SignalShape(np.array(masses, np.float64), np.stack(quantiles))


def _quantiles(values: Floats, weights: Floats) -> Floats:
    """Quantiles of smoothed values at `_LEVELS`."""
    events = effective_events(weights)
    # Silverman, Density Estimation (1986), eq. 3.31: with the quartiles, so that tails do not widen the peak
    order = np.argsort(values)
    cumulative = np.cumsum(weights[order]) / weights.sum()
    lower, upper = np.interp([0.25, 0.75], np.maximum.accumulate(cumulative), values[order])
    width = max(0.9 * (upper - lower) / 1.34 * events**-0.2, _FINE)
    reach = int(np.ceil(4 * width / _FINE))
    first = np.floor(values.min() / _FINE) - reach
    bins = int(np.ceil(values.max() / _FINE) + reach - first) + 1
    edges = (first + np.arange(bins + 1)) * _FINE
    density, _ = np.histogram(values, edges, weights=weights)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * _FINE / width) ** 2)
    smooth = np.convolve(density, kernel / kernel.sum(), mode="same")
    # negative weights may leave dips
    cumulative = np.maximum.accumulate(np.concatenate([[0.0], np.cumsum(smooth) / weights.sum()]))
    quantiles: Floats = np.interp(_LEVELS, cumulative / cumulative[-1], edges)
    return quantiles
