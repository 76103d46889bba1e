"""An XRootD server that writes, and can be killed and started again."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

import hepvae
from hepvae.bench.xrootd_server import OUTPUTS, free_port, root_address, xrootd_server

__all__ = ["NEEDS_XROOTD", "OutputServer", "output_server"]

NEEDS_XROOTD = [
    pytest.mark.skipif(shutil.which("xrootd") is None, reason="no XRootD server: apt-get install xrootd-server"),
    pytest.mark.skipif(find_spec("fsspec_xrootd") is None, reason="fsspec-xrootd is not installed"),
    # fsspec-xrootd leaves its event loop's socket to the interpreter's end
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class OutputServer:
    """What it writes is in ``folder``, whether it runs or not."""

    def __init__(self, folder: Path, files: str | Path | Mapping[str, Path]):
        self.folder, self.files, self.port = folder, files, free_port()
        self.address = f"{root_address(self.port)}{OUTPUTS}/"
        self._running = ExitStack()

    def start(self, patience_s: float = 20) -> None:
        deadline = time.monotonic() + patience_s
        while True:
            try:
                self._running.enter_context(xrootd_server(self.files, port=self.port, outputs=self.folder))
                return
            except hepvae.FileError:  # a client may just be trying its luck from this very port
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def kill(self) -> None:
        """By SIGKILL."""
        self._running.close()

    def names(self) -> list[str]:
        """All files that were written."""
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())


@contextmanager
def output_server(files: str | Path | Mapping[str, Path] | None = None) -> Iterator[OutputServer]:
    """One that runs, with files to read."""
    with tempfile.TemporaryDirectory(prefix="hepvae-outputs-") as folder:
        parent = Path(folder)
        parent.chmod(0o755)  # where we are root, the server is nobody
        (parent / "outputs").mkdir()
        (parent / "outputs").chmod(0o777)
        server = OutputServer(parent / "outputs", {} if files is None else files)
        server.start()
        try:
            yield server
        finally:
            server.kill()
