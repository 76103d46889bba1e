"""The signal that the choice of the background's function may fake.

As in searches of ATLAS and CMS: a smooth spectrum of another family of functions, fitted to the same data, has no
signal in it; what a fit of signal and background makes of it is a bias.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from .fits import ORDERS, Criterion, fit_backgrounds
from .scans import Signal, in_slices, scan_toys
from .spectrum import Family, Floats

__all__ = ["ALTERNATIVES", "smooth_truths", "spurious_signal"]

#: Families that stand for what the background may be, beside that which is fitted.
ALTERNATIVES: tuple[Family, ...] = ("ua2", "atlas", "exponential")

#: Masses that lie this close, relative to one, are looked at together.
_AROUND = 0.1


def smooth_truths(
    counts: npt.NDArray[np.int_] | Floats,
    edges: Floats,
    *,
    families: Sequence[Family] = ALTERNATIVES,
    n_parameters: int | Sequence[int] = ORDERS,
    criterion: Criterion = "f-test",
) -> dict[Family, Floats]:
    """Spectra (bins,) of several families of functions, fitted to the same counts (bins,).

    Raises
    ------
    DataError
        A fit does not converge.
    """
    one = np.asarray(counts, np.float64)[None]
    fits = {
        family: fit_backgrounds(family, one, edges, n_parameters=n_parameters, criterion=criterion, family=family)
        for family in families
    }
    return {family: fit.expected[0] for family, fit in fits.items()}


def spurious_signal(
    counts: Mapping[str, npt.NDArray[np.int_] | Floats],
    edges: Mapping[str, Floats],
    signal: Signal,
    masses: Sequence[float] | Floats,
    *,
    families: Sequence[Family] = ALTERNATIVES,
    n_parameters: int | Sequence[int] = ORDERS,
    criterion: Criterion = "f-test",
) -> dict[str, Floats]:
    """Largest number of signal events that smooth truths of several families fake, (masses,) by slice.

    It is the largest of all families and of the masses up to 10 % around each.

    Parameters
    ----------
    counts : mapping of slice to array (bins,)
        Data, or what is expected: all families are fitted to it.
    edges : mapping of slice to array (bins + 1,)
        GeV.
    signal : SignalShape, or one for each slice
    masses : sequence of float
        GeV.
    families : sequence of str
        Of functions.
    n_parameters, criterion
        As for `fit_spectrum`, of the families and of the fits of their spectra.

    Raises
    ------
    OptionError, DataError
        As `scan`.
    """
    shapes = in_slices(signal, counts, "signal shape")
    faked = {}
    for name, of_slice in counts.items():
        one, own = np.asarray(of_slice, np.float64), edges[name]
        truths = smooth_truths(one, own, families=families, n_parameters=n_parameters, criterion=criterion)
        # of as many parameters as the data are fitted with
        nominal = fit_backgrounds(name, one[None], own, n_parameters=n_parameters, criterion=criterion)
        toys = {name: np.stack(list(truths.values()))}
        order = int(nominal.slice.n_parameters[0])
        scans = scan_toys(toys, {name: own}, shapes[name], masses, n_parameters=order)
        largest = np.abs(scans[name].yields).max(axis=0)
        # yields of smooth truths change sign with the mass: what they fake is the envelope of the masses around
        at = np.asarray(masses, np.float64)
        faked[name] = np.array([largest[np.abs(at / mass - 1) <= _AROUND].max() for mass in at])
    return faked
