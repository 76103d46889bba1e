"""Cuts on the score that keep the same share of background at every mjj.

A cut at one value of the score sculpts mjj: anomaly scores rise with the energy of the jets. So the cut follows
mjj: it is the quantile of the background's scores at each mjj, by quantile regression (R. Koenker, G. Bassett,
Econometrica 46 (1978) 33). Working points carry the background efficiency in their name: ``eff10`` keeps 10 %.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError, OptionError
from ..options import check_whole_number
from .pass_rates import PassRate, pass_rate
from .quantiles import balanced_weights, quantile_spline
from .samples import SearchSample
from .spectrum import dijet_edges
from .weights import Floats, checked_weights, effective_events, finite, same_length

__all__ = [
    "Cuts",
    "WorkingPoints",
    "constant_cut",
    "cut_background",
    "effective_passing",
    "fit_working_points",
    "working_point_efficiency",
    "working_point_name",
]

Indices = npt.NDArray[np.int8]

#: Points in mjj at which a regression is kept: linear between them it is off by far less than its uncertainty.
GRID = 200

#: Events at either end of mjj that a regression takes as if they had the same mjj: one alone is no quantile.
END_EVENTS = 30

#: Background events (effective number) that have to pass a working point for a regression of it.
LEAST_IN_FIT = 10

#: Effective background events in the range of the fit that have to pass a working point.
LEAST_IN_SEARCH = 30

#: The background is the control sample, too, where there is no other: one event in so many.
HELD_OUT = 4

#: Efficiencies a quarter larger and smaller tell how the share that passes changes with the cut.
_NEIGHBOUR = 0.25

#: Pass rates are in bins up to the mjj that so many control events are above.
_ABOVE = 10


def working_point_name(efficiency: float) -> str:
    """``eff10`` for 0.1, ``eff0.5`` for 0.005: the background efficiency in per cent.

    Raises
    ------
    OptionError
        The efficiency is not between 0 and 1.
    """
    if not 0 < efficiency < 1:
        raise OptionError(f"background efficiency is {efficiency}: expected a number between 0 and 1")
    return "eff" + np.format_float_positional(round(100 * efficiency, 8), trim="-")


def working_point_efficiency(name: str) -> float:
    """0.1 for ``eff10``: the inverse of `working_point_name`.

    Raises
    ------
    OptionError
        The name is not that of a working point.
    """
    percent = name.removeprefix("eff")
    try:
        efficiency = float(percent) / 100
    except ValueError:
        efficiency = np.nan
    if percent == name or not 0 < efficiency < 1:
        raise OptionError(
            f"working point {name!r}: expected 'eff' and the background efficiency in per cent, like 'eff10'"
        )
    return efficiency


def constant_cut(score: npt.ArrayLike, weight: npt.ArrayLike, efficiency: float) -> float:
    """Smallest score that passes a cut which keeps a share of all background, whatever its mjj.

    Parameters
    ----------
    score, weight : arrays (events,)
        Background.
    """
    score, weight = finite("scores", score), checked_weights("background", weight)
    same_length(scores=score, weights=weight)
    falling = np.argsort(-score)
    passing = np.cumsum(weight[falling])
    return float(score[falling[np.searchsorted(passing, efficiency * passing[-1])]])


@dataclass(frozen=True)
class WorkingPoints:
    """Cuts on the score as functions of mjj, from the loosest to the tightest."""

    efficiencies: tuple[float, ...]
    """Shares of the background that pass, falling."""
    mjj: Floats
    """(points,) GeV, rising: where the cuts are kept; beyond its ends, the cuts are those at the ends."""
    cuts: Floats
    """(folds, efficiencies, points): smallest score that passes, by the regression of the other folds' events."""
    fold: Indices
    """(events,) int8: the fold of each event fitted, whose regression has not seen that event."""
    variations: Floats | None = None
    """(replicas, efficiencies, points): relative change of the share that passes, of bootstrap replicas of the
    regressions; None without replicas."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the working points, from the loosest to the tightest."""
        return tuple(map(working_point_name, self.efficiencies))

    @property
    def slice_names(self) -> tuple[str, ...]:
        """Names of the values of `slices`: ``rest``, ``eff50-30``, ..., ``eff1``."""
        tighter = [name.removeprefix("eff") for name in self.names[1:]]
        between = [f"{loose}-{tight}" for loose, tight in zip(self.names, tighter)]
        return ("rest", *between, self.names[-1])

    def covers(self, mjj: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Which mjj (GeV) the regressions have seen: beyond, cuts are constant, and keep another share."""
        mjj = np.asarray(mjj, np.float64)
        covered: npt.NDArray[np.bool_] = (mjj >= self.mjj[0]) & (mjj <= self.mjj[-1])
        return covered

    def pass_rate_band(self, mjj: npt.ArrayLike) -> Floats:
        """Standard deviation (efficiencies, ...) of the share that passes at some mjj, relative to that share.

        Raises
        ------
        OptionError
            The working points have no replicas.
        """
        band: Floats = np.std(self.variations_at(np.asarray(mjj, np.float64)), axis=0)
        return band

    def slice_variations(self, mjj: npt.ArrayLike) -> dict[str, Floats]:
        """Relative change of the share of each slice, (replicas, ...), by its name; as `pass_rate_band`."""
        variations = self.variations_at(np.asarray(mjj, np.float64))
        shares = np.array([1.0, *self.efficiencies, 0.0])
        changes: list[Any] = [0.0, *(e * variations[:, i] for i, e in enumerate(self.efficiencies)), 0.0]
        return {
            name: (changes[i] - changes[i + 1]) / (shares[i] - shares[i + 1])
            for i, name in enumerate(self.slice_names)
        }

    def pass_rate_nuisances(self, mjj: npt.ArrayLike, share: float = 0.995) -> dict[str, Floats]:
        """The variations of all slices as independent nuisance parameters, by name of the slice.

        Parameters
        ----------
        mjj : array (bins,)
            GeV, where the shares are taken.
        share : float
            Of the variance that the nuisance parameters have; the rest of them is left out.

        Returns
        -------
        dict of str to array (nuisances, bins)
            Change of ln(share) for one standard deviation of each; their squares add up to the variance.
        """
        by_slice = self.slice_variations(mjj)
        changes = np.log1p(np.clip(np.stack(list(by_slice.values()), axis=1), -0.9, None))
        replicas, slices, bins = changes.shape
        flat = (changes - changes.mean(axis=0)).reshape(replicas, -1) / np.sqrt(replicas - 1)
        _, values, vectors = np.linalg.svd(flat, full_matrices=False)
        kept = int(np.searchsorted(np.cumsum(values**2), share * np.sum(values**2))) + 1
        modes = (values[:kept, None] * vectors[:kept]).reshape(-1, slices, bins)
        return {name: modes[:, i] for i, name in enumerate(by_slice)}

    def variations_at(self, mjj: Floats) -> Floats:
        """`variations` at some mjj, (replicas, efficiencies, ...); an OptionError without replicas."""
        if self.variations is None:
            raise OptionError("working points without replicas have no pass-rate band: fit them with some")
        flat = self.variations.reshape(-1, len(self.mjj))
        interpolated = np.stack([np.interp(mjj, self.mjj, one) for one in flat])
        return interpolated.reshape(*self.variations.shape[:2], *mjj.shape)

    def thresholds(self, mjj: npt.ArrayLike, fold: npt.ArrayLike | None = None) -> Floats:
        """Smallest scores that pass at the mjj of each event.

        Parameters
        ----------
        mjj : array (events,)
            GeV.
        fold : array (events,) of int, optional
            Fold of each event, for events that were fitted: `fold`. By default, for all others: the mean of
            the regressions. Their largest value, the envelope, would keep less than its name says.

        Returns
        -------
        array (events, efficiencies), rising in each row

        Raises
        ------
        DataError
            An mjj is not finite, a fold is none of the regressions', or the lengths differ.
        """
        mjj = finite("mjj", mjj)
        if fold is None:
            return _interpolated(mjj, self.mjj, self.cuts.mean(axis=0))
        fold, folds = np.asarray(fold), len(self.cuts)
        same_length(folds=fold, mjj=mjj)
        if len(fold) and not 0 <= fold.min() <= fold.max() < folds:
            raise DataError(f"folds from {fold.min()} to {fold.max()}: expected 0 to {folds - 1}")
        smallest = np.empty((len(mjj), len(self.efficiencies)))
        for k, cuts in enumerate(self.cuts):
            smallest[fold == k] = _interpolated(mjj[fold == k], self.mjj, cuts)
        return smallest

    def slices(self, score: npt.ArrayLike, mjj: npt.ArrayLike, fold: npt.ArrayLike | None = None) -> Indices:
        """Which of the orthogonal slices each event is in; its parameters are those of `thresholds`.

        Returns
        -------
        int8 array (events,)
            How many working points the event passes: 0 is none, the highest the tightest. `slice_names` has
            their names.

        Raises
        ------
        DataError
            As `thresholds`, or a score is not finite.
        """
        score = finite("scores", score)
        same_length(scores=score, mjj=np.asarray(mjj))
        passed: Indices = np.sum(score[:, None] >= self.thresholds(mjj, fold), axis=1, dtype=np.int8)
        return passed

    def passes(
        self,
        working_point: str | float,
        score: npt.ArrayLike,
        mjj: npt.ArrayLike,
        fold: npt.ArrayLike | None = None,
    ) -> npt.NDArray[np.bool_]:
        """Which events pass a working point, given by its name or efficiency: all its slices together.

        Returns
        -------
        bool array (events,)

        Raises
        ------
        OptionError
            The working point is none of these.
        DataError
            As `slices`.
        """
        name = working_point if isinstance(working_point, str) else working_point_name(working_point)
        if name not in self.names:
            raise OptionError(f"working point {name!r}: expected one of {', '.join(self.names)}")
        return self.slices(score, mjj, fold) > self.names.index(name)


def fit_working_points(
    score: npt.ArrayLike,
    mjj: npt.ArrayLike,
    weight: npt.ArrayLike,
    efficiencies: Sequence[float] = (0.5, 0.3, 0.1, 0.01),
    *,
    folds: int = 5,
    segments: int = 2,
    replicas: int = 0,
    seed: int = 1,
) -> WorkingPoints:
    """Regress quantiles of background scores as functions of mjj, so that no event is cut by one that saw it.

    Parameters
    ----------
    score, mjj, weight : arrays (events,)
        Background; high scores are anomalous, mjj in GeV. Weights are zero or more, in any unit.
    efficiencies : sequence of float
        Shares of the background to keep, in any order.
    folds : int
        Parts that the events are dealt into at random; the cuts for each come from all others.
    segments : int
        Cubic pieces of the spline in ln(mjj). More of them follow more structure, and more of the noise: two
        were best on 40,000 generated events.
    replicas : int
        Bootstrap replicas of the regressions, which tell how far the share that passes may be off: a number of at
        least 2, or 0 for none. Each takes as long as two folds.
    seed : int
        Of the deal and of the replicas.

    Returns
    -------
    WorkingPoints

    Raises
    ------
    OptionError
        An efficiency is not between 0 and 1 or comes twice, there is only one fold or no segment.
    DataError
        Values are not finite, mjj not positive, weights negative, or events too few for the tightest cut.
    MissingPackageError
        scikit-learn is not installed.

    Notes
    -----
    How flat the cuts are is seen on an independent sample, or in one fold. All folds together, each by its own
    cuts, are flatter than chance: what is too much in one fold raises the cuts of the others, and cancels. An
    independent sample shows the fluctuations of the events that were fitted, too: the smaller it is than
    those, the less.
    """
    efficiencies = tuple(sorted(map(float, efficiencies), reverse=True))
    names = [working_point_name(efficiency) for efficiency in efficiencies]
    if not names or len(set(names)) < len(names):
        raise OptionError(f"working points {', '.join(names) or 'none'}: expected some, each of them once")
    check_whole_number("folds", folds, lowest=2, highest=100)
    check_whole_number("segments", segments)
    if replicas:
        check_whole_number("replicas", replicas, lowest=2)
    score, mjj, weight = finite("scores", score), finite("mjj", mjj), finite("weights", weight)
    same_length(scores=score, mjj=mjj, weights=weight)
    if (mjj <= 0).any() or (weight < 0).any():
        raise DataError("an mjj is not positive or a weight negative: no quantile is defined")
    fold = (np.random.default_rng(seed).permutation(len(score)) % folds).astype(np.int8)
    influence = balanced_weights(mjj, weight)
    if (least := len(score) - -(-len(score) // folds)) <= 2 * END_EVENTS:
        raise DataError(f"{least} events in a fit of working points: expected more than {2 * END_EVENTS}")
    passing = efficiencies[-1] * (1 - 1 / folds) * effective_events(influence)
    if not passing >= LEAST_IN_FIT:
        raise DataError(
            f"{names[-1]}: {passing:.3g} of the {len(score)} events would pass in a fit: expected {LEAST_IN_FIT}"
        )
    # Quantiles follow monotone maps: the logarithm of a score that spans decades has an even spread in mjj.
    logarithmic = bool((score > 0).all())
    values = np.log(score) if logarithmic else score
    ordered = np.sort(mjj)
    grid = np.geomspace(ordered[END_EVENTS], ordered[-1 - END_EVENTS], GRID)  # few events are beyond
    x, points = np.log(mjj), np.log(grid)

    def regress(efficiency: float, influence: Floats) -> Floats:
        some = influence > 0
        return quantile_spline(x[some], values[some], influence[some], 1 - efficiency, points, segments=segments)

    cuts = np.array([[regress(e, influence * (fold != k)) for e in efficiencies] for k in range(folds)])
    variations = None
    if replicas:
        rng = np.random.default_rng([seed, 1])
        drawn = [influence * rng.poisson(1.0, len(score)) for _ in range(replicas)]
        variations = np.stack([_variations(e, regress, influence, drawn) for e in efficiencies], axis=1)
    # Regressions of different quantiles may cross where events are few; sorted, they are no worse anywhere
    # (V. Chernozhukov, I. Fernandez-Val, A. Galichon, Econometrica 78 (2010) 1093).
    cuts.sort(axis=1)
    return WorkingPoints(efficiencies, grid, np.exp(cuts) if logarithmic else cuts, fold, variations)


def _variations(
    efficiency: float, regress: Callable[[float, Floats], Floats], influence: Floats, drawn: Sequence[Floats]
) -> Floats:
    """Relative change (replicas, points) of the share that passes, for the cuts of replicas.

    That of the cut times the slope of the share by the cut, which the cuts of neighbouring efficiencies tell.
    """
    cut = regress(efficiency, influence)
    loose, tight = (regress(efficiency * (1 + change), influence) for change in (_NEIGHBOUR, -_NEIGHBOUR))
    distance = tight - loose
    distance = np.maximum(distance, 0.1 * np.median(distance))
    changes = np.stack([cut - regress(efficiency, one) for one in drawn]) * 2 * _NEIGHBOUR / distance
    return np.clip(changes, -0.9, 9.0)


def _interpolated(mjj: Floats, points: Floats, cuts: Floats) -> Floats:
    return np.stack([np.interp(mjj, points, cut) for cut in cuts], axis=-1)


@dataclass(frozen=True)
class Cuts:
    """Working points of a search, and what is known of them."""

    points: WorkingPoints
    """Fitted to the background, but for what is held out."""
    slices: Indices
    """(events,), int8: slice of each background event; none is cut by a regression that saw it."""
    fitted_events: int
    """Background events that the working points were fitted to."""
    passing: dict[str, float]
    """Effective background events above the start of the fit, by working point."""
    control: SearchSample
    """What the pass rates are of; the regressions have not seen it."""
    before: dict[str, PassRate]
    """Of one cut at every mjj, by working point."""
    after: dict[str, PassRate]
    """Of the mass-decorrelated cut."""
    share: dict[str, PassRate]
    """The same in one bin of mjj."""

    def training(self, name: str) -> Floats | None:
        """Relative changes (replicas, bins) of the pass rate of a working point by the events it was fitted to."""
        if self.points.variations is None:
            return None
        edges = self.after[name].edges
        return self.points.variations_at((edges[1:] + edges[:-1]) / 2)[:, self.points.names.index(name)]

    @property
    def dropped(self) -> list[str]:
        """Working points that fewer than `LEAST_IN_SEARCH` effective background events would pass."""
        return [name for name in self.passing if name not in self.points.names]


def effective_passing(
    mjj: npt.ArrayLike, weight: npt.ArrayLike, working_points: Sequence[str], start: float
) -> dict[str, float]:
    """Effective number of background events with mjj above `start` that each working point keeps.

    Parameters
    ----------
    mjj, weight : arrays (events,)
        Background; mjj in GeV.
    working_points : sequence of str
        ``eff10`` and the like.
    start : float
        GeV.

    Returns
    -------
    dict of str to float
        From the loosest to the tightest.
    """
    events = effective_events(np.asarray(weight, np.float64)[np.asarray(mjj) > start])
    kept = {name: working_point_efficiency(name) for name in working_points}
    return {name: float(kept[name] * events) for name in sorted(kept, key=lambda name: -kept[name])}


def cut_background(
    background: SearchSample,
    control: SearchSample | None,
    working_points: Sequence[str],
    *,
    start: float,
    stop: float,
    replicas: int = 0,
    seed: int = 1,
) -> Cuts:
    """Fit the working points that the background affords, and test them on events that the fit has not seen.

    Parameters
    ----------
    background : SearchSample
    control : SearchSample or None
        Independent background; None: a random quarter of the background is held out.
    working_points : sequence of str
        ``eff10`` and the like; those that too few effective events would pass are left out.
    start, stop : float
        Range of the fit of mjj, GeV.
    replicas : int
        As for `fit_working_points`.
    seed : int
        Of what is held out, and of the folds.

    Raises
    ------
    DataError
        Too few background events pass any working point.
    """
    seen = np.ones(len(background.mjj), bool)
    if control is None:
        seen = np.random.default_rng(seed).permutation(len(seen)) % HELD_OUT > 0
        control = background.of(~seen)
    fitted, left = background.of(seen), background.of(~seen)
    passing = effective_passing(fitted.mjj, fitted.weight, working_points, start)
    efficiencies = {name: working_point_efficiency(name) for name in passing if passing[name] >= LEAST_IN_SEARCH}
    if not efficiencies:
        counts = ", ".join(f"{events:.0f} pass {name}" for name, events in passing.items())
        raise DataError(
            f"background: of its effective events from {start:g} GeV on {counts}:"
            f" expected {LEAST_IN_SEARCH} or more"
        )
    score = fitted.score()
    wanted = list(efficiencies.values())
    points = fit_working_points(score, fitted.mjj, fitted.weight, wanted, replicas=replicas, seed=seed)
    slices = np.empty(len(seen), np.int8)
    slices[seen] = points.slices(score, fitted.mjj, points.fold)
    slices[~seen] = points.slices(left.score(), left.mjj)
    highest = np.sort(control.mjj)[-min(_ABOVE, len(control.mjj))]
    # every second edge: few events are in the control sample
    edges = dijet_edges(np.clip(np.floor(control.mjj.min()), 1000, start), np.clip(highest, start + 1, stop))[::2]
    scores = control.score()
    before, after, share = {}, {}, {}
    for name, efficiency in efficiencies.items():
        passed = points.passes(name, scores, control.mjj)
        flat = scores >= constant_cut(score, fitted.weight, efficiency)
        before[name] = pass_rate(flat, control.mjj, control.weight, edges)
        after[name] = pass_rate(passed, control.mjj, control.weight, edges)
        share[name] = pass_rate(passed, control.mjj, control.weight, [0, control.mjj.max() + 1])
    return Cuts(points, slices, len(score), passing, control, before, after, share)
