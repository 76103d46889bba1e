"""What a SavedModel folder would do when it is loaded and called, read from its graph before either happens."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import ModelError, one_line
from ..extras import require

__all__ = ["RANDOM_OPERATORS", "check_operators", "load_saved_model"]

#: Operators of TensorFlow that run Python, or read and write files.
FORBIDDEN = (
    *("PyFunc", "PyFuncStateless", "EagerPyFunc", "NumpyFunction"),
    *("ReadFile", "WriteFile", "MatchingFiles", "ReaderReadV2", "WholeFileReaderV2", "FixedLengthRecordReaderV2"),
    *("InitializeTableFromTextFileV2", "TextLineDataset", "TFRecordDataset", "FixedLengthRecordDatasetV2"),
    *("Save", "SaveSlices", "SaveV2", "Restore", "RestoreSlice", "RestoreV2", "MergeV2Checkpoints"),
    *("LoadDataset", "SaveDataset", "SaveDatasetV2", "SnapshotDataset", "SnapshotDatasetV2", "DebugIdentityV2"),
    *("PrintV2", "RemoteCall", "LoadLibrary"),
)
#: Those that belong to the reading of the folder's own weights.
OF_WEIGHTS = ("SaveV2", "RestoreV2", "MergeV2Checkpoints")
#: Functions of TensorFlow's that do so.
SAVERS = ("__inference__traced_save", "__inference__traced_restore")
RANDOM_OPERATORS = (
    *("RandomStandardNormal", "RandomUniform", "RandomUniformInt", "TruncatedNormal"),
    *("ParameterizedTruncatedNormal", "Multinomial", "RandomGamma", "RandomPoissonV2", "RandomShuffle"),
    *("RngReadAndSkip", "RngSkip", "StatelessRandomNormal", "StatelessRandomNormalV2", "StatelessRandomUniform"),
    *("StatelessRandomUniformV2", "StatelessTruncatedNormal", "StatelessTruncatedNormalV2"),
    *("StatelessMultinomial", "StatefulStandardNormalV2", "StatefulUniform", "StatefulTruncatedNormal"),
    *("StatelessRandomUniformFullIntV2", "StatelessRandomUniformIntV2"),
)
#: A graph is far smaller than the weights, which are in other files.
MOST_BYTES = 2**28


def load_saved_model(path: Path) -> tuple[Any, dict[str, Any]]:
    """A SavedModel and its signatures by name, as graphs: no code is read back.

    Raises
    ------
    ModelError
        Its graph runs Python or reads files, and the message names the operator; or it is no SavedModel.
    """
    tf = require("tensorflow", str(path))
    from tensorflow.core.protobuf import saved_model_pb2

    file = path / "saved_model.pb"
    try:
        if file.stat().st_size > MOST_BYTES:
            raise ModelError(
                f"{file}: is larger than {MOST_BYTES >> 20} MiB: expected a graph without its weights"
            )
        model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    except OSError as error:
        raise ModelError(f"{path}: no SavedModel: {file.name}: {error.strerror}") from error
    except ModelError:
        raise
    except Exception as error:  # protobuf's own classes differ from version to version
        raise ModelError(f"{file}: not a SavedModel: {one_line(error)}") from error
    for graph in model.meta_graphs:
        check_operators((n for n in graph.graph_def.node if n.op not in OF_WEIGHTS), str(path))
        for function in graph.graph_def.library.function:
            if not function.signature.name.startswith(SAVERS):
                check_operators(function.node_def, str(path))
    try:
        loaded = tf.saved_model.load(str(path))
        return loaded, dict(getattr(loaded, "signatures", {}))
    except Exception as error:  # whatever TensorFlow's reading of a damaged folder runs into
        raise ModelError(f"{path}: not a model that TensorFlow can load: {one_line(error)}") from error


def check_operators(nodes: Iterable[Any], where: str) -> None:
    """Refuse operators that run Python or use files."""
    for node in nodes:
        if node.op in FORBIDDEN:
            raise ModelError(
                f"{where}: operator {node.op} {node.name!r} runs Python or uses files:"
                " expected a model that only computes"
            )
