"""The losses of the VAE, one definition for training, export and reference.

Each takes the namespace of array functions to use: ``keras.ops`` inside a model, ``numpy`` (in
float64, say) to hold it against.
"""

from __future__ import annotations

__all__ = ["chamfer", "kl_divergence"]


def chamfer(particles, reconstruction, ops):
    """Symmetric nearest-neighbour (Chamfer) distance between two sets of particles.

    The mean over input particles of the squared distance to the nearest reconstructed one, plus the
    mean over reconstructed particles of the squared distance to the nearest input one (vande,
    "3D" loss of the study). Features enter as they are: pt squared in GeV^2.

    The distances are summed feature by feature. The form |a|^2 + |b|^2 - 2ab is one matrix product,
    but cancels in float32: pt^2 is 10^6 GeV^2 where differences of eta are 10^-2.

    Parameters
    ----------
    particles, reconstruction : arrays, (jets, particles, features)

    Returns
    -------
    array, (jets,)
    """
    distance = 0.0
    for feature in range(particles.shape[-1]):
        a = ops.expand_dims(particles[..., feature], 2)
        b = ops.expand_dims(reconstruction[..., feature], 1)
        distance = distance + ops.square(a - b)
    return ops.mean(ops.min(distance, axis=2), axis=1) + ops.mean(ops.min(distance, axis=1), axis=1)


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
