"""Jets that no model can score, and why."""

from __future__ import annotations

import numpy as np

from .padding import FlatJets, flatten_jets, pad_into
from .spec import InputSpec

__all__ = ["pad_scorable", "scorable", "unscorable"]

#: Why a jet cannot be scored, in the order of the numbers that `padding_kernels` gives them.
REASONS = ("without constituents", "with a value that is not finite", "with a negative pt")


def unscorable(jets: FlatJets) -> dict[str, np.ndarray]:
    """Masks of the jets that must not be scored, by reason.

    Returns
    -------
    dict of str to bool array (jets,)
        ``without constituents`` (none, or none with pt), ``with a value that is not finite``, ``with a
        negative pt``; a jet counts under the first reason that holds, and reasons that hold for no
        jet are left out.
    """
    found = jets.unscorable()
    masks = {reason: found == number for number, reason in enumerate(REASONS, start=1)} if found.any() else {}
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
    return pad_into(jets, np.flatnonzero(scorable(jets)), spec, spec.n_particles)
