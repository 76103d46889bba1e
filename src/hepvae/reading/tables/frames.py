"""Frames that pandas has written to HDF5, in its formats ``fixed`` and ``table``, without pandas."""

from __future__ import annotations

import pickletools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import FileError, LayoutError
from ...jets.spec import MOST_PARTICLES
from .datasets import check_stored, own_dataset

__all__ = ["Frame", "frame_in"]

#: Columns of a frame, and bytes of a name of one.
MOST_COLUMNS, LONGEST_NAME = 3 * MOST_PARTICLES + 1, 1000


class Frame:
    """A frame of numbers: its columns by name, whole numbers as text."""

    def __init__(self, group: Any, where: str):
        self.where = where
        self._blocks: list[tuple[Any, str | None]] = []
        """Datasets; of a table, each the one that it is, and its field there."""
        self._places: dict[str, tuple[int, int]] = {}
        """Of each column: its block, and its place there."""
        table, lengths = own_dataset(group, "table", where), set()
        for i in range(MOST_COLUMNS):
            field = None if table is None else f"values_block_{i}"
            values = own_dataset(group, f"block{i}_values", where) if table is None else table
            if values is None or (field and field not in (values.dtype.names or ())):
                break
            kind = values.dtype if field is None else values.dtype[field].base
            if kind.kind not in "fiub":
                raise LayoutError(f"{where}: block {i} of the frame is of {kind}: expected numbers")
            check_stored(values, where)
            columns = self._names_of(group, i) if field is None else self._pickled(table.attrs, f"{field}_kind")
            shape = values.shape[1:] if field is None else values.dtype[field].shape
            if shape != (len(columns),) or len(self._places) + len(columns) > MOST_COLUMNS:
                raise LayoutError(f"{where}: block {i} of the frame has shape {shape} for {len(columns)} columns")
            lengths.add(values.shape[0])
            self._places |= {name: (len(self._blocks), place) for place, name in enumerate(columns)}
            self._blocks.append((values, field))
        if len(lengths) != 1:
            raise LayoutError(f"{where}: the frame has blocks of {sorted(lengths)} rows: expected one length")
        (self.rows,) = lengths

    @property
    def names(self) -> list[str]:
        """Of the columns."""
        return list(self._places)

    def _names_of(self, group: Any, block: int) -> list[str]:
        """Names of the columns of a block in the format ``fixed``."""
        items = own_dataset(group, f"block{block}_items", self.where)
        if items is None or items.size > MOST_COLUMNS or items.dtype.itemsize > LONGEST_NAME:
            raise LayoutError(f"{self.where}: block {block} of the frame has no names, or too many")
        if items.dtype.kind not in "iuS":
            raise LayoutError(f"{self.where}: names of columns are of {items.dtype}: expected numbers or text")
        return [one.decode() if isinstance(one, bytes) else str(one) for one in items[()].tolist()]

    def _pickled(self, attributes: Any, name: str) -> list[str]:
        """Names of the columns of a block in the format ``table``: a pickled list, of which nothing is run."""
        pickled = attributes.get(name, b"")
        if not isinstance(pickled, bytes) or len(pickled) > MOST_COLUMNS * LONGEST_NAME:
            raise LayoutError(f"{self.where}: attribute {name!r} of the frame has no names of columns")
        try:
            operations = [(code.name, value) for code, value, _ in pickletools.genops(pickled)]
        except ValueError as error:
            raise FileError(f"{self.where}: attribute {name!r} of the frame is damaged") from error
        if any(code in ("GLOBAL", "STACK_GLOBAL", "REDUCE", "INST", "OBJ", "NEWOBJ") for code, _ in operations):
            raise LayoutError(f"{self.where}: attribute {name!r} of the frame is no plain list of names")
        # Places in the memo of the pickle are numbers as well.
        return [
            str(value)
            for code, value in operations
            if isinstance(value, (int, str)) and not code.endswith(("PUT", "GET", "PROTO", "FRAME"))
        ]

    def size(self) -> int:
        """Bytes of the frame in memory."""
        return 8 * int(self.rows) * len(self._places)

    def read(self, names: Sequence[str], start: int, stop: int) -> npt.NDArray[np.float64]:
        """Some columns of some rows, float64 (rows, names)."""
        result = np.empty((stop - start, len(names)))
        places = np.array([self._places[name] for name in names]).reshape(-1, 2)
        for i, (values, field) in enumerate(self._blocks):
            of_this = np.flatnonzero(places[:, 0] == i)
            if len(of_this):
                rows = values[start:stop] if field is None else values.fields(field)[start:stop]
                result[:, of_this] = rows[:, places[of_this, 1]]
        return result


def frame_in(file: Any, key: str | None, where: str) -> Frame | None:
    """The frame of a file, by its key or the only one; None where there is none.

    Raises
    ------
    LayoutError
        There are several, or none of the key.
    """
    import h5py

    keys = [
        name
        for name in file
        if isinstance(file.get(name, getlink=True), h5py.HardLink)
        and isinstance(file[name], h5py.Group)
        and file[name].attrs.get("pandas_type") in (b"frame", b"frame_table")
    ]
    if not keys:
        return None
    if key not in keys and (key is not None or len(keys) > 1):
        problem = f"no frame {key!r}" if key else "several frames"
        raise LayoutError(f"{where}: {problem}: name one of {', '.join(map(repr, keys))} as the tree")
    return Frame(file[key or keys[0]], where)
