"""Chunks of files on Dask: read and worked on by workers, results in the order of the files.

A worker has the work (a function with its model) from a plugin: it travels once to each worker, also to those that
join later or replace one that died, and not with each chunk.
"""

from __future__ import annotations

import logging
import math
import os
import queue
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar
from uuid import uuid4

from ..errors import FileError, OptionError, one_line
from ..execution.threads import default_threads
from ..extras import require
from ..reading.options import ReadOptions
from ..reading.reports import FileReport
from ..reading.sources import Source

distributed: Any = require("distributed", "scoring on Dask")

__all__ = ["chunks_on_workers", "dask_client"]

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
#: Takes a file, how it is read, and some of its entries; gives the report and the result of the first chunk of
#: these entries, or None where the file failed.
Work = Callable[[Source, ReadOptions, tuple[int, float]], tuple[FileReport, "Result | None"]]

#: Chunks that are submitted at once, for each thread of the workers.
AHEAD = 3
#: Chunks that may wait for one that comes before them, in times of those submitted at once.
WAITING = 10
#: How often Dask retries a chunk that ended in an error of no file.
RETRIES = 2
#: How often the work is sent to workers of which some die meanwhile.
REGISTRATIONS = 5
#: Seconds until a scheduler must have answered.
ANSWER_S = 10
#: How often we look how many workers there are.
LOOK_S = 1.0
#: Of a cluster of our own: Dask samples the stacks of its workers for a page that nobody opens, and looks 50 times
#: a second whether its loops are held up. Together they take 2 to 4 % of a core of each process.
OWN_CLUSTER = {"distributed.worker.profile.enabled": False, "distributed.admin.tick.interval": "500ms"}


@contextmanager
def dask_client(where: str) -> Iterator[Any]:
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
    # A lost scheduler is reported by our error, not by the tracebacks of its clients.
    with silence("distributed"), silence("distributed.client"), client:
        yield client


class _Worker(distributed.WorkerPlugin):  # type: ignore[misc]  # distributed is imported as Any
    """The work, on a worker."""

    def __init__(self, work: Work[Any]):
        self.work = work
        self.name = f"hepvae-{uuid4().hex}"


@dataclass(frozen=True)
class _Chunk:
    """What a worker gets."""

    file: int
    number: int
    """In its file."""
    first: int
    """Its first entry."""
    entries: int | None
    """How many; None for the first chunk of a file, which finds out."""


def chunks_on_workers(
    client: Any, sources: list[Source], reports: list[FileReport], read: ReadOptions, work: Work[Result]
) -> Generator[tuple[FileReport, Result | None], None, None]:
    """Results of the chunks of some files, in their order, from the workers of a Dask client.

    Chunks are those that one process reads. A chunk whose worker dies is given to another one.

    Parameters
    ----------
    client : distributed.Client
    reports : list of FileReport
        One for each file; to it are added those of its chunks.
    work : callable
        It travels to the workers; see `Work`.

    Yields
    ------
    FileReport, result or None
        The result of a chunk; None after the last of a file, also of one that failed.

    Raises
    ------
    FileError
        The scheduler is lost.
    """
    plugin = _Worker(work)
    _register(client, plugin)
    done: queue.SimpleQueue[tuple[Any, Any]] = queue.SimpleQueue()
    chunk_of: dict[Any, _Chunk] = {}
    ready: dict[tuple[int, int], tuple[FileReport, Result | None]] = {}
    chunks = [1] * len(sources)
    further: deque[_Chunk] = deque()
    begun, head, number = 0, 0, 0
    most, looked = 0, -LOOK_S

    def submit(chunk: _Chunk) -> None:
        source = sources[chunk.file]
        if not source.is_remote:
            source = replace(source, path=os.path.abspath(source.path))
        future = client.submit(
            _run, source, chunk, read, plugin.name, pure=False, retries=RETRIES, priority=-chunk.file
        )
        chunk_of[future] = chunk
        client.loop.add_callback(_collect, future, done)

    try:
        while head < len(sources):
            if time.monotonic() - looked >= LOOK_S:
                most, looked = AHEAD * max(_threads(client), 1), time.monotonic()
            # What the head of the line waits for is always submitted: nothing behind it can fill the room.
            while len(chunk_of) < most and (further or begun < len(sources)):
                next_file = further[0].file if further else begun
                if next_file > head and len(ready) >= WAITING * most:
                    break
                if further:
                    submit(further.popleft())
                else:
                    submit(_Chunk(begun, 0, 0, None))
                    begun += 1
            if (head, number) not in ready:
                future, result = done.get()
                chunk = chunk_of.pop(future)
                if isinstance(result, BaseException):
                    _threads(client)  # of whom there is none when it is the scheduler that went
                report, content = _result(result, sources[chunk.file])
                future.release()
                if chunk.file < head:  # that failed while this was worked on
                    continue
                ready[chunk.file, chunk.number] = report, content
                if chunk.entries is None and report.failure is None and report.events_read:
                    step = report.events_read
                    firsts = range(step, report.entries, step)
                    rest = [_Chunk(chunk.file, i, first, step) for i, first in enumerate(firsts, start=1)]
                    chunks[chunk.file] += len(rest)
                    further = deque(sorted([*further, *rest], key=lambda one: (one.file, one.number)))
                continue
            report, content = ready.pop((head, number))
            ours = reports[head]
            same = (report.entries, report.schema) == (ours.entries, ours.schema)
            if number and report.failure is None and not same:
                report.failure = f"{ours.path}: is another file now than when its first entries were read"
            ours.merge(report)
            if ours.failure is None:
                yield ours, content
            number += 1
            if ours.failure is not None or number == chunks[head]:
                yield ours, None
                further = deque(chunk for chunk in further if chunk.file != head)
                ready = {key: one for key, one in ready.items() if key[0] != head}
                head, number = head + 1, 0
    finally:
        _release(client, list(chunk_of), plugin)


def _register(client: Any, plugin: _Worker) -> None:
    """Give the work to all workers, and to those to come; some may die meanwhile."""
    for attempt in range(1, REGISTRATIONS + 1):
        try:
            client.register_plugin(plugin, name=plugin.name)
            return
        # Whatever Dask raises for a lost worker; another one gets the chunk.
        except Exception as error:
            logger.debug("a worker could not take the work: %s", one_line(error))
            _threads(client)
            if attempt == REGISTRATIONS:
                raise FileError(f"{client}: its workers cannot take the work: {one_line(error)}") from error


def _release(client: Any, futures: list[Any], plugin: _Worker) -> None:
    """Cancel what is left and remove the work from the workers, where they can be reached."""
    with suppress(Exception):
        for future in futures:
            future.cancel()
        _threads(client)
        client.unregister_worker_plugin(plugin.name)


def _threads(client: Any) -> int:
    """Of all workers, as the scheduler says."""
    try:
        if client.status != "running":
            raise OSError("the connection was lost")
        return sum(client.nthreads().values())
    # Whatever Dask raises: a simpler request there is not.
    except Exception as error:
        raise FileError(f"{client}: the connection to the scheduler is lost: {one_line(error)}") from error


async def _collect(future: Any, done: queue.SimpleQueue[tuple[Any, Any]]) -> None:
    """Give a future with what came of it, from the loop of the client: no other thread has to wait for it."""
    try:
        result = await future
    # Of Dask (workers that died one after the other), or of the machine of a worker (no memory).
    except BaseException as error:
        result = error
    done.put((future, result))


def _result(result: Any, source: Source) -> tuple[FileReport, Any]:
    if isinstance(result, BaseException):
        failure = f"{source.path}: could not be worked on by any worker: {one_line(result)}"
        return FileReport(source.path, failure=failure), None
    report, content = result
    return report, content


def _run(source: Source, chunk: _Chunk, read: ReadOptions, plugin: str) -> tuple[FileReport, Any]:
    """One chunk, on a worker."""
    entries: tuple[int, float] = (0, math.inf)
    if chunk.entries is not None:
        read = replace(read, step_size=chunk.entries)
        entries = (chunk.first, chunk.first + chunk.entries)
    result: tuple[FileReport, Any] = distributed.get_worker().plugins[plugin].work(source, read, entries)
    return result
