"""The process in which a cell is measured: it opens one model on one runtime and does what it is told.

``python -m hepvae.bench.worker`` takes requests as lines of JSON on standard input and answers each with a
line. A process of its own is what makes memory figures mean something (in a shared one the first large batch
hides all that come after) and what lets two runtimes be timed in turns without sharing threads.

Whoever starts it has to take from it: ``open``, ``warm_up``, any number of ``block``, ``memory``; after them
also ``losses``.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from ..errors import DataError, HepvaeError, one_line
from ..extras import require
from ..inference import load_inferer
from ..output.files import whole_file
from ..reading.batches import to_tf_dataset
from .before import Timed, serve
from .contenders import CONTENDERS
from .environment import forget_peak, resident, slope
from .processes import Answer
from .reader import ALL_DIJETS, STEP

__all__ = ["Worker"]


#: Calls; a slope of fewer is that of a runtime that still settles.
ENOUGH_TO_SEE_A_LEAK = 500


class Worker(Timed):
    """One cell.

    Parameters
    ----------
    path, runtime, batch_size, threads
        The model file and how to run it: on a runtime, or, a model directory, as one of `CONTENDERS`.
    pipeline : str
        ``"numpy"`` takes batches from an array, ``"tf.data"`` from the files.
    """

    def __init__(self, *, path: str, runtime: str, batch_size: int, threads: int, pipeline: str):
        super().__init__(batch_size)
        self.path, self.runtime, self.threads = path, runtime, threads
        self.streams = pipeline == "tf.data"
        self.samples: list[tuple[int, int]] = []
        """Calls made, and what was resident after them."""

    def open(self) -> Answer:
        """Load the model. Gives the seconds it took, and what tells how it will be run."""
        before = resident()["now"]
        start = time.perf_counter()
        if self.streams:
            require("tensorflow", "the pipeline tf.data")
        if self.runtime in CONTENDERS:
            self.inferer = CONTENDERS[self.runtime](Path(self.path), self.threads)
        else:  # a batch of so many jets, as it is, and all of the graph; LiteRT computes no distances of its own
            options = {"batching": False, "compiled_distances": self.runtime == "litert"}
            self.inferer = load_inferer(self.path, runtime=self.runtime, threads=self.threads, **options)
        load_s = time.perf_counter() - start
        return {
            "load_s": load_s,
            "threads": self.inferer.threads,
            "arena": getattr(getattr(self.inferer, "options", None), "arena", None),
            "rss_model_bytes": resident()["now"] - before,
            "card": self.inferer.card.to_dict(),
        }

    def warm_up(self, jets: str, files: list[str], seconds: float, calls: int) -> Answer:
        """First call, which lets the runtime prepare itself, and calls after it until either is reached.

        Parameters
        ----------
        jets : str
            A .npy file of padded jets.
        files : list of str
            What to stream. Then one pass goes before that is not timed: in it, libraries make themselves ready.
        """
        self.jets, self.files = jets, files
        self.take(jets)
        self.peak = resident()["peak"]
        forget_peak()
        self.before = resident()["now"]
        first_call_s = self.call()
        begin = time.perf_counter()
        latencies: list[float] = []
        while not latencies or (len(latencies) < calls and time.perf_counter() - begin < seconds):
            latencies.append(self.call())
        if self.streams:
            self._pass(seconds)
        return {"first_call_s": first_call_s, "call_s": float(np.median(latencies))}

    def block(self, calls: int, ready: int, seconds: float) -> Answer:
        """As `Timed`; of a stream, a pass."""
        timed = self._pass(seconds) if self.streams else super().block(calls, ready, seconds)
        self.samples.append((self.calls, resident()["now"]))
        return timed

    def _pass(self, limit_s: float) -> Answer:
        """From opening the files to the losses of the last batch, or so long."""
        latencies: list[float] = []
        n_jets = 0
        begin = start = time.perf_counter()
        try:
            for batch in to_tf_dataset(
                self.files, self.inferer.spec, self.batch_size, step_size=STEP, **ALL_DIJETS
            ):
                jets = batch.numpy()
                self.inferer(jets)
                latencies.append(time.perf_counter() - start)
                n_jets += len(jets)
                start = time.perf_counter()
                wall_s = start - begin
                if wall_s > limit_s:
                    break
        except HepvaeError:
            raise
        except Exception as error:  # what goes wrong in a stream comes as an error of TensorFlow's
            raise DataError(f"{self.files[0]}: streaming failed: {one_line(error)}") from error
        if not n_jets:
            raise DataError(f"{self.files[0]}: the input files have no jets to score")
        self.calls += len(latencies)
        return {"latencies": latencies, "per_batch_s": wall_s / n_jets * self.batch_size, "n_jets": n_jets}

    def memory(self) -> Answer:
        """Resident memory: of the process, of its inference, and what is left of it."""
        now = resident()
        calls, bytes_after = zip(*self.samples)
        per_call = slope(calls, bytes_after) if self.calls >= ENOUGH_TO_SEE_A_LEAK else None
        return {
            "rss_peak_bytes": max(self.peak, now["peak"]),
            "rss_inference_bytes": now["peak"] - self.before,
            "rss_steady_bytes": int(np.median(bytes_after[len(bytes_after) // 2 :])),
            "rss_growth_bytes": now["now"] - self.before,
            "rss_growth_per_1000_batches_bytes": None if per_call is None else 1000 * per_call,
            "calls": self.calls,
        }

    def losses(self, to: str, jets: int | None = None) -> Answer:
        """Write the losses of all jets, or the first so many, to a .npz file."""
        losses = self.inferer(np.load(self.jets)[:jets])
        with whole_file(to) as temporary:
            np.savez(temporary, **losses)
        return {}


if __name__ == "__main__":
    serve(Worker)
