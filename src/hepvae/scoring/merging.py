"""One scored file of several, of equal options."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FileError, HepvaeError, LayoutError, one_line
from ..extras import require
from ..output.files import whole_file
from ..reading.dijets import check_columns
from .formats import PROVENANCE, ROWS_AT_ONCE, TREE, jets_kinds

__all__ = ["merge_files"]

#: The places of a basket and of its directory in the file, in the key before its content; of long keys.
PLACES, PLACES_AT = struct.Struct(">qq"), 18
VERSION, VERSION_AT, LONG = struct.Struct(">h"), 4, 1000


def merge_files(paths: Sequence[str], output: Path, further: Mapping[str, Any]) -> None:
    """Write the rows of scored files of equal options, one after the other; the file appears when it is whole.

    Parameters
    ----------
    output : path
        With the suffix of the files, ``.root`` or ``.parquet``.
    further : dict
        To be stored beside how they were scored.

    Raises
    ------
    FileError, LayoutError
        A file cannot be read, or has other columns than those before it.
    """
    if output.suffix == ".parquet":
        require("pyarrow", str(output))
    with whole_file(output) as temporary:
        try:
            (_merge_parquet if output.suffix == ".parquet" else _merge_root)(paths, temporary, further)
        except HepvaeError:
            raise
        except Exception as error:  # whatever a damaged file makes uproot or pyarrow raise
            if isinstance(error, OSError) and error.errno is not None:  # of the disk
                raise
            raise FileError(f"{output}: cannot be merged: {one_line(error)}") from error


def _with(provenance: str, further: Mapping[str, Any]) -> str:
    return json.dumps({**json.loads(provenance), **further})


def _merge_root(paths: Sequence[str], output: Path, further: Mapping[str, Any]) -> None:
    """Write the rows of TTrees one after the other; nothing is decompressed.

    Baskets are copied as they are, but for their place in the file; uproot then writes the header of the tree.
    """
    import uproot

    baskets = {path: _baskets(path) for path in paths}
    # Files without rows do not decide on the columns, but where there are no others.
    first = next((path for path in paths if baskets[path]), paths[0])
    with uproot.recreate(output) as new:
        with uproot.open(first, object_cache=None, array_cache=None) as file:
            columns = file[TREE].keys()
            merged = _like(new, file[TREE], sum(baskets.values()))
            provenance = str(file[PROVENANCE])
        for path in paths:
            if baskets[path]:
                with uproot.open(path, object_cache=None, array_cache=None) as file:
                    check_columns(path, columns, file[TREE].keys())
                    _append(merged, new, file[TREE], path)
        new[PROVENANCE] = _with(provenance, further)


def _baskets(path: str) -> int:
    """Of each branch of a scored file."""
    import uproot

    with uproot.open(path, object_cache=None, array_cache=None) as file:
        numbers = {branch.num_baskets for branch in file[TREE].branches}
        if len(numbers) > 1:
            raise LayoutError(
                f"{path}: its branches have different numbers of baskets: expected a file of hepvae score"
            )
        return int(numbers.pop())


def _like(file: Any, tree: Any, baskets: int) -> Any:
    """A new tree with the branches of another one, with room for so many baskets."""
    import uproot

    of_tree = {branch.name: branch.interpretation for branch in tree.branches}
    jagged = [name for name, kind in of_tree.items() if isinstance(kind, uproot.AsJagged)]
    kinds: dict[str, Any]
    if jagged:
        collection = next(name for name in of_tree if name not in jagged)[1:]  # after its counter, nFatJet
        kinds = jets_kinds(collection, jagged)
    else:
        kinds = {name: np.dtype(kind.to_dtype) for name, kind in of_tree.items()}
    return file.mktree(TREE, kinds, initial_basket_capacity=baskets + 2)


def _append(merged: Any, new: Any, tree: Any, path: str) -> None:
    """Copy the baskets of a tree, as ``WritableTTree.extend`` of uproot adds those of arrays."""
    ours, sink = merged._cascading, new.file.sink
    data = {datum["fName"]: datum for datum in ours._branch_data if datum["kind"] != "record"}
    uncompressed = compressed = 0
    for branch in tree.branches:
        datum, leaf = data[branch.name], branch.member("fLeaves")[0]
        if ours._num_baskets + branch.num_baskets >= ours._basket_capacity:
            raise LayoutError(f"{path}: has more baskets now than when it was counted")
        borders = branch.entry_offsets
        for i in range(branch.num_baskets):
            start, size = int(branch.member("fBasketSeek")[i]), int(branch.member("fBasketBytes")[i])
            content = bytearray(tree.file.source.chunk(start, start + size).raw_data.tobytes())
            if VERSION.unpack_from(content, VERSION_AT)[0] <= LONG:
                raise LayoutError(f"{path}: branch {branch.name!r}: expected baskets as hepvae score writes them")
            place = ours._freesegments.allocate(size, dry_run=False)
            PLACES.pack_into(content, PLACES_AT, place, ours._directory.key.location)
            sink.write(place, bytes(content))
            at = ours._num_baskets + i
            datum["fBasketSeek"][at], datum["fBasketBytes"][at] = place, size
            datum["fBasketEntry"][at + 1] = datum["fBasketEntry"][at] + borders[i + 1] - borders[i]
        datum["arrays_write_stop"] = ours._num_baskets + branch.num_baskets
        datum["fTotBytes"] += branch.member("fTotBytes")
        datum["fZipBytes"] += branch.member("fZipBytes")
        datum["fEntryOffsetLen"] = max(datum["fEntryOffsetLen"], branch.member("fEntryOffsetLen"))
        if datum["kind"] == "counter":
            datum["tleaf_maximum_value"] = max(datum["tleaf_maximum_value"], leaf.member("fMaximum"))
        uncompressed += branch.member("fTotBytes")
        compressed += branch.member("fZipBytes")
    ours._freesegments.write(sink)
    sink.set_file_length(ours._freesegments.fileheader.end)
    ours._num_entries += tree.num_entries
    ours._num_baskets += tree.branches[0].num_baskets
    ours._metadata["fTotBytes"] += uncompressed
    ours._metadata["fZipBytes"] += compressed
    ours.write_updates(sink)


def _merge_parquet(paths: Sequence[str], output: Path, further: Mapping[str, Any]) -> None:
    """Write the rows of Parquet files one after the other, `ROWS_AT_ONCE` at a time: pyarrow copies no pages."""
    import fsspec
    from pyarrow.parquet import ParquetFile, ParquetWriter

    @contextmanager
    def opened(path: str) -> Iterator[Any]:
        remote = fsspec.open(path, "rb") if "://" in path else nullcontext(path)
        with remote as where, ParquetFile(where) as file:
            yield file

    schema: Any = None
    for path in paths:  # the first with rows decides on the columns
        with opened(path) as file:
            if schema is None or file.metadata.num_rows:
                schema = file.schema_arrow
            if file.metadata.num_rows:
                break
    provenance = _with(schema.metadata[PROVENANCE.encode()].decode(), further)
    schema = schema.with_metadata({**schema.metadata, PROVENANCE: provenance})
    with ParquetWriter(output, schema, write_page_checksum=True) as merged:
        for path in paths:
            with opened(path) as file:
                if file.metadata.num_rows:
                    check_columns(path, schema.names, file.schema_arrow.names)
                    for batch in file.iter_batches(ROWS_AT_ONCE):
                        merged.write_batch(batch.cast(schema))
