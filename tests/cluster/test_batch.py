"""A real batch system: Slurm on this machine, started by the tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

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


def jobs(states: str = "RUNNING") -> list[str]:
    """Those in one of some states."""
    command = ["squeue", "--noheader", f"--states={states}", "--format=%A"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def wait_for_jobs(patience_s: float = 250) -> None:
    """Until there are none."""
    deadline = time.monotonic() + patience_s
    while jobs("PENDING,RUNNING,COMPLETING"):
        assert time.monotonic() < deadline, "jobs that do not end"
        time.sleep(0.2)


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
    wait_for_jobs()


def assert_equal_files(first, second):
    with uproot.open(first) as ours, uproot.open(second) as theirs:
        assert ours["hepvae"] == theirs["hepvae"]
        here, there = (file["Events"].arrays(library="np") for file in (ours, theirs))
    assert list(here) == list(there)
    for name in here:
        assert here[name].tobytes() == there[name].tobytes(), name


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_job_is_cancelled_meanwhile(workers, tmp_path, rng, monkeypatch):
    """The other one scores its files, the result is that of one process, and another job takes its place."""
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
    assert_equal_files(tmp_path / "here.root", output)
    deadline = time.monotonic() + 60
    while len(jobs()) < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert len(jobs()) == 2 and cancelled[0] not in jobs()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_array_jobs_write_the_parts_of_one_process(batch_system, tmp_path, rng):
    """Four tasks, each with its share; one is cancelled, and all are submitted again."""
    files = [str(write_events(tmp_path / f"{i}.root", random_tables(rng, events=60))) for i in range(7)]
    options = ["--model=conv", "--runtime=onnxruntime", "--mjj-min=0", "--pt-min=0"]
    assert main(["score", *files, *options, f"--output={tmp_path / 'here'}/"]) == 0

    def submit(*given: str) -> str:
        script = ANALYSIS / "score_array.sh"
        command = ["sbatch", "--parsable", "--array=1-4", f"--output={tmp_path}/task-%a.log", *given, script]
        command += [*files, *options, f"--output={tmp_path / 'there'}/"]
        # Jobs get the environment of who submits them: with the command hepvae of this one.
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        return done.stdout.strip()

    subprocess.run(["scancel", f"{submit()}_2"], check=True)
    wait_for_jobs()
    missing = main(["report", f"{tmp_path / 'there'}/"])
    submit()
    wait_for_jobs()
    logs = "".join(path.read_text() for path in tmp_path.glob("task-*.log"))
    assert main(["report", f"{tmp_path / 'there'}/", "--check"]) == 0, logs
    assert missing == 1 and "were scored already" in logs
    for i in range(7):
        assert_equal_files(*(tmp_path / where / f"{i}.root" for where in ("here", "there")))
