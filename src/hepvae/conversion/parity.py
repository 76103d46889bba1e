"""How far two runtimes differ on the same jets: the one definition, for exports, adoptions and the bench."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import ModelError
from ..inference.inferer import Inferer
from ..inference.loading import load_inferer

__all__ = [
    "MOST_MOVED",
    "TOLERANCE",
    "WORKING_POINTS",
    "Parity",
    "as_written",
    "compare_losses",
    "held",
]

#: Largest difference of an output for any jet, over the larger of its |value| and the median |value|. A loss that
#: is small beside others has rounding of large numbers in it, which no decision depends on.
TOLERANCE = 5e-4
#: Largest share of the events that may change sides at any of the `WORKING_POINTS`.
MOST_MOVED = 1e-4
#: Shares of events with the highest scores, as a search selects them.
WORKING_POINTS = (0.1, 0.01)

Losses = Mapping[str, npt.NDArray[np.floating]]


@dataclass(frozen=True)
class Parity:
    """The worst jet of a comparison."""

    jets: int
    """Jets compared."""
    worst: float
    """Largest difference, over the larger of the jet's |value| and the median |value|."""
    jet: int
    """The jet it was seen at."""
    loss: str
    """The output it was seen in."""
    values: tuple[float, float]
    """That output from the first and from the second runtime."""
    moved: float = 0.0
    """Largest share of events that change sides at one of the `WORKING_POINTS`."""

    def holds(self, tolerance: float = TOLERANCE) -> bool:
        """Whether both are within what is allowed."""
        return self.worst <= tolerance and self.moved <= MOST_MOVED

    def record(self) -> dict[str, float]:
        """As the metadata of a file keep it."""
        return {
            "jets": self.jets,
            "worst_relative_difference": self.worst,
            "events_that_change_sides": self.moved,
        }

    def __str__(self) -> str:
        points = " and ".join(f"{point:.0%}" for point in WORKING_POINTS)
        return (
            f"worst of {self.jets} jets: {self.loss} of jet {self.jet} is {self.values[0]:.7g}"
            f" and {self.values[1]:.7g}, relative difference {self.worst:.1e};"
            f" {self.moved:.2%} of events change sides at the working points of {points}"
        )


def compare_losses(first: Losses, second: Losses) -> Parity:
    """Compare outputs of the same jets by name, each (jets,) or (events, 2), relative to the first.

    The score of an event, for the share that changes sides, is the lower one of its two jets, of ``loss`` or else
    of the first output; a jet without an event counts as one.
    """
    names = list(first)
    shape = first[names[0]].shape
    jets = int(np.prod(shape))
    worst = Parity(jets, 0.0, 0, names[0], (0.0, 0.0))
    if not jets:
        return worst
    for name in names:
        a, b = (np.asarray(side[name], np.float64).ravel() for side in (first, second))
        with np.errstate(invalid="ignore"):
            difference, size = np.abs(a - b), np.maximum(np.abs(a), np.median(np.abs(a)))
        relative = np.divide(difference, size, out=np.full(jets, np.inf), where=size > 0)
        relative[(difference == 0) | (np.isnan(a) & np.isnan(b))] = 0
        # NaN from one and not from the other is the worst difference there is.
        relative[np.isnan(relative) | ~np.isfinite(difference) & (relative != 0)] = np.inf
        jet = int(np.argmax(relative))
        if relative[jet] >= worst.worst:
            worst = Parity(jets, float(relative[jet]), jet, name, (float(a[jet]), float(b[jet])))
    key = "loss" if "loss" in names else names[0]
    events = [np.asarray(side[key], np.float64).reshape(shape[0], -1).min(axis=1) for side in (first, second)]
    return replace(worst, moved=_moved(*events))


def held(first: Losses, second: Losses, what: str, tolerance: float = TOLERANCE) -> Parity:
    """Compare outputs of the same jets; ModelError, which says what differs, where that is more than allowed."""
    parity = compare_losses(first, second)
    if not parity.holds(tolerance):
        raise ModelError(f"{what} by more than {tolerance:g}: {parity}")
    return parity


def as_written(path: Path) -> Inferer:
    """A file as its runtime runs it: no blocks, no distances by the compiled loop; LiteRT has none of its own."""
    if path.suffix == ".tflite":
        return load_inferer(path)
    return load_inferer(path, batching=False, compiled_distances=path.suffix != ".onnx")


def _moved(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> float:
    """Largest share of events on another side of the working points of the first scores."""
    good = np.isfinite(first)
    if not good.any():
        return 0.0
    moved = 0.0
    for point in WORKING_POINTS:
        ordered = np.sort(first[good])
        # Between two scores: no event lies on the border.
        place = min(max(int(len(ordered) * (1 - point)), 1), len(ordered) - 1) if len(ordered) > 1 else 0
        cut = (ordered[place - 1] + ordered[place]) / 2 if place else ordered[0]
        moved = max(moved, float(np.mean((first[good] > cut) != (second[good] > cut))))
    return moved
