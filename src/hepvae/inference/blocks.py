"""How jets are batched into blocks for a runtime: sizes, threads, and lengths of their particle axis.

A block is small enough that what a model makes of it on the way stays in the caches, whatever number of jets a
user gives at once. Each thread takes the next block that nobody has, so that no operator has to be split among
threads. Where a model masks padding and its runtime takes shorter jets, jets of like lengths go together, and
the padding behind them is not computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal, TypeVar, get_args

import numpy as np
import numpy.typing as npt

__all__ = [
    *("LEAST_SHARE", "PARALLEL", "Block", "Parallel", "Tuning", "bytes_alive", "cut", "filled_up"),
    "length_classes",
]

#: Where threads work: on blocks next to each other, or together inside the operators of one block.
Parallel = Literal["blocks", "operators"]
PARALLEL: tuple[Parallel, ...] = get_args(Parallel)

#: What a model makes of a block on the way, in bytes: more does not stay in the caches, and each thread has it.
BLOCK_BYTES = 1 << 24
#: Blocks of twice as many jets have a multiple of it.
STEP = 4
#: Fewer jets for each thread are not divided among threads, unless they make more than `SHARE_BYTES` on the way:
#: to wake a thread takes as long as some jets of a light model.
LEAST_SHARE = 6
SHARE_BYTES = 1 << 20
#: Steps of the lengths that jets are sorted into.
LENGTH_STEP = 16
#: Fewer jets of one length go with the longer ones: a run of their own costs more than their padding.
LEAST_CLASS = 16


@dataclass(frozen=True)
class Tuning:
    """How a runtime is given jets."""

    block_size: int
    """Jets of a block."""
    parallel: Parallel
    """Where threads work."""
    least_share: int = field(default=LEAST_SHARE, compare=False, repr=False)
    """Jets for each thread, at least, where several work; by the model, not measured."""

    def of_jets(self, jet_bytes: int) -> Tuning:
        """The same for a model that makes so many bytes of a jet on the way: small blocks where they are many."""
        size = min(self.block_size, BLOCK_BYTES // jet_bytes)
        share = min(max(SHARE_BYTES // jet_bytes, 1), LEAST_SHARE)
        return replace(
            self, block_size=size // STEP * STEP if size >= 2 * STEP else max(1, size), least_share=share
        )


Name = TypeVar("Name")


def bytes_alive(
    operators: Iterable[tuple[Sequence[Name], Sequence[Name]]], sizes: Mapping[Name, int], given: Sequence[Name]
) -> int:
    """The most memory that a graph needs at once for what its operators make, each value freed after its last use.

    Parameters
    ----------
    operators : iterable of (inputs, outputs)
        In the order in which they run.
    sizes : mapping
        Bytes of each value; those that are not there, as weights, take none.
    given : sequence
        Values that are there from the begin, the inputs.
    """
    operators = list(operators)
    last = {name: i for i, (inputs, _) in enumerate(operators) for name in inputs}
    alive = most = sum(sizes[name] for name in given)
    for i, (inputs, outputs) in enumerate(operators):
        alive += sum(sizes.get(name, 0) for name in outputs)
        most = max(most, alive)
        alive -= sum(sizes.get(name, 0) for name in {*inputs} if last[name] == i)
    return most


@dataclass(frozen=True)
class Block:
    """Jets that a runtime is given at once."""

    jets: slice | npt.NDArray[np.int64]
    """Which, of all that were given: a slice, or their numbers."""
    count: int
    """How many."""
    length: int
    """Of the particle axis."""


def filled_up(jets: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.float32]:
    """Jets, filled up to a number of them: with the last one, as of a jet of nothing losses are not finite."""
    if len(jets) >= size:
        return jets
    fill = np.broadcast_to(jets[-1:] if len(jets) else np.float32(0), (size - len(jets), *jets.shape[1:]))
    return np.concatenate([jets, fill])


def length_classes(least: int, most: int) -> npt.NDArray[np.int64]:
    """Lengths that jets are brought to, rising up to ``most``."""
    steps = np.arange(-(-least // LENGTH_STEP) * LENGTH_STEP, most, LENGTH_STEP)
    return np.append(steps, most).astype(np.int64)


def cut(
    count: int,
    tuning: Tuning,
    threads: int,
    length: int,
    lengths: npt.NDArray[np.integer] | None = None,
    classes: npt.NDArray[np.int64] | None = None,
    step: int = 1,
) -> list[Block]:
    """Divide jets into blocks.

    Parameters
    ----------
    count : int
        Jets.
    tuning : Tuning
    threads : int
    length : int
        Of the particle axis of all, where ``classes`` is None.
    lengths : int array (jets,), optional
        Places that each jet needs.
    classes : int array, optional
        As `length_classes` gives them.
    step : int
        Blocks of twice as many jets and more have a multiple of it, but for the last.
    """
    if classes is None or lengths is None:
        return [Block(slice(a, b), b - a, length) for a, b in _even(count, tuning, threads, step)]
    if count <= LEAST_CLASS:
        longest = int(classes[np.searchsorted(classes, lengths.max())]) if count else length
        return [Block(slice(a, b), b - a, longest) for a, b in _even(count, tuning, threads, step)]
    group = np.searchsorted(classes, lengths)
    sizes = np.bincount(group, minlength=len(classes))
    for i in range(len(classes) - 1):
        if 0 < sizes[i] < LEAST_CLASS and sizes[i + 1 :].any():
            longer = i + 1 + np.flatnonzero(sizes[i + 1 :])[0]
            group[group == i] = longer
            sizes[longer] += sizes[i]
            sizes[i] = 0
    blocks = []
    # The long ones first: what is left for the end, when threads run out of blocks, shall be short.
    for i in np.flatnonzero(sizes)[::-1]:
        jets = np.flatnonzero(group == i)
        blocks += [Block(jets[a:b], b - a, int(classes[i])) for a, b in _even(len(jets), tuning, threads, step)]
    return blocks


def _even(count: int, tuning: Tuning, threads: int, step: int) -> Iterator[tuple[int, int]]:
    """Begin and end of blocks of even sizes."""
    number = -(-count // (tuning.block_size // step * step or tuning.block_size))
    if tuning.parallel == "blocks" and count >= threads * tuning.least_share:
        number = min(-(-max(number, threads) // threads) * threads, count)
    if count < 2 * step * number:
        step = 1  # small blocks are not filled up
    units = -(-count // step)
    edges = [units * i // number * step for i in range(number)] if number else []
    return pairwise([*edges, count])
