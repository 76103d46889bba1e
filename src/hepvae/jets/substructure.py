"""N-subjettiness and soft drop of all constituents of a jet, compiled.

Constituents are massless; distances are those of rapidity and azimuth; momenta are added (E scheme). Jets are
clustered whole, without a radius, as FastJet's contrib packages do it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit, types

from ..execution.compiled import compiled
from .padding_kernels import _NUMBERS, _VALUES, Numbers

__all__ = ["Z_CUT", "subjettiness", "substructure"]

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]

#: Of soft drop (A. Larkoski et al., arXiv:1402.2657) with beta = 0, as CMS uses it.
Z_CUT = 0.1


@njit(nogil=True)
def _place(rapidity: Floats, phi: Floats, pt2: Floats, i: int, p: Floats) -> None:
    """Put the momentum p (px, py, pz, energy) at i."""
    pt2[i] = p[0] * p[0] + p[1] * p[1]
    mass2 = max(p[3] * p[3] - pt2[i] - p[2] * p[2], 0.0)
    # As FastJet: no cancellation for large |pz|.
    transverse2 = max(pt2[i] + mass2, 1e-300)
    absolute = -0.5 * np.log(transverse2 / (p[3] + abs(p[2])) ** 2)
    rapidity[i] = absolute if p[2] > 0 else -absolute
    phi[i] = np.arctan2(p[1], p[0])


@njit(nogil=True)
def _squared(rapidity: Floats, phi: Floats, i: int, k: int) -> float:
    """Squared distance of two momenta."""
    angle: float = abs(phi[i] - phi[k])
    angle = min(angle, 2 * np.pi - angle)
    other = rapidity[i] - rapidity[k]
    return float(angle * angle + other * other)


@njit(nogil=True)
def _nearest(rapidity: Floats, phi: Floats, n: int, i: int, nearest: Numbers, distance: Floats) -> None:
    best, least = -1, np.inf
    for k in range(n):
        d = _squared(rapidity, phi, i, k)
        if d < least and k != i:
            best, least = k, d
    nearest[i], distance[i] = best, least


@njit(nogil=True)
def _closest(pt2: Floats, n: int, kt: bool, distance: Floats) -> int:
    """The momentum that is clustered next, with its nearest one.

    Of the pair with the least min(pt2) times squared distance, the one of less pt has the other as its nearest
    (M. Cacciari and G. Salam, arXiv:hep-ph/0512210).
    """
    best, least = -1, np.inf
    for i in range(n):
        d = distance[i] * pt2[i] if kt else distance[i]
        if d < least:
            best, least = i, d
    return best


@njit(nogil=True)
def _merge(
    rapidity: Floats, phi: Floats, pt2: Floats, p: Floats, n: int, i: int, nearest: Numbers, distance: Floats
) -> int:
    """Add i and its nearest one: the sum stands at the lower place of both, the last momentum at the other.

    Gives the place that was left; n - 1 momenta remain.
    """
    place, last = min(i, nearest[i]), n - 1
    left: int = max(i, nearest[i])
    p[place] += p[left]
    _place(rapidity, phi, pt2, place, p[place])
    p[left] = p[last]
    rapidity[left], phi[left], pt2[left] = rapidity[last], phi[last], pt2[last]
    lost = nearest[last] == place or nearest[last] == left
    nearest[left], distance[left] = -1 if lost else nearest[last], distance[last]
    _nearest(rapidity, phi, last, place, nearest, distance)
    for k in range(last):
        if k == place:
            continue
        if nearest[k] == place or nearest[k] == -1 or (nearest[k] == left and k != left):
            _nearest(rapidity, phi, last, k, nearest, distance)
            continue
        if nearest[k] == last:
            nearest[k] = left
        d = _squared(rapidity, phi, k, place)
        if d < distance[k]:
            nearest[k], distance[k] = place, d
    return left


@njit(nogil=True)
def _start(
    start: int, count: int, pt: Singles, eta: Singles, phi: Singles, particles: Floats, directions: Floats
) -> int:
    """Massless particles with pt of a jet, and their rapidity, phi, pt^2; gives how many they are."""
    n = 0
    for i in range(start, start + count):
        if pt[i] > 0:
            one, rapidity, angle = np.float64(pt[i]), np.float64(eta[i]), np.float64(phi[i])
            particles[n, 0], particles[n, 1] = one * np.cos(angle), one * np.sin(angle)
            particles[n, 2], particles[n, 3] = one * np.sinh(rapidity), one * np.cosh(rapidity)
            directions[0, n], directions[1, n], directions[2, n] = rapidity, angle, one * one
            n += 1
    return n


@compiled(types.Array(types.float64, 2, "C")(_NUMBERS, _NUMBERS, _VALUES, _VALUES, _VALUES))
def subjettiness(starts: Numbers, counts: Numbers, pt: Singles, eta: Singles, phi: Singles) -> Floats:
    """tau_1 to tau_4 of each jet, each times the summed pt and the radius, float64 (jets, 4)."""
    result = np.zeros((len(counts), 4))
    most = 1
    for jet in range(len(counts)):
        most = max(most, counts[jet])
    p, whole, current = np.empty((most, 4)), np.empty((3, most)), np.empty((3, most))
    nearest, distance = np.empty(most, np.int64), np.empty(most)
    rapidity, angle, pt2 = current[0], current[1], current[2]
    for jet in range(len(counts)):
        count = _start(starts[jet], counts[jet], pt, eta, phi, p, whole)
        current[:, :count] = whole[:, :count]
        for i in range(count):
            _nearest(rapidity, angle, count, i, nearest, distance)
        for n in range(count, 1, -1):
            _merge(rapidity, angle, pt2, p, n, _closest(pt2, n, True, distance), nearest, distance)
            if n > 5:
                continue
            for k in range(count):
                least = np.inf
                for axis in range(n - 1):
                    turned = abs(angle[axis] - whole[1, k])
                    turned = min(turned, 2 * np.pi - turned)
                    along = rapidity[axis] - whole[0, k]
                    least = min(least, turned * turned + along * along)
                result[jet, n - 2] += np.sqrt(whole[2, k] * least)
    return result


@compiled(types.Array(types.float64, 1, "C")(_NUMBERS, _NUMBERS, _VALUES, _VALUES, _VALUES, types.float64))
def _softdrop(starts: Numbers, counts: Numbers, pt: Singles, eta: Singles, phi: Singles, z_cut: float) -> Floats:
    """The soft-drop mass of each jet, (jets,)."""
    result = np.zeros(len(counts))
    most = 1
    for jet in range(len(counts)):
        most = max(most, counts[jet])
    p, current = np.empty((most, 4)), np.empty((3, most))
    nearest, distance, node = np.empty(most, np.int64), np.empty(most), np.empty(most, np.int64)
    # The tree: what each sum was added of.
    first, second, sums = np.empty(2 * most, np.int64), np.empty(2 * most, np.int64), np.empty((2 * most, 4))
    rapidity, angle, pt2 = current[0], current[1], current[2]
    for jet in range(len(counts)):
        count = _start(starts[jet], counts[jet], pt, eta, phi, p, current)
        for i in range(count):
            node[i], sums[i] = i, p[i]
        for i in range(count):
            _nearest(rapidity, angle, count, i, nearest, distance)
        top = count - 1
        for n in range(count, 1, -1):
            top += 1
            i = _closest(pt2, n, False, distance)
            place = min(i, nearest[i])
            first[top], second[top] = node[i], node[nearest[i]]
            left = _merge(rapidity, angle, pt2, p, n, i, nearest, distance)
            node[left], node[place] = node[n - 1], top
            sums[top] = p[place]
        while top >= count:
            a, b = first[top], second[top]
            hard, soft = np.hypot(sums[a, 0], sums[a, 1]), np.hypot(sums[b, 0], sums[b, 1])
            if hard < soft:
                a, hard, soft = b, soft, hard
            if soft > z_cut * (hard + soft):
                break
            top = a
        if top >= count:
            q = sums[top]
            momentum2 = q[0] * q[0] + q[1] * q[1] + q[2] * q[2]
            result[jet] = np.sqrt(max(q[3] * q[3] - momentum2, 0.0))
    return result


def substructure(jets: Any, name: str) -> npt.NDArray[np.float64]:
    """An observable of each jet, float64 (jets,).

    Parameters
    ----------
    jets : FlatJets
    name : str
        ``tau21``, ``tau32`` and ``tau43`` (J. Thaler and K. Van Tilburg, arXiv:1011.2268; beta = 1, axes by
        exclusive kT clustering; 0 where a jet has too few constituents for the ratio), or ``softdrop_mass``
        (GeV; 0 where one constituent is left).
    """
    if name == "softdrop_mass":
        return _softdrop(jets.starts, jets.counts, jets.pt, jets.eta, jets.phi, Z_CUT)
    lower, upper = jets.subjettiness.T[("tau21", "tau32", "tau43").index(name) :][:2]
    return np.asarray(np.divide(upper, lower, out=np.zeros(len(upper)), where=lower > 0))
