"""N-subjettiness and soft drop of all constituents of a jet, compiled.

Constituents are massless; distances are those of rapidity and azimuth; momenta are added (E scheme). Jets are
clustered whole, without a radius, as FastJet's contrib packages do it.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from numba import njit, types

from ..execution.compiled import compiled

__all__ = ["Z_CUT", "Substructure", "substructure"]

Substructure = Literal["tau21", "tau32", "softdrop_mass"]

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

#: Of soft drop (A. Larkoski et al., arXiv:1402.2657) with beta = 0, as CMS uses it.
Z_CUT = 0.1


@njit(nogil=True)
def _set(p: Floats, i: int, px: float, py: float, pz: float, energy: float) -> None:
    """Momentum i: px, py, pz, energy, pt^2, rapidity, phi."""
    p[i, 0], p[i, 1], p[i, 2], p[i, 3] = px, py, pz, energy
    pt2 = px * px + py * py
    mass2 = max(energy * energy - pt2 - pz * pz, 0.0)
    p[i, 4] = pt2
    # As FastJet: no cancellation for large |pz|.
    transverse2 = max(pt2 + mass2, 1e-300)
    rapidity = 0.5 * np.log(transverse2 / (energy + abs(pz)) ** 2)
    p[i, 5] = -rapidity if pz > 0 else rapidity
    p[i, 6] = np.arctan2(py, px)


@njit(nogil=True)
def _squared(p: Floats, i: int, k: int) -> float:
    """Squared distance of two momenta."""
    angle: float = abs(p[i, 6] - p[k, 6])
    if angle > np.pi:
        angle = 2 * np.pi - angle
    other = p[i, 5] - p[k, 5]
    return float(angle * angle + other * other)


@njit(nogil=True)
def _between(p: Floats, i: int, k: int, kt: bool) -> float:
    distance = _squared(p, i, k)
    return distance * min(p[i, 4], p[k, 4]) if kt else distance


@njit(nogil=True)
def _nearest(p: Floats, active: Flags, count: int, i: int, kt: bool, nearest: Numbers, distance: Floats) -> None:
    nearest[i], distance[i] = -1, np.inf
    for k in range(count):
        if active[k] and k != i:
            d = _between(p, i, k, kt)
            if d < distance[i]:
                nearest[i], distance[i] = k, d


@njit(nogil=True)
def _clustered(
    p: Floats,
    count: int,
    left: int,
    kt: bool,
    active: Flags,
    nearest: Numbers,
    distance: Floats,
    first: Numbers,
    second: Numbers,
) -> int:
    """Cluster until so many are left; ``first`` and ``second`` are what each new momentum was added of.

    New momenta stand behind the ``count`` particles. Gives the number of all.
    """
    for i in range(count):
        active[i] = True
    for i in range(count):
        _nearest(p, active, count, i, kt, nearest, distance)
    total, remaining = count, count
    while remaining > left:
        best = -1
        for i in range(total):
            if active[i] and (best < 0 or distance[i] < distance[best]):
                best = i
        other = nearest[best]
        active[best] = active[other] = False
        _set(
            p,
            total,
            p[best, 0] + p[other, 0],
            p[best, 1] + p[other, 1],
            p[best, 2] + p[other, 2],
            p[best, 3] + p[other, 3],
        )
        first[total], second[total] = best, other
        active[total] = True
        new = total
        total += 1
        remaining -= 1
        nearest[new], distance[new] = -1, np.inf
        for k in range(new):
            if not active[k]:
                continue
            if nearest[k] == best or nearest[k] == other:
                _nearest(p, active, total, k, kt, nearest, distance)
            d = _between(p, k, new, kt)
            if d < distance[k]:
                nearest[k], distance[k] = new, d
            if d < distance[new]:
                nearest[new], distance[new] = k, d
    return total


@njit(nogil=True)
def _tau(p: Floats, count: int, total: int, active: Flags) -> float:
    """sum of pt times the distance to the nearest axis, for as many axes as are left."""
    tau = 0.0
    for i in range(count):
        least = np.inf
        for k in range(total):
            if active[k]:
                least = min(least, _squared(p, i, k))
        tau += np.sqrt(p[i, 4] * least)
    return tau


_VALUES = types.Array(types.float32, 1, "C", readonly=True)
_NUMBERS = types.Array(types.int64, 1, "C", readonly=True)


@compiled(types.Array(types.float64, 2, "C")(_NUMBERS, _NUMBERS, _VALUES, _VALUES, _VALUES, types.float64))
def _all(starts: Numbers, counts: Numbers, pt: Singles, eta: Singles, phi: Singles, z_cut: float) -> Floats:
    """tau_1, tau_2, tau_3 (each times the same constant) and the soft-drop mass of each jet, (jets, 4)."""
    result = np.zeros((len(counts), 4))
    most = 0
    for jet in range(len(counts)):
        most = max(most, counts[jet])
    room = 2 * most + 1
    p = np.empty((room, 7))
    active = np.zeros(room, np.bool_)
    nearest, distance = np.empty(room, np.int64), np.empty(room)
    first, second = np.empty(room, np.int64), np.empty(room, np.int64)
    for jet in range(len(counts)):
        count = 0
        for i in range(starts[jet], starts[jet] + counts[jet]):
            if pt[i] > 0:
                one = np.float64(pt[i])
                _set(
                    p,
                    count,
                    one * np.cos(np.float64(phi[i])),
                    one * np.sin(np.float64(phi[i])),
                    one * np.sinh(np.float64(eta[i])),
                    one * np.cosh(np.float64(eta[i])),
                )
                count += 1
        for number in range(1, 4):
            if count > number:
                total = _clustered(p, count, number, True, active, nearest, distance, first, second)
                result[jet, number - 1] = _tau(p, count, total, active)
                active[:] = False
        if count > 1:
            node = _clustered(p, count, 1, False, active, nearest, distance, first, second) - 1
            active[:] = False
            while node >= count:
                a, b = first[node], second[node]
                if p[a, 4] < p[b, 4]:
                    a, b = b, a
                hard, soft = np.sqrt(p[a, 4]), np.sqrt(p[b, 4])
                if soft > z_cut * (hard + soft):
                    break
                node = a
            if node >= count:
                q = p[node]
                momentum2 = q[0] * q[0] + q[1] * q[1] + q[2] * q[2]
                result[jet, 3] = np.sqrt(max(q[3] * q[3] - momentum2, 0.0))
    return result


def substructure(jets: Any, name: Substructure) -> npt.NDArray[np.float64]:
    """An observable of each jet, float64 (jets,).

    Parameters
    ----------
    jets : FlatJets
    name : str
        ``tau21`` and ``tau32`` (J. Thaler and K. Van Tilburg, arXiv:1011.2268; beta = 1, axes by exclusive kT
        clustering; 0 where a jet has too few constituents for the ratio), or ``softdrop_mass`` (GeV; 0 where one
        constituent is left).
    """
    tau1, tau2, tau3, mass = jets.clustered.T
    if name == "softdrop_mass":
        return np.asarray(mass)
    upper, lower = (tau2, tau1) if name == "tau21" else (tau3, tau2)
    return np.asarray(np.divide(upper, lower, out=np.zeros(len(upper)), where=lower > 0))


def cluster(
    starts: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    pt: npt.NDArray[np.float32],
    eta: npt.NDArray[np.float32],
    phi: npt.NDArray[np.float32],
) -> npt.NDArray[np.float64]:
    """What `substructure` takes its observables from, (jets, 4)."""
    result: npt.NDArray[np.float64] = _all(starts, counts, pt, eta, phi, Z_CUT)
    return result
