"""Whether the constituents of the jets of a file are what a model should see: the figures of `hepvae inspect`."""

from __future__ import annotations

from dataclasses import dataclass, field

import awkward as ak
import numpy as np
import numpy.typing as npt

from .quality import ExaminedJets, examine_jets
from .reasons import Counts
from .spec import InputSpec

__all__ = ["Health"]


@dataclass
class Health:
    """What was seen of the jets of some events, added up chunk by chunk."""

    n_particles: int | None = 100
    """Constituents that a model takes of a jet; None: it takes observables of all."""
    jets: int = 0
    unscorable: Counts = field(default_factory=Counts)
    """Jets that no model can score, by the `REASONS`."""
    good: int = 0
    """The others; what follows is about these."""
    truncated: int = 0
    """Jets with more than ``n_particles`` constituents."""
    _pt: float = 0.0
    _pt_kept: float = 0.0
    _ratio: float = 0.0
    _ratio_squared: float = 0.0

    def add(self, events: ak.Array) -> None:
        """Count the jets of some events, as `read_dijets` gives them, or jets with constituents."""
        jets = events.jets if "jets" in events.fields else events
        self.add_examined(examine_jets(jets), ak.to_numpy(ak.ravel(jets.pt)))

    def add_examined(self, jets: ExaminedJets, pt: npt.NDArray[np.floating]) -> None:
        """Count jets that were examined already; ``pt`` is that of each jet, (jets,) in GeV."""
        from .padding_kernels import sums

        self.unscorable.add(jets.counts)
        flat, chosen = jets.flat, jets.chosen
        self.jets += len(flat.counts)
        self.good += len(chosen)
        if len(chosen) == 0:
            return
        limit = int(flat.counts.max()) if self.n_particles is None else self.n_particles
        total, kept = sums(flat.starts, flat.counts, chosen, flat.pt, limit).T
        self.truncated += int(np.count_nonzero(flat.counts[chosen] > limit))
        self._pt += total.sum()
        self._pt_kept += kept.sum()
        ratio = total / np.asarray(pt, np.float64)[chosen]
        self._ratio += ratio.sum()
        self._ratio_squared += (ratio**2).sum()

    def merge(self, other: Health) -> None:
        """Add what another one has seen."""
        for name in ("jets", "good", "truncated", "_pt", "_pt_kept", "_ratio", "_ratio_squared"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.unscorable.add(other.unscorable)

    @classmethod
    def of(cls, spec: InputSpec) -> Health:
        """Of no jets yet, for a model that takes ``spec``."""
        return cls(spec.n_particles if spec.features else None)

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
        ratio = f"sum of constituent pt over jet pt {mean:.3f} +- {deviation:.3f}"
        if self.n_particles is None:
            return f"{self.good} jets: {ratio}"
        return (
            f"{self.truncated_share:.1%} of {self.good} jets have more than {self.n_particles} constituents"
            f" ({self.pt_kept:.2%} of pt kept); {ratio}"
        )
