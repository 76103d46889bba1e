"""Files of the LHC Olympics 2020 (arXiv:2101.08320): frames of particles, which are clustered, or of features."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import awkward as ak
import numpy as np
import numpy.typing as npt

from ...errors import DataError, LayoutError
from ...extras import require
from ...jets.clustering import cluster_jets
from ...jets.kinematics import pseudorapidity
from ...options import nearest
from ..sources import Source, check_regular
from .base import Table
from .frames import Frame

__all__ = ["LHCOTable"]

#: Of the jets of the benchmark: anti-kT.
RADIUS, PT_MIN = 1.0, 20.0

LABEL = "label"
JETS, PARTICLES = ("pt", "eta", "phi", "mass", "nConstituents"), ("pt", "eta", "phi")
#: Of the file of features: momentum and mass of each of the two jets, GeV.
MOMENTUM = ("px", "py", "pz", "m")


class LHCOTable(Table):
    """The events of a file of the LHC Olympics.

    Columns are jagged: ``LHCOJet_pt``, ``_eta``, ``_phi``, ``_mass``, ``_nConstituents``, and of the constituents
    ``LHCOParticle_pt``, ``_eta``, ``_phi``, which come jet by jet, as ``LHCOJetParticle_particleIdx`` counts them;
    and ``label`` (1: signal), of the file or of the ``.masterkey`` beside it.

    Of a frame of particles (pt, eta, phi of 700, padded with zeros, then perhaps the label), jets are clustered by
    FastJet: anti-kT, R = 1.0, all with pt of at least 20 GeV. Of a frame of features, jets are those of the frame,
    without constituents; what it has of each besides its momentum is a column of jets, as ``LHCOJet_tau1``.
    """

    def __init__(self, frame: Frame, source: Source):
        self._frame, self.where = frame, source.path
        self.num_entries = frame.rows
        names = frame.names
        number = len(names) // 3
        self._particles: list[str] = []
        self._of_jets: list[str] = []
        self._label = LABEL if LABEL in names else None
        missing = [name for name in (f"{c}j{i}" for i in (1, 2) for c in MOMENTUM) if name not in names]
        if number >= 2 and len(names) % 3 < 2 and set(names) == {str(i) for i in range(len(names))}:
            require("fastjet", source.path)
            self._particles = [str(i) for i in range(3 * number)]
            self._label = str(3 * number) if len(names) % 3 else None
        elif missing:
            raise LayoutError(
                f"{source.path}: unknown layout: looked for the columns 0 to 2100 of the LHC Olympics, or for"
                f" {missing[0]!r}; found {', '.join(map(repr, names[:5]))}{nearest(missing[0], names)}"
            )
        else:
            both = [name.removesuffix("j1") for name in names if name.endswith("j1") and f"{name[:-1]}2" in names]
            self._of_jets = [name for name in both if name not in MOMENTUM]
        self._key = None if self._label or source.is_remote else _masterkey(source.path)
        self._keyed: npt.NDArray[np.int64] | None = None
        self.names = [
            *(f"LHCOJet_{name}" for name in (*JETS, *self._of_jets)),
            *(f"LHCOParticle_{name}" for name in PARTICLES),
            "LHCOJetParticle_particleIdx",
            *([LABEL] if self._label or self._key else []),
        ]

    def read(self, names: Sequence[str], start: int, stop: int) -> dict[str, ak.Array]:
        columns: dict[str, ak.Array] = {}
        if any(name.startswith("LHCO") for name in names):
            columns = self._clustered(start, stop) if self._particles else self._features(start, stop)
        if LABEL in names:
            columns[LABEL] = ak.Array(self._labels(start, stop))
        return {name: columns[name] for name in names}

    def size(self, names: Sequence[str]) -> int:
        return self._frame.size()

    def _clustered(self, start: int, stop: int) -> dict[str, ak.Array]:
        particles = self._frame.read(self._particles, start, stop).reshape(stop - start, -1, 3)
        wrong = np.flatnonzero(~(np.isfinite(particles).all(axis=(1, 2)) & (particles[..., 0] >= 0).all(axis=1)))
        if len(wrong):
            raise DataError(
                f"{self.where}: a particle in entry {start + wrong[0]} has a negative pt, or a value that is not"
                " finite"
            )
        there = particles[..., 0] > 0
        momenta = {name: ak.unflatten(particles[there, i], there.sum(axis=1)) for i, name in enumerate(PARTICLES)}
        jets, constituents = cluster_jets(momenta, RADIUS, PT_MIN)
        columns = {f"LHCOJet_{name}": jets[name] for name in jets.fields}
        columns |= {f"LHCOParticle_{name}": constituents[name] for name in PARTICLES}
        return columns | {"LHCOJetParticle_particleIdx": ak.local_index(constituents["pt"], axis=1)}

    def _features(self, start: int, stop: int) -> dict[str, ak.Array]:
        of_jets = [*MOMENTUM, *self._of_jets]
        frame = self._frame.read([f"{name}j{i}" for i in (1, 2) for name in of_jets], start, stop)
        values = dict(zip(of_jets, np.moveaxis(frame.reshape(-1, 2, len(of_jets)), 2, 0)))
        px, py, pz, mass = (values[name] for name in MOMENTUM)
        there = ~((px == 0) & (py == 0) & (pz == 0))  # a jet that an event has not
        jets = {
            "pt": np.hypot(px, py),
            "eta": pseudorapidity(px, py, pz),
            "phi": np.arctan2(py, px),
            "mass": mass,
            **{name: values[name] for name in self._of_jets},
        }
        number = there.sum(axis=1)
        columns = {f"LHCOJet_{c}": ak.unflatten(v[there].astype(np.float32), number) for c, v in jets.items()}
        nothing = ak.unflatten(np.empty(0, np.float32), np.zeros(len(number), np.int64))
        columns |= {f"LHCOParticle_{name}": nothing for name in PARTICLES}
        columns["LHCOJet_nConstituents"] = ak.zeros_like(columns["LHCOJet_pt"], dtype=np.int64)
        return columns | {"LHCOJetParticle_particleIdx": ak.values_astype(nothing, np.int64)}

    def _labels(self, start: int, stop: int) -> npt.NDArray[np.int64]:
        if self._label is None:
            if self._keyed is None:
                self._keyed = self._read_key()
            return self._keyed[start:stop]
        return self._whole(self._frame.read([self._label], start, stop)[:, 0], self.where, start)

    def _read_key(self) -> npt.NDArray[np.int64]:
        """The labels in the ``.masterkey``: a number for each event, one a line."""
        assert self._key is not None, "there is a column of labels without it"
        try:
            check_regular(self._key)
            if os.path.getsize(self._key) > 64 * max(self.num_entries, 1):
                raise ValueError("is too large")
            values = np.array(Path(self._key).read_text(encoding="ascii").split(), np.float64)
        except (OSError, ValueError) as error:
            raise DataError(
                f"{self._key}: expected a label for each event, 0 or 1, one a line: {error}"
            ) from error
        if len(values) != self.num_entries:
            raise DataError(
                f"{self._key}: has {len(values)} labels for the {self.num_entries} events of {self.where}"
            )
        return self._whole(values, self._key, 0)

    def _whole(self, values: npt.NDArray[np.float64], where: str, start: int) -> npt.NDArray[np.int64]:
        wrong = np.flatnonzero(~np.isin(values, (0, 1)))
        if len(wrong):
            raise DataError(f"{where}: label is {values[wrong[0]]:g} in entry {start + wrong[0]}: expected 0 or 1")
        return values.astype(np.int64)


def _masterkey(path: str) -> str | None:
    """The file of labels beside a black box, if there is one."""
    key = re.sub(r"\.[^./]*$", ".masterkey", path)
    return key if key != path and os.path.exists(key) else None
