"""How files are read: `ReadOptions`, checked once and passed whole."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from numbers import Integral
from typing import Any

from ..errors import OptionError
from ..jets.spec import InputSpec
from ..options import check_choice, check_whole_number
from ..storage.access import ACCESS, Access
from .layouts import FAT_JETS, SCHEMAS, JetCollection, SchemaName

__all__ = ["STEP_SIZE", "ReadOptions"]

#: Unless told otherwise, the uncompressed size of a chunk.
STEP_SIZE = "100 MB"

_SIZE = re.compile(r"(\d+(?:\.\d+)?) *([kMGT]?)B", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


@dataclass(frozen=True)
class ReadOptions:
    """Which tree of a file is read, in which layout, how much at once, and how patiently.

    Raises
    ------
    OptionError
        There is no such schema, a column has no name, or the step size is neither a size nor a number of entries.
    """

    tree: str | None = None
    """Name of the tree; None: ``Events``, or the only one there is."""
    schema: SchemaName = "auto"
    """``auto`` looks at the branches; or a name of `hepvae.reading.layouts.SCHEMAS`."""
    step_size: str | int | None = STEP_SIZE
    """Uncompressed size of a chunk, or number of entries; None reads a file at once."""
    access: Access = ACCESS
    columns: tuple[str, ...] = ()
    """Of the constituents, besides pt, eta and phi: what a model needs, by name in their collection."""
    jet_columns: tuple[str, ...] = ()
    """Of the jets, besides pt, eta, phi and mass."""
    carried: Iterable[str] = ()
    """Names and patterns of further branches, which are carried along."""
    jets: JetCollection = FAT_JETS
    """The collection of jets, of files that have several."""
    all_jets: bool = False
    """Give all jets of each entry, and no dijets."""
    single_jets: bool = False
    """Give the jets of files with one jet an entry, which have no dijets."""

    def of_spec(self, spec: InputSpec | None) -> ReadOptions:
        """The same with the columns that a model takes."""
        return self if spec is None else replace(self, columns=spec.columns, jet_columns=spec.jet_columns)

    def __post_init__(self) -> None:
        given = (self.carried,) if isinstance(self.carried, str) else self.carried
        carried = tuple(given) if isinstance(given, Iterable) else (given,)
        if not all(isinstance(name, str) and name for name in carried):
            raise OptionError(f"columns are {self.carried!r}: expected names of branches, or patterns as 'HLT_*'")
        object.__setattr__(self, "carried", carried)
        if self.tree is not None and (not isinstance(self.tree, str) or not self.tree):
            raise OptionError(f"tree is {self.tree!r}: expected the name of a tree")
        check_choice("schema", self.schema, ("auto", *SCHEMAS))
        if isinstance(self.step_size, Integral):
            object.__setattr__(self, "step_size", check_whole_number("step_size", self.step_size))
        elif self.step_size is not None and (
            not isinstance(self.step_size, str) or not _SIZE.fullmatch(self.step_size)
        ):
            raise OptionError(
                f"step_size is {self.step_size!r}: expected a size like '100 MB' or a number of entries"
            )

    @property
    def step_bytes(self) -> int | None:
        """Uncompressed size of a chunk; None where the step is a number of entries, or the whole file."""
        match = _SIZE.fullmatch(self.step_size) if isinstance(self.step_size, str) else None
        return int(float(match[1]) * 1000 ** _POWERS[match[2].lower()]) if match else None

    def to_dict(self) -> dict[str, Any]:
        """What users choose as plain values, for JSON."""
        values = {**asdict(self), "carried": list(self.carried)}
        del values["all_jets"], values["single_jets"]
        return values
