"""Another checkout of hepvae in a process of its own, timed in turns with this one.

This file is run with the sources of that checkout first, and so takes nothing of hepvae but what all versions
have: `load_inferer`, what that gives, and `score_files`. It answers as `worker` does, which has
`Timed` and `serve` from here.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Before", "Timed", "serve"]


class Timed:
    """Calls of an inferer on batches of padded jets."""

    inferer: Any

    def __init__(self, batch_size: int):
        self.batch_size, self.calls = batch_size, 0

    def take(self, jets: str) -> None:
        """Batches of the padded jets in a .npy file, again and again where they are fewer than one batch."""
        padded: npt.NDArray[np.float32] = np.load(jets)
        size = self.batch_size
        if len(padded) < size:
            padded = np.concatenate([padded] * -(-size // len(padded)))
        self.batches = [padded[i : i + size] for i in range(0, len(padded) - size + 1, size)]

    def call(self) -> float:
        """Seconds of a call on the next batch."""
        batch = self.batches[self.calls % len(self.batches)]
        self.calls += 1
        start = time.perf_counter()
        self.inferer(batch)
        return time.perf_counter() - start

    def block(self, calls: int, ready: int, seconds: float) -> dict[str, Any]:
        """Time some calls, each a whole call of the inferer as a user makes it.

        Parameters
        ----------
        calls : int
        ready : int
            Calls before them that are not timed.
        seconds : float
            A stream is read to its end, or so long.
        """
        latencies = [self.call() for _ in range(ready + calls)][ready:]
        return {"latencies": latencies, "per_batch_s": float(np.mean(latencies))}


class Before(Timed):
    """A model of another checkout, as that runs it."""

    def __init__(self, *, path: str, runtime: str, batch_size: int, threads: int, pipeline: str):
        import hepvae

        super().__init__(batch_size)
        folder = Path(hepvae.__file__).parents[2] / "data" / "models" / Path(path).name
        self.inferer = hepvae.load_inferer(folder, threads=threads)
        self.score_files: Any = hepvae.score_files
        self.threads = threads

    def open(self) -> dict[str, Any]:
        """What is told of a cell."""
        return {"threads": self.threads, "card": {}}

    def warm_up(self, jets: str, files: list[str], seconds: float, calls: int) -> dict[str, Any]:
        """As of `worker.Worker`."""
        self.take(jets)
        return {"call_s": float(np.median([self.call() for _ in range(calls)][1:]))}

    def memory(self) -> dict[str, Any]:
        """Not measured here."""
        return {"calls": self.calls}

    def score(self, files: list[str], output: str) -> dict[str, Any]:
        """From files to a scored file; gives the CPU time."""
        start = time.process_time()
        self.score_files(files, self.inferer, output, overwrite=True)
        return {"cpu_s": time.process_time() - start}


def _handed_to_dask(server: Any, until: ExitStack) -> Any:
    """The same in a process of a worker of Dask with one thread, where its inferer is unpickled as in any task."""
    distributed: Any = import_module("distributed")
    own = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0", "silence_logs": "ERROR"}
    client = until.enter_context(distributed.Client(until.enter_context(distributed.LocalCluster(**own))))
    return client.submit(lambda: server, actor=True, pure=False).result()


def serve(kind: type[Any]) -> None:
    """Answer the requests of a `processes.Process`, by methods of one object of a class.

    The first line has its arguments, and ``on_dask``: then it is handed to a worker of Dask after it has opened
    its model.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is no answer
    arguments = json.loads(sys.stdin.readline())
    on_dask = arguments.pop("on_dask")
    server = kind(**arguments)
    with ExitStack() as until:
        for line in sys.stdin:
            name, arguments = json.loads(line)
            answer = getattr(server, name)(**arguments)
            if name == "open" and on_dask:
                server = _handed_to_dask(server, until)
            print(json.dumps(answer if isinstance(answer, dict) else answer.result()), file=answers, flush=True)


if __name__ == "__main__":
    sys.path.remove(str(Path(__file__).parent))  # modules of the bench are none of the standard library's
    serve(Before)
