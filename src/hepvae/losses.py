"""The losses of the VAE, one definition for training, export and reference.

Each takes the namespace of array functions to use: ``keras.ops`` inside a model, ``numpy`` (in
float64, say) to hold it against.
"""

from __future__ import annotations

import numpy as np

__all__ = ["chamfer", "chamfer_by_product", "kl_divergence"]


#: Where padding is moved to, in units of the features: further than any particle is from another.
FAR = 1e9


def chamfer(particles, reconstruction, ops, mask=None):
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


def chamfer_by_product(particles, reconstruction, ops, mask=None, pt=None):
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
    left, right = _operand_maps(particles.shape[-1], pt, mask is not None)
    a = _operand(particles, mask, left, ops)
    b = _operand(reconstruction, mask, right, ops)
    distance = ops.matmul(a, ops.transpose(b, (0, 2, 1)))
    # What is left of a cancellation may be below zero.
    nearest = (ops.maximum(ops.min(distance, axis=axis), 0.0) for axis in (2, 1))
    if mask is None:
        return sum(ops.mean(found, axis=1) for found in nearest)
    return ops.sum(sum(nearest) * mask, axis=1) / ops.sum(mask, axis=1)


def _operand(x, mask, maps, ops):
    """Rows whose products are the squared distances."""
    half, partner, last, constant = maps
    columns = [x]
    if half is not None:
        columns += [ops.round(ops.matmul(x, half))] * 2
    if mask is not None:
        columns.append(ops.expand_dims(1.0 - mask, 2))
    x = ops.concatenate(columns, axis=2)
    return ops.matmul(ops.concatenate([x, x * ops.matmul(x, partner)], axis=2), last) + constant


def _operand_maps(n_features: int, pt: int | None, masked: bool):
    """Constant matrices that make the operands of the product, for its left and its right side.

    With h = q / 2 from the features by the first matrix, and 1 - mask, the columns are x = (features, h, h,
    1 - mask). The second matrix gives each a partner, so that their products are the square of each feature but
    pt, and pt r, h^2, 2 h r. The third matrix and a constant put columns and products into

        left   q^2  1    -2q  w  1  -2q  -2r  -2x ...
        right  1    q^2   q   1  w   r   pt    x  ...

    where w is 2 q r + r^2 and the squares of the other features, and for padding far more than any distance. The
    terms that are exact come first.
    """
    others = [i for i in range(n_features) if i != pt]
    h = n_features
    n = n_features + 2 * (pt is not None) + masked
    partner = np.zeros((n, n), np.float32)
    rest = dict.fromkeys((n + i for i in others), 1.0)
    for i in others:
        partner[i, i] = 1
    if masked:
        rest[n - 1] = FAR**2
    half, exact, split = None, [], []
    if pt is not None:
        half = np.zeros((n_features, 1), np.float32)
        half[pt] = 0.5
        partner[[pt, h], pt] = 1, -2  # r, of pt
        partner[h, h] = 1
        partner[[pt, h], h + 1] = 2, -4  # 2 r, of h
        rest |= {n + pt: 1.0, n + h + 1: 1.0}
        q, r, square = {h: 2.0}, {pt: 1.0, h: -2.0}, {n + h: 4.0}
        exact = [(square, 1.0), (1.0, square), ({h: -4.0}, q)]
        split = [({h: -4.0}, r), ({pt: -2.0, h: 4.0}, {pt: 1.0})]
    columns = [*exact, (rest, 1.0), (1.0, rest), *split, *(({i: -2.0}, {i: 1.0}) for i in others)]
    maps = []
    for side in (0, 1):
        last, constant = np.zeros((2 * n, len(columns)), np.float32), np.zeros(len(columns), np.float32)
        for column, made in enumerate(columns):
            if isinstance(made[side], dict):
                last[list(made[side]), column] = list(made[side].values())
            else:
                constant[column] = made[side]
        maps.append((half, partner, last, constant))
    return maps


def kl_divergence(z_mean, z_log_var, ops):
    """Kullback-Leibler divergence of N(z_mean, exp(z_log_var)) from N(0, 1), mean over the latent axis.

    Kingma and Welling, arXiv:1312.6114, appendix B; the study takes the mean where they sum.

    Parameters
    ----------
    z_mean, z_log_var : arrays, (jets, latent)

    Returns
    -------
    array, (jets,)
    """
    return -0.5 * ops.mean(1.0 + z_log_var - ops.square(z_mean) - ops.exp(z_log_var), axis=1)
