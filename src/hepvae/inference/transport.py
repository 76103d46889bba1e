"""How an inferer gets to another process: with the bytes of its file where they are few, else by its path.

There it is one object however often it is unpickled, so that a worker opens a model once, not for each task.
"""

from __future__ import annotations

import atexit
import hashlib
import io
import os
import shutil
import socket
import tarfile
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from ..errors import ModelError
from ..models.contract import SAVED_MODEL
from ..output.files import whole_file

if TYPE_CHECKING:
    from .runtime import Travels

T = TypeVar("T")

__all__ = ["MOST_BYTES", "bytes_to_carry", "digest", "kept", "local_file"]

#: Larger files stay where they are, unless the user wants them to travel: Dask sends them with each task.
MOST_BYTES = 32 * 2**20
#: Unpickled inferers that a process keeps; the one that was not used for longest goes first.
KEPT = 8

_lock = threading.Lock()
_kept: OrderedDict[tuple[object, ...], object] = OrderedDict()


def _content(path: Path) -> bytes:
    """What a model file holds; of a SavedModel folder all its files, as a tar archive without times and owners."""
    if not path.is_dir():
        return path.read_bytes()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for file in sorted(path.rglob("*")):
            if file.is_file() and not file.is_symlink():
                entry = tarfile.TarInfo(file.relative_to(path).as_posix())
                entry.size = file.stat().st_size
                with file.open("rb") as content:
                    tar.addfile(entry, content)
    return archive.getvalue()


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(file.stat().st_size for file in files if file.is_file())


def digest(path: Path) -> str:
    """sha256 of a model file or a SavedModel folder; ModelError where it cannot be read."""
    try:
        return hashlib.sha256(_content(path)).hexdigest()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error


def bytes_to_carry(path: Path, sha256: str, travels: Travels | None) -> bytes | None:
    """The content of a model file, where it is to travel in this way.

    Raises
    ------
    ModelError
        It is not there any more, or another one.
    """
    try:
        if travels == "path" or (travels is None and _size(path) > MOST_BYTES):
            return None
        content = _content(path)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read to be sent: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ModelError(f"{path}: is another file than when it was loaded: load it again")
    return content


def kept(key: tuple[object, ...], unpickled: Callable[[], T]) -> T:
    """The inferer of a pickle: the one that this process has already, if it was unpickled before."""
    with _lock:
        if key not in _kept:
            _kept[key] = unpickled()
            while len(_kept) > KEPT:
                _kept.popitem(last=False)
        _kept.move_to_end(key)
        return cast("T", _kept[key])


def local_file(path: Path, sha256: str, content: bytes | None) -> Path:
    """Where the model file of an unpickled inferer is in this process.

    Raises
    ------
    ModelError
        It travelled by its path, and here there is no such file or another one.
    """
    there = path.exists()
    if there and digest(path) == sha256:
        return path
    if content is None:
        problem = "another file than the one that was loaded" if there else "no such model file"
        raise ModelError(
            f"{path}: {problem} on worker {socket.gethostname()} (process {os.getpid()}):"
            " expected a path that all workers see, or travels='bytes'"
        )
    file = _folder(os.getpid()) / sha256 / path.name
    file.parent.mkdir(exist_ok=True)
    with _lock:  # two inferers of one model may be opened at once
        if not file.exists():
            _write(file, content)
    return file


def _write(file: Path, content: bytes) -> None:
    if file.name != SAVED_MODEL:
        with whole_file(file) as temporary:
            temporary.write_bytes(content)
        return
    temporary = Path(tempfile.mkdtemp(dir=file.parent))
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        tar.extractall(temporary, filter="data")
    temporary.rename(file)


@cache
def _folder(process: int) -> Path:
    """Of the model files that a process received as bytes; removed when it ends."""
    folder = Path(tempfile.mkdtemp(prefix="hepvae-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
