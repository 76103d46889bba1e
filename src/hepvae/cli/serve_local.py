"""``hepvae serve-local``."""

from __future__ import annotations

import signal
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import click

from ..execution.command import Command, option, say
from ..execution.option_types import PATH, Number, Whole


@click.command("serve-local", cls=Command)
@click.argument("folder", type=PATH, metavar="DIR")
@option("--port", type=Whole(1, 65535), help="that clients connect to  [default: a free one]")
@option(
    "--rtt",
    type=Number(0, 59999, "milliseconds"),
    default=0.0,
    metavar="MS",
    help="milliseconds added to the round trip",
)
def serve_local(folder: Path, port: int | None, rtt: float) -> int:
    """Serve the folder DIR through root:// on this machine, until Ctrl-C."""
    from ..bench.delay_proxy import delay_proxy
    from ..bench.xrootd_server import files_to_serve, root_address, xrootd_server

    served = files_to_serve(folder)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C, from the first line of output on
    with suppress(KeyboardInterrupt), ExitStack() as running:
        used = running.enter_context(xrootd_server(folder, port=None if rtt else port))
        if rtt:
            used = running.enter_context(delay_proxy(used, rtt, port or 0))
        files = [name for name in served if name.endswith(".root")]
        for name in files or ["*.root"]:
            say(f"{root_address(used)}{name}")
        sys.stdout.flush()
        say(f"serving {len(files)} ROOT files of {folder}; Ctrl-C ends it", err=True)
        signal.pause()
    return 0
