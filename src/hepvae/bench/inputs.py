"""The files of a study, from this disk and through XRootD, and the jets in them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from ..errors import HepvaeError, OptionError
from ..jets.quality import examine_jets
from ..jets.selection import select_dijets
from ..models.bundled import SAMPLES, sample_path
from ..reading.dijets import read_dijets
from ..reading.sources import distinct_names, resolve
from .delay_proxy import delay_proxy
from .reader import ALL_DIJETS
from .xrootd_server import root_address, xrootd_server

__all__ = ["Inputs", "Sample", "read_sample"]


@dataclass(frozen=True)
class Sample:
    """Events of a sample in the signal region, among the jets that `read_jets` gives of its file."""

    n_jets: int
    """Jets of the file."""
    event: npt.NDArray[Any]
    """int64: number of each event of the signal region."""
    weight: npt.NDArray[Any]


def read_sample(path: str) -> Sample:
    events = select_dijets(read_dijets(path), **ALL_DIJETS)
    events = events[examine_jets(events).good.reshape(-1, 2).all(axis=1)]
    region = select_dijets(ak.with_field(events, np.arange(len(events)), "place"), region="signal")
    weight = region.genWeight if "genWeight" in region.fields else np.ones(len(region))
    return Sample(2 * len(events), ak.to_numpy(region.place), ak.to_numpy(weight))


class Inputs(ExitStack):
    """Where the files of a study are, and the servers that give them while the block runs.

    Parameters
    ----------
    files : list of str or None
        As the user named them; None: the bundled samples.
    """

    def __init__(self, files: Sequence[str] | None):
        super().__init__()
        self._ports: dict[float, int | HepvaeError] = {}
        if files is None:
            self.paths, self.names = [str(sample_path(name)) for name in SAMPLES], list(SAMPLES.values())
        else:
            self.paths = [source.path for source in resolve(list(files))]
            self.names = distinct_names(self.paths)

    def addresses(self, source: str, rtt_ms: float) -> list[str]:
        """The files as they are read from a source, which is started where it has to be.

        Raises
        ------
        HepvaeError
            They cannot be had from there.
        """
        if any("://" in path for path in self.paths):
            if source == "local":
                raise OptionError(f"{self.paths[0]}: not on this disk")
            if rtt_ms:
                raise OptionError(f"{self.paths[0]}: a delay can be added to files of this disk only")
            return self.paths
        if source == "local":
            return self.paths
        port = self._port(rtt_ms)
        return [root_address(port) + self._link(i) for i in range(len(self.paths))]

    @staticmethod
    def _link(i: int) -> str:
        return f"{i}.root"  # whatever the file is called, this is neither a pattern nor a folder

    def _port(self, rtt_ms: float) -> int:
        if rtt_ms not in self._ports:
            try:
                self._ports[rtt_ms] = self._start(rtt_ms)
            except HepvaeError as error:  # once is enough to know
                self._ports[rtt_ms] = error
        port = self._ports[rtt_ms]
        if isinstance(port, HepvaeError):
            raise port
        return port

    def _start(self, rtt_ms: float) -> int:
        if rtt_ms:
            return self.enter_context(delay_proxy(self._port(0.0), rtt_ms))
        return self.enter_context(xrootd_server({self._link(i): Path(p) for i, p in enumerate(self.paths)}))
