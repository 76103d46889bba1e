"""Whether the constituents of the jets of a file are what a model should see: the figures of `hepvae inspect`."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .padding import FlatJets, flatten_jets
from .quality import scorable, unscorable

__all__ = ["Health"]


@dataclass
class Health:
    """What was seen of the jets of some events, added up chunk by chunk."""

    n_particles: int = 100
    """Constituents that a model takes of a jet."""
    jets: int = 0
    unscorable: dict[str, int] = field(default_factory=dict)
    """Jets that no model can score, by the reasons of `hepvae.quality`."""
    good: int = 0
    """The others; what follows is about these."""
    truncated: int = 0
    """Jets with more than ``n_particles`` constituents."""
    _pt: float = 0.0
    _pt_kept: float = 0.0
    _ratio: float = 0.0
    _ratio_squared: float = 0.0

    def add(self, events) -> None:
        """Count the jets of some events, as `read_dijets` gives them, or jets with constituents."""
        flat = flatten_jets(events)
        self.add_flat(flat, unscorable(flat), (events.jets if "jets" in events.fields else events).pt)

    def add_flat(self, flat: FlatJets, masks: dict[str, np.ndarray], pt) -> None:
        """Count jets that were taken apart already: with those `unscorable`, and the pt of all."""
        from .padding_kernels import sums

        for reason, mask in masks.items():
            self.unscorable[reason] = self.unscorable.get(reason, 0) + int(mask.sum())
        chosen = np.flatnonzero(scorable(flat, masks))
        self.jets += len(flat.counts)
        self.good += len(chosen)
        if len(chosen) == 0:
            return
        total, kept = sums(flat.starts, flat.counts, chosen, flat.pt, self.n_particles).T
        self.truncated += int(np.count_nonzero(flat.counts[chosen] > self.n_particles))
        self._pt += total.sum()
        self._pt_kept += kept.sum()
        ratio = total / np.asarray(pt, np.float64).ravel()[chosen]
        self._ratio += ratio.sum()
        self._ratio_squared += (ratio**2).sum()

    def merge(self, other: Health) -> None:
        """Add what another one has seen."""
        for name in ("jets", "good", "truncated", "_pt", "_pt_kept", "_ratio", "_ratio_squared"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for reason, number in other.unscorable.items():
            self.unscorable[reason] = self.unscorable.get(reason, 0) + number

    @property
    def truncated_share(self) -> float:
        """Of the jets; NaN without any."""
        return self.truncated / self.good if self.good else float("nan")

    @property
    def pt_kept(self) -> float:
        """Share of the constituents' pt that is left by truncation."""
        return self._pt_kept / self._pt if self._pt else float("nan")

    @property
    def pt_ratio(self) -> tuple[float, float]:
        """Sum of the constituents' pt over the pt of the jet: mean and standard deviation over the jets."""
        if not self.good:
            return float("nan"), float("nan")
        mean = self._ratio / self.good
        return mean, max(self._ratio_squared / self.good - mean**2, 0.0) ** 0.5

    def __str__(self) -> str:
        if not self.good:
            return f"none of {self.jets} jets can be scored"
        mean, deviation = self.pt_ratio
        return (
            f"{self.truncated_share:.1%} of {self.good} jets have more than {self.n_particles} constituents"
            f" ({self.pt_kept:.2%} of pt kept); sum of constituent pt over jet pt {mean:.3f} +- {deviation:.3f}"
        )
