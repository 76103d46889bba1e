"""root:// against a real XRootD server on loopback."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
from helpers.dijet_files import random_tables, write_events
from helpers.output_server import NEEDS_XROOTD
from helpers.scored import columns_of

import hepvae
from hepvae.bench.xrootd_server import free_port, root_address, xrootd_server
from hepvae.extras import XROOTD_TIMES_S
from hepvae.reading.options import ReadOptions
from hepvae.reading.sources import resolve
from hepvae.scoring.inspection import inspect_files
from hepvae.storage.access import Access

pytestmark = NEEDS_XROOTD


@pytest.fixture(scope="module")
def server(served_folder):
    """What stands before the name of a file."""
    with xrootd_server(served_folder) as port:
        yield root_address(port)


def test_same_events_as_from_disk(server):
    local = hepvae.read_dijets(hepvae.sample_path("GtoWW15na"), entry_stop=300)
    assert ak.array_equal(hepvae.read_dijets(f"{server}GtoWW15na.root", entry_stop=300), local)


def test_missing_and_foreign_files(server):
    with pytest.raises(hepvae.FileError, match=r"nowhere\.root: no such file"):
        hepvae.read_dijets(f"{server}nowhere.root")
    with pytest.raises(hepvae.FileError, match=r"notes\.root: cannot be read"):
        hepvae.read_dijets(f"{server}notes.root")


def test_scores_and_reports(server, tmp_path):
    inferer = hepvae.load_inferer(hepvae.model_path("conv"))
    files = [f"{server}GtoWW15na.root", f"{server}nowhere.root"]
    report = hepvae.score_files(files, inferer, tmp_path / "s.root")
    assert report.events_scored == 2061
    assert [file.path for file in report.failed] == files[1:]


def test_folders_and_patterns_of_a_server(server):
    names = ["GtoWW15na.root", "deep/er/b.root", "notes.root"]
    for given in (server, f"{server}**", f"{server}**/*.root"):
        assert [source.path.removeprefix(server) for source in resolve(given)] == names, given
    for given, found in (
        ("Gto*.root", names[:1]),
        ("[Gn]*.root", [names[0], names[2]]),
        ("deep", names[1:2]),
        ("d*p/*/b.root", names[1:2]),
    ):
        assert [source.path.removeprefix(server) for source in resolve(server + given)] == found, given
    with pytest.raises(hepvae.FileError, match=r"x\*\.root: no file matches"):
        resolve(f"{server}x*.root")
    with pytest.raises(hepvae.FileError, match="nowhere: no such file or folder"):
        resolve(f"{server}nowhere")


def test_server_that_does_not_answer():
    with pytest.raises(hepvae.FileError, match=r"root://127\.0\.0\.1:\d+//folder"):
        resolve(f"root://127.0.0.1:{free_port()}//folder", access=Access(timeout_s=1, attempts=2))


def test_queries_stay_with_their_files(server):
    """A token dropped from a pattern, and StopIteration of one behind a file, ended all."""
    token = "?authz=abc%3D"
    assert [source.path for source in resolve(f"{server}Gto*.root{token}")] == [f"{server}GtoWW15na.root{token}"]
    assert [source.path for source in resolve(f"{server}deep{token}")] == [f"{server}deep/er/b.root{token}"]
    assert len(hepvae.read_dijets(f"{server}GtoWW15na.root{token}", entry_stop=10)) == 10
    twice = resolve([f"{server}GtoWW15na.root{token}", f"{server}GtoWW15na.root"])
    assert len(twice) == 1 and twice[0].also == (f"{server}GtoWW15na.root",)


def test_file_without_a_known_suffix(served_folder):
    """``x.root.1`` was taken for a folder."""
    with xrootd_server({"x.root.1": served_folder / "GtoWW15na.root"}) as port:
        name = f"{root_address(port)}x.root.1"
        assert [source.path for source in resolve(name)] == [name]
        assert len(hepvae.read_dijets(name, entry_stop=10)) == 10


def test_folder_on_a_dead_server_is_tried_again_and_reported(tmp_path, monkeypatch):
    """It was never tried again, and no file of others was read."""
    monkeypatch.setitem(XROOTD_TIMES_S, "ConnectionWindow", 1)
    good = write_events(tmp_path / "good.root", random_tables(np.random.default_rng(1)))
    away = f"{root_address(free_port())}folder"
    failed, read = inspect_files([away, good], ReadOptions(access=Access(timeout_s=1, attempts=2, wait_s=0.01)))
    assert failed.path == away and failed.failure.endswith("(after 2 attempts)")
    assert read.failure is None and read.events_read > 0


def test_hdf5_from_a_server(tmp_path):
    from helpers.study_files import write_study

    events = hepvae.read_dijets(hepvae.sample_path("GtoWW15na"), entry_stop=60)
    write_study(tmp_path / "study.h5", events)
    expected = hepvae.read_dijets(tmp_path / "study.h5")
    with xrootd_server({"study.h5": tmp_path / "study.h5"}) as port:
        assert ak.array_equal(hepvae.read_dijets(f"{root_address(port)}study.h5"), expected)
        with pytest.raises(hepvae.FileError, match=r"nowhere\.h5: no such file"):
            hepvae.read_dijets(f"{root_address(port)}nowhere.h5")


def process_of(port: int) -> int:
    """The server that listens on a port."""
    for commands in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            said = commands.read_text().split("\0")
            if said[0].endswith("xrootd") and f"xrd.port {port}\n" in Path(said[said.index("-c") + 1]).read_text():
                return int(commands.parent.name)
    raise AssertionError(f"no server on port {port}")


class Meddling:
    """An inferer that does something to the world before one of its calls."""

    def __init__(self, inferer, call, deed):
        self.inferer, self.call, self.deed, self.calls = inferer, call, deed, 0

    def __getattr__(self, name):
        return getattr(self.inferer, name)

    def losses_of(self, jets, chosen):
        self.calls += 1
        if self.calls == self.call:
            self.deed()
        return self.inferer.losses_of(jets, chosen)


PATIENT = Access(timeout_s=2, attempts=12, wait_s=0.2)


@pytest.fixture
def twenty():
    """Twenty files in a folder that a server can read."""
    with tempfile.TemporaryDirectory(prefix="hepvae-served-") as folder:
        Path(folder).chmod(0o755)
        for i in range(20):
            write_events(Path(folder, f"{i:02}.root"), random_tables(np.random.default_rng(i), events=60))
            Path(folder, f"{i:02}.root").chmod(0o644)
        yield Path(folder)


@pytest.mark.slow
@pytest.mark.parametrize("fate", ["killed", "stalled"])
def test_server_that_is_gone_for_a_while(twenty, tmp_path, monkeypatch, fate):
    """All events of twenty files are scored once, and the report says what was tried again."""
    for name in ("ConnectionWindow", "StreamErrorWindow"):
        monkeypatch.setitem(XROOTD_TIMES_S, name, 2)
    inferer = hepvae.load_inferer(hepvae.model_path("conv"))
    options = {"step_size": 25, "mjj_min": 0}
    hepvae.score_files(twenty, inferer, tmp_path / "local.root", **options)
    port, gone_s = free_port(), 5.0
    with ExitStack() as running:
        first = running.enter_context(ExitStack())
        first.enter_context(xrootd_server(twenty, port=port))
        again = threading.Event()

        def restart():
            time.sleep(gone_s)
            while not again.is_set():  # XRootD's client may just be trying its luck from this very port
                with suppress(hepvae.FileError), xrootd_server(twenty, port=port):
                    again.wait()

        def kill():
            first.close()
            thread = threading.Thread(target=restart)
            thread.start()
            running.callback(thread.join)
            running.callback(again.set)

        def stall():
            server = process_of(port)
            os.kill(server, signal.SIGSTOP)
            timer = threading.Timer(gone_s, os.kill, (server, signal.SIGCONT))
            timer.start()
            running.callback(timer.join)

        meddling = Meddling(inferer, 20, {"killed": kill, "stalled": stall}[fate])
        report = hepvae.score_files(
            root_address(port) + "*.root", meddling, tmp_path / "remote.root", access=PATIENT, **options
        )
    assert report.failed == []
    assert report.events_read == 20 * 60
    expected, found = columns_of(tmp_path / "local.root"), columns_of(tmp_path / "remote.root")
    assert len(expected["score"]) == report.events_scored > 200
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)
    retried = [why for file in report.files for why in file.retried]
    assert retried
    assert all(f"tried again: {why}" in str(report) for why in retried)


def test_server_that_never_comes(tmp_path):
    """A file that stays away fails after the attempts it was given; others are scored."""
    away = f"{root_address(free_port())}a.root"
    good = write_events(tmp_path / "good.root", random_tables(np.random.default_rng(1)))
    inferer = hepvae.load_inferer(hepvae.model_path("conv"))
    access = Access(timeout_s=1, attempts=2, wait_s=0.01)
    report = hepvae.score_files([away, good], inferer, tmp_path / "s.root", mjj_min=0, access=access)
    (failed,) = report.failed
    assert failed.path == away
    assert failed.failure.endswith("(after 2 attempts)")
    assert len(failed.retried) == 1
    assert report.files[1].events_scored > 0


def test_file_that_may_not_be_read_is_not_tried_again(twenty, tmp_path):
    if os.getuid():
        pytest.skip("only the user nobody, as whom root's server runs, has no permission")
    with xrootd_server({"a.root": twenty / "00.root"}) as port:
        (twenty / "00.root").chmod(0o600)
        (report,) = inspect_files(f"{root_address(port)}a.root", ReadOptions(access=PATIENT))
    assert "permission denied" in report.failure
    assert report.retried == []
