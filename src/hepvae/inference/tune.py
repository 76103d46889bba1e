"""`hepvae tune`: which block size, and which use of threads, is fastest for a model on this machine."""

from __future__ import annotations

import time

import numpy as np

from ..conversion.export import reference_jets
from ..errors import OptionError
from ..execution.progress import progress_bar
from . import load_inferer
from .blocks import PARALLEL, Tuning
from .tuning import keep

__all__ = ["BLOCK_SIZES", "tune"]

BLOCK_SIZES = (16, 32, 48, 64, 96, 128, 256)
#: A setting must be so much faster than the runtime's default to be kept instead: less is noise.
WORTHWHILE = 0.97


def tune(path, *, runtime: str | None = None, threads: int | None = None, rounds: int = 5, **options) -> dict:
    """Measure, on real jets, and keep what is fastest in the user's table.

    Parameters
    ----------
    path : path
        A model file or directory.
    runtime, threads, **options
        As for `load_inferer`.
    rounds : int
        In each, every setting has its turn.

    Returns
    -------
    dict
        ``seconds`` of a jet by `Tuning`, the median of the rounds, ``chosen``, ``runtime``, and the ``table`` that
        it was written to.
    """
    if not isinstance(rounds, int) or rounds < 1:
        raise OptionError(f"rounds is {rounds!r}: expected a positive whole number")
    first = load_inferer(path, runtime=runtime, threads=threads, **options)
    jets = reference_jets(first.spec)
    ways = PARALLEL if first.threads > 1 else PARALLEL[:1]
    settings = dict.fromkeys([first.default_tuning, *(Tuning(size, way) for way in ways for size in BLOCK_SIZES)])
    inferers = {
        tuning: load_inferer(
            path,
            runtime=first.runtime,
            threads=threads,
            block_size=tuning.block_size,
            parallel=tuning.parallel,
            **options,
        )
        for tuning in settings
    }
    seconds: dict[Tuning, list[float]] = {tuning: [] for tuning in settings}
    with progress_bar("tuning", (rounds + 1) * len(settings)) as advance:
        for i in range(rounds + 1):
            for tuning in list(settings)[:: 1 if i % 2 else -1]:
                start = time.perf_counter()
                inferers[tuning](jets)
                if i:  # in the first, runtimes make themselves ready
                    seconds[tuning].append((time.perf_counter() - start) / len(jets))
                advance(1)
    medians = {tuning: float(np.median(found)) for tuning, found in seconds.items()}
    chosen = min(medians, key=medians.get)
    if medians[chosen] > WORTHWHILE * medians[first.default_tuning]:
        chosen = first.default_tuning
    table = keep(first.runtime, first.card, chosen)
    return {"seconds": medians, "chosen": chosen, "runtime": first.runtime, "table": table}
