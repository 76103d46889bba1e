"""A real XRootD server for this machine alone: files on this disk are read, and written, through ``root://``.

XRootD cannot be bound to one interface: it listens on all, and closes connections that do not come from loopback.
It follows symbolic links and lists the parent of its root: so its root is a temporary folder of links to files,
and nothing else can be reached. No name of the user's enters its configuration.
"""

from __future__ import annotations

import logging
import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ..errors import FileError, MissingPackageError, OptionError
from ..options import check_whole_number
from ..storage.servers import NOT_IN_AN_ADDRESS

__all__ = ["files_to_serve", "free_port", "root_address", "xrootd_server"]

LOG = logging.getLogger(__name__)

SERVER = "xrootd"
START_S = 20
#: The server refuses to run as root: then it becomes this user.
USER = "nobody"
#: Runs a command until it, or whoever holds the other end of standard input, ends, be it by SIGKILL; then removes
#: the folder that is its first argument.
UNTIL_WE_END = (
    'exec 3<&0; state=$1; shift; "$@" <&- & server=$!; (cat <&3; kill -9 $server) & wait $server; rm -rf "$state"'
)
#: Where a server has the folder into which it writes.
OUTPUTS = "outputs"


def root_address(port: int) -> str:
    """What stands before the name of a file that a server on a port of loopback gives."""
    return f"root://127.0.0.1:{port}//"


def files_to_serve(folder: str | Path) -> dict[str, Path]:
    """The regular files in a folder and in the folders in it, by their names in the addresses of a server.

    Symbolic links to files of the folder are followed; those that lead elsewhere, and names that no address can
    have (control characters, ``?``, ``#``), are left out with a warning.

    Raises
    ------
    FileError
        There is no such folder.
    """
    folder = Path(folder).absolute()
    if not folder.is_dir():
        raise FileError(f"{folder}: no such folder")
    root, files, outside, unnamed = folder.resolve(), {}, 0, 0
    for path in sorted(Path(parent, name) for parent, _, names in os.walk(root) for name in names):
        target, name = path.resolve(), str(path.relative_to(root))
        if not target.is_relative_to(root):
            outside += 1
        elif NOT_IN_AN_ADDRESS.search(name):
            unnamed += 1
        elif target.is_file():
            files[name] = target
    if outside:
        LOG.warning("%s: symbolic links that lead out of the folder are not served: %d", folder, outside)
    if unnamed:
        LOG.warning("%s: files whose names no root:// address can have are not served: %d", folder, unnamed)
    return files


@contextmanager
def xrootd_server(
    files: str | Path | Mapping[str, Path], *, port: int | None = None, outputs: Path | None = None
) -> Iterator[int]:
    """Serve files through loopback while the block runs: to be read, and to be written into one folder.

    Parameters
    ----------
    files : path, or mapping of str to path
        A folder, of which `files_to_serve` are served; or files by the names that they get. Files that come later
        are not served.
    port : int, optional
        By default one that is free.
    outputs : path, optional
        A folder that the server, as who it runs, may write: what is written to ``outputs/`` appears in it. Names
        in the folder above can be listed. Without one nothing can be written.

    Yields
    ------
    int
        The port; `root_address` gives what stands before the name of a file.

    Raises
    ------
    MissingPackageError
        The server is not installed.
    FileError
        There is no such folder, or the server does not start. Where hepvae runs as root, the server runs as the
        user nobody: a folder, or a file in it, that nobody cannot read is named.
    """
    served = files if isinstance(files, Mapping) else files_to_serve(files)
    what = f"{len(served)} files" if isinstance(files, Mapping) else str(Path(files).absolute())
    program = shutil.which(SERVER)
    if program is None:
        raise MissingPackageError(
            f"{SERVER}, the server, is not installed: apt-get install xrootd-server, or dnf install xrootd-server"
        )
    as_root = os.getuid() == 0
    if as_root and not isinstance(files, Mapping):
        _check_readable(Path(files).resolve(), served.values())
    if port is not None and not _is_free(check_whole_number("port", port, highest=2**16 - 1)):
        raise FileError(f"{what}: port {port} is taken")
    port = port or free_port()
    state = Path(tempfile.mkdtemp(prefix="hepvae-xrootd-"))
    if re.search(r"[^\w./+-]", str(state)):
        state.rmdir()
        raise OptionError(f"TMPDIR is {str(state.parent)!r}: expected only letters, digits, . / _ + -")
    try:
        config, log, root = state / "xrootd.cfg", state / "log", state / "up" / "files"
        root.mkdir(parents=True)  # the server lists the folder above, too: that one is empty
        for name, path in served.items():
            _link(path, root / name)
        settings = (
            f"all.export / r/o\noss.localroot {root}\nxrd.port {port}\nxrd.allow host 127.0.0.1\n"
            f"all.adminpath {state}\nall.pidpath {state}\nxrd.network nodnr\n"
        )
        if outputs is not None:
            (root / OUTPUTS).symlink_to(outputs.resolve(strict=True))
            settings += f"all.export /{OUTPUTS} r/w\nxrootd.chksum max 2 adler32\n"
        config.write_text(settings)
        if as_root:
            user = pwd.getpwnam(USER)
            for path in (state, config):
                os.chown(path, user.pw_uid, user.pw_gid)
        process = subprocess.Popen(
            ["sh", "-c", UNTIL_WE_END, "sh", str(state), program, "-c", str(config), "-I", "v4", "-l", str(log)]
            + (["-R", USER] if as_root else []),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us, who then end it
        )
        try:
            _wait(process, port, what, log)
            yield port
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()
    finally:
        shutil.rmtree(state, ignore_errors=True)


def _link(path: Path, link: Path) -> None:
    """A link to a file: a hard one, which also leads to files in folders that are closed to the server."""
    link.parent.mkdir(parents=True, exist_ok=True)
    target = os.path.realpath(path)
    if not os.path.isfile(target):
        raise FileError(f"{path}: no such file")
    try:
        os.link(target, link)
    except OSError:  # on another disk, or of another user
        link.symlink_to(target)


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
        return int(probe.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], port: int, what: str, log: Path) -> None:
    """Until the server takes connections."""
    for _ in range(10 * START_S):
        if process.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    # Its log is in a folder of its own below the one it was told.
    logged = "\n".join(file.read_text(errors="replace") for file in log.parent.rglob("log*") if file.is_file())
    told = (line for line in reversed(logged.splitlines()) if "unable" in line or "error" in line.lower())
    why = next(told, "it says nothing")
    state = "ended" if process.poll() is not None else f"took no connection in {START_S} s"
    raise FileError(f"{what}: the XRootD server for it {state}: {why}")


def _check_readable(folder: Path, files: Iterable[Path]) -> None:
    """Raise where the user nobody cannot get at the folder or at one of the files in it."""
    for path in (folder, *files):
        for step in (*reversed(path.parents), path):
            needed = 0o005 if step == folder else 0o001 if step.is_dir() else 0o004
            if step.stat().st_mode & needed != needed:
                raise FileError(
                    f"{path}: the XRootD server runs as {USER}, who cannot get past {step}: chmod o+rX {step}"
                )
