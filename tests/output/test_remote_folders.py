"""Outputs on a real XRootD server of loopback."""

from __future__ import annotations

import os
import pickle
import threading
import time
import zlib

import pytest
from helpers.output_server import NEEDS_XROOTD, output_server

import hepvae
from hepvae.bench.xrootd_server import free_port, root_address
from hepvae.errors import TransientError
from hepvae.extras import XROOTD_TIMES_S
from hepvae.output.files import temporary_of
from hepvae.output.folders import Checksum, RemoteFolder, is_folder, open_folder, open_output
from hepvae.storage import servers
from hepvae.storage.access import Access

pytestmark = NEEDS_XROOTD

QUICK = Access(timeout_s=2, attempts=2, wait_s=0.01)


def write(folder, name: str, content: bytes) -> None:
    with folder.new(name) as path:
        path.write_bytes(content)


def test_a_file_appears_whole_or_not_at_all(server):
    folder = pickle.loads(pickle.dumps(open_folder(server.address, QUICK)))
    assert folder.names() == [] and folder.read("a/1.txt") is None and folder.checksum("a/1.txt") is None
    with folder.new("a/1 %20.txt") as path:
        path.write_text("one")
        assert path.suffix == ".txt" and folder.names() == []
    with pytest.raises(ZeroDivisionError), folder.new("a/1 %20.txt") as path:
        path.write_text("other")
        raise ZeroDivisionError
    with folder.new("a/nothing.txt"):
        pass
    assert folder.names() == server.names() == ["a/1 %20.txt"]
    assert folder.read("a/1 %20.txt") == b"one"
    assert folder.checksum("a/1 %20.txt") == Checksum(3, f"{zlib.adler32(b'one'):08x}")
    write(folder, "a/1 %20.txt", b"another")
    assert folder.read("a/1 %20.txt") == b"another"
    folder.remove("a/1 %20.txt")
    folder.remove("a/1 %20.txt")
    assert server.names() == []


def test_a_token_is_that_of_each_file(server):
    folder = open_folder(f"{server.address}deep/?authz=secret")
    write(folder, "1.txt", b"one")
    assert folder.names() == ["1.txt"] and server.names() == ["deep/1.txt"]
    assert folder.path("1.txt") == f"{server.address}deep/1.txt?authz=secret"


def test_a_file_of_several_blocks(server, monkeypatch):
    monkeypatch.setattr(servers, "BLOCK_BYTES", 1000)
    content = os.urandom(12_345)
    folder = open_folder(server.address)
    write(folder, "1.bin", content)
    assert folder.read("1.bin") == content


def test_a_copy_that_is_damaged_on_the_way_is_sent_again(server, monkeypatch):
    write_there, damages = servers._write, [b"damaged", b"also"]

    def damaging(path, address, timeout_s):
        result = write_there(path, address, timeout_s)
        if damages:
            temporary = server.folder / address.rpartition("/")[2]
            temporary.write_bytes(damages.pop())
        return result

    monkeypatch.setattr(servers, "_write", damaging)
    folder = open_folder(server.address, QUICK)
    with pytest.raises(TransientError, match=r"1\.txt: checksum error: \w{8} on the server, \w{8} here \(after 2"):
        write(folder, "1.txt", b"one")
    assert server.names() == []
    damages.append(b"damaged")
    write(folder, "1.txt", b"one")
    assert server.names() == ["1.txt"] and folder.read("1.txt") == b"one"


def test_a_server_that_replaces_no_file(server, monkeypatch):
    """EOS renames nothing to a name that exists; the server of the tests does."""
    from XRootD.client import FileSystem

    rename = FileSystem.mv

    def strict(self, source, target, timeout):
        if (server.folder / target.removeprefix("/outputs/")).exists():
            return rename(self, source, "/outputs", timeout)[0].__class__(
                {
                    "status": 1,
                    "code": 400,
                    "errno": servers.EXISTS,
                    "message": "file exists",
                    "shellcode": 54,
                    "error": True,
                    "fatal": False,
                    "ok": False,
                }
            ), None
        return rename(self, source, target, timeout)

    monkeypatch.setattr(FileSystem, "mv", strict)
    folder = open_folder(server.address, QUICK)
    write(folder, "1.txt", b"one")
    write(folder, "1.txt", b"two")
    assert server.names() == ["1.txt"] and folder.read("1.txt") == b"two"


def test_a_name_is_tried_before_the_work(server):
    folder = open_folder(server.address, QUICK)
    folder.check("a/1.txt", overwrite=False)
    assert server.names() == []
    write(folder, "a/1.txt", b"one")
    folder.check("a/1.txt")
    with pytest.raises(hepvae.FileError, match=r"a/1\.txt: exists already"):
        folder.check("a/1.txt", overwrite=False)
    with pytest.raises(hepvae.FileError, match="permission denied"):
        open_folder(f"{server.address}../", QUICK).check("1.txt")


def test_only_temporaries_of_some_files_are_removed(server):
    folder = open_folder(server.address)
    names = [
        folder.temporary("a/1.txt"),
        folder.temporary(folder.temporary("a/1.txt")),
        folder.temporary("a/2.txt"),
    ]
    for name in names:
        write(folder, name, b"left")
    assert folder.names_in("nowhere") == [] and len(folder.names_in("a")) == 3 and folder.names_in("") == []
    folder.remove_temporaries(["a/1.txt"])
    assert server.names() == names[2:]


def test_where_nothing_can_be_written(server):
    with pytest.raises(hepvae.FileError, match=r"permission denied|can only be read there"):
        write(open_folder(server.address.replace("outputs", "elsewhere"), QUICK), "1.txt", b"one")
    with pytest.raises(hepvae.FileError, match=r"no file on a server can be called 'a\?b'"):
        write(open_folder(server.address), "a?b", b"one")
    with pytest.raises(
        hepvae.OptionError, match="https://host/x/: cannot be written: expected a path, or an address"
    ):
        open_folder("https://host/x/")
    with pytest.raises(hepvae.OptionError, match=r"https://host/x\.root: cannot be written"):
        open_output("https://host/x.root")
    (server.folder / "taken").mkdir()
    with pytest.raises(hepvae.FileError, match="taken: is a directory"):
        write(open_folder(server.address, QUICK), "taken", b"one")
    assert server.names() == []


def test_what_is_a_folder():
    assert is_folder("root://host//path/?authz=x") and not is_folder("root://host//path/x.root?a=/")
    folder = open_folder("/eos/user/m/me/scores/")
    assert folder == RemoteFolder("root://eosuser.cern.ch//eos/user/m/me/scores/")
    assert folder.path("1.root") == "root://eosuser.cern.ch//eos/user/m/me/scores/1.root"


def test_server_that_never_comes(monkeypatch):
    monkeypatch.setitem(XROOTD_TIMES_S, "ConnectionWindow", 1)
    folder = open_folder(f"{root_address(free_port())}outputs/", QUICK)
    with pytest.raises(TransientError, match=r"1\.txt: cannot be written: .*\(after 2 attempts\)"):
        write(folder, "1.txt", b"one")


@pytest.mark.slow
def test_a_server_that_dies_meanwhile(monkeypatch):
    """It comes back: the file is whole there. It does not: nothing has its name, and what there is goes later."""
    for name in ("ConnectionWindow", "StreamErrorWindow"):
        monkeypatch.setitem(XROOTD_TIMES_S, name, 2)
    monkeypatch.setattr(servers, "BLOCK_BYTES", 1 << 12)
    content = os.urandom(1 << 25)
    with output_server() as server:

        def kill_when_half(restart: bool) -> None:
            while not any(path.stat().st_size > len(content) // 4 for path in server.folder.glob(".*")):
                time.sleep(0.001)
            server.kill()
            seen.append([path.stat().st_size for path in server.folder.iterdir()])
            if restart:
                time.sleep(2)
                server.start()

        seen: list[list[int]] = []
        patient = open_folder(server.address, Access(timeout_s=2, attempts=12, wait_s=0.2))
        for name, folder, restart in (
            ("1.bin", patient, True),
            ("2.bin", open_folder(server.address, QUICK), False),
        ):
            thread = threading.Thread(target=kill_when_half, args=(restart,))
            thread.start()
            if restart:
                write(folder, name, content)
                assert folder.names() == [name] and folder.read(name) == content
            else:
                with pytest.raises(TransientError, match=r"2\.bin: cannot be written"):
                    write(folder, name, content)
            thread.join()
        assert seen and all(0 < size < len(content) for size in seen[0])
        server.start()
        time.sleep(2)
        assert [temporary_of(name) or name for name in server.names()] == ["2.bin", "1.bin"]
        patient.remove_temporaries(["2.bin"])
        assert server.names() == ["1.bin"]
