"""root:// against a real XRootD server on loopback."""

from __future__ import annotations

import shutil
from importlib.util import find_spec

import awkward as ak
import pytest

import hepvae
from hepvae.sources import resolve
from hepvae.xrootd_server import free_port, root_address, xrootd_server

pytestmark = [
    pytest.mark.skipif(shutil.which("xrootd") is None, reason="no XRootD server: apt-get install xrootd-server"),
    pytest.mark.skipif(find_spec("fsspec_xrootd") is None, reason="fsspec-xrootd is not installed"),
    # fsspec-xrootd leaves its event loop's socket to the interpreter's end
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


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
    with pytest.raises(hepvae.FileError, match="nowhere: no such folder"):
        resolve(f"{server}nowhere")


def test_server_that_does_not_answer(monkeypatch):
    monkeypatch.setattr("hepvae.remote.TIMEOUT_S", 3)
    with pytest.raises(hepvae.FileError, match=r"root://127\.0\.0\.1:\d+//folder"):
        resolve(f"root://127.0.0.1:{free_port()}//folder")
