"""Datasets of HDF5 files, held against what is stored before memory is taken for them."""

from __future__ import annotations

from typing import Any

from ...errors import FileError

__all__ = ["check_stored", "own_dataset"]

#: Nothing is packed tighter: by deflate at most 1032 times.
TIGHTEST = 2000


def own_dataset(group: Any, name: str, where: str) -> Any:
    """A dataset of the file itself; None where there is none. What another file keeps is never read.

    Raises
    ------
    FileError
        It is a link, or kept in another file.
    """
    import h5py

    link = group.get(name, getlink=True)
    if link is None:
        return None
    item = group[name] if isinstance(link, h5py.HardLink) else None
    if isinstance(link, h5py.SoftLink):
        raise FileError(f"{where}: dataset {name!r} is a link to {link.path!r}: not read")
    if item is None or (isinstance(item, h5py.Dataset) and (item.external or item.is_virtual)):
        raise FileError(f"{where}: dataset {name!r} is kept in another file: not read")
    return item if isinstance(item, h5py.Dataset) else None


def check_stored(dataset: Any, where: str) -> None:
    """Raise `FileError` where a dataset declares more than its bytes in the file can be."""
    declared, stored = dataset.size * dataset.dtype.itemsize, dataset.id.get_storage_size()
    if declared > TIGHTEST * stored:
        raise FileError(f"{where}: {dataset.name[1:]} declares {declared} bytes and has {stored}")
