"""Sums of weighted events, and checks of arrays of events."""

from __future__ import annotations

from collections.abc import Sized

import numpy as np
import numpy.typing as npt

from ..errors import DataError

__all__ = ["checked_weights", "effective_events", "finite", "ratio", "same_length"]

Floats = npt.NDArray[np.float64]


def effective_events(weight: npt.ArrayLike) -> float:
    """Effective number of weighted events, (sum of weights)^2 / sum of squared weights; 0 without weights."""
    weight = np.asarray(weight, np.float64)
    squares = float(np.sum(weight**2))
    return float(np.sum(weight) ** 2 / squares) if squares else 0.0


def ratio(above: npt.ArrayLike, below: npt.ArrayLike, otherwise: npt.ArrayLike = np.nan) -> Floats:
    """above / below, and something else where below is zero."""
    below = np.asarray(below, np.float64)
    return np.where(below > 0, above / np.where(below > 0, below, 1), otherwise).astype(np.float64)


def same_length(**arrays: Sized) -> None:
    """Raise a DataError where the arrays of events, by what they hold, are not of one length."""
    if len({len(values) for values in arrays.values()}) > 1:
        lengths = ", ".join(f"{len(values)} {name}" for name, values in arrays.items())
        raise DataError(f"{lengths}: expected as many of each")


def finite(what: str, values: npt.ArrayLike) -> Floats:
    """Values as float64 (events,); a DataError where they have another shape, or one is not finite."""
    values = np.asarray(values, np.float64)
    if values.ndim != 1:
        raise DataError(f"{what} of shape {values.shape}: expected (events,), one of each")
    if not np.isfinite(values).all():
        raise DataError(f"{what} of {int((~np.isfinite(values)).sum())} events are not finite")
    return values


def checked_weights(name: str, weight: npt.ArrayLike) -> Floats:
    """Weights (events,) as float64; a DataError where they are not finite or do not add up to more than zero."""
    weight = finite(f"{name}: weights", weight)
    if not weight.sum() > 0:
        raise DataError(
            f"{name}: weights of {len(weight)} events add up to {weight.sum()}: expected more than zero"
        )
    return weight
