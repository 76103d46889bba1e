"""Likelihood of spectra of mjj that share the yield of one signal, and its minimum for many spectra at once.

iminuit fits spectra one by one (`spectrum_fit`, `bump_hunt`); thousands of toys are fitted here together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .dijet_spectrum import MOST_PARAMETERS, DijetFunction

__all__ = ["Minimum", "Slice", "lowest_yield", "minimum", "nll", "nll_and_gradient", "yield_uncertainty"]

#: A negative yield may leave this share of its background in a bin; from there on the rest falls exponentially.
LEAST_RATIO = 0.02

#: Fits end when the likelihood is as near to its minimum as this (the "EDM" of Minuit).
TOLERANCE = 1e-6

_ITERATIONS, _HALVINGS = 100, 12
_TINY = 1e-300


@dataclass(frozen=True)
class Slice:
    """Spectra of one slice, as many as there are toys (one for data)."""

    function: DijetFunction
    """Of the background."""
    counts: np.ndarray
    """(toys, bins)."""
    scale: np.ndarray
    """(bins,), as of a `Spectrum`: ones where events are counted."""
    n_parameters: np.ndarray
    """(toys,), how many parameters the background of each has."""
    signal: np.ndarray | None = None
    """(toys, bins), events in each bin for a yield of one; None without signal."""

    def of(self, toys) -> Slice:
        """The same with some of the toys."""
        signal = None if self.signal is None else self.signal[toys]
        return Slice(self.function, self.counts[toys], self.scale, self.n_parameters[toys], signal)

    @property
    def free(self) -> np.ndarray:
        """(toys, 5), 1 for parameters that are fitted."""
        return (np.arange(MOST_PARAMETERS) < self.n_parameters[:, None]).astype(np.float64)


@dataclass(frozen=True)
class Minimum:
    """Where the likelihood of each toy is largest."""

    coefficients: list[np.ndarray]
    """(toys, 5) for each slice, of its `DijetFunction`."""
    yields: np.ndarray
    """(toys,), of the signal."""
    uncertainties: np.ndarray
    """(toys,), of the yields, with the backgrounds profiled: from the Fisher information."""
    nll: np.ndarray
    """(toys,)."""
    converged: np.ndarray
    """(toys,), bool."""


def _with_signal(background, signal, yields):
    """Expected events, and their derivatives by background and by yield.

    They are background + yield * signal as long as that is more than `LEAST_RATIO` of the background, and always
    positive: smooth where a negative yield asks for less than nothing, which it does first in bins that are
    all but empty.
    """
    background = np.maximum(background, _TINY)
    ratio = 1 + yields[:, None] * signal / background
    low = ratio < LEAST_RATIO
    if not low.any():
        return np.maximum(background * ratio, _TINY), np.ones_like(ratio), signal
    fading = np.exp(np.clip(ratio / LEAST_RATIO - 1, -200, 0))
    kept = np.where(low, LEAST_RATIO * fading, ratio)
    slope = np.where(low, fading, 1.0)
    return np.maximum(background * kept, _TINY), kept + slope * (1 - ratio), slope * signal


def _deviance(counts, expected, scale):
    """Half the Poisson deviance (Baker and Cousins, NIM 221 (1984) 437), summed over bins."""
    logarithm = np.log(np.where(counts > 0, counts, 1.0) / expected)
    return np.sum(scale * (expected - counts + np.where(counts > 0, counts * logarithm, 0.0)), axis=-1)


def nll(slices: Sequence[Slice], coefficients, yields) -> np.ndarray:
    """(toys,), -ln of the likelihood ratio to a perfect description; twice it is like a chi-square."""
    total = np.zeros(len(yields))
    for one, theta in zip(slices, coefficients):
        expected = one.function.expected(theta)
        if one.signal is None:
            expected = np.maximum(expected, _TINY)
        else:
            expected, _, _ = _with_signal(expected, one.signal, yields)
        total += _deviance(one.counts, expected, one.scale)
    return total


def _slopes(one: Slice, theta, yields):
    """Expected events (toys, bins), derivatives by coefficients (toys, bins, 5) and yield (toys, bins)."""
    background, slopes = one.function.expected_and_slopes(theta)
    slopes = slopes * one.free[:, None, :]
    if one.signal is None:
        return np.maximum(background, _TINY), slopes, None
    expected, by_background, by_yield = _with_signal(background, one.signal, yields)
    return expected, slopes * by_background[..., None], by_yield


def nll_and_gradient(slices: Sequence[Slice], coefficients, yields):
    """As `nll`, and its derivatives by the coefficients of each slice, (toys, 5), and by the yield, (toys,)."""
    total, by_yield, gradients = np.zeros(len(yields)), np.zeros(len(yields)), []
    for one, theta in zip(slices, coefficients):
        expected, slopes, signal = _slopes(one, theta, yields)
        total += _deviance(one.counts, expected, one.scale)
        pull = one.scale * (1 - one.counts / expected)
        gradients.append(np.einsum("tb,tbj->tj", pull, slopes))
        if signal is not None:
            by_yield += np.sum(pull * signal, axis=1)
    return total, gradients, by_yield


def lowest_yield(slices: Sequence[Slice], coefficients) -> np.ndarray:
    """(toys,), below zero: takes all events from the peak of the signal, of backgrounds fitted without it.

    A fit with less would make up spectra of a large background and a signal that cuts a hole into it.
    """
    background, signal = 0.0, 0.0
    for one, theta in zip(slices, coefficients):
        peak = one.signal >= 0.5 * one.signal.max(axis=1, keepdims=True)
        background += np.sum(one.function.expected(theta), axis=1, where=peak)
        signal += np.sum(one.signal, axis=1, where=peak)
    return -background / signal


def _scoring_step(slices: Sequence[Slice], coefficients, yields, lowest):
    """A step of Fisher scoring: by coefficients, by yield; what it promises; variance of the yield.

    Backgrounds share nothing but the yield, so that each is solved for by itself.
    """
    solved, by_yield, information = [], np.zeros(len(yields)), np.zeros(len(yields))
    promise = np.zeros(len(yields))
    for one, theta in zip(slices, coefficients):
        expected, slopes, signal = _slopes(one, theta, yields)
        pull = one.scale * (1 - one.counts / expected)
        weight = one.scale / expected
        weighted = (slopes * weight[..., None]).transpose(0, 2, 1)
        matrix = weighted @ slopes
        # parameters that are not fitted stay where they are
        np.einsum("tjj->tj", matrix)[...] += 1 - one.free + 1e-9
        gradient = np.einsum("tb,tbj->tj", pull, slopes)
        right = [gradient]
        if signal is not None:
            mixed = (weighted @ signal[..., None])[..., 0]
            right.append(mixed)
        columns = np.linalg.solve(matrix, np.stack(right, axis=-1))
        promise += np.sum(gradient * columns[..., 0], axis=1)
        if signal is not None:
            by_yield += np.sum(pull * signal, axis=1) - np.sum(mixed * columns[..., 0], axis=1)
            information += np.sum(weight * signal**2, axis=1) - np.sum(mixed * columns[..., 1], axis=1)
        solved.append(columns)
    if slices[0].signal is None:
        return [-columns[..., 0] for columns in solved], np.zeros(len(yields)), promise, np.zeros(len(yields))
    variance = 1 / np.maximum(information, _TINY)
    step = np.maximum(-by_yield * variance, lowest - yields)
    promise -= by_yield * step
    return [-columns[..., 0] - columns[..., 1] * step[:, None] for columns in solved], step, promise, variance


def yield_uncertainty(slices: Sequence[Slice], coefficients, yields) -> np.ndarray:
    """(toys,), of the yield with the backgrounds profiled, from the Fisher information at these parameters."""
    return np.sqrt(_scoring_step(slices, coefficients, yields, -np.inf)[3])


def minimum(slices: Sequence[Slice], coefficients, yields=None) -> Minimum:
    """Minimise the likelihoods of all toys by Fisher scoring, each with a step as long as it helps.

    Parameters
    ----------
    slices : sequence of Slice
        All with a signal, or none.
    coefficients : sequence of arrays (toys, 5)
        Where to begin, for each slice; those that are not fitted are set to zero. With a signal, they are those of
        fits without: they tell the `lowest_yield`.
    yields : array (toys,), optional
        Where to begin.
    """
    theta = [one.free * start for one, start in zip(slices, coefficients)]
    toys = len(slices[0].counts)
    yields = np.zeros(toys) if yields is None else np.array(yields, np.float64)
    lowest = np.zeros(toys) if slices[0].signal is None else lowest_yield(slices, theta)
    value = nll(slices, theta, yields)
    variance, converged = np.zeros(toys), np.zeros(toys, bool)
    todo = np.arange(toys)
    for _ in range(_ITERATIONS):
        some = [one.of(todo) for one in slices]
        now = [t[todo] for t in theta]
        steps, by_yield, promise, variance[todo] = _scoring_step(some, now, yields[todo], lowest[todo])
        done = promise < 2 * TOLERANCE
        converged[todo[done]] = True
        length = np.ones(len(todo))
        open_ = np.arange(len(todo))
        for _ in range(_HALVINGS):
            tried = [t[open_] + length[open_, None] * s[open_] for t, s in zip(now, steps)]
            tried_yields = yields[todo[open_]] + length[open_] * by_yield[open_]
            found = nll([one.of(open_) for one in some], tried, tried_yields)
            # Armijo's condition: a step that overshoots gains too little of what it promised
            better = value[todo[open_]] - found >= 0.25 * length[open_] * promise[open_] - 1e-12
            good = todo[open_[better]]
            for t, new in zip(theta, tried):
                t[good] = new[better]
            yields[good], value[good] = tried_yields[better], found[better]
            open_ = open_[~better & ~done[open_]]
            length[open_] /= 2
            if len(open_) == 0:
                break
        stuck = np.zeros(len(todo), bool)
        stuck[open_] = True
        todo = todo[~done & ~stuck]
        if len(todo) == 0:
            break
    return Minimum(theta, yields, np.sqrt(variance), value, converged)
