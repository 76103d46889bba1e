"""Fits of spectra of mjj by maximum likelihood, many at once: smooth backgrounds, and one signal in some slices.

The spectra of slices share the yield of the signal and nuisance parameters, and have backgrounds of their own.
Thousands of toys are fitted together, by Fisher scoring; data are fits of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..errors import DataError, OptionError
from ..options import check_choice
from .spectrum import MOST_PARAMETERS, BackgroundFunction, Family, Floats, Spectrum

__all__ = [
    "CRITERIA",
    "F_TEST",
    "ORDERS",
    "BackgroundFits",
    "Criterion",
    "Minimum",
    "Slice",
    "SpectrumFit",
    "YieldPrior",
    "chi2_of_groups",
    "chosen_order",
    "expected_events",
    "fit_backgrounds",
    "fit_spectrum",
    "merged_bins",
    "minimum",
    "nll",
]

#: Numbers of parameters that are chosen among: 2 or more of shape, as in CMS's search for anomalous dijets. A
#: power law (2) is often chosen where there are few events, and biases the fit of a signal.
ORDERS = tuple(range(3, MOST_PARAMETERS + 1))

#: How the number of parameters is chosen.
Criterion = Literal["f-test", "aic", "conservative"]
CRITERIA: tuple[Criterion, ...] = ("f-test", "aic", "conservative")

#: A parameter more has to improve the chi-square by more than chance does in this share of cases.
F_TEST = 0.05

#: Bins are merged until so many (effective) events are expected in each, for chi-squares.
LEAST_EXPECTED = 5

#: A negative yield may leave this share of its background in a bin; from there on the rest falls exponentially.
LEAST_RATIO = 0.02

#: Fits end when the likelihood is as near to its minimum as this (the "EDM" of Minuit).
TOLERANCE = 1e-6

#: The F-test takes no chi-square per degree of freedom to be smaller: spectra without fluctuations have zero.
_LEAST_CHI2_PER_NDF = 0.01

_ITERATIONS, _HALVINGS = 200, 6
#: Damping of steps that do not help, relative to the information: where it begins, and where a fit gives up.
_DAMPING, _MOST_DAMPING = 1e-3, 1e9
#: A fit that no step improves, as where a negative yield asks for less than nothing, has ended when a step
#: promises less: a significance of zero changes by 0.04, one of three by 0.0003.
_ENDED = 1e-3
_TINY = 1e-300


@dataclass(frozen=True)
class Slice:
    """Spectra of one slice, as many as there are toys (one for data)."""

    function: BackgroundFunction
    """Of the background."""
    counts: Floats
    """(toys, bins)."""
    scale: Floats
    """(bins,), as of a `Spectrum`: ones where events are counted."""
    n_parameters: npt.NDArray[np.int_]
    """(toys,), how many parameters the background of each has."""
    signal: Floats | None = None
    """(toys, bins), events in each bin for a yield of one; None without signal."""
    effects: Floats | None = None
    """(nuisances, bins): change of ln(background) for a nuisance parameter of one."""
    signal_effects: Floats | None = None
    """(toys, nuisances, bins): change of `signal` for a nuisance parameter of one."""
    additions: Floats | None = None
    """(toys, nuisances, bins): events that a nuisance parameter of one adds."""

    def of(self, toys: npt.NDArray[np.int_]) -> Slice:
        """The same with some of the toys."""
        counts, orders = self.counts[toys], self.n_parameters[toys]
        signal, signal_effects, additions = (
            None if values is None else values[toys]
            for values in (self.signal, self.signal_effects, self.additions)
        )
        return Slice(self.function, counts, self.scale, orders, signal, self.effects, signal_effects, additions)

    @property
    def free(self) -> Floats:
        """(toys, parameters), 1 for parameters that are fitted."""
        return (np.arange(MOST_PARAMETERS) < self.n_parameters[:, None]).astype(np.float64)

    @property
    def nuisances(self) -> int:
        """How many nuisance parameters change it."""
        changes = (self.effects, self.signal_effects, self.additions)
        return max([0, *(int(values.shape[-2]) for values in changes if values is not None)])


@dataclass(frozen=True)
class YieldPrior:
    """Gaussian constraint on the yield, of nuisance parameters that change it: luminosity, spurious signal."""

    centre: Floats
    """(toys,)."""
    width: Floats
    """(toys,); 0: the yield is fixed, infinite: it is free."""

    def of(self, toys: npt.NDArray[np.int_]) -> YieldPrior:
        """The same with some of the toys."""
        return YieldPrior(self.centre[toys], self.width[toys])

    @property
    def weight(self) -> Floats:
        """(toys,), 1 / width^2; 0 where the yield is fixed."""
        return np.where(self.width > 0, 1 / np.where(self.width > 0, self.width, 1) ** 2, 0.0)


@dataclass(frozen=True)
class Minimum:
    """Where the likelihood of each toy is largest."""

    coefficients: list[Floats]
    """(toys, parameters) for each slice, of its `BackgroundFunction`."""
    yields: Floats
    """(toys,), of the signal."""
    uncertainties: Floats
    """(toys,), of the yields, with all else profiled: from the Fisher information."""
    nuisances: Floats
    """(toys, nuisances), in units of their uncertainty before the fit."""
    nll: Floats
    """(toys,), with constraints."""
    converged: npt.NDArray[np.bool_]
    """(toys,)."""


def _sum(background: Floats, added: Floats) -> tuple[Floats, Floats, Floats]:
    """Expected events (toys, bins), and their derivatives by background and by what is added to it.

    They are background + added as long as that is more than `LEAST_RATIO` of the background, and always positive:
    smooth where a negative yield asks for less than nothing, which it does first in bins that are all but empty.
    """
    ratio = 1 + added / background
    low = ratio < LEAST_RATIO
    if not low.any():
        return np.maximum(background * ratio, _TINY), np.ones_like(ratio), np.ones_like(ratio)
    fading = np.exp(np.clip(ratio / LEAST_RATIO - 1, -200, 0))
    kept = np.where(low, LEAST_RATIO * fading, ratio)
    slope = np.where(low, fading, 1.0)
    return np.maximum(background * kept, _TINY), kept + slope * (1 - ratio), slope


def _background(one: Slice, theta: Floats, nuisances: Floats) -> Floats:
    """Expected background (toys, bins)."""
    expected = one.function.expected(theta)
    if one.effects is not None:
        expected = expected * np.exp(nuisances @ one.effects)
    return np.maximum(expected, _TINY)


def _signal(one: Slice, nuisances: Floats) -> Floats | None:
    """Signal (toys, bins) for a yield of one."""
    if one.signal is None or one.signal_effects is None:
        return one.signal
    shifted: Floats = one.signal + np.einsum("tk,tkb->tb", nuisances, one.signal_effects)
    return shifted


def _added(one: Slice, yields: Floats, nuisances: Floats) -> Floats | None:
    """Signal and what nuisance parameters add (toys, bins); None where that is nothing."""
    signal = _signal(one, nuisances)
    added = None if signal is None else yields[:, None] * signal
    if one.additions is None:
        return added
    more: Floats = np.einsum("tk,tkb->tb", nuisances, one.additions)
    return more if added is None else added + more


def expected_events(one: Slice, theta: Floats, yields: Floats, nuisances: Floats) -> Floats:
    """Background and signal (toys, bins) for coefficients (toys, parameters)."""
    background, added = _background(one, theta, nuisances), _added(one, yields, nuisances)
    return background if added is None else _sum(background, added)[0]


def _deviance(counts: Floats, expected: Floats, scale: Floats) -> Floats:
    """Half the Poisson deviance (Baker and Cousins, NIM 221 (1984) 437), summed over bins."""
    logarithm = np.log(np.where(counts > 0, counts, 1.0) / expected)
    terms: Floats = scale * (expected - counts + np.where(counts > 0, counts * logarithm, 0.0))
    deviance: Floats = np.sum(terms, axis=-1)
    return deviance


def nll(
    slices: Sequence[Slice],
    coefficients: Sequence[Floats],
    yields: Floats,
    nuisances: Floats | None = None,
    prior: YieldPrior | None = None,
) -> Floats:
    """(toys,), -ln of the likelihood ratio to a perfect description; twice it is like a chi-square.

    Nuisance parameters (toys, nuisances) have Gaussian constraints of width one, the yield that of the prior.
    """
    if nuisances is None:
        nuisances = np.zeros((len(yields), max(one.nuisances for one in slices)))
    total: Floats = 0.5 * np.sum(nuisances**2, axis=1)
    if prior is not None:
        total = total + 0.5 * prior.weight * (yields - prior.centre) ** 2
    for one, theta in zip(slices, coefficients):
        total = total + _deviance(one.counts, expected_events(one, theta, yields, nuisances), one.scale)
    return total


def slopes_of(one: Slice, theta: Floats, yields: Floats, nuisances: Floats) -> tuple[Floats, Floats, Floats]:
    """Expected events (toys, bins), their derivatives by coefficients (toys, bins, parameters), and by what slices
    share: the yield and the nuisance parameters (toys, bins, 1 + nuisances)."""
    background, slopes = one.function.expected_and_slopes(theta)
    shared = np.zeros((*background.shape, 1 + nuisances.shape[1]))
    if one.effects is not None:
        factor = np.exp(nuisances @ one.effects)
        background, slopes = background * factor, slopes * factor[..., None]
    slopes = slopes * one.free[:, None, :]
    expected = background = np.maximum(background, _TINY)
    added = _added(one, yields, nuisances)
    if added is not None:
        expected, by_background, by_added = _sum(background, added)
        slopes = slopes * by_background[..., None]
        background = background * by_background
        signal = _signal(one, nuisances)
        if signal is not None:
            shared[..., 0] = by_added * signal
        if one.signal_effects is not None:
            shared[..., 1:] += (by_added * yields[:, None])[..., None] * one.signal_effects.transpose(0, 2, 1)
        if one.additions is not None:
            shared[..., 1:] += by_added[..., None] * one.additions.transpose(0, 2, 1)
    if one.effects is not None:
        shared[..., 1:] += background[..., None] * one.effects.T
    return expected, slopes, shared


def _lowest_yield(slices: Sequence[Slice], coefficients: Sequence[Floats]) -> Floats:
    """(toys,), below zero: takes all events from the peak of the signal, of backgrounds fitted without it.

    A fit with less would make up spectra of a large background and a signal that cuts a hole into it.
    """
    background, signal = np.zeros(len(coefficients[0])), np.zeros(len(coefficients[0]))
    for one, theta in zip(slices, coefficients):
        if one.signal is not None:
            peak = one.signal >= 0.5 * one.signal.max(axis=1, keepdims=True)
            background += np.sum(one.function.expected(theta), axis=1, where=peak)
            signal += np.sum(one.signal, axis=1, where=peak)
    return -background / signal


@dataclass(frozen=True)
class _Step:
    coefficients: list[Floats]
    """(toys, parameters) of each slice."""
    shared: Floats
    """(toys, 1 + nuisances)."""
    promise: Floats
    """(toys,): twice what a quadratic likelihood would fall by."""
    variance: Floats
    """(toys,), of the yield."""


def _scoring_step(
    slices: Sequence[Slice],
    coefficients: Sequence[Floats],
    shared: Floats,
    prior: YieldPrior | None,
    lowest: Floats,
    damping: Floats,
) -> _Step:
    """A step of Fisher scoring.

    Backgrounds share nothing but the yield and the nuisance parameters, so that each is solved for separately, and
    what is shared by the Schur complement.
    """
    toys, n = shared.shape
    gradient, information = shared.copy(), np.zeros((toys, n, n))
    gradient[:, 0] = 0
    information[:, 1:, 1:] = np.eye(n - 1)
    if prior is not None:
        gradient[:, 0] += prior.weight * (shared[:, 0] - prior.centre)
        information[:, 0, 0] += prior.weight
    solved = []
    own = np.zeros(toys)
    more = 1 + damping[:, None]
    for one, theta in zip(slices, coefficients):
        expected, slopes, by_shared = slopes_of(one, theta, shared[:, 0], shared[:, 1:])
        pull, weight = one.scale * (1 - one.counts / expected), one.scale / expected
        weighted = (slopes * weight[..., None]).transpose(0, 2, 1)
        matrix = weighted @ slopes
        diagonal = np.einsum("tjj->tj", matrix)
        # parameters that are not fitted stay where they are
        diagonal[...] = diagonal * more + 1 - one.free + 1e-9
        by_theta = np.einsum("tb,tbj->tj", pull, slopes)
        mixed = weighted @ by_shared
        columns = np.linalg.solve(matrix, np.concatenate([by_theta[..., None], mixed], axis=-1))
        own += np.sum(by_theta * columns[..., 0], axis=1)
        transposed = mixed.transpose(0, 2, 1)
        gradient += np.einsum("tb,tbj->tj", pull, by_shared) - (transposed @ columns[..., :1])[..., 0]
        information += (by_shared * weight[..., None]).transpose(0, 2, 1) @ by_shared - transposed @ columns[
            ..., 1:
        ]
        solved.append(columns)
    np.einsum("tjj->tj", information)[...] *= more
    information[:, 0, 0] = np.maximum(information[:, 0, 0], _TINY)
    has_signal = slices[0].signal is not None
    covariance: Floats = np.zeros((toys, n, n))
    if has_signal:
        covariance[...] = np.linalg.inv(information)
    step = -np.einsum("tij,tj->ti", covariance, gradient)
    fixed = np.zeros(toys, bool) if prior is None else prior.width == 0
    held = fixed | (shared[:, 0] + step[:, 0] < lowest) if has_signal else np.ones(toys, bool)
    if held.any():  # the yield stops at its bound, and the nuisance parameters go where that leaves them
        stop = np.where(fixed | (not has_signal), 0.0, lowest - shared[:, 0])[held]
        right = gradient[held, 1:] + information[held, 1:, 0] * stop[:, None]
        rest = -np.linalg.solve(information[held, 1:, 1:], right[..., None])[..., 0]
        step[held] = np.concatenate([stop[:, None], rest], axis=1)
    return _Step(
        [-columns[..., 0] - np.einsum("tjk,tk->tj", columns[..., 1:], step) for columns in solved],
        step,
        own - np.sum(gradient * step, axis=1),
        covariance[:, 0, 0],
    )


def minimum(
    slices: Sequence[Slice],
    coefficients: Sequence[Floats],
    yields: Floats | None = None,
    *,
    prior: YieldPrior | None = None,
) -> Minimum:
    """Minimise the likelihoods of all toys by Fisher scoring, each with a step as long as it helps.

    Parameters
    ----------
    slices : sequence of Slice
        All with a signal, or none.
    coefficients : sequence of arrays (toys, parameters)
        Where to begin, for each slice; those that are not fitted are set to zero. With a signal, they are those of
        fits without: they tell how negative a yield may be.
    yields : array (toys,), optional
        Where to begin, or the yields that a prior of width 0 fixes.
    prior : YieldPrior, optional
        Constraint on the yields.
    """
    theta = [one.free * start for one, start in zip(slices, coefficients)]
    toys = len(slices[0].counts)
    shared = np.zeros((toys, 1 + max(one.nuisances for one in slices)))
    if yields is not None:
        shared[:, 0] = yields
    lowest = np.full(toys, -np.inf) if slices[0].signal is None else _lowest_yield(slices, theta)
    value = nll(slices, theta, shared[:, 0], shared[:, 1:], prior)
    variance, converged, damping = np.zeros(toys), np.zeros(toys, bool), np.zeros(toys)
    todo = np.arange(toys)
    for _ in range(_ITERATIONS):
        some, now, now_shared = [one.of(todo) for one in slices], [t[todo] for t in theta], shared[todo]
        own_prior = None if prior is None else prior.of(todo)
        step = _scoring_step(some, now, now_shared, own_prior, lowest[todo], damping[todo])
        undamped = damping[todo] == 0
        variance[todo[undamped]] = step.variance[undamped]
        done = undamped & (step.promise < 2 * TOLERANCE)
        converged[todo[done]] = True
        length = np.ones(len(todo))
        open_ = np.arange(len(todo))
        for _ in range(_HALVINGS):
            far = length[open_, None]
            tried = [t[open_] + far * s[open_] for t, s in zip(now, step.coefficients)]
            tried_shared = now_shared[open_] + far * step.shared[open_]
            part = None if own_prior is None else own_prior.of(open_)
            values = nll([one.of(open_) for one in some], tried, tried_shared[:, 0], tried_shared[:, 1:], part)
            # Armijo's condition: a step that overshoots gains too little of what it promised
            better = value[todo[open_]] - values >= 0.25 * length[open_] * step.promise[open_] - 1e-12
            good = todo[open_[better]]
            for t, new in zip(theta, tried):
                t[good] = new[better]
            shared[good], value[good] = tried_shared[better], values[better]
            damping[good] = np.where(damping[good] > _DAMPING, damping[good] / 10, 0)
            open_ = open_[~better & ~done[open_]]
            length[open_] /= 2
            if len(open_) == 0:
                break
        stuck = todo[open_]
        damping[stuck] = np.maximum(_DAMPING, 10 * damping[stuck])
        todo = todo[~done & (damping[todo] < _MOST_DAMPING)]
        if len(todo) == 0:
            break
    if len(left := np.flatnonzero(~converged)):
        at = [one.of(left) for one in slices], [t[left] for t in theta], shared[left]
        step = _scoring_step(*at, None if prior is None else prior.of(left), lowest[left], np.zeros(len(left)))
        converged[left] = step.promise < _ENDED
    return Minimum(theta, shared[:, 0], np.sqrt(variance), shared[:, 1:], value, converged)


@dataclass(frozen=True)
class BackgroundFits:
    """Backgrounds of the spectra of one slice, fitted without signal."""

    slice: Slice
    """With the number of parameters that was chosen for each."""
    coefficients: Floats
    """(toys, parameters)."""
    nll: Floats
    """(toys,)."""
    expected: Floats
    """(toys, bins)."""
    chi2: Floats
    """(toys,), of bins merged until 5 events are expected in each."""
    ndf: npt.NDArray[np.int_]
    """(toys,): merged bins less parameters."""


def fit_backgrounds(
    name: str,
    counts: Floats,
    edges: Floats,
    *,
    scale: Floats | None = None,
    n_parameters: int | Sequence[int] = ORDERS,
    criterion: Criterion = "f-test",
    family: Family = "dijet",
) -> BackgroundFits:
    """Fit the backgrounds of many spectra; parameters are those of `fit_spectrum`.

    Parameters
    ----------
    name : str
        Of the spectra, for messages.
    counts : array (toys, bins)
    edges : array (bins + 1,)
        GeV.
    scale : array (bins,), optional
        As of a `Spectrum`.

    Raises
    ------
    DataError
        No fit of a spectrum converges.
    """
    orders = _orders(n_parameters)
    check_choice("criterion", criterion, CRITERIA)
    toys, bins = counts.shape
    scale = np.ones(bins) if scale is None else scale
    function = BackgroundFunction(edges, counts.mean(axis=0) * scale, family)
    start = function.start(counts)
    fits = [minimum([Slice(function, counts, scale, np.full(toys, n))], [start]) for n in orders]
    converged = np.stack([fit.converged for fit in fits], axis=1)
    expected = np.stack([function.expected(fit.coefficients[0]) for fit in fits], axis=1)
    starts = merged_bins(expected[:, -1].mean(axis=0) * scale)
    # what does not converge is not chosen
    chi2 = np.where(converged, chi2_of_groups(counts[:, None], expected, scale, starts), 1e30)
    likelihood = np.stack([fit.nll for fit in fits], axis=1)
    ndf = len(starts) - np.array(orders)
    if criterion == "aic":
        best = np.argmin(np.where(converged, 2 * likelihood + 2 * np.array(orders), np.inf), axis=1)
    else:
        best = chosen_order(chi2, ndf)
    if criterion == "conservative":
        more = np.minimum(best + 1, len(orders) - 1)
        best = np.where(converged[np.arange(toys), more] & (ndf[more] > 0), more, best)
    every = np.arange(toys)
    if not (usable := converged[every, best]).all():
        where = "its fit" if toys == 1 else f"fit of the background of toy {int(np.argmin(usable))}"
        raise DataError(f"{name}: {where} does not converge")
    return BackgroundFits(
        Slice(function, counts, scale, np.array(orders)[best]),
        np.stack([fit.coefficients[0] for fit in fits], axis=1)[every, best],
        likelihood[every, best],
        expected[every, best],
        chi2[every, best],
        ndf[best],
    )


@dataclass(frozen=True)
class SpectrumFit:
    """The background of a spectrum, fitted."""

    spectrum: Spectrum
    """What was fitted."""
    n_parameters: int
    """2 (p0 and p2: a power law) to 6 (p0 to p5)."""
    parameters: Floats
    """(6,): ln p0, p1, p2, ...; p0 in events per GeV; zero where `n_parameters` leaves them out."""
    covariance: Floats
    """(6, 6), of the parameters."""
    expected: Floats
    """(bins,), events of the fitted function."""
    uncertainty: Floats
    """(bins,), of `expected`."""
    chi2: float
    """Of bins merged until 5 events are expected in each."""
    ndf: int
    """Merged bins less parameters."""
    family: Family
    """Of the function."""
    variations: Floats
    """(n_parameters, bins): changes of `expected` for one standard deviation of each of the independent
    combinations of parameters; their squares add up to that of `uncertainty`."""

    @property
    def p_value(self) -> float:
        """Chance of a chi-square as large as this; NaN without degrees of freedom."""
        from scipy.special import chdtrc

        return float(chdtrc(self.ndf, self.chi2)) if self.ndf > 0 else float("nan")

    def density(self, mjj: npt.ArrayLike) -> Floats:
        """Events per GeV of the fitted function at mjj (GeV)."""
        return BackgroundFunction.density(mjj, self.parameters, self.family)


def fit_spectrum(
    spectrum: Spectrum,
    *,
    n_parameters: int | Sequence[int] = ORDERS,
    criterion: Criterion = "f-test",
    family: Family = "dijet",
) -> SpectrumFit:
    """Fit the background by maximum likelihood.

    Counted events are Poisson; sums of weights are so after scaling (`Spectrum.scale`), so that the fit to
    simulation is a smooth expectation to draw toys from.

    Parameters
    ----------
    spectrum : Spectrum
    n_parameters : int or sequence of int
        Of p0 to p5, from 2 to 6; of several, rising, the criterion chooses.
    criterion : str
        ``"f-test"``: at 5 %, each is compared to the one chosen so far. ``"aic"``: the least of twice -ln L plus
        twice the number of parameters (Akaike), which takes a parameter more in 16 % of cases by chance and misses
        fewer that matter. ``"conservative"``: one more than the F-test chooses: a signal can stand for a parameter
        that is missing, and hide it from the test.
    family : str
        Of functions, one of `FAMILIES`.

    Raises
    ------
    OptionError
        The numbers of parameters are none of 2 to 6, rising, or a name is unknown.
    DataError
        Too few bins have events for the least number of parameters, or no fit converges.
    """
    orders, counts = _orders(n_parameters), spectrum.counts
    name = f"spectrum with {counts.sum():g} events"
    if np.count_nonzero(counts) <= orders[0]:
        raise DataError(
            f"{name}: {np.count_nonzero(counts)} bins have some: expected more than the {orders[0]} parameters of"
            " its fit"
        )
    fits = fit_backgrounds(
        *(name, counts[None], spectrum.edges),
        scale=spectrum.scale,
        n_parameters=orders,
        criterion=criterion,
        family=family,
    )
    n, function = int(fits.slice.n_parameters[0]), fits.slice.function
    _, slopes = function.expected_and_slopes(fits.coefficients)
    own = slopes[0, :, :n]
    inverse = np.linalg.inv(own.T @ (own * (spectrum.scale / fits.expected[0])[:, None]))
    covariance = np.zeros((MOST_PARAMETERS, MOST_PARAMETERS))
    covariance[:n, :n] = inverse
    values, vectors = np.linalg.eigh(inverse)
    variations = (own @ (vectors * np.sqrt(np.maximum(values, 0)))).T
    matrix = function.parameter_matrix
    return SpectrumFit(
        spectrum,
        n,
        function.parameters(fits.coefficients[0]),
        matrix @ covariance @ matrix.T,
        fits.expected[0],
        np.sqrt(np.sum(variations**2, axis=0)),
        float(fits.chi2[0]),
        int(fits.ndf[0]),
        family,
        variations,
    )


def _orders(n_parameters: int | Sequence[int]) -> tuple[int, ...]:
    orders = (n_parameters,) if isinstance(n_parameters, int | np.integer) else tuple(n_parameters)
    possible = range(2, MOST_PARAMETERS + 1)
    if not orders or sorted(set(orders)) != list(orders) or not set(orders) <= set(possible):
        expected = ", ".join(map(str, possible))
        raise OptionError(f"{n_parameters} parameters of the background: expected some of {expected}, rising")
    return tuple(map(int, orders))


def merged_bins(expected: Floats) -> npt.NDArray[np.int_]:
    """First bins of groups in each of which `LEAST_EXPECTED` are expected, from the upper end on."""
    starts, total = [], 0.0
    for i in range(len(expected) - 1, -1, -1):
        total += expected[i]
        if total >= LEAST_EXPECTED:
            starts.append(i)
            total = 0.0
    return np.array([0, *starts[::-1][1:]])


def chi2_of_groups(counts: Floats, expected: Floats, scale: Floats, starts: npt.NDArray[np.int_]) -> Floats:
    """Pearson's, (...,), of groups of bins, for (..., bins)."""
    difference, variance = (
        np.add.reduceat(values, starts, axis=-1) for values in (counts - expected, expected / scale)
    )
    chi2: Floats = np.sum(difference**2 / np.maximum(variance, 1e-300), axis=-1)
    return chi2


def chosen_order(chi2: Floats, ndf: npt.NDArray[np.int_]) -> npt.NDArray[np.int_]:
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
    from scipy.special import fdtrc

    best = np.zeros(len(chi2), int)
    every = np.arange(len(chi2))
    for i in range(1, len(ndf)):
        if ndf[i] < 1:
            break
        more = ndf[best] - ndf[i]
        gain = np.maximum(chi2[every, best] - chi2[:, i], 0) / more
        best[fdtrc(more, ndf[i], gain / np.maximum(chi2[:, i] / ndf[i], _LEAST_CHI2_PER_NDF)) < F_TEST] = i
    return best
