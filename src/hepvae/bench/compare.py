"""``hepvae bench-compare``: two studies beside each other, of two machines, two versions, two days."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np

from ..errors import DataError, FileError
from ..execution.command import Command
from ..execution.option_types import PATH
from ..output.files import faults_of
from ..output.tables import Table, figure
from ..output.text import console
from .cells import KEYS
from .comparisons import batch_time, grouped, round_times
from .intervals import LEVEL, Ratio, process_deviations, unpaired_ratio

__all__ = ["bench_compare"]

#: What may differ between two studies of the same thing.
OF_THE_DAY = ("date", "records", "failures")


def _load(path: Path) -> dict[str, Any]:
    try:
        with faults_of(path, "read"):
            content = json.loads(path.read_text())
    except ValueError as error:
        raise FileError(f"{path}: not JSON: {error}") from error
    if not isinstance(content, dict) or not {"environment", "records"} <= set(content):
        raise DataError(f"{path}: expected the results.json of python -m hepvae.bench")
    lost = [name for record in content["records"] for name in (*KEYS, "blocks_s") if name not in record]
    if lost:
        raise DataError(f"{path}: its records have no {lost[0]!r}: written by another version of hepvae?")
    return content


def _conditions(content: Mapping[str, Any]) -> dict[str, str]:
    """Everything but the code that times depend on: machine, threads, versions and settings, flat."""
    flat: dict[str, str] = {}

    def add(values: Mapping[str, Any], inside: str = "") -> None:
        for name, value in values.items():
            if isinstance(value, Mapping):
                add(value, f"{name} " if name == "variables" else inside)
            elif name not in OF_THE_DAY:
                flat[inside + name] = str(value)

    add(content["environment"])
    add(content.get("settings") or {})
    return flat


def _differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[list[str]]:
    one, other = _conditions(first), _conditions(second)
    names = [name for name in dict.fromkeys([*one, *other]) if one.get(name) != other.get(name)]
    return [[name, one.get(name, "not set"), other.get(name, "not set")] for name in names]


@click.command("bench-compare", cls=Command)
@click.argument("first", type=PATH, metavar="A.json")
@click.argument("second", type=PATH, metavar="B.json")
def bench_compare(first: Path, second: Path) -> int:
    """Compare two studies of hepvae bench, their results.json: ratios are B / A."""
    contents = [_load(path) for path in (first, second)]
    cells = [grouped(content["records"], *(name for name in KEYS if name != "run")) for content in contents]
    common = [key for key in cells[0] if key in cells[1]]
    if not common:
        raise DataError(f"{first} and {second} have no configuration in common")
    screen = console(160)
    for side, path, content in zip("AB", (first, second), contents):
        about = content["environment"]
        screen.print(f"{side}: {path}: {about.get('processor')}, {about.get('date')}")
    differences = _differences(*contents)
    if differences:
        screen.print(Table(["", "A", "B"], differences, left=3).to_rich("What else differs between A and B"))
        screen.print("The ratios below are of these differences, too.")
    rows, ratios = [], []
    deviations = [process_deviations([round_times(c[key]) for key in common]) for c in cells]
    for key in common:
        one, other = (round_times(c[key]) for c in cells)
        ratio = unpaired_ratio(other, one, deviations[::-1])
        ratios.append(ratio)
        peaks = [np.median([r["rss_peak_bytes"] for r in c[key]]) for c in cells]
        times = [1e3 * batch_time(c[key]) for c in cells]
        rows.append([*map(str, key), *map(figure, times), str(ratio), f"{peaks[1] / peaks[0]:.2f}"])
    names = [name.replace("_", " ") for name in KEYS if name != "run"]
    keep = [i for i, name in enumerate(names) if name in ("model", "runtime", "batch size")]
    keep += [i for i in range(len(names)) if i not in keep and len({row[i] for row in rows}) > 1]
    keep = sorted(keep) + list(range(len(names), len(names) + 4))
    header = [*names, "A ms/batch", "B ms/batch", f"time B / A ({LEVEL:.0%})", "peak memory B / A"]
    table = Table([header[i] for i in keep], [[row[i] for i in keep] for row in rows], left=len(keep) - 4)
    screen.print(table.to_rich("B / A"))
    screen.print(_summary(ratios))
    for name, own, others in (("A", cells[0], cells[1]), ("B", cells[1], cells[0])):
        alone = len(set(own) - set(others))
        if alone:
            screen.print(f"in {name} only: {alone} of the configurations")
    return 0


def _summary(ratios: list[Ratio]) -> str:
    middle = float(np.exp(np.mean(np.log([ratio.value for ratio in ratios]))))
    slower, faster = sum(ratio.low > 1 for ratio in ratios), sum(ratio.high < 1 for ratio in ratios)
    without = sum(not ratio.has_interval for ratio in ratios)
    text = (
        f"geometric mean of {len(ratios)} ratios: {middle:.3g}; B is slower in {slower} configurations, faster in"
        f" {faster}, and no difference is seen in {len(ratios) - slower - faster - without}"
    )
    return f"{text}; {without} have too few rounds for an interval" if without else text
