"""Scoring on real Dask workers: the same file as one process makes, whatever happens to workers."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import uproot

import hepvae
from hepvae.cli import main
from hepvae.xrootd_server import free_port

distributed = pytest.importorskip("distributed")
from hepvae import dask_scoring  # noqa: E402 (needs it)

pytestmark = [
    # Dask's own threads and sockets end a little after it says so
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

STEP = 250


@contextmanager
def process(*arguments):
    running = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *map(str, arguments[1:])],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield running
    finally:
        running.kill()
        running.wait()


def worker(stack, address, **options):
    """A worker without a nanny, which dies when it is killed."""
    given = [f"--{name}={value}" for name, value in options.items()]
    return stack.enter_context(process("worker", address, "--nthreads=1", "--no-nanny", "--no-dashboard", *given))


@pytest.fixture
def cluster():
    """A real scheduler and two real workers: its address, their processes, and how to start more."""
    with ExitStack() as stack:
        port = free_port()
        stack.enter_context(
            process("scheduler", "--host=127.0.0.1", f"--port={port}", "--no-dashboard", "--no-show")
        )
        address = f"tcp://127.0.0.1:{port}"
        workers = [worker(stack, address) for _ in range(2)]
        with distributed.Client(address, timeout=30) as client:
            client.wait_for_workers(2, timeout=60)
            yield address, workers, client


def local(files, output, **options):
    inferer = hepvae.load_inferer(hepvae.model_path("conv"), threads=1)
    return hepvae.score_files(files, inferer, output, step_size=STEP, overwrite=True, **options)


def everything(path):
    with uproot.open(path) as file:
        return file["Events"].arrays(library="np"), file["hepvae"]


def assert_equal_files(first, second):
    (ours, how), (theirs, how_too) = everything(first), everything(second)
    assert how == how_too and list(ours) == list(theirs)
    for name in ours:
        assert ours[name].tobytes() == theirs[name].tobytes(), name


@pytest.fixture
def files(tmp_path):
    """Names of samples, of a file that is none, and of one without events of the signal region."""
    made = []
    for i, name in enumerate(["qcdSig", "GtoWW15na", "qcdSide", "GtoWW15br"]):
        made.append(tmp_path / f"{i}.root")
        shutil.copy(hepvae.sample_path(name), made[-1])
    return made


def test_workers_make_the_file_of_one_process(cluster, files, tmp_path, real_or_none):
    _, _, client = cluster
    broken = tmp_path / "broken.root"
    broken.write_text("no ROOT file")
    files = [files[0], broken, *files[1:], *real_or_none]
    here = local(files, tmp_path / "here.root", region="signal")
    there = local(files, tmp_path / "there.root", region="signal", client=client)
    assert_equal_files(tmp_path / "here.root", tmp_path / "there.root")
    assert len(there.failed) == 1 and "broken.root" in there.failed[0].failure
    for ours, theirs in zip(there.files, here.files):
        if ours.failure is None:
            ours, theirs = ours.to_dict(), theirs.to_dict()
            health, expected = ours.pop("health"), theirs.pop("health")
            assert ours == theirs
            assert health.pop("unscorable") == expected.pop("unscorable")
            assert health == pytest.approx(expected, rel=1e-9)


@pytest.fixture
def real_or_none():
    folder = Path(__file__).parents[2] / "shared" / "data"
    names = ["nano_tt_v15.root", "pfnano.root", "nano_dy_empty.root"]
    return [folder / name for name in names] if folder.is_dir() else []


def test_a_worker_that_is_killed(cluster, files, tmp_path, monkeypatch):
    """Half way: its chunks are made by the other one, and the file is the same, bit for bit."""
    _, workers, client = cluster
    here = local(files, tmp_path / "here.root")
    result, results = dask_scoring._result, []

    def killing(future, source):
        results.append(source)
        if len(results) == 20:
            workers[0].kill()
        return result(future, source)

    monkeypatch.setattr(dask_scoring, "_result", killing)
    there = local(files, tmp_path / "there.root", client=client)
    assert workers[0].wait(10) == -signal.SIGKILL and len(results) > 30
    assert there.events_scored == here.events_scored and not there.failed
    assert_equal_files(tmp_path / "here.root", tmp_path / "there.root")


def test_all_workers_die_and_another_comes(cluster, files, tmp_path, monkeypatch):
    """What joins later has the model, too."""
    address, workers, client = cluster
    local(files[:2], tmp_path / "here.root")
    result, results = dask_scoring._result, []
    with ExitStack() as stack:

        def killing(future, source):
            results.append(source)
            if len(results) == 3:
                for one in workers:
                    one.kill()
                worker(stack, address)
            return result(future, source)

        monkeypatch.setattr(dask_scoring, "_result", killing)
        there = local(files[:2], tmp_path / "there.root", client=client)
    assert not there.failed
    assert_equal_files(tmp_path / "here.root", tmp_path / "there.root")


def test_a_scheduler_that_nobody_finds(files, tmp_path, capsys):
    address, output = f"tcp://127.0.0.1:{free_port()}", tmp_path / "s.root"
    arguments = ["score", str(files[0]), "--model", "conv", "--output", str(output), "--dask"]
    assert main([*arguments, address]) == 2
    assert f"dask '{address}': no scheduler answers there" in capsys.readouterr().err
    assert main([*arguments, "local:none"]) == 2
    assert "expected local:N with a positive whole number" in capsys.readouterr().err
    assert not output.exists()
