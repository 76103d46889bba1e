"""Open files as tables of columns: one module for each kind of file."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager

from ...storage.access import ACCESS, Access
from ..sources import HDF5_SUFFIXES, Source, check_regular
from .base import Table
from .hdf5 import open_hdf5
from .root import open_root

__all__ = ["Table", "open_table"]


def open_table(source: Source, access: Access = ACCESS) -> AbstractContextManager[Table]:
    """Open the table of a file; see `open_root` and `open_hdf5`."""
    if not source.is_remote and os.path.exists(source.path):
        check_regular(source.path)
    opener = open_hdf5 if source.path.partition("?")[0].endswith(HDF5_SUFFIXES) else open_root
    return opener(source, access)
