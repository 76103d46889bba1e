"""Chunks of files on Dask: read and worked on by workers, results in the order of the files.

A worker has the work (a function with its model) from a plugin: it travels once to each worker, also to those that
join later or replace one that died, and not with each chunk.
"""

from __future__ import annotations

import logging
import math
import queue
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from heapq import heapify, heappop, heappush
from multiprocessing import current_process, get_context
from typing import Any, TypeVar
from uuid import uuid4

from ..errors import FileError, OptionError, one_line
from ..execution.threads import default_threads
from ..extras import require
from ..reading.options import ReadOptions
from ..reading.reports import FileReport

distributed: Any = require("distributed", "scoring on Dask")

__all__ = ["chunks_on_workers", "dask_client"]

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")
#: Takes a file, how it is read, some of its entries, and a number of chunks; gives the report and the result of
#: the first so many chunks of these entries, or None where the file failed.
Work = Callable[[Item, ReadOptions, tuple[int, float], int], tuple[FileReport, "Result | None"]]

#: Chunks that are submitted at once, for each thread of the workers.
AHEAD = 3
#: Chunks that may wait for one that comes before them, in times of those submitted at once.
WAITING = 10
#: Of a few large files: tasks for each thread.
SPREAD = 4
#: Seconds of work that several small files are submitted together for.
TOGETHER_S = 5.0
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
        No scheduler answers there, N is not a positive whole number, or a script that starts local workers does
        so when they import it.
    """
    name, _, number = where.partition(":")
    if name == "local":
        if number and (not number.isdigit() or int(number) < 1):
            raise OptionError(f"dask {where!r}: expected local:N with a positive whole number of workers")
        if getattr(current_process(), "_inheriting", False):
            raise SystemExit(1)  # what began this process says why
        # Dask would start workers that end so again and again.
        trial = get_context("spawn").Process(target=int)
        trial.start()
        trial.join()
        if trial.exitcode:
            raise OptionError(
                f"dask {where!r}: each worker runs this script again, and cannot: save it as a file, and"
                " put what it does under if __name__ == '__main__':"
            )
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

    def __init__(self, work: Work[Any, Any], join: str | None):
        self.work, self.join = work, join
        self.name = f"hepvae-{uuid4().hex}"


@dataclass(frozen=True)
class _Task:
    """What a worker gets."""

    file: int
    number: int
    """In its file."""
    chunks: int
    """How many."""
    first: int = 0
    """Its first entry."""
    step: int | None = None
    """Entries of a chunk; None for the first task of a file, which finds out."""


@dataclass
class _File:
    """What is known of a file that is worked on."""

    tasks: int = 1
    """How many; 1 until the first has found out."""
    done: dict[int, tuple[FileReport, Any]] = field(default_factory=dict)
    """What came of tasks that nobody has taken yet, by their numbers."""


def chunks_on_workers(
    client: Any,
    items: Sequence[Item],
    reports: list[FileReport],
    read: ReadOptions,
    work: Work[Item, Result],
    *,
    most_chunks: int = 1,
    join: str | None = None,
) -> Generator[tuple[FileReport, Result | None], None, None]:
    """Results of the chunks of some files, in their order, from the workers of a Dask client.

    Chunks are those that one process reads. Those whose worker dies are given to another one.

    Parameters
    ----------
    client : distributed.Client
    items : list
        The files, as the work takes them: with paths that workers understand.
    reports : list of FileReport
        One for each file; to it are added those of its chunks.
    work : callable
        It travels to the workers; see `Work`.
    most_chunks : int
        Of a task; fewer where there are few files.
    join : str, optional
        The name of a method of ``work`` that takes a file, its report, and the results of all its tasks, where
        there are several, and gives its report; on a worker. No results are given then.

    Yields
    ------
    FileReport, result or None
        The result of a task; None after the last of a file, also of one that failed.

    Raises
    ------
    FileError
        The scheduler is lost.
    """
    plugin = _Worker(work, join)
    _register(client, plugin)
    done: queue.SimpleQueue[tuple[Any, Any]] = queue.SimpleQueue()
    tasks_of: dict[Any, list[_Task]] = {}
    files: dict[int, _File] = {}
    further: list[tuple[int, int, _Task]] = []
    """A heap: tasks of files that come first are done first."""
    begun, head, number = 0, 0, 0
    waiting = 0
    results: deque[tuple[_Task, tuple[Any, float]]] = deque()
    """That are here and not looked at."""
    threads, looked = 1, -LOOK_S
    seconds, seen = 0.0, 0

    def submit(tasks: list[_Task], *joined: Any) -> None:
        for task in tasks:
            files.setdefault(task.file, _File())
        future = client.submit(
            *(_run, [(items[task.file], task) for task in tasks], read, plugin.name, *joined),
            **{"pure": False, "retries": RETRIES, "priority": -tasks[0].file},
        )
        tasks_of[future] = tasks
        client.loop.add_callback(_collect, future, done)

    def together() -> int:
        """How many small files one submission is of: its cost here is that of one."""
        if most_chunks == 1 or not seen:
            return 1
        left = (len(items) - begun) // (SPREAD * threads)
        return max(min(int(TOGETHER_S * seen / max(seconds, 1e-9)), left, most_chunks), 1)

    try:
        while head < len(items):
            if time.monotonic() - looked >= LOOK_S:
                threads, looked = max(_threads(client), 1), time.monotonic()
            most = AHEAD * threads
            few = len(items) < 2 * threads
            # What the head of the line waits for is always submitted: nothing behind it can fill the room.
            while len(tasks_of) < most and (further or begun < len(items)):
                next_file = further[0][0] if further else begun
                if next_file > head and waiting >= WAITING * most:
                    break
                if further:
                    submit([heappop(further)[-1]])
                else:
                    some = range(begun, begun + together())
                    submit([_Task(i, 0, 1 if few else most_chunks) for i in some])
                    begun = some.stop
            file = files.get(head)
            if file is None or number not in file.done or (join is not None and file.tasks > 1):
                if not results:
                    future, result = done.get()
                    tasks = tasks_of.pop(future)
                    future.release()
                    if isinstance(result, BaseException):
                        _threads(client)  # of whom there is none when it is the scheduler that went
                        if len(tasks) > 1:  # which of them it was
                            for task in tasks:
                                submit([task])
                            continue
                        result = [(result, 0.0)]
                    results = deque(zip(tasks, result))
                task, (result, took) = results.popleft()
                report, content = _result(result, reports[task.file].path)
                if task.step is None:
                    seconds, seen = seconds + took, seen + 1
                of = files.get(task.file)
                if of is None or task.number >= of.tasks:  # of one that failed while this was worked on
                    continue
                of.done[task.number] = report, content
                waiting += 1
                if task.step is None and report.failure is None and 0 < report.events_read < report.entries:
                    step = report.events_read // task.chunks
                    left = -(-(report.entries - report.events_read) // step)
                    each = min(most_chunks, -(-left * len(items) // (SPREAD * threads))) if few else most_chunks
                    firsts = range(report.events_read, report.entries, each * step)
                    of.tasks = 1 + len(firsts)
                    for i, first in enumerate(firsts, start=1):
                        heappush(further, (task.file, i, _Task(task.file, i, each, first, step)))
                if join is not None and of.tasks > 1 and (report.failure or len(of.done) == of.tasks):
                    (whole, first), *others = (some for _, some in sorted(of.done.items()))
                    for other, _ in others:
                        _merge(whole, other)
                    waiting -= len(of.done)
                    of.tasks, of.done = 1, {}
                    if whole.failure is None:
                        submit([_Task(task.file, 0, 0, step=0)], whole, [first, *(name for _, name in others)])
                    else:
                        of.done[0], waiting = (whole, None), waiting + 1
                        further = _without(further, task.file)
                continue
            report, content = file.done.pop(number)
            waiting -= 1
            ours = reports[head]
            _merge(ours, report)
            if ours.failure is None and content is not None:
                yield ours, content
            number += 1
            if ours.failure is not None or number == file.tasks:
                yield ours, None
                further = _without(further, head)
                waiting -= len(file.done)
                del files[head]
                head, number = head + 1, 0
    finally:
        _release(client, list(tasks_of), plugin)


def _without(further: list[tuple[int, int, _Task]], file: int) -> list[tuple[int, int, _Task]]:
    """The same heap without the tasks of a file."""
    if not further or further[0][0] > file:
        return further
    left = [one for one in further if one[0] != file]
    heapify(left)
    return left


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


def _merge(ours: FileReport, report: FileReport) -> None:
    """Add the report of further chunks of a file."""
    same = (report.entries, report.schema) == (ours.entries, ours.schema)
    if ours.events_read and report.failure is None and not same:
        report.failure = f"{ours.path}: is another file now than when its first entries were read"
    ours.merge(report)


def _result(result: Any, path: str) -> tuple[FileReport, Any]:
    """What came of a task; of one that no worker could do, the report of a file that failed."""
    if isinstance(result, BaseException):
        failure = f"{path}: could not be worked on by any worker: {one_line(result)}"
        return FileReport(path, failure=failure), None
    report, content = result
    return report, content


def _run(
    tasks: list[tuple[Any, _Task]],
    read: ReadOptions,
    plugin: str,
    whole: FileReport | None = None,
    results: list[Any] | None = None,
) -> list[tuple[tuple[FileReport, Any], float]]:
    """Some tasks on a worker: what comes of each, and its seconds."""
    worker = distributed.get_worker().plugins[plugin]
    done = []
    for item, task in tasks:
        start = time.monotonic()
        if whole is not None:
            result = getattr(worker.work, worker.join)(item, whole, results), None
        elif task.step is None:
            result = worker.work(item, read, (0, math.inf), task.chunks)
        else:
            entries = (task.first, task.first + task.chunks * task.step)
            result = worker.work(item, replace(read, step_size=task.step), entries, task.chunks)
        done.append((result, time.monotonic() - start))
    return done
