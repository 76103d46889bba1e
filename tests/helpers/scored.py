"""Scored files as the tests read them, and inferers that end the work in the middle of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy.typing as npt
import uproot

from hepvae.scoring.formats import read_columns

__all__ = ["DYING", "columns_of", "read_scores"]

#: For scripts: an inferer whose process is killed in one of its calls.
DYING = """
import os, signal

class Dying:
    def __init__(self, inferer, call):
        self.inferer, self.left = inferer, call
    def __getattr__(self, name):
        return getattr(self.inferer, name)
    def losses_of(self, jets, chosen):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.inferer.losses_of(jets, chosen)
"""


def columns_of(path: str | Path) -> dict[str, npt.NDArray[Any]]:
    """The columns of a scored file."""
    with uproot.open(path) as file:
        columns: dict[str, npt.NDArray[Any]] = file["Events"].arrays(library="np")
        return columns


def read_scores(path: str | Path) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Scores and weights of a scored file."""
    values, weight, _ = read_columns(path, ["score"])
    return values[:, 0], weight
