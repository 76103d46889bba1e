"""HDF5 files of the study: particles of two jets (events, 2, n, 3), and features of events with their names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from ...errors import DataError, FileError, LayoutError
from ...extras import require
from ...jets.kinematics import wrapped
from ...jets.spec import MOST_PARTICLES
from ...options import nearest
from ...storage.access import ACCESS, Access, file_error
from ..declarations import IDENTIFIERS
from ..sources import Source
from .base import Table
from .datasets import check_stored, own_dataset
from .frames import frame_in
from .lhco import LHCOTable

__all__ = ["open_hdf5"]

#: Names of the dataset of particles: of files as they were made, and of those written again later.
PARTICLES = ("particleFeatures", "jetConstituentsList")
EVENTS = "eventFeatures"
#: Where the file does not name them.
PARTICLE_NAMES = ("eta", "phi", "pt")
JETS = ("j1", "j2")

#: Features of an event, and bytes of a name of one.
MOST_FEATURES, LONGEST_NAME = 1000, 1000

#: The largest whole number up to which a floating-point type holds every one.
EXACT = {np.dtype(np.float16): 2**11, np.dtype(np.float32): 2**24, np.dtype(np.float64): 2**53}

LOOKED_AT = 1000  # events, for the coordinates


class HDF5Table(Table):
    """The events of a file of the study.

    Columns are the features of events by their names in the file, and ``j1_particles_pt``, the same of jet 2,
    with ``_deta``, ``_dphi`` where the file has directions relative to the axis of the jet, ``_eta``, ``_phi``
    where they are not: which of the two is seen from the particles, since no file says.
    """

    def __init__(self, file: Any, source: Source):
        self.where = source.path
        if source.tree is not None:
            raise LayoutError(f"{source.path}: an HDF5 file of the study has no tree {source.tree!r}")
        self._particles = self._dataset(file, *PARTICLES)
        self._events = self._dataset(file, EVENTS)
        shape = self._particles.shape
        if len(shape) != 4 or shape[1] != len(JETS) or self._events.ndim != 2:
            raise LayoutError(
                f"{source.path}: {self._particles.name[1:]} has shape {shape}, {EVENTS} {self._events.shape}:"
                " expected (events, 2, particles, 3) and (events, features)"
            )
        self._check_sizes()
        self.num_entries = shape[0]
        self._columns = self._places(self._named(file, "particleFeatureNames") or PARTICLE_NAMES)
        features = self._named(file, "eventFeatureNames")
        if len(features) != self._events.shape[1]:
            raise LayoutError(
                f"{source.path}: eventFeatureNames has {len(features)} names for {self._events.shape[1]} features"
            )
        self._features = {name: i for i, name in enumerate(features)}
        directions = ("deta", "dphi") if self._is_relative() else ("eta", "phi")
        self._particle_names = {
            f"{jet}_particles_{name}": (i, self._columns[column])
            for i, jet in enumerate(JETS)
            for name, column in (("pt", "pt"), (directions[0], "eta"), (directions[1], "phi"))
        }
        self.names = {**self._features, **self._particle_names}.keys()

    def _dataset(self, file: Any, *names: str) -> Any:
        for name in names:
            dataset = own_dataset(file, name, self.where)
            if dataset is not None:
                if dataset.dtype.kind not in "fiu":
                    raise LayoutError(f"{self.where}: dataset {name!r} is of {dataset.dtype}: expected numbers")
                return dataset
        present = sorted(file)
        raise LayoutError(
            f"{self.where}: unknown layout: looked for a dataset {' or '.join(map(repr, names))} of the study;"
            f" found {', '.join(map(repr, present[:5])) or 'none'}{nearest(names[0], present)}"
        )

    def _check_sizes(self) -> None:
        """Hold what is declared against what is there, before memory is taken for it."""
        particles, events = self._particles, self._events
        if len(particles) != len(events):
            raise LayoutError(
                f"{self.where}: {len(particles)} events in {particles.name[1:]}, {len(events)} in {EVENTS}"
            )
        if (
            not 1 <= particles.shape[2] <= MOST_PARTICLES
            or particles.shape[3] > 100
            or events.shape[1] > MOST_FEATURES
        ):
            raise LayoutError(
                f"{self.where}: {particles.name[1:]} has shape {particles.shape}, {EVENTS} {events.shape}:"
                f" expected at most {MOST_PARTICLES} particles a jet"
            )
        for data in (particles, events):
            check_stored(data, self.where)

    def _named(self, file: Any, name: str) -> list[str]:
        """Names in a dataset; none where it is missing."""
        names = own_dataset(file, name, self.where)
        if names is None:
            return []
        if names.size > MOST_FEATURES or names.dtype.itemsize > LONGEST_NAME:
            raise LayoutError(
                f"{self.where}: {name} has {names.size} names of {names.dtype.itemsize} bytes:"
                f" expected at most {MOST_FEATURES} of {LONGEST_NAME}"
            )
        return [one.decode() if isinstance(one, bytes) else str(one) for one in np.ravel(names[()])]

    def _places(self, names: Sequence[str]) -> dict[str, int]:
        """Where eta, phi and pt of a particle are."""
        short = [re.sub("^p(?=[A-Z])", "", name).lower() for name in names]  # pEta or eta
        lost = [name for name in PARTICLE_NAMES if name not in short]
        if lost or len(short) != self._particles.shape[3]:
            raise LayoutError(
                f"{self.where}: {self._particles.shape[3]} features of particles have the names"
                f" {', '.join(names)}: expected one each, with pEta, pPhi and pPt among them"
            )
        return {name: short.index(name) for name in PARTICLE_NAMES}

    def _is_relative(self) -> bool:
        """Whether directions are relative to the jet axis: the particles of jet 1 are about zero, or about it."""
        if not {"j1Eta", "j1Phi"} <= self._features.keys() or self.num_entries == 0:
            return True
        some = self._particles[:LOOKED_AT, 0].astype(np.float64)
        events = self._events[:LOOKED_AT].astype(np.float64)
        eta, phi, pt = (np.nan_to_num(some[..., self._columns[name]]) for name in PARTICLE_NAMES)
        jet_eta, jet_phi = (events[:, self._features[name], None] for name in ("j1Eta", "j1Phi"))
        about_zero = np.abs(eta) + np.abs(wrapped(phi))
        about_axis = np.abs(eta - jet_eta) + np.abs(wrapped(phi - jet_phi))
        return bool((pt * about_zero).sum() <= np.nansum(pt * about_axis))

    def read(self, names: Sequence[str], start: int, stop: int) -> dict[str, ak.Array]:
        columns = {}
        if any(name in self._particle_names for name in names):
            particles = self._particles[start:stop].astype(np.float32)
        if any(name in self._features for name in names):
            events = self._events[start:stop]
        for name in names:
            if name in self._particle_names:
                jet, column = self._particle_names[name]
                columns[name] = ak.from_regular(ak.Array(np.ascontiguousarray(particles[:, jet, :, column])))
            else:
                values = np.ascontiguousarray(events[:, self._features[name]])
                exact = name in IDENTIFIERS
                columns[name] = ak.Array(self._whole(name, values, start) if exact else values.astype(np.float32))
        return columns

    def _whole(self, name: str, values: npt.NDArray[Any], start: int) -> npt.NDArray[np.int64]:
        """An identifier in 64 bits: a float of a file may have lost its last digits, which another event has."""
        largest = EXACT.get(values.dtype, 2**63 - 1)
        wrong = np.flatnonzero(~((values >= 0) & (values < largest) & (values == np.floor(values))))
        if len(wrong):
            raise DataError(
                f"{self.where}: {name} is {values[wrong[0]]:.9g} in entry {start + wrong[0]}, stored as"
                f" {values.dtype}, which keeps whole numbers below {largest} only: store identifiers as float64"
                " or integers, or leave them out"
            )
        return values.astype(np.int64)

    def size(self, names: Sequence[str]) -> int:
        return 4 * int(self._particles.size + self._events.size)


@contextmanager
def open_hdf5(source: Source, access: Access = ACCESS) -> Iterator[Table]:
    """Open an HDF5 file of the study or of the LHC Olympics, on this disk or on a server.

    Raises
    ------
    FileError
        The file is missing or cannot be read; `TransientError` where it may be read later.
    LayoutError
        It has other datasets than those.
    """
    h5py = require("h5py", source.path)
    with ExitStack() as opened:
        try:
            where = source.path
            if source.is_remote:
                import fsspec

                if source.path.startswith("root://"):
                    require("fsspec_xrootd", source.path)
                where = opened.enter_context(fsspec.open(source.path, "rb", timeout=access.timeout_s))
            elif h5py.is_hdf5(where) is False:
                with open(where, "rb"):  # missing, or not ours to read
                    raise LayoutError(f"{source.path}: not an HDF5 file, or cut short")
            file = opened.enter_context(h5py.File(where, "r"))
            frame = frame_in(file, source.tree, source.path)
            table = HDF5Table(file, source) if frame is None else LHCOTable(frame, source)
        except (FileError, LayoutError):
            raise
        # Whatever a broken file makes HDF5 raise.
        except Exception as error:
            raise file_error(source.path, error) from error
        yield table
