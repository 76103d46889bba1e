"""A real batch system: Slurm on this machine, started by the tests."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
import uproot
from helpers.dijet_files import random_tables, write_events
from helpers.places import ANALYSIS
from helpers.slurm import slurm

from hepvae.cli import main

pytest.importorskip("dask_jobqueue")
from hepvae.cluster import dask as on_dask

SCRIPT = ANALYSIS / "batch_cluster.py"

pytestmark = [
    # Dask's own threads and sockets end a little after it says so
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.mark.parametrize(
    "system, lines",
    [
        ("htcondor", ["MY.DaskWorkerCores = 1", '+JobFlavour = "longlunch"']),
        ("slurm", ["#SBATCH --cpus-per-task=1", "#SBATCH -t 02:00:00"]),
    ],
)
def test_what_a_batch_system_would_be_given(tmp_path, system, lines):
    done = subprocess.run(
        [sys.executable, SCRIPT, system, "--dry-run", "--port=0", "--logs", tmp_path],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    for line in ("HEPVAE_NUM_THREADS=1", "--nthreads 1", *lines):
        assert line in done.stdout, done.stdout


@pytest.fixture(scope="module")
def batch_system():
    with slurm() as config, pytest.MonkeyPatch.context() as environment:
        environment.setenv("SLURM_CONF", str(config))
        yield


def jobs() -> list[str]:
    """Those that run."""
    done = subprocess.run(
        ["squeue", "--noheader", "--states=RUNNING", "--format=%A"], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.fixture
def workers(batch_system, tmp_path):
    """The address of a scheduler with two workers, as jobs."""
    options = ["--workers=2", "--port=0", "--host=127.0.0.1", "--worker-ports=0", f"--logs={tmp_path / 'logs'}"]
    command = [sys.executable, SCRIPT, "slurm", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        try:
            yield running.stdout.readline().strip()
        finally:
            running.send_signal(signal.SIGINT)
            running.wait(60)
    deadline = time.monotonic() + 30
    while jobs() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not jobs()


def everything(path):
    with uproot.open(path) as file:
        return file["Events"].arrays(library="np"), file["hepvae"]


@pytest.mark.slow
def test_a_job_is_cancelled_meanwhile(workers, tmp_path, rng, monkeypatch):
    """Its files are scored by the other one, and the result is that of one process, bit for bit."""
    files = [str(write_events(tmp_path / f"{i}.root", random_tables(rng, events=60))) for i in range(12)]
    options = ["--model=conv", "--runtime=onnxruntime", "--threads=1", "--mjj-min=0", "--pt-min=0"]
    assert main(["score", *files, *options, f"--output={tmp_path / 'here.root'}"]) == 0
    result, results, cancelled = on_dask._result, [], []

    def cancelling(*given):
        results.append(given)
        if len(results) == len(files) // 2:
            cancelled.extend(jobs()[:1])
            subprocess.run(["scancel", *cancelled], check=True)
        return result(*given)

    monkeypatch.setattr(on_dask, "_result", cancelling)
    output = tmp_path / "there.root"
    assert main(["score", *files, *options, f"--dask={workers}", f"--output={output}"]) == 0
    assert len(cancelled) == 1 and cancelled[0] not in jobs()
    (here, how), (there, how_too) = everything(tmp_path / "here.root"), everything(output)
    assert how == how_too and list(here) == list(there)
    for name in here:
        assert here[name].tobytes() == there[name].tobytes(), name
