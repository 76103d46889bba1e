"""What long work has completed so far, on disk: interrupted work continues where it was."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from ..errors import FileError
from .files import faults_of

__all__ = ["Journal", "forget", "recorded"]

logger = logging.getLogger(__name__)

#: Marks a folder as a journal; locked by the process that uses it.
MARKER = "hepvae-journal"
CONFIG, PARTS = "config.json", "parts.jsonl"
#: Names of the files that users of a journal may keep in it.
DATA = re.compile(r"[0-9a-f]{1,64}\.(rows|npy|npz)")
_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Journal:
    """Completed parts of some work, kept in a folder until all of it is done; locked while the block runs.

    The folder is created, or is a journal of the same user: it is opened without following links, and only files
    that a journal writes are ever read, replaced or removed.

    Parameters
    ----------
    folder : path
        Its parent exists.
    config : dict, optional
        Everything that the results depend on, for JSON. Parts that were completed with another one are removed;
        None: all is left as it is.
    anew : bool
        Remove parts that were completed with the same one, too.

    Raises
    ------
    FileError
        The folder is none, or not a journal of this user, or another process uses it.
    """

    def __init__(self, folder: str | Path, config: Mapping[str, Any] | None, *, anew: bool = False):
        self.folder = Path(folder)
        self._fd, self._lock = _opened(self.folder)
        try:
            before = self._config()
            self.before: dict[str, Any] = before or {}
            """The configuration that was found; empty where there was none."""
            known = before is not None and config is not None
            # As JSON gives it back: tuples are lists there.
            self.changed = _differences(self.before, json.loads(json.dumps(config))) if known else []
            """Keys of the configuration whose values were others: the parts of that were removed."""
            if config is not None and (anew or before is None or self.changed):
                self._clear()
                self._write(CONFIG, json.dumps(config).encode())
            self.parts: dict[str, Any] = dict(self._lines())
            """Content of the completed parts, by name."""
        except BaseException:
            self._close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def _close(self) -> None:
        os.close(self._lock)
        os.close(self._fd)

    def add(self, name: str, content: Any) -> None:
        """Keep a completed part, for JSON; on return it is on the disk."""
        text = json.dumps([name, content])
        # After a line that was cut, this one begins on a new one.
        self._write(PARTS, f"\n{_digest(text)} {text}\n".encode(), os.O_APPEND)
        self.parts[name] = content

    @contextmanager
    def open(self, name: str, flags: int = os.O_RDONLY) -> Iterator[IO[bytes]]:
        """A regular file of the journal, opened without following links.

        Parameters
        ----------
        name : str
            As in `DATA`.
        flags : int
            Of `os.open`.

        Raises
        ------
        FileError
            It cannot be opened, or is no regular file.
        """
        path = self.folder / name
        mode, doing = ("rb", "read") if flags == os.O_RDONLY else ("wb", "written")
        with (
            faults_of(path, doing),
            os.fdopen(os.open(name, flags | _FLAGS, 0o600, dir_fd=self._fd), mode) as file,
        ):
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
                raise FileError(f"{path}: is not a file of a journal: expected a regular file without links")
            yield file

    def names(self) -> list[str]:
        """The files that users of the journal keep in it."""
        return [name for name in os.listdir(self._fd) if DATA.fullmatch(name)]

    def unlink(self, name: str) -> None:
        """Remove a file of the journal, if it is there."""
        with faults_of(self.folder / name, "removed", missing_ok=True):
            os.unlink(name, dir_fd=self._fd)

    def forget(self) -> None:
        """Remove the folder: the work is complete, and its results are written."""
        self._clear()
        self.unlink(MARKER)
        try:
            os.rmdir(self.folder)
        except OSError as error:
            logger.warning("%s: cannot be removed: %s", self.folder, error.strerror)

    def _clear(self) -> None:
        for name in (PARTS, CONFIG, *self.names()):
            self.unlink(name)

    def _config(self) -> dict[str, Any] | None:
        """Of what is there; None where it is damaged or missing."""
        try:
            with self.open(CONFIG) as file:
                config = json.loads(file.read())
        except FileError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise
        except (ValueError, RecursionError):
            return None
        return config if isinstance(config, dict) else None

    def _write(self, name: str, content: bytes, flags: int = os.O_TRUNC) -> None:
        with self.open(name, os.O_WRONLY | os.O_CREAT | flags) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.fsync(self._fd)

    def _lines(self) -> Iterator[tuple[str, Any]]:
        """Parts whose line is whole: not the one that was being written when the work was killed."""
        if PARTS not in os.listdir(self._fd):
            return
        with self.open(PARTS) as file:
            for line in file:
                digest, _, text = line.strip().partition(b" ")
                with suppress(ValueError, RecursionError):
                    if digest.decode() == _digest(text.decode()):
                        name, content = json.loads(text)
                        yield str(name), content


def recorded(folder: str | Path) -> dict[str, Any]:
    """The configuration of the work that a journal was kept for; empty where there is none to go on with."""
    if not Path(folder).is_dir():
        return {}
    with Journal(folder, None) as journal:
        return journal.before


def forget(folder: str | Path) -> None:
    """Remove a journal, if it is there: the work is complete, and its results are written."""
    if os.path.lexists(folder):
        with Journal(folder, {}, anew=True) as journal:
            journal.forget()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return [key for key in {**before, **after} if before.get(key) != after.get(key)]


def _opened(folder: Path) -> tuple[int, int]:
    """Descriptors of a journal's folder and of its marker, which is locked."""
    while True:
        try:
            with suppress(FileExistsError):
                os.mkdir(folder, 0o700)
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | _FLAGS)
        except OSError as error:
            raise FileError(f"{folder}: cannot be used as a folder: {error.strerror}") from error
        lock = None
        try:
            if os.fstat(fd).st_uid != os.geteuid():
                raise FileError(f"{folder}: belongs to another user: remove it, or use another output")
            if MARKER not in os.listdir(fd) and os.listdir(fd):
                raise FileError(f"{folder}: was not created by hepvae: rename or remove it, or use another output")
            lock = os.open(MARKER, os.O_RDWR | os.O_CREAT | _FLAGS, 0o600, dir_fd=fd)
            if not stat.S_ISREG(os.fstat(lock).st_mode):
                raise FileError(f"{folder / MARKER}: is not a regular file: remove {folder}")
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever had it may have removed it before it was ours.
            with suppress(FileNotFoundError):
                there = os.stat(folder / MARKER, follow_symlinks=False)
                if os.path.samestat(there, os.fstat(lock)):
                    kept, fd, lock = (fd, lock), -1, None
                    return kept
        except BlockingIOError as error:
            raise FileError(f"{folder}: another process is at this work") from error
        except OSError as error:
            if isinstance(error, FileError):
                raise
            raise FileError(f"{folder}: cannot be used: {error.strerror}") from error
        finally:
            if lock is not None:
                os.close(lock)
            if fd >= 0:
                os.close(fd)
