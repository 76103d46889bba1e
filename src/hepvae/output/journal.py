"""What long work has finished so far, on disk: work that was interrupted goes on where it was."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from pathlib import Path

from ..errors import FileError
from .files import make_folder

__all__ = ["Journal", "forget"]

LOCK = "lock"


class Journal:
    """Finished parts of some work, kept in a folder until all of it is done; ours while the block runs.

    Parameters
    ----------
    folder : path
        Made where it is not there. Whoever uses the journal may keep files in it.
    question : dict
        Everything that the results depend on. What is there of another question is removed.
    anew : bool
        Remove what is there of the same question, too.
    """

    def __init__(self, folder: Path, question: dict, *, anew: bool = False):
        self.folder = Path(folder)
        asked = hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()
        said = self.folder / "question"
        make_folder(self.folder)
        self._hold()
        self.replaced = said.is_file() and said.read_text() != asked
        """Whether there was one of another question."""
        if anew or self.replaced or not said.is_file():
            for file in self.folder.iterdir():
                if file.name != LOCK:
                    file.unlink()
            said.write_text(asked)
        self._lines = self.folder / "parts.jsonl"
        self.parts: dict[str, dict] = {}
        """What was kept, by name."""
        for line in self._lines.read_text().splitlines() if self._lines.is_file() else ():
            try:
                name, content = json.loads(line)
            except json.JSONDecodeError:  # the line that was being written when the study was killed
                continue
            self.parts[name] = content

    def _hold(self) -> None:
        """Keep others out of the folder for as long as this process lives."""
        self._lock = open(self.folder / LOCK, "w")  # noqa: SIM115
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise FileError(f"{self.folder}: another process is at this work") from error

    def add(self, name: str, content: dict) -> None:
        """Keep a finished part; on return it is on the disk."""
        self.parts[name] = content
        try:
            with open(self._lines, "a") as file:
                # After a line that was cut, this one begins on a new one.
                file.write("\n" + json.dumps([name, content]) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise FileError(f"{self._lines}: cannot be written: {error.strerror}") from error

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._lock.close()


def forget(folder) -> None:
    """Remove what was kept: the work is whole, and its results are written."""
    shutil.rmtree(folder, ignore_errors=True)
