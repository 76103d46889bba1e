"""Processes of the bench, from the side that starts them: requests, answers, and why one died."""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Any, NoReturn

from ..errors import ModelError, OptionError

__all__ = ["Process", "run_module"]

#: A process that says nothing for so long has hung.
ANSWER_S = 900
#: So long a cluster of Dask has to end its worker.
DASK_ENDS_S = 20
#: Of a process, from JSON.
Answer = dict[str, Any]


def _environment() -> dict[str, str]:
    return {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}


def _why(status: int, stderr: str) -> str:
    """One line on why a process ended."""
    if status < 0:
        killed = " (out of memory?)" if status == -signal.SIGKILL else ""
        return f"killed by {signal.Signals(-status).name}{killed}"
    last = (stderr.strip().splitlines() or ["no message"])[-1]
    return re.sub(r"^hepvae\.[\w.]+: ", "", last)  # of an error of ours; the class of others tells something


def run_module(module: str, request: Answer) -> Answer:
    """What ``measure`` of a module of this package gives, in a process of its own; ModelError where it fails.

    A process takes its first-time costs and its memory with it, also that which TensorFlow keeps.
    """
    done = subprocess.run(
        [sys.executable, "-m", f"{__package__}.processes", module],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        env=_environment(),
    )
    if done.returncode != 0:
        raise ModelError(_why(done.returncode, done.stderr))
    answer: Answer = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


class Process:
    """A worker that answers several requests: see `hepvae.bench.worker`.

    Parameters
    ----------
    before : path, optional
        Another checkout of hepvae, which answers by `hepvae.bench.before`.
    on_dask : bool
        The model runs in a worker of Dask, with one thread.
    **cell
        Of the `Worker` in it.
    """

    def __init__(self, *, before: str | Path | None = None, on_dask: bool = False, **cell: Any):
        code = ["-m", f"{__package__}.worker"]
        environment = _environment()
        if before is not None:
            code = [str(Path(__file__).with_name("before.py"))]
            environment["PYTHONPATH"] = str(Path(before, "src"))
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed by end)
        self._process = subprocess.Popen(
            [sys.executable, *code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._requests: IO[bytes] = self._process.stdin
        self._answers: IO[bytes] = self._process.stdout
        self._on_dask = on_dask
        self._send({**cell, "on_dask": on_dask})

    def _send(self, content: Any) -> None:
        try:
            self._requests.write(json.dumps(content).encode() + b"\n")
            self._requests.flush()
        except BrokenPipeError:
            self._raise()

    def _raise(self) -> NoReturn:
        status = self._process.wait()
        self._errors.seek(0)
        raise ModelError(_why(status, self._errors.read().decode(errors="replace")))

    def ask(self, name: str, **arguments: Any) -> Answer:
        """What a method of the worker gives.

        Raises
        ------
        ModelError
            The process ended; the line says why.
        """
        self._send([name, arguments])
        with selectors.DefaultSelector() as selector:
            selector.register(self._answers, selectors.EVENT_READ)
            if not selector.select(ANSWER_S):
                self.end()
                raise OptionError(f"no answer to {name!r} in {ANSWER_S} s")
        line = self._answers.readline()
        if not line:
            self._raise()
        answer: Answer = json.loads(line)
        return answer

    def end(self) -> None:
        """End it, whatever it does."""
        if self._on_dask:  # which removes its folders, unless it hangs
            with suppress(BrokenPipeError, subprocess.TimeoutExpired):
                self._requests.close()
                self._process.wait(DASK_ENDS_S)
        self._process.kill()
        self._process.wait()
        for stream in (self._requests, self._answers, self._errors):
            with suppress(BrokenPipeError):
                stream.close()


if __name__ == "__main__":
    print(json.dumps(import_module(f".{sys.argv[1]}", __package__).measure(**json.load(sys.stdin))))
