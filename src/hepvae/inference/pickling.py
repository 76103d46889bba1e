"""How an inferer comes to another process: with the bytes of its file where they are few, else by its path.

There it is one object however often it arrives, so that a worker opens a model once, and not for each task.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import pickle
import shutil
import socket
import tempfile
import threading
from collections import OrderedDict
from functools import cache
from pathlib import Path

from ..errors import ModelError, OptionError

__all__ = ["MOST_BYTES", "TRAVELS", "arrived", "bytes_to_carry", "check_travels", "digest", "local_file"]

#: How the model file of an inferer comes to another process.
TRAVELS = ("bytes", "path")
#: Larger files are left where they are, unless asked for: Dask sends what a task needs with each task.
MOST_BYTES = 32 * 2**20
#: Inferers that a process keeps, of all that arrived; the one that was not used for longest goes first.
KEPT = 8

_lock = threading.Lock()
_kept: OrderedDict[tuple, object] = OrderedDict()


def check_travels(travels: str | None) -> None:
    """Raise `OptionError` where this is no way to travel."""
    if travels not in (None, *TRAVELS):
        raise OptionError(f"travels is {travels!r}: expected {', '.join(TRAVELS)} or None")


def digest(path: Path) -> str:
    """sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def bytes_to_carry(path: Path, sha256: str, travels: str | None) -> bytes | None:
    """What a model file holds, where it is to travel in this way.

    Raises
    ------
    ModelError
        It is not there any more, or another one.
    """
    try:
        if travels == "path" or (travels is None and path.stat().st_size > MOST_BYTES):
            return None
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read to be sent: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ModelError(f"{path}: is another file than when it was loaded: load it again")
    return content


def arrived(kind: type, state: bytes, sha256: str, content: bytes | None):
    """The inferer of a pickle: the one that is here already, if the same came before."""
    key = kind, state, sha256
    with _lock:
        if key not in _kept:
            inferer = kind.__new__(kind)
            inferer.__setstate__({**pickle.loads(state), "_carried": content})
            _kept[key] = inferer
            while len(_kept) > KEPT:
                _kept.popitem(last=False)
        _kept.move_to_end(key)
        return _kept[key]


def local_file(path: Path, sha256: str, content: bytes | None) -> Path:
    """Where the model file of an inferer that arrived is in this process.

    Raises
    ------
    ModelError
        It came by its path, and here there is no such file or another one.
    """
    there = path.is_file()
    if there and digest(path) == sha256:
        return path
    if content is None:
        found = "another file than the one that was loaded" if there else "no such model file"
        raise ModelError(f"{path}: {found} on {_here()}: expected a path that all workers see, or travels='bytes'")
    file = _folder(os.getpid()) / sha256 / path.name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    return file


@cache
def _folder(process: int) -> Path:
    """Of the model files that came to a process as bytes; gone with it."""
    folder = Path(tempfile.mkdtemp(prefix="hepvae-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _here() -> str:
    return f"worker {socket.gethostname()} (process {os.getpid()})"
