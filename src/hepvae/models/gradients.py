"""Operators of training whose values and gradients are compiled loops: see `models.loops`.

They are in the graph of a training step only. Everything else, validation and exports among it, has the operators
of Keras that the loops are held against.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from . import loops

__all__ = ["chamfer", "mean_over_edges", "nearest_neighbours"]


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
            loops.chamfer_and_gradient, [points, made, mask], [tf.float32] * 2, [made.shape[:1], made.shape]
        )
        return value, lambda upstream: upstream[:, None, None] * slope

    return distance(reconstruction)


def nearest_neighbours(particles: Any, mask: Any, k: int, eta: int, phi: int) -> tuple[Any, Any]:
    """What the layer `NearestNeighbours` gives."""

    def find(particles: Any, mask: Any) -> Any:
        return loops.nearest_neighbours(particles, mask, k, eta, phi)

    shape = (*particles.shape[:2], k)
    rows, valid = _loop(find, [particles, mask], [tf.int32, tf.float32], [shape, shape])
    return rows, valid


@tf.custom_gradient
def mean_over_edges(own: Any, neighbour: Any, rows: Any, valid: Any) -> Any:
    """`loops.edges`, of float32 (jets, particles, width) twice, and what `nearest_neighbours` gives."""
    (means,) = _loop(loops.edges, [own, neighbour, rows, valid], [tf.float32], [own.shape])

    def gradient(upstream: Any) -> Any:
        slopes = _loop(
            loops.edges_gradient, [own, neighbour, rows, valid, upstream], [tf.float32] * 2, [own.shape] * 2
        )
        return *slopes, None, None

    return means, gradient
