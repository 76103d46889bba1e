"""Two studies beside each other: two machines, two versions, two days."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from ..errors import DataError, FileError
from ..output.tables import Table, figure
from .cells import KEYS
from .intervals import LEVEL, Ratio, process_deviations, unpaired_ratio

__all__ = ["compare_results"]


def _load(path: Path) -> dict:
    try:
        content = json.loads(Path(path).read_text())
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise FileError(f"{path}: not JSON: {error}") from error
    if not isinstance(content, dict) or not {"environment", "records"} <= set(content):
        raise DataError(f"{path}: expected the results.json of python -m hepvae.bench")
    lost = [name for record in content["records"] for name in (*KEYS, "blocks_s") if name not in record]
    if lost:
        raise DataError(f"{path}: its records have no {lost[0]!r}: written by another version of hepvae?")
    return content


def _cells(content: dict) -> dict[tuple, list[dict]]:
    """Records by everything but the run."""
    found: dict[tuple, list[dict]] = {}
    for record in content["records"]:
        found.setdefault(tuple(record[name] for name in KEYS if name != "run"), []).append(record)
    return found


def _times(records: list[dict]) -> list[np.ndarray]:
    """For each run, the time of each round."""
    return [np.asarray(record["blocks_s"]) for record in records]


def compare_results(first: Path, second: Path) -> int:
    """Print the ratios, second over first, of all cells that both have; gives the exit status."""
    from rich.console import Console

    contents = [_load(path) for path in (first, second)]
    cells = [_cells(content) for content in contents]
    common = [key for key in cells[0] if key in cells[1]]
    if not common:
        raise DataError(f"{first} and {second} have no cell in common")
    console = Console(markup=False) if sys.stdout.isatty() else Console(width=160, markup=False)
    for path, content in zip((first, second), contents):
        about = content["environment"]
        console.print(f"{path}: {about['processor']}, {about['date']}", highlight=False)
        versions = ", ".join(f"{name} {version}" for name, version in about["packages"].items())
        console.print(f"  {versions}", highlight=False)
    rows, ratios = [], []
    deviations = [process_deviations([_times(c[key]) for key in common]) for c in cells]
    for key in common:
        one, other = (_times(c[key]) for c in cells)
        ratio = unpaired_ratio(other, one, deviations[::-1])
        ratios.append(ratio)
        memory = np.median([r["rss_peak_bytes"] for r in cells[1][key]]) / np.median(
            [r["rss_peak_bytes"] for r in cells[0][key]]
        )
        times = [1e3 * np.median(np.concatenate(blocks)) for blocks in (one, other)]
        rows.append([*(str(value) for value in key), *(figure(t) for t in times), str(ratio), f"{memory:.2f}"])
    names = [name.replace("_", " ") for name in KEYS if name != "run"]
    keep = [i for i, name in enumerate(names) if name in ("model", "runtime", "batch size")]
    keep += [i for i in range(len(names)) if i not in keep and len({row[i] for row in rows}) > 1]
    keep = sorted(keep) + list(range(len(names), len(names) + 4))
    header = [*names, "A ms", "B ms", f"time B / A ({LEVEL:.0%})", "peak memory B / A"]
    table = Table([header[i] for i in keep], [[row[i] for i in keep] for row in rows], left=len(keep) - 4)
    console.print(table.to_rich("B / A"))
    console.print(_summary(ratios), highlight=False)
    for name, own, others in (("A", *cells), ("B", *reversed(cells))):
        alone = len(set(own) - set(others))
        if alone:
            console.print(f"{alone} cells are in {name} only", highlight=False)
    return 0


def _summary(ratios: list[Ratio]) -> str:
    middle = float(np.exp(np.mean(np.log([ratio.value for ratio in ratios]))))
    slower, faster = (sum(test(r) for r in ratios) for test in (lambda r: r.low > 1, lambda r: r.high < 1))
    return (
        f"geometric mean of {len(ratios)} ratios: {middle:.3g}; B is slower in {slower} cells, faster in"
        f" {faster}, and no difference is seen in {len(ratios) - slower - faster}"
    )
