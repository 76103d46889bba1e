"""Inputs and outputs on one XRootD server, through workers: both die meanwhile."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import uproot
from helpers.dijet_files import random_tables, write_events
from helpers.output_server import output_server

import hepvae
from hepvae.bench.xrootd_server import free_port, root_address
from hepvae.extras import XROOTD_TIMES_S
from hepvae.storage.access import Access

distributed = pytest.importorskip("distributed")

pytestmark = [
    pytest.mark.skipif(shutil.which("xrootd") is None, reason="no XRootD server: apt-get install xrootd-server"),
    pytest.mark.skipif(find_spec("fsspec_xrootd") is None, reason="fsspec-xrootd is not installed"),
    # Sockets and threads of Dask, and of the event loop of fsspec-xrootd, end late
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

#: How many files; more of them with this in the environment.
FILES = int(os.environ.get("HEPVAE_TEST_FILES", "24"))
#: Three chunks a file.
FEW_EVENTS = {"step_size": 25, "mjj_min": 0, "pt_min": 0}
PATIENT = Access(timeout_s=5, attempts=12, wait_s=0.5, longest_wait_s=5)
#: Of the client of XRootD: the server is soon back.
SOON = {"ConnectionWindow": 2, "StreamErrorWindow": 2}


@pytest.fixture
def inputs():
    """In a folder that a server can read."""
    with tempfile.TemporaryDirectory(prefix="hepvae-served-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for i in range(FILES):
            path = write_events(folder / f"{i:04}.root", random_tables(np.random.default_rng(i), events=60))
            path.chmod(0o644)
        yield folder


@contextmanager
def process(name: str, *arguments: object):
    environment = {**os.environ, **{f"XRD_{key.upper()}": str(value) for key, value in SOON.items()}}
    running = subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.dask_{name}", *map(str, arguments)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield running
    finally:
        running.kill()
        running.wait()


@pytest.fixture
def cluster():
    """Two workers, as processes that die when they are killed, and a client."""
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    with ExitStack() as stack:
        stack.enter_context(
            process("scheduler", "--host=127.0.0.1", f"--port={port}", "--no-dashboard", "--no-show")
        )
        options = ("--nthreads=1", "--no-nanny", "--no-dashboard")
        workers = [stack.enter_context(process("worker", address, *options)) for _ in range(2)]
        with distributed.Client(address, timeout=60) as client:
            client.wait_for_workers(2, timeout=120)
            yield workers, client


def everything(path):
    with uproot.open(path) as file:
        return file["Events"].arrays(library="np"), file["hepvae"]


@pytest.mark.slow
@pytest.mark.timeout(600 + 10 * FILES)
def test_a_worker_and_the_server_die(inputs, cluster, tmp_path, monkeypatch):
    """Parts equal those of one local process, bit for bit, and nothing else is left on the server."""
    for name, value in SOON.items():
        monkeypatch.setitem(XROOTD_TIMES_S, name, value)
    workers, client = cluster
    inferer = hepvae.load_inferer(hepvae.model_path("conv"), threads=1)
    names = sorted(path.name for path in inputs.iterdir())
    options = {**FEW_EVENTS, "access": PATIENT}
    hepvae.score_files([inputs / name for name in names], inferer, f"{tmp_path}/here/", **options)
    here = tmp_path / "here"

    with output_server(inputs) as server:
        deeds, over = [], threading.Event()

        def parts() -> int:
            return len(list(server.folder.glob("scores/0*.root")))

        def meddle() -> None:
            while not over.is_set() and parts() < FILES // 2:
                time.sleep(0.01)
            workers[0].kill()
            deeds.append(parts())
            while not over.is_set() and parts() < 5 * FILES // 8:
                time.sleep(0.01)
            server.kill()
            deeds.append(parts())
            time.sleep(3)
            server.start()

        meddler = threading.Thread(target=meddle)
        meddler.start()
        try:
            files = [f"{root_address(server.port)}{name}" for name in names]
            output = f"{server.address}scores/"
            report = hepvae.score_files(files, inferer, output, client=client, **options)
        finally:
            over.set()
            meddler.join()
        assert workers[0].wait(10) == -signal.SIGKILL and workers[1].poll() is None
        assert all(FILES // 2 <= done < FILES for done in deeds), deeds
        assert not report.failed and len(report.files) == FILES
        expected = sorted(f"scores/{path.name}" for path in here.iterdir() if not path.name.startswith("inputs-"))
        assert [name for name in server.names() if not name.startswith("scores/inputs-")] == expected
        assert len(server.names()) == len(expected) + 1
        for name in names:
            (ours, how), (theirs, how_too) = everything(here / name), everything(server.folder / "scores" / name)
            assert how == how_too and list(ours) == list(theirs)
            for column in ours:
                assert ours[column].tobytes() == theirs[column].tobytes(), (name, column)
