"""An inferer that does not score a jet twice: for systematic variations, most of which leave most jets alone."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from ..inference import Inferer
from ..jets.padding import AT_ONCE, FlatJets, pad_into
from ..jets.spec import InputSpec
from ..models.card import ModelCard
from .jets import check_inferer

__all__ = ["CachedInferer"]


class CachedInferer:
    """An inferer that keeps losses: of jets that it has scored, with the same input of the network, no model runs.

    It takes the place of the inferer in `score_jets` and `score_dijets`, for the variations of one chunk of
    events: a jet is scored again where what the network is given of it has changed, its constituents, and of the
    jet what the model uses (the axis, for relative coordinates; pt or mass only for features of them).

    Parameters
    ----------
    inferer : Inferer
        As `load_inferer` gives it.

    Raises
    ------
    OptionError
        It is no `Inferer`.

    Examples
    --------
    >>> jets = hepvae.read_dijets(hepvae.sample_path("GtoWW15na"), entry_stop=100).jets
    >>> cached = hepvae.CachedInferer(hepvae.load_inferer("conv"))
    >>> for scale in (1.0, 1.02, 0.98):
    ...     jets["pt"] = scale * jets.pt
    ...     losses = hepvae.score_jets(jets, cached)
    >>> cached.jets_given, cached.jets_scored
    (600, 200)
    """

    def __init__(self, inferer: Inferer) -> None:
        self._inferer = check_inferer(inferer)
        self.card: ModelCard = inferer.card
        """That of the model."""
        self.jets_given = 0
        """Jets of all calls."""
        self.jets_scored = 0
        """Jets that a model ran for."""
        self._rows: dict[bytes, int] = {}
        """Where the losses of a jet are kept, by its fingerprint."""
        self._losses = {name: np.empty(0, np.float32) for name in self.card.losses}

    @property
    def spec(self) -> InputSpec:
        """What the model takes."""
        return self._inferer.spec

    def losses_of(self, jets: FlatJets, chosen: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.float32]]:
        """As of `Inferer`."""
        keys = fingerprints(jets, chosen, self.spec)
        new = [i for i, key in enumerate(keys) if key not in self._rows]
        self.jets_given += len(keys)
        if new:
            losses = self._inferer.losses_of(jets, chosen[new])
            self._losses = {name: np.concatenate([kept, losses[name]]) for name, kept in self._losses.items()}
            # Last: where the model fails, none of its jets counts as scored.
            self._rows |= {keys[i]: row for row, i in enumerate(new, start=self.jets_scored)}
            self.jets_scored += len(new)
        rows = [self._rows[key] for key in keys]
        return {name: values[rows] for name, values in self._losses.items()}


def fingerprints(jets: FlatJets, chosen: npt.NDArray[np.int64], spec: InputSpec) -> list[bytes]:
    """Of all that a network is given of some jets: 128 bits each, equal where a network sees the same of them.

    Of a model that takes only momenta, of all constituents, also those that are truncated, in their order, and of
    the jet axis where coordinates are relative to it; else of the padded array.

    Parameters
    ----------
    jets : FlatJets
    chosen : int64 array
        Numbers of the jets, which hold no value that is not finite and no negative pt.
    spec : InputSpec
    """
    contents: Iterable[bytes]
    if spec.momenta_only:
        axes = np.stack(jets.directions, axis=1) if spec.coordinates == "relative" else jets.counts
        momenta, ends = np.stack([jets.pt, jets.eta, jets.phi], axis=1), jets.starts + jets.counts
        contents = (
            axes[jet].tobytes() + momenta[jets.starts[jet] : ends[jet]].tobytes() for jet in chosen.tolist()
        )
    else:
        parts = (chosen[first : first + AT_ONCE] for first in range(0, len(chosen), AT_ONCE))
        contents = (row.tobytes() for part in parts for row in pad_into(jets, part, spec, spec.n_particles))
    return [blake2b(content, digest_size=16, usedforsecurity=False).digest() for content in contents]
