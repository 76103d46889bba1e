"""A TCP proxy on loopback that adds to the round trip: a far-away storage element on one machine.

``python -m hepvae.bench.delay_proxy PORT RTT_MS OWN_PORT`` prints its own port and forwards to PORT until its
standard input ends. It delays and does not slow down: the bandwidth stays that of loopback.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import FileError

__all__ = ["delay_proxy"]

CHUNK = 2**18
GRAIN_S = 0.0015  # asyncio wakes up as much as a millisecond late


@contextmanager
def delay_proxy(port: int, rtt_ms: float, own_port: int = 0) -> Iterator[int]:
    """A port of loopback that leads to another one, with a longer round trip, while the block runs.

    Parameters
    ----------
    port : int
        Of the server on loopback.
    rtt_ms : float
        Added to the round trip, half of it each way.
    own_port : int
        By default one that is free.

    Yields
    ------
    int
        The port to connect to.
    """
    # A process of its own: in ours it would wait for Python's lock, and delay more than it should.
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, str(port), str(rtt_ms), str(own_port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for us, who then end it
    )
    with process:
        assert process.stdin is not None and process.stdout is not None
        try:
            own = process.stdout.readline()
            if not own:
                raise FileError(f"port {port}: the delay proxy before it did not start")
            yield int(own)
        finally:
            process.stdin.close()
            process.wait()


async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
    """Pass on what comes in, each piece ``delay_s`` after it came."""
    clock = asyncio.get_running_loop().time
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=4096)

    async def send() -> None:
        while True:
            due, piece = await waiting.get()
            if due - clock() > GRAIN_S:
                await asyncio.sleep(due - clock() - GRAIN_S)
            while due > clock():
                await asyncio.sleep(0)
            if not piece:
                return
            writer.write(piece)
            await writer.drain()

    sending = asyncio.create_task(send())
    try:
        while not sending.done():
            piece = await reader.read(CHUNK)
            await waiting.put((clock() + delay_s, piece))
            if not piece:
                break
        await sending
    except OSError:  # one side hung up: so do we
        sending.cancel()
    finally:
        writer.close()


async def serve(port: int, rtt_ms: float, own_port: int) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        delay_s = rtt_ms / 2000
        await asyncio.gather(forward(reader, far_writer, delay_s), forward(far_reader, writer, delay_s))

    server = await asyncio.start_server(connected, "127.0.0.1", own_port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    os._exit(0)  # open connections end with the process; asyncio would report each as cancelled


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])))
