"""Operators of training whose values and gradients are compiled loops, without tensors of all pairs or edges.

They are in the graph of a training step only. Everything else, validation and exports among it, has the operators
of Keras that the loops are held against by tests, in value and gradient. All loops over jets run in one order, so
that the same numbers give the same sums.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from numba import types

from ..execution.compiled import compiled

__all__ = ["chamfer", "mean_over_edges", "nearest_neighbours"]

Floats = npt.NDArray[np.float32]

_JETS = types.Array(types.float32, 3, "C", readonly=True)
_ROWS = types.Array(types.float32, 2, "C", readonly=True)
_NEIGHBOURS = types.Array(types.int32, 3, "C", readonly=True)
_OUT = types.Array(types.float32, 3, "C")
_tuple: Any = types.Tuple  # which numba has no types for
#: As bits the largest of all numbers: NaN. What is not negative is ordered as its bits are.
_LAST, _LAST_KEY = np.int32(0x7FFFFFFF), np.int64(0x7FFFFFFFFFFFFFFF)


def _loop(function: Callable[..., Any], tensors: list[Any], kinds: list[Any], shapes: list[Any]) -> list[Any]:
    """The results of a compiled loop, whose shapes TensorFlow cannot know."""
    # One result is asked for as such: TensorFlow would take its first axis for a list.
    results = tf.nest.flatten(
        tf.numpy_function(function, tensors, kinds if kinds[1:] else kinds[0], stateful=False)
    )
    for result, shape in zip(results, shapes):
        result.set_shape(shape)
    return list(results)


def chamfer(points: Any, reconstruction: Any, mask: Any = None) -> Any:
    """`losses.chamfer`, with a gradient by the reconstruction only, through the nearest particles.

    Parameters
    ----------
    points, reconstruction, mask
        As for `losses.chamfer`; of three features at most.

    Returns
    -------
    tensor, float32 (jets,)
    """
    mask = tf.ones_like(points[..., 0]) if mask is None else mask

    @tf.custom_gradient
    def distance(made: Any) -> Any:
        value, slope = _loop(
            _chamfer_and_gradient, [points, made, mask], [tf.float32] * 2, [made.shape[:1], made.shape]
        )
        return value, lambda upstream: upstream[:, None, None] * slope

    return distance(reconstruction)


def nearest_neighbours(particles: Any, mask: Any, k: int, eta: int, phi: int) -> tuple[Any, Any]:
    """What the layer `NearestNeighbours` gives."""

    def find(particles: Any, mask: Any) -> Any:
        return _nearest_neighbours(particles, mask, k, eta, phi)

    shape = (*particles.shape[:2], k)
    rows, valid = _loop(find, [particles, mask], [tf.int32, tf.float32], [shape, shape])
    return rows, valid


@tf.custom_gradient
def mean_over_edges(own: Any, neighbour: Any, rows: Any, valid: Any) -> Any:
    """`_edges`, of float32 (jets, particles, width) twice, and what `nearest_neighbours` gives."""
    (means,) = _loop(_edges, [own, neighbour, rows, valid], [tf.float32], [own.shape])

    def gradient(upstream: Any) -> Any:
        slopes = _loop(_edges_gradient, [own, neighbour, rows, valid, upstream], [tf.float32] * 2, [own.shape] * 2)
        return *slopes, None, None

    return means, gradient


@compiled(_tuple((types.Array(types.float32, 1, "C"), _OUT))(_JETS, _JETS, _ROWS))
def _chamfer_and_gradient(points: Floats, reconstruction: Floats, mask: Floats) -> tuple[Floats, Floats]:
    """`losses.chamfer`, and its gradient by the reconstruction, through the nearest particles alone.

    Parameters
    ----------
    points, reconstruction : float32 arrays, (jets, particles, 1 to 3)
    mask : float32 array, (jets, particles)
        Above 0 for a particle, as for `losses.chamfer`.

    Returns
    -------
    distance : float32 array, (jets,)
    gradient : float32 array, (jets, particles, 1 to 3)
        Of the distance of each jet. Where two particles are equally near, it is that of the first.
    """
    jets, length, features = points.shape
    distances, gradient = np.empty(jets, np.float32), np.zeros(points.shape, np.float32)
    ours, theirs = np.zeros((3, length), np.float32), np.zeros((3, length), np.float32)
    slope, place = np.zeros((3, length), np.float32), np.empty(length, np.int32)
    distance, least = np.empty(length, np.float32), np.empty(length, np.int32)
    nearest = np.empty(length, np.int32)
    bits = distance.view(np.int32)
    for jet in range(jets):
        count = 0
        for i in range(length):
            if mask[jet, i] > 0:
                for f in range(features):
                    ours[f, count], theirs[f, count] = points[jet, i, f], reconstruction[jet, i, f]
                place[count], least[count], nearest[count] = i, _LAST, 0
                count += 1
        slope[:] = 0
        total = 0.0
        for i in range(count):
            a, b, c = ours[0, i], ours[1, i], ours[2, i]
            for k in range(count):
                x, y, z = a - theirs[0, k], b - theirs[1, k], c - theirs[2, k]
                distance[k] = x * x + y * y + z * z
            smallest = _LAST
            for k in range(count):
                smallest = min(smallest, bits[k])
            for k in range(count):
                nearer = bits[k] < least[k]
                least[k] = bits[k] if nearer else least[k]
                nearest[k] = i if nearer else nearest[k]
            k = 0
            while bits[k] != smallest and k < count - 1:
                k += 1
            total += distance[k]
            for f in range(3):
                slope[f, k] += theirs[f, k] - ours[f, i]
        minima = least.view(np.float32)
        for k in range(count):
            total += minima[k]
            for f in range(3):
                slope[f, k] += theirs[f, k] - ours[f, nearest[k]]
        distances[jet] = total / count if count else np.nan
        for k in range(count):
            for f in range(features):
                gradient[jet, place[k], f] = 2 * slope[f, k] / count
    return distances, gradient


@compiled(_tuple((types.Array(types.int32, 3, "C"), _OUT))(_JETS, _ROWS, types.int64, types.int64, types.int64))
def _nearest_neighbours(
    particles: Floats, mask: Floats, k: int, eta: int, phi: int
) -> tuple[npt.NDArray[np.int32], Floats]:
    """What the layer `NearestNeighbours` gives; of equally near ones the first, as ``top_k`` has it."""
    jets, length, _ = particles.shape
    rows, valid = np.zeros((jets, length, k), np.int32), np.zeros((jets, length, k), np.float32)
    distance, key = np.empty(length, np.float32), np.empty(length, np.int64)
    bits = distance.view(np.int32)
    x, y = np.empty(length, np.float32), np.empty(length, np.float32)
    place = np.empty(length, np.int32)
    for jet in range(jets):
        count = 0
        for i in range(length):
            if mask[jet, i] > 0:
                x[count], y[count], place[count] = particles[jet, i, eta], particles[jet, i, phi], i
                count += 1
        taken = min(k, count)
        for i in range(length):
            rows[jet, i] = jet * length + i  # of padding: itself, and not valid
        for i in range(count):
            a, b, row = x[i], y[i], place[i]
            for j in range(count):
                u, v = a - x[j], b - y[j]
                distance[j] = u * u + v * v
            # Ordered by distance, then by place: whole numbers, whose minimum is taken several at a time.
            for j in range(count):
                key[j] = (np.int64(bits[j]) << 32) | j
            for n in range(taken):
                best = _LAST_KEY
                for j in range(count):
                    best = min(best, key[j])
                j = best & 0xFFFFFFFF
                key[j] = _LAST_KEY
                rows[jet, row, n] = jet * length + place[j]
                valid[jet, row, n] = 1
    return rows, valid


#: exp(x) = 2^n exp(r), r = x - n log(2), with log(2) in two parts and the polynomial of Cephes' expf.
_PER_LOG2, _LOG2_HIGH, _LOG2_LOW = (
    np.float32(1.4426950408889634),
    np.float32(0.693359375),
    np.float32(-2.12194440e-4),
)
_P0, _P1, _P2 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3), np.float32(8.3334519073e-3)
_P3, _P4, _P5 = np.float32(4.1665795894e-2), np.float32(1.6666665459e-1), np.float32(5.0000001201e-1)
_HALF, _ONE, _ZERO, _LOWEST = np.float32(0.5), np.float32(1), np.float32(0), np.float32(-87)


@compiled(types.void(types.Array(types.float32, 1, "C"), types.Array(types.int32, 1, "C"), types.int64))
def _exponentials(x: Floats, powers: npt.NDArray[np.int32], width: int) -> None:
    """exp(min(x, 0)) in the place of x, as vector instructions, to 10^-7; ``powers`` is room to work in."""
    for c in range(width):
        value = max(min(x[c], _ZERO), _LOWEST)
        n = np.floor(value * _PER_LOG2 + _HALF)
        r = value - n * _LOG2_HIGH - n * _LOG2_LOW
        p = ((((_P0 * r + _P1) * r + _P2) * r + _P3) * r + _P4) * r + _P5
        x[c] = p * r * r + r + _ONE
        powers[c] = (np.int32(n) + np.int32(127)) << np.int32(23)
    scale = powers.view(np.float32)
    for c in range(width):
        x[c] *= scale[c]


@compiled(_OUT(_JETS, _JETS, _NEIGHBOURS, _JETS))
def _edges(own: Floats, neighbour: Floats, rows: npt.NDArray[np.int32], valid: Floats) -> Floats:
    """The mean of `EdgeConvolution` over the neighbours of each node, without a tensor of all edges.

    Parameters
    ----------
    own, neighbour : float32 arrays, (jets, particles, width)
    rows, valid : int32 and float32 arrays, (jets, particles, k)
        As from `NearestNeighbours`.

    Returns
    -------
    float32 array, (jets, particles, width)
        Zeros of a node without neighbours.
    """
    jets, length, width = own.shape
    k = rows.shape[2]
    means = np.zeros(own.shape, np.float32)
    flat = neighbour.reshape(jets * length, width)
    # Of all edges of a node.
    x, e = np.empty(k * width, np.float32), np.empty(k * width, np.float32)
    powers = np.empty(k * width, np.int32)
    for jet in range(jets):
        for i in range(length):
            mean, mine, count = means[jet, i], own[jet, i], 0
            for n in range(k):
                if valid[jet, i, n] > 0:
                    theirs, edge = flat[rows[jet, i, n]], x[count * width : (count + 1) * width]
                    for c in range(width):
                        edge[c] = mine[c] + theirs[c]
                    count += 1
            for c in range(count * width):
                e[c] = x[c]
            _exponentials(e, powers, count * width)
            for n in range(count):
                edge, exponential = x[n * width : (n + 1) * width], e[n * width : (n + 1) * width]
                for c in range(width):
                    mean[c] += max(edge[c], _ZERO) + exponential[c] - _ONE
            for c in range(width):
                mean[c] /= np.float32(max(count, 1))
    return means


@compiled(_tuple((_OUT, _OUT))(_JETS, _JETS, _NEIGHBOURS, _JETS, _JETS))
def _edges_gradient(
    own: Floats, neighbour: Floats, rows: npt.NDArray[np.int32], valid: Floats, upstream: Floats
) -> tuple[Floats, Floats]:
    """The gradient of `_edges` by ``own`` and ``neighbour``, times that of what comes after, ``upstream``."""
    jets, length, width = own.shape
    k = rows.shape[2]
    of_own, of_neighbour = np.zeros(own.shape, np.float32), np.zeros(own.shape, np.float32)
    flat, of_flat = neighbour.reshape(jets * length, width), of_neighbour.reshape(jets * length, width)
    e, powers, up = np.empty(k * width, np.float32), np.empty(k * width, np.int32), np.empty(width, np.float32)
    for jet in range(jets):
        for i in range(length):
            count = _ZERO
            for n in range(k):
                count += valid[jet, i, n]
            if count == 0:
                continue
            slope, mine = of_own[jet, i], own[jet, i]
            for c in range(width):
                up[c] = upstream[jet, i, c] / count
            edges = 0
            for n in range(k):
                if valid[jet, i, n] > 0:
                    theirs, edge = flat[rows[jet, i, n]], e[edges * width : (edges + 1) * width]
                    for c in range(width):
                        edge[c] = mine[c] + theirs[c]
                    edges += 1
            _exponentials(e, powers, edges * width)
            edges = 0
            for n in range(k):
                if valid[jet, i, n] > 0:
                    of_theirs, edge = of_flat[rows[jet, i, n]], e[edges * width : (edges + 1) * width]
                    for c in range(width):
                        change = up[c] * edge[c]
                        slope[c] += change
                        of_theirs[c] += change
                    edges += 1
    return of_own, of_neighbour
