"""How far two inferers differ on the same jets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..models.losses import LOSSES

__all__ = ["TOLERANCE", "Parity", "compare", "compare_losses"]

#: Largest relative difference of a loss of any jet between two runtimes.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Parity:
    """The worst jet of a comparison."""

    jets: int
    """Jets compared."""
    worst: float
    """Largest relative difference."""
    jet: int
    """The jet it was seen at."""
    loss: str
    """The loss it was seen in."""
    values: tuple[float, float]
    """That loss from the first and from the second inferer."""

    def __str__(self):
        return (
            f"worst of {self.jets} jets: {self.loss} of jet {self.jet} is {self.values[0]:.7g}"
            f" and {self.values[1]:.7g}, relative difference {self.worst:.1e}"
        )


def compare(first, second, padded) -> Parity:
    """Compare the losses of two inferers on padded jets (jets, n_particles, n_features)."""
    return compare_losses(first(padded), second(padded))


def compare_losses(a, b) -> Parity:
    """Compare losses of the same jets by name, each (jets,), from two inferers."""
    jets = len(a[LOSSES[0]])
    worst = Parity(jets, 0.0, 0, LOSSES[0], (0.0, 0.0))
    for name in LOSSES if jets else ():
        size = np.maximum(np.abs(a[name]), np.abs(b[name]))
        difference = np.divide(np.abs(a[name] - b[name]), size, out=np.zeros_like(size), where=size != 0)
        # NaN from one and not from the other is the worst difference there is.
        difference[~np.isfinite(difference)] = np.inf
        jet = int(np.argmax(difference))
        if difference[jet] >= worst.worst:
            worst = Parity(jets, float(difference[jet]), jet, name, (float(a[name][jet]), float(b[name][jet])))
    return worst
