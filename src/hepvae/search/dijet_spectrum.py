"""Spectra of mjj in the bins of CMS dijet searches, and the function that describes their background."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..errors import DataError, OptionError

__all__ = ["DIJET_EDGES", "MOST_PARAMETERS", "SQRT_S", "DijetFunction", "Spectrum", "dijet_edges"]

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

#: The function with all its parameters has p0, p1, p2, p3, p4.
MOST_PARAMETERS = 5

#: So many effective events tell what events of their mjj weigh.
_KNOWN_FROM = 100

#: Gauss-Legendre points in each bin: with three, integrals are right to better than 1e-6.
_POINTS = 3


def dijet_edges(start: float = 1460, stop: float = 6808) -> np.ndarray:
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


@dataclass(frozen=True)
class Spectrum:
    """Events in bins of mjj: counted, or sums of weights with their variances."""

    edges: np.ndarray
    """(bins + 1,), GeV, rising, below `SQRT_S`."""
    counts: np.ndarray
    """(bins,), events or sums of weights."""
    variances: np.ndarray | None = None
    """(bins,), sums of squared weights; None where events are counted."""

    def __post_init__(self):
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
    def of_events(cls, mjj, weights=None, *, edges=None) -> Spectrum:
        """Spectrum of events; those outside of the edges (by default `dijet_edges()`) are left out.

        Parameters
        ----------
        mjj : array (events,)
            GeV.
        weights : array (events,), optional
            Without, events are counted.
        """
        edges = dijet_edges() if edges is None else edges
        mjj = np.asarray(mjj, np.float64)
        counts, _ = np.histogram(mjj, edges)
        if weights is None:
            return cls(edges, counts)
        weights = np.asarray(weights, np.float64)
        sums = [np.histogram(mjj, edges, weights=w)[0] for w in (weights, weights**2)]
        return cls(edges, *sums)

    @classmethod
    def of_histogram(cls, histogram) -> Spectrum:
        """Spectrum of a `hist.Hist` with one axis in GeV; its variances are taken where it has weights."""
        edges, counts, variances = histogram.axes[0].edges, histogram.values(), histogram.variances()
        return cls(edges, counts, None if variances is None or (variances == counts).all() else variances)

    @cached_property
    def scale(self) -> np.ndarray:
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


class DijetFunction:
    """``p0 (1-x)^p1 / x^(p2 + p3 ln x + p4 ln^2 x)``, x = mjj / 13 TeV, events per GeV, integrated over bins.

    The logarithm of the function is linear in ln p0, p2, p1, p3, p4, in which order parameters come in: 2 make a
    power law, 3 the function of CMS's fits with two parameters of shape (arXiv:2412.03747), and so on. Fits use
    the coefficients of functions that are orthonormal for the given counts: uncorrelated, with
    uncertainties near one, and the first n of them span what the first n parameters do.

    Parameters
    ----------
    edges : array (bins + 1,)
        GeV.
    counts : array (bins,)
        About what the spectrum has, in effective events; only how well a fit converges depends on it.
    """

    def __init__(self, edges, counts):
        self.edges = np.asarray(edges, np.float64)
        nodes, shares = np.polynomial.legendre.leggauss(_POINTS)
        half = np.diff(self.edges)[:, None] / 2
        points = (self.edges[1:] + self.edges[:-1])[:, None] / 2 + half * nodes
        #: (bins, points), GeV: weights of the integral over each bin.
        self.weights = half * shares
        raw = self._logarithms(points)
        importance = (np.asarray(counts, np.float64)[:, None] + 0.01) * shares / 2
        _, triangle = np.linalg.qr((np.sqrt(importance)[..., None] * raw).reshape(-1, MOST_PARAMETERS))
        self._to_raw = np.linalg.inv(triangle)
        #: (bins, points, parameters), the orthonormal functions.
        self.basis = raw @ self._to_raw
        self._flat = np.ascontiguousarray(self.basis.reshape(-1, MOST_PARAMETERS).T)
        # The coefficients of a logarithm of the spectrum: a projection with the same weights.
        self._project = np.einsum("bkj,bk->jb", self.basis, importance)

    @staticmethod
    def _logarithms(mjj: np.ndarray) -> np.ndarray:
        x = mjj / SQRT_S
        log = np.log(x)
        return np.stack([np.ones_like(x), -log, np.log1p(-x), -(log**2), -(log**3)], axis=-1)

    def start(self, counts: np.ndarray) -> np.ndarray:
        """Coefficients (..., 5) to begin a fit to counts (..., bins) with."""
        return np.log((counts + 0.5) / np.diff(self.edges)) @ self._project.T

    def _densities(self, coefficients: np.ndarray) -> np.ndarray:
        exponent = np.clip(coefficients @ self._flat, -200, 600)
        return np.exp(exponent).reshape(*coefficients.shape[:-1], *self.weights.shape) * self.weights

    def expected(self, coefficients: np.ndarray) -> np.ndarray:
        """Events in each bin, (..., bins), for coefficients (..., 5)."""
        return self._densities(coefficients).sum(axis=-1)

    def expected_and_slopes(self, coefficients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Events (toys, bins), and their derivatives by the coefficients, (toys, bins, 5)."""
        densities = self._densities(coefficients)
        slopes = densities.transpose(1, 0, 2) @ self.basis  # bin by bin: (toys, points) @ (points, 5)
        return densities.sum(axis=-1), slopes.transpose(1, 0, 2)

    def parameters(self, coefficients: np.ndarray) -> np.ndarray:
        """(ln p0, p1, p2, p3, p4) of coefficients (5,)."""
        return self.parameter_matrix() @ coefficients

    def coefficients(self, parameters: np.ndarray) -> np.ndarray:
        """(5,), of (ln p0, p1, p2, p3, p4)."""
        return np.linalg.solve(self.parameter_matrix(), parameters)

    def parameter_matrix(self) -> np.ndarray:
        """(5, 5), from coefficients to (ln p0, p1, p2, p3, p4)."""
        return self._to_raw[[0, 2, 1, 3, 4]]

    @classmethod
    def density(cls, mjj, parameters) -> np.ndarray:
        """Events per GeV at mjj (GeV) for (ln p0, p1, p2, p3, p4)."""
        ordered = np.asarray(parameters, np.float64)[[0, 2, 1, 3, 4]]
        return np.exp(cls._logarithms(np.asarray(mjj, np.float64)) @ ordered)

    @classmethod
    def of_parameters(cls, edges, parameters) -> np.ndarray:
        """Events in each bin, (bins,), for (ln p0, p1, p2, p3, p4)."""
        edges = np.asarray(edges, np.float64)
        nodes, shares = np.polynomial.legendre.leggauss(_POINTS)
        half = np.diff(edges)[:, None] / 2
        points = (edges[1:] + edges[:-1])[:, None] / 2 + half * nodes
        return np.sum(cls.density(points, parameters) * half * shares, axis=1)
