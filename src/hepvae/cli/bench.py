"""``hepvae bench``: as ``python -m hepvae.bench``."""

from __future__ import annotations

import click


@click.command("bench", context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def bench(arguments: tuple[str, ...]) -> int:
    """Compare runtimes: time, memory, parity, anomaly scores."""
    from ..bench.__main__ import _bench, _parser

    return _bench(_parser().parse_args(arguments))
