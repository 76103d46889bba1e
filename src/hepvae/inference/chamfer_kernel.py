"""The Chamfer distance of `losses.chamfer`, compiled: no distance of two particles leaves the cache."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import types

from ..execution.compiled import compiled

__all__ = ["chamfer"]

_JETS = types.Array(types.float32, 3, "C", readonly=True)
#: As bits the largest of all numbers: NaN. What is not negative is ordered as its bits are.
_LAST = np.int32(0x7FFFFFFF)


@compiled(types.Array(types.float32, 1, "C")(_JETS, _JETS, types.int64, types.int64))
def chamfer(
    particles: npt.NDArray[np.float32], reconstruction: npt.NDArray[np.float32], pt: int, factor: int
) -> npt.NDArray[np.float32]:
    """`losses.chamfer` of jets of three features at most, by differences in float32, sums in float64.

    Parameters
    ----------
    particles, reconstruction : float32 arrays, (jets, particles, features)
    pt : int
        Which feature of ``particles`` is above zero where there is a particle; -1: padding counts as particles.
    factor : int
        Which feature the others are multiplied by, and is no distance itself (see `losses.points`); -1: none.

    Returns
    -------
    float32 array, (jets,)
        NaN where a value is, and for a jet that is nothing but padding.
    """
    jets, length, features = particles.shape
    distances = np.empty(jets, np.float32)
    ours, theirs = np.zeros((3, length), np.float32), np.zeros((3, length), np.float32)
    distance, nearest = np.empty(length, np.float32), np.empty(length, np.int32)
    bits = distance.view(np.int32)
    for jet in range(jets):
        count = 0
        for i in range(length):
            if pt < 0 or particles[jet, i, pt] > 0:
                for f in range(features):
                    ours[f, count], theirs[f, count] = particles[jet, i, f], reconstruction[jet, i, f]
                if factor >= 0:
                    a, b = ours[factor, count], theirs[factor, count]
                    for f in range(features):
                        ours[f, count] *= a
                        theirs[f, count] *= b
                    ours[factor, count] = theirs[factor, count] = 0
                nearest[count] = _LAST
                count += 1
        total = 0.0
        for i in range(count):
            a, b, c = ours[0, i], ours[1, i], ours[2, i]
            for k in range(count):
                x, y, z = a - theirs[0, k], b - theirs[1, k], c - theirs[2, k]
                distance[k] = x * x + y * y + z * z
            # Minima of whole numbers are taken eight at a time; those of floating point are not, for NaN.
            least = _LAST
            for k in range(count):
                least = min(least, bits[k])
                nearest[k] = min(nearest[k], bits[k])
            bits[0] = least
            total += distance[0]
        for value in nearest[:count].view(np.float32):
            total += value
        distances[jet] = total / count if count else np.nan
    return distances
