"""What was measured on this machine: the block size and the use of threads for a kind of model on a runtime.

``hepvae tune`` writes the table into the user's cache directory; without it runtimes have defaults.
"""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

from ..models.card import ModelCard
from ..output.files import make_folder, whole_file
from .blocks import PARALLEL, Tuning

__all__ = ["keep", "table_path", "tuned"]


def table_path() -> Path:
    """Where the table is: ``hepvae/tuning.json`` in ``$XDG_CACHE_HOME``, which is ``~/.cache`` by default."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(cache, "hepvae", "tuning.json")


def tuned(runtime: str, card: ModelCard) -> Tuning | None:
    """What was found for such a model on such a machine, if anything was."""
    path = table_path()
    try:
        changed = path.stat().st_mtime_ns
    except OSError:
        return None
    found = _table(path, changed).get(_key(runtime, card))
    try:
        tuning = Tuning(int(found["block_size"]), found["parallel"])
    except (TypeError, KeyError, ValueError):
        return None
    return tuning if tuning.block_size > 0 and tuning.parallel in PARALLEL else None


def keep(runtime: str, card: ModelCard, tuning: Tuning) -> Path:
    """Write what was found into the table; gives its path."""
    path = table_path()
    table = _table(path, path.stat().st_mtime_ns) if path.exists() else {}
    make_folder(path.parent)
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps({**table, _key(runtime, card): asdict(tuning)}, indent=1))
    return path


def _key(runtime: str, card: ModelCard) -> str:
    """Of a kind of model: home directories are shared between machines."""
    return f"{_processor()}, {runtime}, {card.architecture}, {card.spec.n_particles} particles"


@lru_cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


@lru_cache(maxsize=1)
def _table(path: Path, changed: int) -> dict:
    """The table; one that cannot be read is none, as it can be measured again."""
    try:
        table = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return table if isinstance(table, dict) else {}
