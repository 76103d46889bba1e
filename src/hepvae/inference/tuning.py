"""What was measured on this machine, for a kind of model: the fastest runtime, and for each the use of blocks.

``hepvae tune`` writes the table into the user's cache directory; without it runtimes have defaults.
"""

from __future__ import annotations

import json
import logging
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

from ..models.card import ModelCard
from ..options import check_choice, check_whole_number
from ..output.files import make_folder, whole_file
from .blocks import PARALLEL, Tuning

__all__ = ["fastest_runtime", "keep", "table_path", "tuned"]

#: In the place of a runtime, in the key of the one that is fastest.
_FASTEST = "fastest"

_logger = logging.getLogger(__name__)


def table_path() -> Path | None:
    """``hepvae/tuning.json`` in ``$XDG_CACHE_HOME``, by default ``~/.cache``; None for a user without a home."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser(), "hepvae", "tuning.json")
    except RuntimeError:
        return None


def tuned(runtime: str, card: ModelCard) -> Tuning | None:
    """What was measured for such a model on such a machine, if anything was."""
    path = table_path()
    entry = _entry(path, runtime, card)
    if entry is None:
        return None
    try:
        block_size = check_whole_number("block_size", entry["block_size"])
        parallel = next(name for name in PARALLEL if name == check_choice("parallel", entry["parallel"], PARALLEL))
    except (TypeError, KeyError, ValueError) as error:
        _say_once(f"{path}: ignored for {card.architecture}: {error}; 'hepvae tune' measures it again")
        return None
    return Tuning(block_size, parallel)


def fastest_runtime(card: ModelCard) -> str | None:
    """Name of the runtime that was fastest for such a model on such a machine, if several were measured."""
    entry = _entry(table_path(), _FASTEST, card)
    name = entry.get("runtime") if isinstance(entry, dict) else None
    return name if isinstance(name, str) else None


def _entry(path: Path | None, runtime: str, card: ModelCard) -> dict[str, object] | None:
    return None if path is None else _table(path).get(_key(runtime, card))


def keep(card: ModelCard, tunings: Mapping[str, Tuning], fastest: str | None = None) -> Path | None:
    """Write what was measured into the table, by runtime; its path, or None for a user without a home."""
    path = table_path()
    if path is None:
        _say_once("no home folder: what was measured is not kept; set XDG_CACHE_HOME to a folder")
        return None
    table = {**_table(path), **{_key(name, card): asdict(tuning) for name, tuning in tunings.items()}}
    if fastest is not None:
        table[_key(_FASTEST, card)] = {"runtime": fastest}
    make_folder(path.parent)
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(table, indent=1))
    return path


def _key(runtime: str, card: ModelCard) -> str:
    """Of a kind of model: home directories are shared between machines."""
    built = json.dumps(card.hyperparameters, sort_keys=True)
    return f"{_processor()}, {runtime}, {card.architecture} {built}, {card.spec.n_particles} particles"


@lru_cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def _table(path: Path) -> dict[str, dict[str, object]]:
    """The table; empty where there is none, or none that can be read: it can be measured again."""
    try:
        return _read(path, path.stat().st_mtime_ns)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        why = error.strerror or error if isinstance(error, OSError) else "is not a table in JSON"
    _say_once(f"{path}: ignored, as it cannot be used ({why}); 'hepvae tune' writes it anew")
    return {}


@lru_cache(maxsize=1)
def _read(path: Path, changed: int) -> dict[str, dict[str, object]]:
    if not path.is_file():
        raise OSError("is no file")
    table = json.loads(path.read_text())
    if not isinstance(table, dict):
        raise ValueError(table)
    return table


@lru_cache
def _say_once(message: str) -> None:
    _logger.warning(message)
