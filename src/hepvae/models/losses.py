"""The losses of the VAE, one definition for training, export and reference.

Each takes the namespace of array functions to use: ``keras.ops`` inside a model, ``numpy`` (in
float64, say) to hold it against.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import OptionError
from ..jets.spec import InputSpec
from ..options import check_choice

__all__ = [
    "DISTANCES",
    "LOSSES",
    "Distance",
    "DistanceName",
    "chamfer",
    "chamfer_by_product",
    "check_distance",
    "kl_divergence",
    "points",
]

#: What a VAE gives one jet, in the order of every table and file.
LOSSES = ("loss", "reco_loss", "kl_loss")

#: Where padding is moved to, in units of the features: further than any particle is from another.
FAR = 1e9


#: Directions of the distance ``weighted`` are in these units: so far apart, two particles of one pt are as far as
#: particles in one direction whose pt differ by twice their pt.
ANGLE_UNIT = 0.1
#: GeV; far below any in data. The root of zero has no derivative.
LEAST_PT = 1e-6


@dataclass(frozen=True)
class Distance:
    """Where particles lie when the distance of two is taken."""

    place: Callable[[Any, Any, Any, Any], list[Any]] | None
    """Coordinates, from eta and phi relative to the jet axis, pt and the array functions; None: the features."""
    clip_norm: float
    """Longest gradient of a batch in training, unless told: a few times that of a usual one."""
    by_product: bool = True
    """Whether `chamfer_by_product` keeps the digits: not of far places that are reconstructed well."""


def _momenta(eta: Any, phi: Any, pt: Any, ops: Any) -> list[Any]:
    return [pt * eta, pt * phi]


def _weighted(eta: Any, phi: Any, pt: Any, ops: Any) -> list[Any]:
    root = ops.where(pt > 0, ops.sqrt(ops.maximum(pt, LEAST_PT)), 0.0)
    return [root * eta / ANGLE_UNIT, root * phi / ANGLE_UNIT, root]


DistanceName = Literal["features", "momenta", "weighted"]

#: ``features``: as the study has it; pt in GeV counts, and next to it directions hardly do. ``momenta``: the
#: momentum transverse to the jet axis, in GeV. A hard constituent far from the axis, as of a second prong, is far
#: from all others, and a jet with few soft ones beside it has a large mean distance. ``weighted``: the root of pt
#: times the direction, and that root, so that the squared distance of two near ones is about
#: pt * ((dR / 0.1)^2 + (dpt / pt)^2 / 4), in GeV: relative errors count, by pt, as for the momentum of the jet.
DISTANCES: dict[str, Distance] = {
    "features": Distance(None, 5e3),
    "momenta": Distance(_momenta, 20.0),
    "weighted": Distance(_weighted, 1.0, by_product=False),
}


def check_distance(name: str, spec: InputSpec) -> None:
    """Raise `OptionError` where there is no such distance, or particles of a spec have none."""
    check_choice("distance", name, DISTANCES)
    known = spec.coordinates == "relative" and set(spec.features) == {"eta", "phi", "pt"}
    if DISTANCES[name].place and not known:
        raise OptionError(
            f"distance {name!r}: needs eta and phi relative to the jet axis, and pt;"
            f" found {spec.coordinates} {', '.join(spec.features)}"
        )


def points(particles: Any, spec: InputSpec, distance: str, ops: Any) -> Any:
    """Where particles lie when the distance of two is taken.

    Parameters
    ----------
    particles : array, (jets, particles, features)
    distance : str
        One of `DISTANCES`.

    Returns
    -------
    array, (jets, particles, coordinates)
    """
    place = DISTANCES[distance].place
    if place is None:
        return particles
    eta, phi, pt = (particles[..., spec.features.index(name)] for name in ("eta", "phi", "pt"))
    return ops.stack(place(eta, phi, pt, ops), -1)


def chamfer(particles: Any, reconstruction: Any, ops: Any, mask: Any = None) -> Any:
    """Symmetric nearest-neighbour (Chamfer) distance between two sets of particles.

    The mean over input particles of the squared distance to the nearest reconstructed one, plus the
    mean over reconstructed particles of the squared distance to the nearest input one (vande,
    "3D" loss of the study). Features enter as they are: pt squared in GeV^2.

    The distances are summed feature by feature. The form |a|^2 + |b|^2 - 2ab is one matrix product,
    but cancels in float32: pt^2 is 10^6 GeV^2 where differences of eta are 10^-2.

    Parameters
    ----------
    particles, reconstruction : arrays, (jets, particles, features)
    mask : array, (jets, particles), optional
        1 for a particle, 0 for padding, the same places in both sets: padding is nobody's nearest, and
        the means leave it out. Without a mask padding counts as particles of zeros.

    Returns
    -------
    array, (jets,)
        NaN for a jet that is nothing but padding.
    """
    # One feature is enough to move padding away. Adding zero leaves the others as they are, to the bit.
    away = 0.0 if mask is None else (1.0 - mask) * FAR
    distance = 0.0
    for feature in range(particles.shape[-1]):
        a = ops.expand_dims(particles[..., feature] + away, 2)
        b = ops.expand_dims(reconstruction[..., feature] - away, 1)
        distance, away = distance + ops.square(a - b), 0.0
    nearest = ops.min(distance, axis=2), ops.min(distance, axis=1)
    if mask is None:
        return ops.mean(nearest[0], axis=1) + ops.mean(nearest[1], axis=1)
    return ops.sum((nearest[0] + nearest[1]) * mask, axis=1) / ops.sum(mask, axis=1)


def chamfer_by_product(
    particles: Any, reconstruction: Any, ops: Any, mask: Any = None, pt: int | None = None
) -> Any:
    """`chamfer` with all distances by one matrix product of float32: what exported models compute.

    |a|^2 + |b|^2 - 2ab cancels: of the 10^7 GeV^2 that pt^2 may be, float32 keeps 1 GeV^2. So pt is taken
    apart into an even integer q and a rest r of at most 1 GeV. Products of even integers up to 8,192 are exact in
    float32, and so is (q_a - q_b)^2 by the product; the terms left are below 2 q r, of which 2^-24 is lost.

    Parameters
    ----------
    particles, reconstruction, mask : as for `chamfer`
    pt : int, optional
        Which of the features is pt. Without one all features are taken to be of order 1.

    Returns
    -------
    array, (jets,)
        As `chamfer`, to 10^-6 of it where the pt of no constituent is above 3 TeV.
    """
    left, _ = _operands(particles, mask, pt, ops)
    _, right = _operands(reconstruction, mask, pt, ops)
    distance = ops.matmul(ops.transpose(left, (0, 2, 1)), right)
    # What is left of a cancellation may be below zero.
    nearest = (ops.maximum(ops.min(distance, axis=axis), 0.0) for axis in (2, 1))
    if mask is None:
        return sum(ops.mean(distances, axis=1) for distances in nearest)
    return ops.sum(sum(nearest) * mask, axis=1) / ops.sum(mask, axis=1)


def _operands(x: Any, mask: Any, pt: int | None, ops: Any) -> tuple[Any, ...]:
    """Operands whose product is the squared distances, for its left and its right side: (jets, rows, particles).

    Of particles a and b, with q and r from pt, other features x, and w = r (pt + q) + sum of x^2,

        left   q^2  1    -2q  w  1  -2q  -2r   -2x ...
        right  1    q^2   q   1  w   r    pt    x  ...

    The terms that are exact come first. w of padding is far more than any distance.
    """
    # One feature after the other, (jets, particles): the last axis is the long one.
    rows = [ops.reshape(row, (-1, x.shape[1])) for row in ops.split(x, x.shape[2], axis=2)]
    others = [row for i, row in enumerate(rows) if i != pt]
    one, w = ops.ones_like(rows[0]), sum(row * row for row in others)
    left, right = [], []
    if pt is not None:
        q = ops.round(rows[pt] * 0.5) * 2.0
        r, square, twice = rows[pt] - q, q * q, q * -2.0
        w = w + r * (rows[pt] + q)
        left, right = [square, one, twice], [one, square, q]
    if mask is not None:
        w = w + (1.0 - mask) * FAR**2
    left, right = [*left, w, one], [*right, one, w]
    if pt is not None:
        left, right = [*left, twice, r * -2.0], [*right, r, rows[pt]]
    left += [row * -2.0 for row in others]
    sides = left, [*right, *others]
    return tuple(ops.reshape(ops.concatenate(side, axis=1), (-1, len(side), x.shape[1])) for side in sides)


def kl_divergence(z_mean: Any, z_log_var: Any, ops: Any, mask: Any = None) -> Any:
    """Kullback-Leibler divergence of N(z_mean, exp(z_log_var)) from N(0, 1), mean over the latent axis.

    Kingma and Welling, arXiv:1312.6114, appendix B; the study takes the mean where they sum.

    Parameters
    ----------
    z_mean, z_log_var : arrays, (jets, latent) or (jets, particles, latent)
    mask : array, (jets, particles), optional
        1 for a particle, 0 for padding, which the mean leaves out: needed where each particle has its own.

    Returns
    -------
    array, (jets,)
    """
    each = -0.5 * ops.mean(1.0 + z_log_var - ops.square(z_mean) - ops.exp(z_log_var), axis=-1)
    return each if len(each.shape) == 1 else ops.sum(each * mask, axis=1) / ops.sum(mask, axis=1)
