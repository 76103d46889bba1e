"""root:// against a real XRootD server on loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from importlib.util import find_spec

import awkward as ak
import pytest

import hepvae

pytestmark = [
    pytest.mark.skipif(shutil.which("xrootd") is None, reason="no XRootD server: apt-get install xrootd-server"),
    pytest.mark.skipif(find_spec("fsspec_xrootd") is None, reason="fsspec-xrootd is not installed"),
    # fsspec-xrootd leaves its event loop's socket to the interpreter's end
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of a server that exports a folder with one sample; it refuses to run as root."""
    folder = tmp_path_factory.mktemp("xrootd")
    for parent in (folder, *folder.parents):
        if parent.stat().st_uid == os.getuid() and parent.name.startswith(("xrootd", "pytest")):
            parent.chmod(0o755)
    (folder / "files").mkdir()
    shutil.copy(hepvae.sample_path("GtoWW15na"), folder / "files")
    (folder / "files" / "notes.root").write_text("no ROOT file")
    (folder / "state").mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = folder / "xrootd.cfg"
    config.write_text(
        f"all.export /\noss.localroot {folder / 'files'}\nxrd.port {port}\n"
        f"all.adminpath {folder / 'state'}\nall.pidpath {folder / 'state'}\nxrd.network nodnr\n"
    )
    as_user = ["-R", "nobody"] if os.getuid() == 0 else []
    if as_user:
        nobody = pwd.getpwnam("nobody")
        for path in (folder, *folder.rglob("*")):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
    process = subprocess.Popen(
        ["xrootd", "-c", str(config), "-I", "v4", "-l", str(folder / "state" / "log"), *as_user],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, "the XRootD server ended"
            time.sleep(0.1)
        yield f"root://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait(10)


def test_same_events_as_from_disk(server):
    local = hepvae.read_dijets(hepvae.sample_path("GtoWW15na"), entry_stop=300)
    assert ak.array_equal(hepvae.read_dijets(f"{server}/GtoWW15na.root", entry_stop=300), local)


def test_missing_and_foreign_files(server):
    with pytest.raises(hepvae.FileError, match=r"nowhere\.root: no such file"):
        hepvae.read_dijets(f"{server}/nowhere.root")
    with pytest.raises(hepvae.FileError, match=r"notes\.root: cannot be read"):
        hepvae.read_dijets(f"{server}/notes.root")


def test_scores_and_reports(server, tmp_path):
    inferer = hepvae.load_inferer(hepvae.model_path("conv"))
    files = [f"{server}/GtoWW15na.root", f"{server}/nowhere.root"]
    report = hepvae.score_files(files, inferer, tmp_path / "s.root")
    assert report.events_scored == 2061
    assert [file.path for file in report.failed] == files[1:]
