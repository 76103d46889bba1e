"""A real XRootD server on loopback, so that files on this disk can be read through ``root://``."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import FileError, MissingPackageError, OptionError

__all__ = ["root_address", "xrootd_server"]

SERVER = "xrootd"
START_S = 20
#: The server refuses to run as root: then it becomes this user.
USER = "nobody"
#: Runs a command until it, or whoever holds the other end of standard input, ends, be it by SIGKILL.
UNTIL_WE_END = 'exec 3<&0; "$@" <&- & server=$!; (cat <&3; kill -9 $server) & wait $server'


def root_address(port: int) -> str:
    """What stands before the name of a file that a server on a port of loopback gives."""
    return f"root://127.0.0.1:{port}//"


@contextmanager
def xrootd_server(folder, *, port: int | None = None) -> Iterator[int]:
    """Serve the files of a folder, and what its symbolic links lead to, while the block runs.

    Parameters
    ----------
    folder : path
        Read only, to everybody on this machine. Where hepvae runs as root, the server runs as the user
        nobody, who must be able to read it.
    port : int, optional
        By default one that is free.

    Yields
    ------
    int
        The port; `root_address` makes of it what stands before the name of a file.

    Raises
    ------
    MissingPackageError
        The server is not installed.
    FileError
        There is no such folder, nobody cannot read it, or the server does not start.
    """
    folder = Path(folder).absolute()
    if not folder.is_dir():
        raise FileError(f"{folder}: no such folder")
    program = shutil.which(SERVER)
    if program is None:
        raise MissingPackageError(
            f"{SERVER}, the server, is not installed: apt-get install xrootd-server, or dnf install xrootd-server"
        )
    if port is not None and not 0 < port < 2**16:
        raise OptionError(f"port is {port}: expected 1 to 65535")
    as_root = os.getuid() == 0
    if as_root:
        _check_readable(folder)
    if port is not None and not _is_free(port):
        raise FileError(f"{folder}: port {port} is taken")
    port = port or free_port()
    state = Path(tempfile.mkdtemp(prefix="hepvae-xrootd-"))
    try:
        config, log = state / "xrootd.cfg", state / "log"
        config.write_text(
            f"all.export / r/o\noss.localroot {folder}\nxrd.port {port}\nall.adminpath {state}\n"
            f"all.pidpath {state}\nxrd.network nodnr\n"
        )
        if as_root:
            user = pwd.getpwnam(USER)
            for path in (state, config):
                os.chown(path, user.pw_uid, user.pw_gid)
        process = subprocess.Popen(
            ["sh", "-c", UNTIL_WE_END, "sh", program, "-c", config, "-I", "v4", "-l", log]
            + (["-R", USER] if as_root else []),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us, who then end it
        )
        try:
            _wait(process, port, folder, log)
            yield port
        finally:
            process.stdin.close()
            process.wait()
    finally:
        shutil.rmtree(state, ignore_errors=True)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait(process, port: int, folder: Path, log: Path) -> None:
    """Until the server takes connections."""
    for _ in range(10 * START_S):
        if process.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    # Its log is in a folder of its own below the one it was told.
    said = [line for file in log.parent.rglob("log*") if file.is_file() for line in _lines(file)]
    why = next((line for line in reversed(said) if "unable" in line or "error" in line.lower()), "it says nothing")
    state = "ended" if process.poll() is not None else f"took no connection in {START_S} s"
    raise FileError(f"{folder}: the XRootD server for it {state}: {why}")


def _lines(file: Path) -> list[str]:
    return file.read_text(errors="replace").splitlines()


def _check_readable(folder: Path) -> None:
    """Raise where the user nobody cannot get at the folder or at a file in it."""
    for path in (folder, *sorted(folder.iterdir())):
        target = path.resolve()
        if not target.exists():
            continue  # a link that leads nowhere: whoever asks for it is told so
        for step in (*reversed(target.parents), target):
            needed = 0o005 if step == folder.resolve() else 0o001 if step.is_dir() else 0o004
            if step.stat().st_mode & needed != needed:
                raise FileError(
                    f"{path}: the XRootD server runs as {USER}, who cannot get past {step}: chmod o+rX {step}"
                )
