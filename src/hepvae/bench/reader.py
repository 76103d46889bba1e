"""How long reading takes without inference: files to padded jets in memory, in a process of its own.

``python -m hepvae.bench.reader`` takes the request as JSON on standard input, writes the jets to a .npy
file, from which the cells of the pipeline ``numpy`` have them, and prints what it took as JSON.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np

from ..batches import padded_jets
from ..errors import DataError, HepvaeError
from ..reports import FileReport
from ..sources import resolve
from ..spec import InputSpec

__all__ = ["ALL_DIJETS", "STEP", "read_jets"]

#: Cuts that every dijet passes: a study of time takes what there is.
ALL_DIJETS = {"pt_min": float("-inf"), "eta_max": float("inf"), "mjj_min": float("-inf")}
STEP = "10 MB"  # read at once, by every pipeline
PASSES = 2  # in the first, libraries make themselves ready


def read_jets(files, spec: InputSpec) -> np.ndarray:
    """Padded jets (jets, n_particles, n_features) of all dijets of some files."""
    jets = np.concatenate(
        [
            part
            for source in resolve(files)
            for part in padded_jets(source, FileReport(source.path), spec, step_size=STEP, **ALL_DIJETS)
        ]
    )
    if len(jets) == 0:
        raise DataError(f"{files[0]}: the input files have no jets to score")
    return jets


def main() -> int:
    request = json.load(sys.stdin)
    spec = InputSpec.from_dict(request["spec"])
    try:
        seconds = []
        for _ in range(PASSES):
            start = time.perf_counter()
            jets = read_jets(request["files"], spec)
            seconds.append(time.perf_counter() - start)
    except HepvaeError as error:
        print(f"hepvae.bench: {error}", file=sys.stderr)
        return 1
    np.save(request["to"], jets)
    print(json.dumps({"input_s": seconds[-1], "first_input_s": seconds[0], "n_jets": len(jets)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
