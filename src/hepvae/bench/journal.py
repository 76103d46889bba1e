"""What a study has measured so far, on disk: one that was interrupted goes on where it was."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from pathlib import Path

from ..errors import FileError
from ..outputs import make_folder
from .cells import Cell, cell_key

__all__ = ["Journal", "forget"]

UNFINISHED = ".hepvae-bench-unfinished"
LOCK = "lock"


class Journal:
    """Finished parts of a study, kept in a folder until the study is whole; ours while the block runs.

    Parameters
    ----------
    output : path
        Of the study; the folder is `UNFINISHED` in it.
    question : dict
        Everything that the figures depend on. What is there of another question is removed.
    """

    def __init__(self, output: Path, question: dict):
        self.folder = Path(output, UNFINISHED)
        asked = hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()
        said = self.folder / "question"
        make_folder(self.folder)
        self._hold()
        self.replaced = said.is_file() and said.read_text() != asked
        """Whether there was one of another question."""
        if self.replaced or not said.is_file():
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
            raise FileError(f"{self.folder.parent}: another study is running with this output") from error

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

    def done(self, name: str, cells: tuple[Cell, ...]) -> bool:
        """Whether all of some cells are measured; those that failed are not, and are tried again."""
        known = {cell_key(record) for record in self.parts.get(name, {}).get("records", ())}
        return all(cell_key(cell.keys) in known for cell in cells)


def forget(output: Path) -> None:
    """Remove what was kept: the study is whole, and its results are written."""
    shutil.rmtree(Path(output, UNFINISHED), ignore_errors=True)
