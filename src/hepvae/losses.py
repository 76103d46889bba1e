"""The losses of the VAE, one definition for training, export and reference.

Each takes the namespace of array functions to use: ``keras.ops`` inside a model, ``numpy`` (in
float64, say) to hold it against.
"""

from __future__ import annotations

__all__ = ["chamfer", "kl_divergence"]


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
