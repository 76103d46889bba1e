"""Jets examined: which of them can be scored, and why others cannot."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import awkward as ak
import numpy as np
import numpy.typing as npt

from .padding import FlatJets, flatten_jets, pad_into
from .reasons import REASONS, Counts
from .spec import InputSpec

__all__ = ["JET_RADIUS", "ExaminedJets", "examine_jets", "pad_scorable", "too_many_not_own"]

#: Radius parameter of the large-radius jets (AK8) of all layouts. Jets of 160,000 simulated dijets have their
#: axis within 5e-4 of the direction of their summed constituents.
JET_RADIUS = 0.8

#: So many jets with constituents of others are a mistake in the links, if they are more than that share.
LEAST_NOT_OWN, SHARE_NOT_OWN = 5, 1e-3


@dataclass(frozen=True)
class ExaminedJets:
    """Flattened jets, and why each cannot be scored."""

    flat: FlatJets
    reason: npt.NDArray[np.uint8]
    """(jets,): a number of `reasons.REASONS`, or 0."""

    @property
    def good(self) -> npt.NDArray[np.bool_]:
        """(jets,): can be scored."""
        return np.equal(self.reason, 0)

    @cached_property
    def chosen(self) -> npt.NDArray[np.int64]:
        """Numbers of the jets that can be scored."""
        return np.flatnonzero(self.good)

    @property
    def counts(self) -> Counts:
        """Jets that cannot be scored, by reason; reasons that hold for no jet are left out."""
        numbers = np.bincount(self.reason, minlength=len(REASONS) + 1)
        return Counts({reason: int(numbers[i]) for i, reason in REASONS.items() if numbers[i]})

    def marked(self, mask: npt.NDArray[np.bool_], reason: int) -> ExaminedJets:
        """The same, with a reason for those of some jets that had none."""
        return replace(self, reason=np.where(mask & self.good, np.uint8(reason), self.reason))


def examine_jets(jets: ak.Array | FlatJets, radius: float | None = None) -> ExaminedJets:
    """Examine jets: which of them can be scored, and why others cannot.

    Parameters
    ----------
    jets : awkward array or FlatJets
        As `flatten_jets` takes them, or gives them.
    radius : float, optional
        The sum of a jet's constituents lies within it around the jet's axis, or they are not its own; by default
        what the jets say (`FlatJets.radius`), or `JET_RADIUS`. Jets without an axis are not held against it.
    """
    from .padding_kernels import examine

    flat = jets if isinstance(jets, FlatJets) else flatten_jets(jets)
    none = np.empty(0, np.float32)
    eta, phi = flat.axis or (none, none)
    radius = radius or flat.radius or JET_RADIUS
    return ExaminedJets(flat, examine(flat.starts, flat.counts, flat.pt, flat.eta, flat.phi, eta, phi, radius))


def too_many_not_own(number: int, jets: int) -> bool:
    """Whether so many of some jets with constituents of others cannot be single accidents."""
    return number >= LEAST_NOT_OWN and number > SHARE_NOT_OWN * jets


def pad_scorable(events: ak.Array, spec: InputSpec) -> npt.NDArray[np.float32]:
    """Padded array (jets, n_particles, n_features) of the jets of some events that can be scored."""
    jets = examine_jets(events)
    return pad_into(jets.flat, jets.chosen, spec, spec.n_particles)
