"""The cuts of a search: those that the background affords, the slice of each event, and how flat they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import DataError
from .decorrelation import (
    PassRate,
    WorkingPoints,
    constant_cut,
    fit_working_points,
    pass_rate,
    working_point_efficiency,
)
from .dijet_spectrum import dijet_edges
from .samples import SearchSample

__all__ = ["LEAST_PASSING", "Cuts", "cut_background", "effective_passing"]

#: Effective background events in the range of the fit that have to pass a working point.
LEAST_PASSING = 30

#: The background is the control sample, too, where there is no other: one event in so many.
HELD_OUT = 4

#: Pass rates are in bins up to the mjj that so many control events are above.
_ABOVE = 10


@dataclass(frozen=True)
class Cuts:
    """Working points of a search, and what is known of them."""

    points: WorkingPoints
    """Fitted to the background, but for what is held out."""
    slices: np.ndarray
    """(events,), int8: slice of each background event; none is cut by a regression that saw it."""
    fitted_events: int
    """Background events that the working points were fitted to."""
    passing: dict[str, float]
    """Effective background events above the start of the fit, by working point that was asked for."""
    control: SearchSample
    """What the pass rates are of; the regressions have not seen it."""
    before: dict[str, PassRate]
    """Of one cut at every mjj, by working point."""
    after: dict[str, PassRate]
    """Of the cut that follows mjj."""
    share: dict[str, PassRate]
    """The same in one bin of mjj."""

    @property
    def dropped(self) -> list[str]:
        """Working points that fewer than `LEAST_PASSING` effective background events would pass."""
        return [name for name in self.passing if name not in self.points.names]


def effective_passing(mjj, weight, working_points: Sequence[str], start: float) -> dict[str, float]:
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
    above = np.asarray(weight, np.float64)[np.asarray(mjj) > start]
    events = above.sum() ** 2 / np.sum(above**2) if above.any() else 0.0
    kept = {name: working_point_efficiency(name) for name in working_points}
    return {name: float(kept[name] * events) for name in sorted(kept, key=kept.get, reverse=True)}


def cut_background(
    background: SearchSample,
    control: SearchSample | None,
    working_points: Sequence[str],
    *,
    start: float,
    stop: float,
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
    efficiencies = {name: working_point_efficiency(name) for name in passing if passing[name] >= LEAST_PASSING}
    if not efficiencies:
        found = ", ".join(f"{events:.0f} pass {name}" for name, events in passing.items())
        raise DataError(
            f"background: of its effective events from {start:g} GeV on {found}: expected {LEAST_PASSING} or more"
        )
    score = fitted.score()
    points = fit_working_points(score, fitted.mjj, fitted.weight, list(efficiencies.values()), seed=seed)
    slices = np.empty(len(seen), np.int8)
    slices[seen] = points.slices(score, fitted.mjj, points.fold)
    slices[~seen] = points.slices(left.score(), left.mjj)
    highest = np.sort(control.mjj)[-min(_ABOVE, len(control.mjj))]
    # every second edge: few events are in the control sample
    edges = dijet_edges(np.clip(np.floor(control.mjj.min()), 1000, start), np.clip(highest, start + 1, stop))[::2]
    found = control.score()
    before, after, share = {}, {}, {}
    for name, efficiency in efficiencies.items():
        passed = points.passes(name, found, control.mjj)
        flat = found >= constant_cut(score, fitted.weight, efficiency)
        before[name] = pass_rate(flat, control.mjj, control.weight, edges)
        after[name] = pass_rate(passed, control.mjj, control.weight, edges)
        share[name] = pass_rate(passed, control.mjj, control.weight, [0, control.mjj.max() + 1])
    return Cuts(points, slices, len(score), passing, control, before, after, share)
