"""`hepvae tune`: which block size, and which use of threads, is fastest for a model on this machine."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..execution.progress import progress_bar
from ..models.bundled import reference_jets
from ..options import check_whole_number
from .blocks import PARALLEL, Tuning
from .loading import load_inferer
from .tuning import keep

__all__ = ["BLOCK_SIZES", "Tuned", "tune"]

BLOCK_SIZES = (16, 32, 48, 64, 96, 128, 256)
#: A setting must be so much faster than the runtime's default to be kept instead: less is noise.
WORTHWHILE = 0.97


@dataclass(frozen=True)
class Tuned:
    """What was measured."""

    runtime: str
    seconds: dict[Tuning, float]
    """Of one jet, the median of the rounds, for each setting."""
    chosen: Tuning
    table: Path | None
    """The file that it was written to; None for a user without a home."""


def tune(
    path: str | Path,
    *,
    runtime: str | None = None,
    threads: int | None = None,
    rounds: int = 5,
    **options: Any,
) -> Tuned:
    """Measure, on real jets, and keep what is fastest in the user's table.

    Parameters
    ----------
    path : path
        A model file or directory, or the name of a bundled model.
    runtime, threads, **options
        As for `load_inferer`.
    rounds : int
        In each, every setting has its turn.
    """
    rounds = check_whole_number("rounds", rounds)
    first = load_inferer(path, runtime=runtime, threads=threads, **options)
    jets = reference_jets(first.spec)
    ways = PARALLEL if first.threads > 1 else PARALLEL[:1]
    tried = [Tuning(size, way) for way in ways for size in BLOCK_SIZES]
    settings = list(dict.fromkeys([first.default_tuning, *tried]))
    options |= {"runtime": first.runtime, "threads": threads}
    inferers = {
        setting: load_inferer(path, block_size=setting.block_size, parallel=setting.parallel, **options)
        for setting in settings
    }
    seconds: dict[Tuning, list[float]] = {setting: [] for setting in settings}
    with progress_bar("tuning", (rounds + 1) * len(settings)) as advance:
        for i in range(rounds + 1):
            for setting in settings[:: 1 if i % 2 else -1]:
                start = time.perf_counter()
                inferers[setting](jets)
                if i:  # the first is the warm-up of the runtimes
                    seconds[setting].append((time.perf_counter() - start) / len(jets))
                advance(1)
    medians = {setting: float(np.median(times)) for setting, times in seconds.items()}
    chosen = min(medians, key=lambda setting: medians[setting])
    if medians[chosen] > WORTHWHILE * medians[first.default_tuning]:
        chosen = first.default_tuning
    return Tuned(first.runtime, medians, chosen, keep(first.runtime, first.card, chosen))
