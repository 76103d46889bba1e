"""``hepvae bench-compare``."""

from __future__ import annotations

from pathlib import Path

import click

from ..execution.command import Command
from ..execution.option_types import PATH


@click.command("bench-compare", cls=Command)
@click.argument("first", type=PATH, metavar="A.json")
@click.argument("second", type=PATH, metavar="B.json")
def bench_compare(first: Path, second: Path) -> int:
    """Compare two studies of hepvae bench, their results.json: ratios are B / A."""
    from ..bench.compare import compare_results

    return compare_results(first, second)
