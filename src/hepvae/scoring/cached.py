"""An inferer that does not score a jet twice: for systematic variations, most of which leave most jets alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..inference import Inferer
from ..jets.padding import FlatJets
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
        self._keys = np.empty((0, 2), np.uint64)
        """Fingerprints, the first half rising."""
        self._losses = {name: np.empty(0, np.float32) for name in self.card.losses}

    @property
    def spec(self) -> InputSpec:
        """What the model takes."""
        return self._inferer.spec

    def losses_of(self, jets: FlatJets, chosen: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.float32]]:
        """As of `Inferer`."""
        from ..jets.fingerprint import fingerprints  # numba takes long to import

        keys = fingerprints(jets, chosen, self.spec)
        place = np.searchsorted(self._keys[:, 0], keys[:, 0])
        known = place < len(self._keys)
        known[known] = (self._keys[place[known]] == keys[known]).all(axis=1)
        losses = {name: np.empty(len(keys), np.float32) for name in self._losses}
        self.jets_given += len(keys)
        self.jets_scored += int(np.count_nonzero(~known))
        if not known.all():
            for name, values in self._inferer.losses_of(jets, chosen[~known]).items():
                losses[name][~known] = values
        for name, values in self._losses.items():
            losses[name][known] = values[place[known]]
        if not known.all():
            self._keep(keys[~known], {name: values[~known] for name, values in losses.items()})
        return losses

    def _keep(self, keys: npt.NDArray[np.uint64], losses: dict[str, npt.NDArray[np.float32]]) -> None:
        # Where first halves are equal, one is kept: the other is scored again.
        self._keys, kept = _sorted(np.concatenate([self._keys, keys]))
        for name, values in losses.items():
            self._losses[name] = np.concatenate([self._losses[name], values])[kept]


def _sorted(keys: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """Keys by their first halves, each of these once, and their places."""
    _, kept = np.unique(keys[:, 0], return_index=True)
    return keys[kept], kept
