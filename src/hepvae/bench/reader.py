"""How long reading takes without inference: files to padded jets in memory, in a process of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..jets.selection import Cuts, Selection
from ..jets.spec import InputSpec
from ..output.files import whole_file
from ..reading.batches import padded_jets
from ..reading.options import ReadOptions
from ..reading.reports import FileReport
from ..reading.sources import resolve
from .processes import Answer

__all__ = ["ALL_DIJETS", "STEP", "measure", "read_jets"]

#: Cuts that every dijet passes: a study of time takes what there is.
ALL_DIJETS: Cuts = {"pt_min": -inf, "eta_max": inf, "mjj_min": -inf}
STEP = "10 MB"  # read at once, by every pipeline
#: Jets: more would not change a figure, and every process holds them.
AT_MOST = 100_000
PASSES = 2  # in the first, libraries make themselves ready


def read_jets(files: list[str], spec: InputSpec) -> npt.NDArray[np.float32]:
    """Padded jets (jets, n_particles, n_features) of all dijets of some files, `AT_MOST` so many."""
    parts, number = [], 0
    for part in _chunks(files, spec):
        parts.append(part)
        number += len(part)
        if number >= AT_MOST:
            break
    jets = np.concatenate(parts)[:AT_MOST]
    if len(jets) == 0:
        raise DataError(f"{files[0]}: the input files have no jets to score")
    return jets


def _chunks(files: list[str], spec: InputSpec) -> Iterator[npt.NDArray[np.float32]]:
    for source in resolve(files):
        reading = ReadOptions(step_size=STEP)
        yield from padded_jets(source, FileReport(source.path), spec, reading, Selection(**ALL_DIJETS))


def measure(files: list[str], spec: dict[str, Any], to: str) -> Answer:
    """Write padded jets of some files to a .npy file, from which the cells of the pipeline ``numpy`` have them.

    Gives the seconds of the first reading and of the last, and the number of jets.
    """
    seconds = []
    for _ in range(PASSES):
        start = time.perf_counter()
        jets = read_jets(files, InputSpec.from_dict(spec))
        seconds.append(time.perf_counter() - start)
    with whole_file(to) as temporary:
        np.save(temporary, jets)
    return {"input_s": seconds[-1], "first_input_s": seconds[0], "n_jets": len(jets)}
