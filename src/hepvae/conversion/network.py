"""What every network of others is: named inputs and outputs, and how TensorFlow calls it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..errors import ModelError

__all__ = ["Network", "Shape", "TensorFlowNetwork", "dims", "random_error", "selected"]

Shape = tuple[int | None, ...]


class Network:
    """A network with named inputs and outputs; shapes as far as it tells them, None for what may vary."""

    inputs: dict[str, Shape | None]
    outputs: dict[str, Shape | None]
    #: What wrote it, for the record.
    tool: str

    @property
    def batch_size(self) -> int | None:
        """Jets that it takes at once; None: any number."""
        sizes = {shape[0] for shape in self.inputs.values() if shape}
        return next((size for size in sizes if size is not None), None)


def selected(values: Mapping[str, Any], key: str | int, where: str, what: str) -> Any:
    """One of the outputs of a network, by name or position; ModelError says what it has instead."""
    names = list(values)
    if isinstance(key, int) and key < len(names):
        return values[names[key]]
    if isinstance(key, str) and key in values:
        return values[key]
    raise ModelError(f"{where}: {what} is {key!r}: the model has the outputs {', '.join(names) or 'none'}")


def random_error(where: str, kind: str, name: str) -> ModelError:
    return ModelError(
        f"{where}: operator {kind} {name!r} is random, and an output in use needs it: scores would differ from"
        " call to call; name z_mean in [output] and give encoder and decoder apart (--decoder), so that the mean"
        ' is decoded (z = "mean")'
    )


class TensorFlowNetwork(Network):
    """A network that TensorFlow can call while it traces a graph.

    Parameters
    ----------
    call : callable
        From tensors by name to outputs: a tensor, a sequence, or by name.
    inputs, outputs : dicts of str to shape
        Empty where it does not tell.
    keep : object
        What must live as long as the network.
    """

    def __init__(
        self,
        call: Callable[[Mapping[str, Any]], Any],
        inputs: dict[str, Shape | None],
        outputs: dict[str, Shape | None],
        tool: str,
        where: str,
        keep: object = None,
    ) -> None:
        self._call, self.inputs, self.outputs, self.tool, self.where = call, inputs, outputs, tool, where
        self._keep = keep

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Outputs by name, in their order."""
        values = self._call(inputs)
        if isinstance(values, Mapping):
            return dict(values)
        parts = list(values) if isinstance(values, (list, tuple)) else [values]
        names = list(self.outputs) if len(self.outputs) == len(parts) else [str(i) for i in range(len(parts))]
        return dict(zip(names, parts))


def dims(shape: Any) -> Shape | None:
    try:
        return tuple(None if d is None else int(d) for d in shape)
    except (TypeError, ValueError):
        return None
