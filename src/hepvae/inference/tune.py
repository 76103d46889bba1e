"""`hepvae tune`: which runtime, block size and use of threads is fastest for a model on this machine."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import HepvaeError, MissingPackageError, ModelError, OptionError
from ..execution.progress import progress_bar
from ..models.bundled import reference_jets
from ..options import check_whole_number
from .blocks import PARALLEL, Tuning
from .inferer import Inferer
from .loading import load_inferer, named_model, runtime_names
from .tuning import keep

__all__ = ["BLOCK_SIZES", "Setting", "Tuned", "tune"]

BLOCK_SIZES = (8, 16, 32, 48, 64, 96, 128, 256)
#: A setting must be so much faster than the default to be kept instead: less is noise.
WORTHWHILE = 0.97
#: Of runtimes that take so many times as long as the fastest, no other settings are tried.
HOPELESS = 2.0


@dataclass(frozen=True)
class Setting:
    """How a model can be run."""

    runtime: str
    tuning: Tuning


@dataclass(frozen=True)
class Tuned:
    """What was measured."""

    seconds: dict[Setting, float]
    """Of one jet, the median of the rounds, for each setting."""
    chosen: Setting
    table: Path | None
    """The file that it was written to; None for a user without a home."""
    refused: dict[str, str]
    """Why a runtime was not measured, by its name."""


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
        As for `load_inferer`. Without a runtime all are measured that a model directory has a file for and that
        are installed, first with their defaults, and the fastest with other settings.
    rounds : int
        In each, every setting has its turn.
    """
    rounds = check_whole_number("rounds", rounds)
    path = named_model(path, runtime=runtime)
    options |= {"threads": threads}
    firsts, refused = _inferers(path, [runtime] if runtime else runtime_names(), options)
    jets = reference_jets(next(iter(firsts.values())).spec)
    defaults = {Setting(name, inferer.default_tuning): inferer for name, inferer in firsts.items()}
    seconds = _measure(defaults, jets, rounds)
    least = min(seconds.values())
    names = [setting.runtime for setting, time_s in seconds.items() if time_s <= HOPELESS * least]
    ways = PARALLEL if next(iter(firsts.values())).threads > 1 else PARALLEL[:1]
    inferers = {setting: inferer for setting, inferer in defaults.items() if setting.runtime in names}
    for name in names:
        for tuning in (Tuning(size, way) for way in ways for size in BLOCK_SIZES):
            if Setting(name, tuning) not in inferers:
                given = {**options, "block_size": tuning.block_size, "parallel": tuning.parallel}
                inferers[Setting(name, tuning)] = load_inferer(path, runtime=name, **given)
    seconds |= _measure(inferers, jets, rounds)
    best = {name: _best([s for s in inferers if s.runtime == name], seconds) for name in names}
    chosen = _best(list(best.values()), seconds)
    card = firsts[chosen.runtime].card
    fastest = chosen.runtime if len(firsts) > 1 else None
    return Tuned(seconds, chosen, keep(card, {n: s.tuning for n, s in best.items()}, fastest), refused)


def _inferers(path: Path, names: list[str], options: dict[str, Any]) -> tuple[dict[str, Inferer], dict[str, str]]:
    """The model on each runtime that can load it, and why the others cannot."""
    inferers: dict[str, Inferer] = {}
    refused: dict[str, str] = {}
    last: HepvaeError | None = None
    for name in names:
        try:
            inferers[name] = load_inferer(path, runtime=name, **options)
        except (MissingPackageError, ModelError, OptionError) as error:
            refused[name], last = str(error), error
    if not inferers and last is not None:
        raise last
    return inferers, refused


def _measure(inferers: dict[Setting, Inferer], jets: npt.NDArray[np.float32], rounds: int) -> dict[Setting, float]:
    """Seconds of one jet for each setting: the median of the rounds, in each of which all have their turn."""
    settings = list(inferers)
    seconds: dict[Setting, list[float]] = {setting: [] for setting in settings}
    with progress_bar("tuning", (rounds + 1) * len(settings)) as advance:
        for i in range(rounds + 1):
            for setting in settings[:: 1 if i % 2 else -1]:
                start = time.perf_counter()
                inferers[setting](jets)
                if i:  # the first is the warm-up of the runtimes
                    seconds[setting].append((time.perf_counter() - start) / len(jets))
                advance(1)
    return {setting: float(np.median(times)) for setting, times in seconds.items()}


def _best(settings: list[Setting], seconds: dict[Setting, float]) -> Setting:
    """The fastest setting, or the first where none is faster than it by more than noise."""
    fastest = min(settings, key=lambda setting: seconds[setting])
    return fastest if seconds[fastest] <= WORTHWHILE * seconds[settings[0]] else settings[0]
