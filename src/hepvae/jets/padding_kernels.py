"""The loops of padding, compiled: over jets, and over the constituents of each."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numba import njit, types

from ..execution.compiled import compiled
from .reasons import EMPTY, NEGATIVE, NOT_FINITE, NOT_OWN

__all__ = ["examine", "pad", "sums"]

Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]
Places = npt.NDArray[np.int32]

#: Numbers of the features.
ETA, PHI, PT = 0, 1, 2

TURN, PER_TURN = np.float32(2 * np.pi), np.float32(1 / (2 * np.pi))

_VALUES = types.Array(types.float32, 1, "C", readonly=True)
_NUMBERS = types.Array(types.int64, 1, "C", readonly=True)


@njit(nogil=True)
def _is_own(pt: Floats, eta: Floats, phi: Floats, axis_eta: float, axis_phi: float, radius: float) -> bool:
    """Whether the sum of constituents points along an axis, to within a radius."""
    total, sum_eta, sum_phi, reference = 0.0, 0.0, 0.0, phi[0]
    for i in range(len(pt)):
        # Differences to one of them do not fall on both sides of pi, as long as they are of one jet.
        turn = phi[i] - reference
        total += pt[i]
        sum_eta += pt[i] * np.float64(eta[i])
        sum_phi += pt[i] * np.float64(turn - TURN * np.rint(turn * PER_TURN))
    # The mean is quick, and within a sixth of the radius of the direction of the sum: enough for nearly all jets.
    if _apart(sum_eta / total, reference + sum_phi / total, axis_eta, axis_phi) < radius / 2:
        return True
    px, py, pz = 0.0, 0.0, 0.0
    for i in range(len(pt)):
        px += pt[i] * math.cos(phi[i])
        py += pt[i] * math.sin(phi[i])
        pz += pt[i] * math.sinh(np.float64(eta[i]))
    return _apart(math.asinh(pz / math.hypot(px, py)), math.atan2(py, px), axis_eta, axis_phi) <= radius


@njit(nogil=True)
def _apart(eta: float, phi: float, axis_eta: float, axis_phi: float) -> float:
    turn = np.float64(phi - axis_phi)
    return math.hypot(eta - axis_eta, turn - 2 * math.pi * np.rint(turn / (2 * math.pi)))


@compiled(types.Array(types.uint8, 1, "C")(_NUMBERS, _NUMBERS, *[_VALUES] * 5, types.float64))
def examine(
    starts: Numbers,
    counts: Numbers,
    pt: Floats,
    eta: Floats,
    phi: Floats,
    axis_eta: Floats,
    axis_phi: Floats,
    radius: float,
) -> npt.NDArray[np.uint8]:
    """Why each jet cannot be scored, as `reasons.REASONS` numbers it. The axes are empty where there are none."""
    reasons = np.zeros(len(counts), np.uint8)
    for jet in range(len(counts)):
        empty, negative, finite = True, False, True
        for i in range(starts[jet], starts[jet] + counts[jet]):
            # A difference of a finite number to itself is zero.
            finite = finite and (pt[i] - pt[i]) + (eta[i] - eta[i]) + (phi[i] - phi[i]) == 0
            empty = empty and pt[i] == 0
            negative = negative or pt[i] < 0
        if len(axis_eta):
            finite = finite and (axis_eta[jet] - axis_eta[jet]) + (axis_phi[jet] - axis_phi[jet]) == 0
        if empty:
            reasons[jet] = EMPTY
        elif not finite:
            reasons[jet] = NOT_FINITE
        elif negative:
            reasons[jet] = NEGATIVE
        elif len(axis_eta):
            own = slice(starts[jet], starts[jet] + counts[jet])
            if not _is_own(pt[own], eta[own], phi[own], axis_eta[jet], axis_phi[jet], radius):
                reasons[jet] = NOT_OWN
    return reasons


@njit(nogil=True)
def _room(counts: Numbers, chosen: Numbers) -> tuple[Floats, Places, Places]:
    """What `_places` works in, for the largest of the chosen jets."""
    most = 0
    for row in range(len(chosen)):
        most = max(most, counts[chosen[row]])
    return np.empty(most, np.float32), np.empty(most, np.int32), np.empty(most, np.int32)


@njit(nogil=True)
def _places(pt: Floats, values: Floats, place: Places, alike: Places) -> None:
    """The place of each constituent by falling pt; those of equal pt in their order."""
    count = len(pt)
    # It is the number of harder ones: all compared with all, which a processor does eight at a time, and sooner
    # done than a sort for as many as a jet has.
    for i in range(count):
        values[i], alike[i] = pt[i], 0
    for i in range(count):
        value, harder = values[i], np.int32(0)
        for k in range(count):
            harder += np.int32(values[k] > value)
        place[i] = harder
    for i in range(count):
        harder = place[i]
        place[i] = harder + alike[harder]
        alike[harder] += 1


@compiled(types.Array(types.float64, 2, "C")(_NUMBERS, _NUMBERS, _NUMBERS, _VALUES, types.int64))
def sums(starts: Numbers, counts: Numbers, chosen: Numbers, pt: Floats, hardest: int) -> npt.NDArray[np.float64]:
    """Of the chosen jets: the sum of pt, and that of so many hardest constituents (jets, 2)."""
    totals = np.zeros((len(chosen), 2))
    values, place, alike = _room(counts, chosen)
    for row in range(len(chosen)):
        start, count = starts[chosen[row]], counts[chosen[row]]
        for i in range(start, start + count):
            totals[row, 0] += pt[i]
        totals[row, 1] = totals[row, 0]
        if count > hardest:
            _places(pt[start : start + count], values, place, alike)
            for i in range(count):
                if place[i] >= hardest:
                    totals[row, 1] -= pt[start + i]
    return totals


@compiled(
    types.void(_NUMBERS, _NUMBERS, _NUMBERS, *[_VALUES] * 5, _NUMBERS, types.boolean, types.float32[:, :, ::1])
)
def pad(
    starts: Numbers,
    counts: Numbers,
    chosen: Numbers,
    pt: Floats,
    eta: Floats,
    phi: Floats,
    axis_eta: Floats,
    axis_phi: Floats,
    features: Numbers,
    relative: bool,
    padded: Floats,
) -> None:
    """Pad the chosen jets: the hardest constituents that there is room for, by falling pt, and zeros."""
    length = padded.shape[1]
    values, place, alike = _room(counts, chosen)
    for row in range(len(chosen)):
        jet = chosen[row]
        start, count = starts[jet], counts[jet]
        used = min(count, length)
        rises = np.int32(0)
        for i in range(1, count):
            rises += np.int32(pt[start + i] > pt[start + i - 1])
        if rises:
            _places(pt[start : start + count], values, place, alike)
        for f in range(len(features)):
            feature = features[f]
            if feature == PHI:
                axis, column = axis_phi[jet] if relative else np.float32(0), phi
            elif feature == ETA:
                axis, column = axis_eta[jet] if relative else np.float32(0), eta
            else:
                axis, column = np.float32(0), pt
            if not rises and feature == PHI and relative:
                for i in range(used):
                    value = column[start + i] - axis
                    padded[row, i, f] = value - TURN * np.rint(value * PER_TURN)
            elif not rises:
                for i in range(used):
                    padded[row, i, f] = column[start + i] - axis
            elif feature == PHI and relative:
                for i in range(count):
                    value = column[start + i] - axis
                    if place[i] < length:
                        padded[row, place[i], f] = value - TURN * np.rint(value * PER_TURN)
            else:
                for i in range(count):
                    if place[i] < length:
                        padded[row, place[i], f] = column[start + i] - axis
        padded[row, used:] = 0
