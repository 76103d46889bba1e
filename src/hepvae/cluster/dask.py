"""Scoring on Dask: chunks are read and scored by workers, and come back in the order of the files.

A worker has the model from a plugin: it comes once for each worker, also to those that join later or take the
place of one that died, and not with each chunk.
"""

from __future__ import annotations

import logging
import math
import os
import queue
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from uuid import uuid4

import numpy as np

from ..errors import FileError, HepvaeError, OptionError, one_line
from ..execution.threads import default_threads
from ..extras import require
from ..jets.health import Health
from ..reading.dijets import iterate_source
from ..reading.options import ReadOptions
from ..reading.reports import FileReport
from ..reading.sources import Source
from ..scoring.chunks import Question, scored_chunks

distributed = require("distributed", "scoring on Dask")

__all__ = ["dask_client", "scored_on_workers"]

#: Chunks that are asked for at once, for each thread of the workers.
AHEAD = 3
#: Chunks that may wait for one that comes before them, in times of those asked for at once.
WAITING = 10
#: How often Dask tries a chunk again that ended in an error of no file.
RETRIES = 2
#: Seconds until a scheduler must have answered.
ANSWER_S = 10
#: How often we look how many workers there are.
LOOK_S = 1.0
#: Of a cluster of our own: Dask samples the stacks of its workers for a page that nobody opens, and looks 50 times
#: a second whether its loops are held up. Together they take 2 to 4 % of a core of each process.
OWN_CLUSTER = {"distributed.worker.profile.enabled": False, "distributed.admin.tick.interval": "500ms"}


@contextmanager
def dask_client(where: str) -> Iterator:
    """A client of Dask, closed after the block.

    Parameters
    ----------
    where : str
        Address of a scheduler, ``local`` (as many workers as this process may use cores) or ``local:N``.

    Yields
    ------
    distributed.Client

    Raises
    ------
    OptionError
        No scheduler answers there, or N is not a positive whole number.
    """
    name, _, number = where.partition(":")
    if name == "local":
        if number and (not number.isdigit() or int(number) < 1):
            raise OptionError(f"dask {where!r}: expected local:N with a positive whole number of workers")
        from dask import config

        workers = int(number) if number else default_threads()
        with (
            config.set(OWN_CLUSTER),
            # A port of its own for its web pages: with None it asks for one that another cluster here may have.
            distributed.LocalCluster(
                n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs="ERROR"
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client
        return
    try:
        client = distributed.Client(where, timeout=ANSWER_S)
    except (OSError, ValueError) as error:
        raise OptionError(f"dask {where!r}: no scheduler answers there: {one_line(error)}") from error
    silence = partial(distributed.utils.silence_logging_cmgr, logging.CRITICAL)
    # That a scheduler is gone is told by our error, and not by the tracebacks of those who talked to it.
    with silence("distributed"), silence("distributed.client"), client:
        yield client


class _Model(distributed.WorkerPlugin):
    """The inferer of a worker."""

    def __init__(self, inferer):
        self.inferer = inferer
        self.name = f"hepvae-{uuid4().hex}"


@dataclass(frozen=True)
class _Chunk:
    """What a worker is asked for."""

    file: int
    number: int
    """In its file."""
    first: int
    """Its first entry."""
    entries: int | None
    """How many; None for the first chunk of a file, which finds out."""


def scored_on_workers(
    client, sources: list[Source], reports: list[FileReport], inferer, question: Question, reading: ReadOptions
) -> Iterator[tuple[FileReport, np.ndarray | None]]:
    """As `scored_chunks` of `iterate_sources`, made by the workers of a Dask client.

    Chunks are those that one process reads. A chunk whose worker dies is made by another one.

    Parameters
    ----------
    client : distributed.Client

    Raises
    ------
    FileError
        The scheduler is gone.
    """
    model = _Model(inferer)
    client.register_plugin(model, name=model.name)
    done: queue.SimpleQueue = queue.SimpleQueue()
    chunk_of: dict = {}
    made: dict[tuple[int, int], tuple] = {}
    chunks = [1] * len(sources)
    further: deque[_Chunk] = deque()
    begun, head, number = 0, 0, 0
    most, looked = 0, -LOOK_S

    def ask(chunk: _Chunk) -> None:
        source = sources[chunk.file]
        if not source.is_remote:
            source = replace(source, path=os.path.abspath(source.path))
        future = client.submit(
            _score, source, chunk, question, reading, model.name, pure=False, retries=RETRIES, priority=-chunk.file
        )
        chunk_of[future] = chunk
        client.loop.add_callback(_collect, future, done)

    try:
        while head < len(sources):
            if time.monotonic() - looked >= LOOK_S:
                most, looked = AHEAD * max(_threads(client), 1), time.monotonic()
            # What the head of the line waits for is always asked for: nothing behind it can fill the room.
            while len(chunk_of) < most and (further or begun < len(sources)):
                next_file = further[0].file if further else begun
                if next_file > head and len(made) >= WAITING * most:
                    break
                if further:
                    ask(further.popleft())
                else:
                    ask(_Chunk(begun, 0, 0, None))
                    begun += 1
            if (head, number) not in made:
                future, result = done.get()
                chunk = chunk_of.pop(future)
                if isinstance(result, BaseException):
                    _threads(client)  # of whom there is none when it is the scheduler that went
                report, rows = _result(result, sources[chunk.file])
                future.release()
                if chunk.file < head:  # that failed while this was made
                    continue
                made[chunk.file, chunk.number] = report, rows
                if chunk.entries is None and report.failure is None and report.events_read:
                    step = report.events_read
                    firsts = range(step, report.entries, step)
                    rest = [_Chunk(chunk.file, i, first, step) for i, first in enumerate(firsts, start=1)]
                    chunks[chunk.file] += len(rest)
                    further = deque(sorted([*further, *rest], key=lambda one: (one.file, one.number)))
                continue
            report, rows = made.pop((head, number))
            ours = reports[head]
            same = (report.entries, report.schema) == (ours.entries, ours.schema)
            if number and report.failure is None and not same:
                report.failure = f"{ours.path}: is another file now than when its first entries were read"
            ours.merge(report)
            if ours.failure is None:
                yield ours, rows
            number += 1
            if ours.failure is not None or number == chunks[head]:
                yield ours, None
                further = deque(chunk for chunk in further if chunk.file != head)
                made = {key: found for key, found in made.items() if key[0] != head}
                head, number = head + 1, 0
    finally:
        for future in chunk_of:
            future.cancel()
        if client.status == "running":
            client.unregister_worker_plugin(model.name)


def _threads(client) -> int:
    """Of all workers, as the scheduler says."""
    try:
        if client.status != "running":
            raise OSError("the connection was lost")
        return sum(client.nthreads().values())
    # Whatever Dask raises: what it asked is simple.
    except Exception as error:
        raise FileError(f"{client}: the scheduler is gone: {one_line(error)}") from error


async def _collect(future, done: queue.SimpleQueue) -> None:
    """Give a future with what came of it, from the loop of the client: no other thread has to wait for it."""
    try:
        result = await future
    # Of Dask (workers that died one after the other), or of the machine of a worker (no memory).
    except BaseException as error:
        result = error
    done.put((future, result))


def _result(result, source: Source) -> tuple[FileReport, np.ndarray | None]:
    if isinstance(result, BaseException):
        failure = f"{source.path}: could not be scored by any worker: {one_line(result)}"
        return FileReport(source.path, failure=failure), None
    return result


def _score(source: Source, chunk: _Chunk, question: Question, reading: ReadOptions, model: str):
    """One chunk, on a worker: its report, and its rows; None where the file failed."""
    inferer = distributed.get_worker().plugins[model].inferer
    report = FileReport(source.path, health=Health(inferer.spec.n_particles))
    entries: tuple[int, float] = (0, math.inf)
    if chunk.entries is not None:
        reading = replace(reading, step_size=chunk.entries)
        entries = (chunk.first, chunk.first + chunk.entries)
    try:
        with closing(iterate_source(source, report, reading, entries=entries)) as found:
            events = next(found)
    except HepvaeError as error:
        report.failure = str(error)
        return report, None
    for _, rows in scored_chunks(iter([(report, events)]), inferer, question):
        return report, rows
    return report, None
