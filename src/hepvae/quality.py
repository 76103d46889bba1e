"""Jets that no model can score, and why."""

from __future__ import annotations

import numpy as np

from .padding import FlatJets, flatten_jets, pad_flat
from .spec import InputSpec

__all__ = ["pad_scorable", "scorable", "unscorable"]


def unscorable(jets: FlatJets) -> dict[str, np.ndarray]:
    """Masks of the jets that must not be scored, by reason.

    Returns
    -------
    dict of str to bool array (jets,)
        ``without constituents`` (none, or none with pt), ``with a value that is not finite``, ``with a
        negative pt``; a jet counts under the first reason that holds, and reasons that hold for no
        jet are left out.
    """
    jet, number = jets.jet, len(jets.counts)
    finite = np.isfinite(jets.pt) & np.isfinite(jets.eta) & np.isfinite(jets.phi)
    not_finite = np.bincount(jet[~finite], minlength=number) > 0
    for coordinate in jets.axis or ():
        not_finite |= ~np.isfinite(coordinate)
    with np.errstate(invalid="ignore"):
        negative = np.bincount(jet[jets.pt < 0], minlength=number) > 0
        empty = np.bincount(jet[jets.pt != 0], minlength=number) == 0
    masks = {
        "without constituents": empty,
        "with a value that is not finite": not_finite & ~empty,
        "with a negative pt": negative & ~not_finite & ~empty,
    }
    return {reason: mask for reason, mask in masks.items() if mask.any()}


def scorable(jets: FlatJets, masks: dict[str, np.ndarray] | None = None) -> np.ndarray:
    """Mask (jets,) of the jets that can be scored; ``masks`` are those of `unscorable`, if at hand."""
    good = np.ones(len(jets.counts), bool)
    for mask in (unscorable(jets) if masks is None else masks).values():
        good &= ~mask
    return good


def pad_scorable(events, spec: InputSpec) -> np.ndarray:
    """Padded array (jets, n_particles, n_features) of the jets of some events that can be scored."""
    jets = flatten_jets(events)
    return pad_flat(jets.take(np.flatnonzero(scorable(jets))), spec)
