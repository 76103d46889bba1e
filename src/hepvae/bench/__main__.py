"""``python -m hepvae.bench``: as ``hepvae bench``."""

from __future__ import annotations

import sys

from ..execution.command import run
from .command import bench

if __name__ == "__main__":
    sys.exit(run(bench, name="python -m hepvae.bench"))
