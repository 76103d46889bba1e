"""``python -m hepvae.bench --scaling``: scoring on Dask workers here, and what follows for a cluster.

All ways to score the same files are run in turns: into parts, which workers write, or into a single file, whose
rows come back to the process that asks for chunks. That process has Dask's scheduler in it, as with
`hepvae score --dask local`.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import lru_cache, partial
from math import inf
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import uproot

from ..errors import HepvaeError
from ..execution.progress import progress_bar
from ..execution.threads import default_threads
from ..extras import require
from ..inference import Inferer, load_inferer, model_path
from ..models.bundled import SAMPLES, sample_path
from ..reading.dijets import iterate_source
from ..reading.layouts import find_schema
from ..reading.options import ReadOptions
from ..reading.reports import FileReport
from ..reading.sources import Source
from ..scoring.files import PART_CHUNKS, score_files
from .cluster_model import Costs, Rates, chunk_cost, slowest
from .delay_proxy import delay_proxy
from .intervals import Ratio, rounds_ratio
from .xrootd_server import root_address, xrootd_server

if TYPE_CHECKING:
    from distributed import Client
    from rich.console import Console
    from rich.table import Table as RichTable

__all__ = ["Scaling", "print_scaling", "run_scaling"]

#: Events of a chunk.
CHUNKS = (400, 1600, 6400)
WORKERS = (1, 2)
#: More than there are cores on a small machine: whether they get in each other's way.
MANY_WORKERS = 4
#: Events of a chunk where other things than its size are compared.
CHUNK = 1600
#: Of the model that takes longer: no worker should wait long for another's last chunk.
DENSE_CHUNK = 800
#: The model of the study, whose workers read for as long as they compute; and one that takes several times longer.
MODEL, DENSE_MODEL = "conv", "edge-dense"
#: Each with all samples: so many that what two workers do not share evenly at the end counts for little.
FILES = 4
#: What two workers should reach over one.
TARGET = 1.8
#: For how long workers do nothing of hepvae, to see what watching over them takes.
WATCHED_S = 2.0
#: CPU seconds of the process that asks for a chunk, at most.
ASKING_TARGET_S = 0.5e-3
#: Of a cluster that is not here.
CLUSTERS = (10, 100, 1000)
CLUSTER_CHUNKS = (1600, 6400, 25600, 102400)
#: The added round trip by which requests to a storage are counted, and how often.
RTT_MS = 20.0
READINGS = 7


@dataclass
class Run:
    """One way to score the files."""

    seconds: list[float] = field(default_factory=list)
    """Of each round."""
    chunks: int = 0
    """Of a round."""
    tasks: int = 0
    """Of a round: of several chunks, where workers write parts."""
    compute_s: list[float] = field(default_factory=list)
    """Of all tasks of a round, on their workers."""
    own_s: list[float] = field(default_factory=list)
    """CPU time of the process that asks, of each round."""
    returned_bytes: int = 0
    """What came back from the workers in a round."""


@dataclass
class Scaling:
    """What came out."""

    cores: int
    events: int = 0
    jets: int = 0
    """Of a run: read, and scored."""
    runs: dict[tuple[int, int], Run] = field(default_factory=dict)
    """By workers (0: without Dask) and events of a chunk; all with one thread a process."""
    other: dict[int, Run] = field(default_factory=dict)
    """Of one worker, by events of a chunk, the other way: into a single file, unless that is what is studied."""
    single_file: bool = False
    """Whether all but these are into a single file."""
    dense: dict[int, Run] = field(default_factory=dict)
    """Of the model that takes longer, by workers, in chunks of `DENSE_CHUNK`."""
    dense_model: str = DENSE_MODEL
    """Its name."""
    apart: Run = field(default_factory=Run)
    """Two processes that each score half of the files at the same time, without Dask, in the largest chunks."""
    crowd: dict[str, Run] = field(default_factory=dict)
    """`MANY_WORKERS` workers, by how many threads each has."""
    watched: list[float] = field(default_factory=list)
    """Cores that the process that asks takes while its workers are busy with something else, of each round:
    schedulers, and who watches over workers."""
    event_bytes: float = 0.0
    requests: float | None = None
    """Round trips of a chunk, to a server of XRootD; None where there is none."""

    def ratio(self, more: Run, fewer: Run) -> Ratio:
        """How many times more jets a second."""
        return rounds_ratio(fewer.seconds, more.seconds)

    def rate(self, run: Run) -> float:
        """Jets a second."""
        return self.jets / float(np.median(run.seconds))

    def lost(self, workers: int, run: Run) -> float:
        """The share of the workers' time in which they compute nothing."""
        shares = np.divide(run.compute_s, np.multiply(run.seconds, workers))
        return 1 - float(np.median(shares))

    @property
    def costs(self) -> Costs:
        """Of one worker, as nobody is in its way."""
        alone = {chunk: run for (workers, chunk), run in self.runs.items() if workers == 1}
        sizes = [self.events / run.chunks for run in alone.values()]
        chunk_s, event_s = chunk_cost(sizes, [np.median(run.compute_s) / run.chunks for run in alone.values()])
        asked = [(workers, run) for (workers, _), run in self.runs.items() if workers]
        chunks = [run.chunks for _, run in asked for _ in run.own_s]
        own = np.concatenate([self._own_s(run) for _, run in asked])
        alike, task_s = chunk_cost(chunks, own, relative=False)
        write_s, each = (alike / self.events, 1) if self.single_file else (0.0, PART_CHUNKS)
        return Costs(chunk_s, event_s, task_s, write_s, self.requests or 0.0, self.event_bytes, each)

    @property
    def watching(self) -> float:
        """Cores: the median of `watched`."""
        return float(np.median(self.watched))

    def _own_s(self, run: Run) -> npt.NDArray[np.float64]:
        """CPU seconds of the process that asks, of each round, but for watching over workers."""
        return np.subtract(run.own_s, self.watching * np.asarray(run.seconds))

    def own_s(self, run: Run) -> float:
        """The same for a chunk, the median."""
        return max(float(np.median(self._own_s(run))), 0.0) / run.chunks


def make_file(path: Path, compression: Any = None) -> int:
    """All samples in one file, by default compressed as uproot does; gives its entries."""
    entries = 0
    with uproot.recreate(path, **({} if compression is None else {"compression": compression})) as file:
        for name in SAMPLES:
            with uproot.open(sample_path(name)) as sample:
                columns = sample["Events"].arrays()
            collections: dict[str, dict[str, Any]] = {}
            for column in columns.fields:
                collection, _, inner = column.partition("_")
                if inner:
                    collections.setdefault(collection, {})[inner] = columns[column]
            counters = {f"n{collection}" for collection in collections}
            flat = {c: columns[c] for c in columns.fields if "_" not in c and c not in counters}
            rows = {**flat, **{collection: ak.zip(fields) for collection, fields in collections.items()}}
            if "Events" not in file:
                file.mktree("Events", {name: column.type for name, column in rows.items()})
            file["Events"].extend(rows)
            entries += len(columns)
    return entries


def _event_bytes(path: Path) -> float:
    """What is read of a file for each of its entries."""
    with uproot.open({str(path): None}, object_cache=None, array_cache=None) as file:
        tree = file["Events"]
        names = find_schema(tree.keys(recursive=False), str(path)).branches
        before = file.file.source.num_requested_bytes
        tree.arrays({name: tree[name].interpretation for name in names})
        return float((file.file.source.num_requested_bytes - before) / tree.num_entries)


def _reading_s(path: str) -> float:
    """Seconds until a chunk is there."""
    start = time.perf_counter()
    with closing(iterate_source(Source(path), FileReport(path), ReadOptions(step_size=CHUNK))) as chunks:
        next(chunks)
    return time.perf_counter() - start


def _requests(path: Path) -> float:
    """Round trips that the first chunk of a file takes, from the time that a longer round trip adds."""
    files = {path.name: path}
    with xrootd_server(files) as port, delay_proxy(port, 0.0) as near, delay_proxy(port, RTT_MS) as far:
        added = []
        for i in range(READINGS + 1):
            seconds = [_reading_s(f"{root_address(one)}{path.name}") for one in (near, far)]
            if i:  # the first connects
                added.append(seconds[1] - seconds[0])
    return float(np.median(added)) / (RTT_MS / 1000)


def _busy(seconds: float) -> None:
    """Keep a core busy."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        sum(range(1000))


def _watched(client: Client) -> float:
    """Cores that this process takes while its workers are busy."""
    start, own = time.perf_counter(), time.process_time()
    for busy in client.map(_busy, [WATCHED_S] * max(WORKERS), pure=False):
        busy.result()
    return (time.process_time() - own) / (time.perf_counter() - start)


@lru_cache(maxsize=1)
def _opened(model: Path) -> Inferer:
    return load_inferer(model, threads=1)


def _score_apart(model: Path, files: list[str], output: Path, chunk: int) -> None:
    """In a process of its own, which has opened the model after its first call."""
    score_files(files, _opened(model), _emptied(output), step_size=chunk, overwrite=True)


def _emptied(output: Path) -> Path:
    """The output, where it is a folder empty."""
    if not output.suffix:
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir()
    return output


def _timed(
    run: Run,
    files: list[str],
    inferer: Inferer,
    output: Path,
    chunk: int,
    client: Client | None = None,
) -> tuple[int, int]:
    """Add a round; gives how many events are read, and how many jets scored. The output is a folder for parts."""
    score = partial(score_files, files, inferer, _emptied(output), step_size=chunk, overwrite=True)
    if client is None:
        start = time.perf_counter()
        report = score()
        run.seconds.append(time.perf_counter() - start)
    else:
        distributed = require("distributed", "the scaling study")
        # Dask's own record of what its workers did
        with distributed.get_task_stream(client) as stream:
            start, own = time.perf_counter(), time.process_time()
            report = score(client=client)
            run.seconds.append(time.perf_counter() - start)
            run.own_s.append(time.process_time() - own)
            time.sleep(0.2)  # the record comes a little after the results
        spans = [span for task in stream.data for span in task["startstops"] if span["action"] == "compute"]
        run.tasks = len(stream.data)
        run.compute_s.append(sum(span["stop"] - span["start"] for span in spans))
        run.returned_bytes = sum(task["nbytes"] or 0 for task in stream.data)
    if report.failed:
        raise HepvaeError(str(report.failed[0].failure))
    run.chunks = sum(-(-file.entries // chunk) for file in report.files)
    return report.events_read, 2 * report.events_scored


def run_scaling(
    *,
    rounds: int = 6,
    chunks: Sequence[int] = CHUNKS,
    files: int = FILES,
    dense_model: str = DENSE_MODEL,
    single_file: bool = False,
) -> Scaling:
    """Measure everything, all ways that are compared in turns.

    Parameters
    ----------
    rounds : int
        Timed; there is one more before them.
    chunks : sequence of int
        Events of a chunk.
    files : int
        Files with all samples each; the model that takes longer scores half of them.
    dense_model : str
        The bundled model that takes longer.
    single_file : bool
        Study outputs that are a single file, and not parts.
    """
    from ..cluster.dask import dask_client

    scaling = Scaling(default_threads(), dense_model=dense_model, single_file=single_file)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hepvae-bench-")))
        paths = [folder / f"{i}.root" for i in range(files)]
        make_file(paths[0])
        paths[0].chmod(0o644)  # a server reads it as another user
        for path in paths[1:]:
            shutil.copyfile(paths[0], path)  # files of their own: one of several names is scored once
            path.chmod(0o644)
        scaling.event_bytes = _event_bytes(paths[0])
        try:
            scaling.requests = _requests(paths[0])
        except HepvaeError:  # no server is installed
            scaling.requests = None

        conv = model_path(MODEL)
        one, usual, all_cores = (load_inferer(conv, threads=n) for n in (1, None, scaling.cores))
        dense = load_inferer(model_path(dense_model), threads=1)
        everything, half = [str(path) for path in paths], [str(path) for path in paths[: max(files // 2, 1)]]
        output, other = (folder / name for name in ("scored", "scored.root"))
        if single_file:
            output, other = other, output
        halves = [(everything[i::2], folder / f"half{i}{output.suffix}") for i in range(min(2, files))]
        few, many = [], []
        for chunk in chunks:
            for workers in (0, *WORKERS):
                run = scaling.runs[workers, chunk] = Run()
                few.append((run, everything, one, output, chunk, workers))
            run = scaling.other[chunk] = Run()
            few.append((run, everything, one, other, chunk, 1))
        for workers in WORKERS:
            run = scaling.dense[workers] = Run()
            few.append((run, half, dense, output, DENSE_CHUNK, workers))
        for name, inferer in (("1", usual), (f"{scaling.cores} (all cores)", all_cores)):
            run = scaling.crowd[name] = Run()
            many.append((run, everything, inferer, output, CHUNK, MANY_WORKERS))

        bar = stack.enter_context(progress_bar("scaling", (rounds + 1) * len(few + many)))
        # The workers of the crowd start after the others have ended: at rest they take some of the cores, too.
        for ways in (few, many):
            with ExitStack() as clusters:
                clients = {
                    n: clusters.enter_context(dask_client(f"local:{n}")) for n in {way[-1] for way in ways} - {0}
                }
                pool = clusters.enter_context(ProcessPoolExecutor(len(halves), mp_context=get_context("spawn")))
                for i in range(rounds + 1):
                    for run, given, inferer, to, chunk, workers in ways if i % 2 else ways[::-1]:
                        timed = Run() if i == 0 else run
                        counts = _timed(timed, given, inferer, to, chunk, clients.get(workers))
                        if given is everything:
                            scaling.events, scaling.jets = counts
                        bar(1)
                    if ways is few:
                        start = time.perf_counter()
                        done = [pool.submit(_score_apart, conv, *part, chunks[-1]) for part in halves]
                        for scored in done:
                            scored.result()
                        if i:
                            scaling.apart.seconds.append(time.perf_counter() - start)
                            scaling.watched.append(_watched(clients[max(WORKERS)]))
    return scaling


def _table(title: str, *columns: str) -> RichTable:
    from rich.table import Table

    table = Table(title=title)
    for i, name in enumerate(columns):
        table.add_column(name, justify="right" if i else "left")
    return table


def print_scaling(scaling: Scaling, console: Console) -> None:
    """Tables of what was measured, and of the model for clusters."""
    rates, say = Rates(), partial(console.print, highlight=False)
    jets = scaling.jets / scaling.events
    say(
        f"{scaling.cores} cores here; {scaling.events:,} events, {scaling.jets:,} jets scored by the model"
        f" {MODEL}, one thread a process; medians of rounds in turns",
    )
    table = _table(
        "Jets a second",
        "events a chunk",
        "no Dask",
        *(f"{n} worker{'s' * (n > 1)}" for n in WORKERS),
        "2 workers / 1",
        *(f"lost with {n}" for n in WORKERS),
        "kB back a task",
    )
    chunks = list(dict.fromkeys(chunk for _, chunk in scaling.runs))
    for chunk in chunks:
        one, two = (scaling.runs[workers, chunk] for workers in WORKERS)
        table.add_row(
            f"{chunk:,}",
            *(f"{scaling.rate(scaling.runs[n, chunk]):,.0f}" for n in (0, *WORKERS)),
            str(scaling.ratio(two, one)),
            *(f"{100 * scaling.lost(n, scaling.runs[n, chunk]):.1f} %" for n in WORKERS),
            f"{two.returned_bytes / two.tasks / 1000:.1f}",
        )
    console.print(table)
    say(
        "lost: the share of the workers' time in which they compute nothing: scheduling, transfer, waiting for the"
        " process that asks",
    )
    apart = scaling.ratio(scaling.apart, scaling.runs[0, chunks[-1]])
    say(f"What the machine gives: two processes without Dask over one, {chunks[-1]:,} events a chunk: {apart}")
    best = max(
        (scaling.ratio(scaling.runs[2, c], scaling.runs[1, c]) for c in chunks), key=lambda ratio: ratio.value
    )
    gains = {MODEL: best, scaling.dense_model: scaling.ratio(scaling.dense[2], scaling.dense[1])}
    for name, gain in gains.items():
        met = "met" if gain.value >= TARGET else "missed"
        say(f"Two workers over one, {name}, at best: {gain}; target {TARGET}: {met}")
    say(f"All share {scaling.cores} cores: beside one worker, the process that asks has one to itself")

    table = _table(
        f"{MANY_WORKERS} workers on {scaling.cores} cores", "threads of each", "jets/s", "over the last"
    )
    *_, last = scaling.crowd.values()
    for name, run in scaling.crowd.items():
        table.add_row(name, f"{scaling.rate(run):,.0f}", "" if run is last else str(scaling.ratio(run, last)))
    console.print(table)

    costs = scaling.costs
    trips = "not measured: no XRootD server" if scaling.requests is None else f"{scaling.requests:.1f}"
    say(
        f"Measured with one worker: {1e3 * costs.chunk_s:.1f} ms a chunk and {1e6 * costs.event_s:.0f} us an"
        f" event; {costs.event_bytes:,.0f} bytes read an event; round trips a chunk: {trips}",
    )
    met = "met" if costs.task_s <= ASKING_TARGET_S else "missed"
    say(
        f"CPU of the process that asks, in all runs with one worker or two: {1e3 * costs.task_s:.2f} ms a chunk"
        f" (target {1e3 * ASKING_TARGET_S:g}: {met}), {1e6 * costs.write_s:.2f} us an event, and"
        f" {100 * scaling.watching:.1f} % of a core that watches over busy workers",
    )
    ways = {True: "rows of a single file come back to it", False: "workers write parts"}
    for chunk, run in scaling.other.items():
        ours, others = (1e3 * scaling.own_s(one) for one in (scaling.runs[1, chunk], run))
        say(
            f"CPU of the process that asks, with {chunk:,} events a chunk: {ours:.2f} ms a chunk where"
            f" {ways[scaling.single_file]}, {others:.2f} ms where {ways[not scaling.single_file]}",
        )
    here = Rates(storage_bytes_per_s=inf, task_s=0.0, round_trip_s=0.0)
    parts = []
    for workers, chunk in [(w, c) for w in WORKERS for c in chunks]:
        run = scaling.runs[workers, chunk]
        expected = jets * slowest(costs, here, workers, scaling.events // run.chunks)[1]
        parts.append(f"{expected / scaling.rate(run):.2f}")
    say(
        f"The model over what was measured here, with {' then '.join(map(str, WORKERS))} workers, chunk by chunk:"
        f" {', '.join(parts)}",
    )
    table = _table(
        "Model of a cluster: jets a second, and what limits them",
        "workers",
        *(f"{c:,} events a chunk" for c in CLUSTER_CHUNKS),
        "a billion events",
    )
    for workers in CLUSTERS:
        cells = [slowest(costs, rates, workers, chunk) for chunk in CLUSTER_CHUNKS]
        hours = 1e9 / max(rate for _, rate in cells) / 3600
        table.add_row(
            f"{workers:,}", *(f"{jets * rate:.3g} ({name})" for name, rate in cells), f"{hours:.1f} h at best"
        )
    console.print(table)
    say(
        f"With published rates: storage {rates.storage_bytes_per_s / 1e9:.0f} GB/s, which facilities reached"
        f" reading NanoAOD over XRootD (arXiv:2503.15464); Dask's scheduler {1e3 * rates.task_s:.0f} ms a task"
        f" (distributed.dask.org); a round trip of {1e3 * rates.round_trip_s:.0f} ms. A core of a"
        " worker is one of this machine",
    )
    worker = slowest(costs, rates, 1, CLUSTER_CHUNKS[-1])[1]
    for name, limit in (
        ("the process that asks", 1 / max(costs.write_s + costs.task_s / CLUSTER_CHUNKS[-1], 1e-12)),
        ("the storage", rates.storage_bytes_per_s / costs.event_bytes),
    ):
        say(
            f"With chunks of {CLUSTER_CHUNKS[-1]:,} events, {name} is the limit from"
            f" {limit / worker:,.0f} workers on",
        )
