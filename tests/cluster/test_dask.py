"""Scoring on real Dask workers: the same file as one process makes, whatever happens to workers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
import uproot
from helpers.dijet_files import random_tables, write_events
from helpers.places import REAL_DATA

import hepvae
from hepvae.bench.xrootd_server import free_port, root_address, xrootd_server
from hepvae.cli import main

distributed = pytest.importorskip("distributed")
from hepvae.cluster import dask as on_dask  # noqa: E402 (needs it)

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
def scheduler():
    """A real scheduler: its address, and its process."""
    port = free_port()
    options = ["--host=127.0.0.1", f"--port={port}", "--no-dashboard", "--no-show"]
    with process("scheduler", *options) as running:
        yield f"tcp://127.0.0.1:{port}", running


@pytest.fixture
def cluster(scheduler):
    """Two real workers: the address of their scheduler, their processes, and a client."""
    address, _ = scheduler
    with ExitStack() as stack:
        workers = [worker(stack, address) for _ in range(2)]
        with distributed.Client(address, timeout=30) as client:
            client.wait_for_workers(2, timeout=60)
            yield address, workers, client


def local(files, output, step_size=STEP, **options):
    inferer = hepvae.load_inferer(hepvae.model_path("conv"), threads=1)
    return hepvae.score_files(files, inferer, output, step_size=step_size, overwrite=True, **options)


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
    """Copies of all samples; the sidebands have no event of the signal region."""
    made = []
    for i, name in enumerate(["qcdSig", "GtoWW15na", "qcdSide", "GtoWW15br"]):
        made.append(tmp_path / f"{i}.root")
        shutil.copy(hepvae.sample_path(name), made[-1])
    return made


@pytest.mark.slow
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
    folder = REAL_DATA
    names = ["nano_tt_v15.root", "pfnano.root", "nano_dy_empty.root"]
    return [folder / name for name in names] if folder.is_dir() else []


#: Two chunks a file.
FEW_EVENTS = {"step_size": 12, "mjj_min": 0, "pt_min": 0}


@pytest.fixture(scope="module")
def many():
    """Two hundred files of a few events, in a folder that a server can read."""
    rng = np.random.default_rng(2)
    with tempfile.TemporaryDirectory(prefix="hepvae-served-") as folder:
        Path(folder).chmod(0o755)
        for i in range(200):
            path = Path(folder, f"{i:03}.root")
            write_events(path, random_tables(rng, events=20, constituents=(1, 60)))
            path.chmod(0o644)
        yield Path(folder)


@pytest.fixture(scope="module")
def many_here(many, tmp_path_factory):
    """The file that one process makes of them, and its report."""
    output = tmp_path_factory.mktemp("many") / "here.root"
    return output, local(sorted(many.iterdir()), output, **FEW_EVENTS)


@pytest.mark.slow
@pytest.mark.timeout(1200)  # two hundred files, written and scored twice, on a machine that does other things
@pytest.mark.parametrize("where", ["disk", "xrootd"])
def test_a_worker_that_is_killed(cluster, many, many_here, tmp_path, monkeypatch, where):
    """Half way: its files are read by the other one, and the result is the same, bit for bit."""
    _, workers, client = cluster
    expected, here = many_here
    result, results = on_dask._result, []

    def killing(found, source):
        results.append(source)
        if len(results) == 200:
            workers[0].kill()
        return result(found, source)

    monkeypatch.setattr(on_dask, "_result", killing)
    with ExitStack() as stack:
        files = sorted(many.iterdir())
        if where == "xrootd":
            if shutil.which("xrootd") is None:
                pytest.skip("needs an XRootD server")
            address = root_address(stack.enter_context(xrootd_server(many)))
            files = [f"{address}{path.name}" for path in files]
        there = local(files, tmp_path / "there.root", client=client, **FEW_EVENTS)
    assert workers[0].wait(10) == -signal.SIGKILL and len(results) == 400
    assert there.events_scored == here.events_scored > 1000 and not there.failed and len(there.files) == 200
    assert_equal_files(expected, tmp_path / "there.root")


@pytest.mark.slow
def test_all_workers_die_and_another_comes(cluster, files, tmp_path, monkeypatch):
    """What joins later has the model, too."""
    address, workers, client = cluster
    local(files[:2], tmp_path / "here.root")
    result, results = on_dask._result, []
    with ExitStack() as stack:

        def killing(found, source):
            results.append(source)
            if len(results) == 3:
                for one in workers:
                    one.kill()
                worker(stack, address)
            return result(found, source)

        monkeypatch.setattr(on_dask, "_result", killing)
        there = local(files[:2], tmp_path / "there.root", client=client)
    assert not there.failed
    assert_equal_files(tmp_path / "here.root", tmp_path / "there.root")


def test_a_scheduler_that_nobody_finds(files, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(on_dask, "ANSWER_S", 2)
    address, output = f"tcp://127.0.0.1:{free_port()}", tmp_path / "s.root"
    arguments = ["score", str(files[0]), "--model", "conv", "--output", str(output), "--dask"]
    assert main([*arguments, address]) == 2
    assert f"dask '{address}': no scheduler answers there" in capsys.readouterr().err
    assert main([*arguments, "local:none"]) == 2
    assert "expected local:N with a positive whole number" in capsys.readouterr().err
    assert not output.exists()


def test_a_script_that_its_workers_run_again(tmp_path):
    """Without ``if __name__ == "__main__"`` Dask started workers that failed at once, without end."""
    script = tmp_path / "script.py"
    script.write_text(
        "from hepvae.cluster.dask import dask_client\nwith dask_client('local:2') as client:\n    print(client)\n"
    )
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert run.returncode == 1 and run.stderr.count("Traceback") == 1
    assert "put what it does under if __name__ == '__main__':" in run.stderr.splitlines()[-1]


@pytest.mark.slow
def test_a_scheduler_that_dies(scheduler, files, tmp_path, monkeypatch, capfd):
    """One line, and what is through is there for --resume."""
    address, running = scheduler
    result, results = on_dask._result, []

    def killing(found, source):
        results.append(source)
        if len(results) == 2:
            running.kill()
        return result(found, source)

    monkeypatch.setattr(on_dask, "_result", killing)
    arguments = ["score", *map(str, files), "--model", "conv", "--output", str(tmp_path / "s.root")]
    with ExitStack() as stack:
        worker(stack, address)
        with distributed.Client(address, timeout=30) as client:
            client.wait_for_workers(1, timeout=60)
        assert main([*arguments, "--dask", address]) == 1
    error = capfd.readouterr().err
    assert "the connection to the scheduler is lost" in error and address in error and error.count("\n") == 1
    assert not (tmp_path / "s.root").exists()
    assert main([*arguments, "--resume"]) == 0
    local(files, tmp_path / "here.root", step_size="100 MB")
    assert_equal_files(tmp_path / "here.root", tmp_path / "s.root")


@pytest.mark.slow
def test_a_worker_that_is_killed_before_the_first_chunk(cluster, files, tmp_path, monkeypatch):
    """What a user saw: a traceback of `register_plugin`, when a worker died while the model was sent to it."""
    _, workers, client = cluster
    register, attempts = client.register_plugin, []

    def killing(*arguments, **named):
        attempts.append(arguments)
        if len(attempts) == 1:
            os.kill(workers[0].pid, signal.SIGSTOP)  # it is there, and cannot answer
            threading.Timer(1, workers[0].kill).start()
        return register(*arguments, **named)

    monkeypatch.setattr(client, "register_plugin", killing)
    there = local(files[:1], tmp_path / "there.root", client=client)
    assert attempts and not there.failed
    local(files[:1], tmp_path / "here.root")
    assert_equal_files(tmp_path / "here.root", tmp_path / "there.root")


@pytest.mark.slow
def test_a_scheduler_that_is_gone_at_the_last_call(cluster, scheduler, files, tmp_path, monkeypatch):
    """What a user saw: all was scored, and `unregister_worker_plugin` lost it."""
    _, _, client = cluster
    release = on_dask._release

    def killing(*arguments):
        scheduler[1].kill()
        scheduler[1].wait()
        release(*arguments)

    monkeypatch.setattr(on_dask, "_release", killing)
    assert not local(files[:1], tmp_path / "there.root", client=client).failed
    local(files[:1], tmp_path / "here.root")
    assert_equal_files(tmp_path / "here.root", tmp_path / "there.root")


def parts_of(folder):
    return sorted(path.name for path in folder.glob("*.root"))


@pytest.mark.slow
def test_workers_write_the_parts_of_one_process(cluster, files, tmp_path, monkeypatch):
    """Large files in ranges of entries, which are joined; one that is broken costs the others nothing."""
    _, _, client = cluster
    broken = tmp_path / "broken.root"
    broken.write_text("no ROOT file")
    files = [files[0], broken, *files[1:]]
    here = local(files, f"{tmp_path}/here/")
    assert len(files) > 2 * 2  # not few: a task takes several chunks
    monkeypatch.setattr("hepvae.scoring.files.PART_CHUNKS", 4)
    ranges = []
    merge = on_dask._merge
    monkeypatch.setattr(on_dask, "_merge", lambda *given: (ranges.append(given), merge(*given)))
    there = local(files, f"{tmp_path}/there/", client=client)
    assert len(ranges) > len(files)  # some were joined
    alone = local(files[:1], f"{tmp_path}/alone/", client=client)  # few: its chunks are divided
    assert parts_of(tmp_path / "there") == parts_of(tmp_path / "here") and len(there.failed) == 1
    assert there.events_scored == here.events_scored and alone.events_scored == here.files[0].events_scored
    for name in parts_of(tmp_path / "here"):
        assert_equal_files(tmp_path / "here" / name, tmp_path / "there" / name)
    assert_equal_files(tmp_path / "here" / "0.root", tmp_path / "alone" / "0.root")
    for folder in ("here", "there"):
        names = {path.name for path in (tmp_path / folder).iterdir() if not path.name.startswith("inputs-")}
        assert names == {f"{i}.root{end}" for i in range(4) for end in ("", ".json")} | {"broken.root.json"}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_worker_that_is_killed_while_it_writes_parts(cluster, many, tmp_path, monkeypatch):
    """Its files are scored by the other one, and it leaves nothing behind."""
    _, workers, client = cluster
    files = sorted(many.iterdir())[:60]
    local(files, f"{tmp_path}/here/", **FEW_EVENTS)
    result, results = on_dask._result, []

    def killing(found, path):
        results.append(path)
        if len(results) == 30:
            workers[0].kill()
        return result(found, path)

    monkeypatch.setattr(on_dask, "_result", killing)
    there = local(files, f"{tmp_path}/there/", client=client, **FEW_EVENTS)
    assert workers[0].wait(10) == -signal.SIGKILL and not there.failed
    here = [path.name for path in sorted((tmp_path / "here").iterdir())]
    assert [path.name for path in sorted((tmp_path / "there").iterdir())] == here
    for name in parts_of(tmp_path / "here"):
        assert_equal_files(tmp_path / "here" / name, tmp_path / "there" / name)


@pytest.mark.slow
def test_small_files_are_given_to_workers_together(cluster, monkeypatch):
    """One that no worker can work on costs those that were submitted with it nothing."""
    from hepvae.reading.options import ReadOptions
    from hepvae.reading.reports import FileReport

    class Work:
        def __call__(self, item, read, entries, chunks):
            if item == 50:
                raise MemoryError("too large")
            return FileReport(str(item), entries=3, events_read=3), None

    _, _, client = cluster
    submitted, submit = [], client.submit
    monkeypatch.setattr(
        client, "submit", lambda *given, **named: (submitted.append(given), submit(*given, **named))[1]
    )
    reports = [FileReport(str(i)) for i in range(100)]
    given = on_dask.chunks_on_workers(
        client, range(100), reports, ReadOptions(), Work(), most_chunks=16, join="join"
    )
    assert [file.path for file, _ in given] == [str(i) for i in range(100)]
    assert len(submitted) < 60
    assert [file.path for file in reports if file.failure] == ["50"]
    assert "50: could not be worked on by any worker: MemoryError: too large" in reports[50].failure
    assert all(file.events_read == 3 for file in reports if not file.failure)
