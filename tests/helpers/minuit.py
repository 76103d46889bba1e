"""Fits of spectra by iminuit: what the fits of hepvae are held against."""

from __future__ import annotations

import numpy as np
from iminuit import Minuit

from hepvae.search.fits import nll, slopes_of
from hepvae.search.spectrum import MOST_PARAMETERS


def nll_and_gradient(slices, coefficients, yields, nuisances=None):
    """-ln L, and its derivatives: by the coefficients of each slice; by the yield and the nuisance parameters."""
    nuisances = np.zeros((len(yields), 0)) if nuisances is None else nuisances
    by_shared = np.concatenate([np.zeros((len(yields), 1)), nuisances], axis=1)
    gradients = []
    for one, theta in zip(slices, coefficients):
        expected, slopes, shared = slopes_of(one, theta, yields, nuisances)
        pull = one.scale * (1 - one.counts / expected)
        gradients.append(np.einsum("tb,tbj->tj", pull, slopes))
        by_shared += np.einsum("tb,tbj->tj", pull, shared)
    return nll(slices, coefficients, yields, nuisances), gradients, by_shared


def minimise(slices, coefficients, yields=0.0, *, lowest=None, unit=1.0):
    """-ln L, coefficients of each slice, yield and its uncertainty, of one toy (no signal: of backgrounds)."""
    orders = [one.n_parameters[0] for one in slices]
    ends = np.cumsum(orders)
    signal = slices[0].signal is not None

    def full(x):
        theta = []
        for part in np.split(x[: ends[-1]], ends[:-1]):
            theta.append(np.zeros((1, MOST_PARAMETERS)))
            theta[-1][0, : len(part)] = part
        return theta, np.array([x[-1] * unit if signal else yields])

    def gradient(x):
        _, by_coefficients, by_shared = nll_and_gradient(slices, *full(x))
        parts = [g[0, :n] for g, n in zip(by_coefficients, orders)]
        return np.concatenate([*parts, by_shared[0, :1] * unit] if signal else parts)

    start = [theta[0, :n] for theta, n in zip(coefficients, orders)]
    start = np.concatenate([*start, [yields / unit]] if signal else start)
    minuit = Minuit(lambda x: nll(slices, *full(x))[0], start, grad=gradient)
    minuit.errordef, minuit.errors, minuit.tol = Minuit.LIKELIHOOD, 1.0, 1e-3
    if signal and lowest is not None:
        minuit.limits[-1] = (lowest / unit, None)
    minuit.migrad()
    if not minuit.valid:
        minuit.strategy = 2
        minuit.simplex().migrad()
    minuit.hesse()
    theta, fitted = full(np.array(minuit.values))
    return minuit.fval, theta, fitted[0], minuit.errors[-1] * unit
