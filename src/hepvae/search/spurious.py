"""The signal that the choice of the background's function may fake.

As in searches of ATLAS and CMS: a smooth spectrum of another family of functions, fitted to the same data, has no
signal in it; what a fit of signal and background makes of it is a bias.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .fits import Criterion, fit_backgrounds
from .scans import Masses, Signal, in_slices, scan_toys
from .spectrum import MOST_PARAMETERS, Family, Floats

__all__ = ["ALTERNATIVES", "MOST_SPURIOUS", "SpuriousSignal", "smooth_truths", "spurious_signal"]

#: Families that stand for what the background may be, beside that which is fitted.
ALTERNATIVES: tuple[Family, ...] = ("ua2", "atlas", "exponential")

#: Share of the statistical uncertainty of the yield that a spurious signal may have.
MOST_SPURIOUS = 0.2

#: Masses that lie this close, relative to one, are looked at together.
_AROUND = 0.1


@dataclass(frozen=True)
class SpuriousSignal:
    """The signal that smooth truths fake in fits of one spectrum."""

    events: Floats
    """(masses,), the largest of all families and of the masses up to 10 % around each."""
    over_statistical: float
    """The largest at any mass, over the statistical uncertainty of the yield there."""
    n_parameters: int
    """Of the background: those that the criterion chooses, or more."""


def smooth_truths(
    counts: npt.NDArray[np.int_] | Floats,
    edges: Floats,
    *,
    families: Sequence[Family] = ALTERNATIVES,
    criterion: Criterion = "f-test",
) -> dict[Family, Floats]:
    """Spectra (bins,) of several families of functions, fitted to the same counts (bins,).

    Raises
    ------
    DataError
        A fit does not converge.
    """
    one = np.asarray(counts, np.float64)[None]
    fits = {family: fit_backgrounds(family, one, edges, criterion=criterion, family=family) for family in families}
    return {family: fit.expected[0] for family, fit in fits.items()}


def spurious_signal(
    counts: Mapping[str, npt.NDArray[np.int_] | Floats],
    edges: Mapping[str, Floats],
    signal: Signal,
    masses: Masses,
    *,
    families: Sequence[Family] = ALTERNATIVES,
    criterion: Criterion = "f-test",
) -> dict[str, SpuriousSignal]:
    """Signal that smooth truths of several families fake, and how many parameters keep it small, by slice.

    It is the least number, from what the criterion chooses on, with which the spurious signal is below
    `MOST_SPURIOUS` of the statistical uncertainty of the yield at all masses (the criterion of ATLAS:
    ATL-PHYS-PUB-2020-028), or the most. Toys are to be fitted with the same: where each chooses its own, what it
    chooses depends on the signal in it, and yields of broad signals are biased by up to 0.4 of their uncertainty.

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
    criterion : str
        As for `fit_spectrum`, of the function and of the other families.

    Raises
    ------
    OptionError, DataError
        As `scan`.
    """
    shapes, at = in_slices(signal, counts, "signal shape"), np.asarray(masses, np.float64)
    faked = {}
    for name, of_slice in counts.items():
        truths = smooth_truths(of_slice, edges[name], families=families, criterion=criterion)
        toys = {name: np.stack(list(truths.values()))}
        nominal = fit_backgrounds(name, np.asarray(of_slice, np.float64)[None], edges[name], criterion=criterion)
        for order in range(int(nominal.slice.n_parameters[0]), MOST_PARAMETERS + 1):
            found = scan_toys(toys, {name: edges[name]}, shapes[name], at, n_parameters=order)[name]
            share = float(np.abs(found.pulls()).max())
            if share < MOST_SPURIOUS:
                break
        largest = np.abs(found.yields).max(axis=0)
        # yields of smooth truths change sign with the mass: what they fake is the envelope of the masses around
        events = np.array([largest[np.abs(at / mass - 1) <= _AROUND].max() for mass in at])
        faked[name] = SpuriousSignal(events, share, order)
    return faked
