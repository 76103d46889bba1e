"""The server on loopback, and what delays the way to it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

import hepvae
from hepvae.bench.delay_proxy import delay_proxy
from hepvae.bench.xrootd_server import free_port, root_address, xrootd_server

needs_server = pytest.mark.skipif(
    shutil.which("xrootd") is None, reason="no XRootD server: apt-get install xrootd-server"
)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def open_tmp():
    """A folder that others may enter."""
    with tempfile.TemporaryDirectory(prefix="hepvae-served-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def listing(port: int, path: str, host: str = "127.0.0.1"):
    """Names in a folder of a server; None where it does not say."""
    client = pytest.importorskip("XRootD.client")
    _, found = client.FileSystem(f"root://{host}:{port}").dirlist(path, timeout=5)
    return None if found is None else sorted(entry.name for entry in found)


def other_address() -> str:
    """One of this machine that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this machine has no other address than loopback")
        return probe.getsockname()[0]


@needs_server
def test_only_loopback_is_answered(served_folder):
    """The server printed a loopback address, and gave its files to the whole network."""
    host = other_address()
    with xrootd_server(served_folder) as port, delay_proxy(port, 1.0) as delayed:
        assert "GtoWW15na.root" in listing(port, "/")
        assert "GtoWW15na.root" in listing(delayed, "/")
        with socket.create_connection((host, port), 5) as connection:
            connection.sendall(
                bytes(12) + (4).to_bytes(4, "big") + (2012).to_bytes(4, "big")
            )  # XRootD's handshake
            with suppress(ConnectionResetError):
                assert connection.recv(16) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, delayed), 5)


@needs_server
def test_nothing_outside_of_the_folder_is_served(open_tmp, caplog):
    """Symbolic links led to /etc, and ``/..`` listed the parent."""
    folder, inner = open_tmp / "served", open_tmp / "served" / "inner"
    inner.mkdir(parents=True)
    (open_tmp / "secret.root").write_text("secret")
    (inner / "a.root").write_text("a")
    (inner / "b?.root").write_text("b")
    (folder / "link.root").symlink_to(inner / "a.root")
    (folder / "out.root").symlink_to(open_tmp / "secret.root")
    (folder / "etc").symlink_to("/etc")
    (inner / "up").symlink_to("..")
    with xrootd_server(folder) as port:
        assert listing(port, "/") == ["inner", "link.root"]
        assert listing(port, "/inner") == ["a.root"]
        assert not listing(port, "/etc")
        assert listing(port, "/..") in (None, ["files"])
        for above in ("/../..", "/inner/../..", "//..//.."):
            assert listing(port, above) is None
    assert "symbolic links that lead out of the folder are not served: 1" in caplog.text
    assert "no root:// address can have are not served: 1" in caplog.text


@needs_server
@pytest.mark.parametrize("name", ["two words", "line\nall.export /tmp", "$(HOME)"])
def test_names_do_not_reach_the_configuration(open_tmp, name):
    """A space broke the configuration, a line break extended it."""
    (open_tmp / name).mkdir(parents=True)
    (open_tmp / name / "my file.root").write_text("a")
    with xrootd_server(open_tmp / name) as port:
        assert listing(port, "/") == ["my file.root"]


@needs_server
def test_nothing_can_be_written(served_folder):
    client = pytest.importorskip("XRootD.client")
    with xrootd_server(served_folder) as port:
        from XRootD.client.flags import OpenFlags

        with client.File() as file:
            status, _ = file.open(f"{root_address(port)}new.root", OpenFlags.NEW, timeout=5)
            assert not status.ok
        status, _ = client.FileSystem(f"root://127.0.0.1:{port}").rm("/GtoWW15na.root", timeout=5)
        assert not status.ok
    assert (served_folder / "GtoWW15na.root").is_file()


@needs_server
def test_temporary_folder_that_would_break_the_configuration(served_folder, open_tmp, monkeypatch):
    (open_tmp / "a b").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(open_tmp / "a b"))
    with pytest.raises(hepvae.OptionError, match="TMPDIR is"), xrootd_server(served_folder):
        pass
    assert not list((open_tmp / "a b").iterdir())


@needs_server
def test_serves_while_the_block_runs(served_folder):
    with xrootd_server(served_folder, port=free_port()) as port:
        assert listens(port)
        assert root_address(port) == f"root://127.0.0.1:{port}//"
    assert not listens(port)


@needs_server
def test_ends_when_its_owner_is_killed(served_folder, open_tmp):
    """And its temporary folder, which a killed one left, goes with it."""
    code = (
        f"import tempfile\ntempfile.tempdir = {str(open_tmp)!r}\n"
        "from hepvae.bench.xrootd_server import xrootd_server\nimport time\n"
        f"with xrootd_server({str(served_folder)!r}) as port:\n    print(port, flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as owner:
        port = int(owner.stdout.readline())
        assert listens(port) and list(open_tmp.iterdir())
        owner.kill()
    deadline = time.monotonic() + 10
    while (listens(port) or list(open_tmp.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not listens(port) and not list(open_tmp.iterdir())


@needs_server
@pytest.mark.skipif(os.getuid() != 0, reason="only root has the server run as another user")
def test_folder_that_nobody_can_read_is_named(tmp_path):
    folder = tmp_path / "secret"
    folder.mkdir(mode=0o700)
    (tmp_path / "none").symlink_to("nowhere")  # a link that leads nowhere is no reason
    for mode in (0o700, 0o754):
        folder.chmod(mode)
        with pytest.raises(hepvae.FileError, match="runs as nobody, who cannot get past"), xrootd_server(folder):
            pass


@needs_server
def test_port_that_is_taken(served_folder):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with (
            pytest.raises(hepvae.FileError, match=r"port \d+ is taken"),
            xrootd_server(served_folder, port=other.getsockname()[1]),
        ):
            pass


def test_what_is_missing_is_said(tmp_path, monkeypatch):
    with pytest.raises(hepvae.FileError, match="nowhere: no such folder"), xrootd_server(tmp_path / "nowhere"):
        pass
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(hepvae.MissingPackageError, match="apt-get install xrootd-server"), xrootd_server(tmp_path):
        pass


@needs_server
def test_command_serves_until_it_is_told_to_end(served_folder):
    command = [sys.executable, "-m", "hepvae", "serve-local", str(served_folder), "--rtt", "5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        address = process.stdout.readline().strip()
        port = int(re.fullmatch(r"root://127\.0\.0\.1:(\d+)//GtoWW15na\.root", address)[1])
        assert "serving 3 ROOT files" in process.stderr.readline()
        assert listens(port)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert process.stderr.read() == ""
    assert not listens(port)


@pytest.fixture
def echo():
    """The port of a server that gives back what it gets."""

    def answer(connection):
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data)

    def accept():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def test_delay_is_that_of_a_round_trip_and_nothing_is_lost(echo):
    rtt_ms, content = 40, os.urandom(3_000_000)
    with delay_proxy(echo, rtt_ms) as port, socket.create_connection(("127.0.0.1", port)) as connection:
        taken_ms: list[float] = []
        for _ in range(5):
            start = time.perf_counter()
            connection.sendall(b"?")
            assert connection.recv(1) == b"?"
            taken_ms.append(1000 * (time.perf_counter() - start))
        assert rtt_ms <= min(taken_ms) < 1.5 * rtt_ms
        sending = threading.Thread(target=connection.sendall, args=(content,))
        sending.start()
        found = b""
        while len(found) < len(content):
            found += connection.recv(1 << 20)
        sending.join()
        assert found == content


def test_delay_before_a_port_that_nobody_listens_on():
    with delay_proxy(free_port(), 1) as port, socket.create_connection(("127.0.0.1", port)) as connection:
        assert connection.recv(1) == b""
