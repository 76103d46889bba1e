"""What is counted of each file: by reading, and by scoring where it follows."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from ..errors import without_tokens
from ..jets.health import Health
from ..jets.reasons import Counts
from .layouts import SCHEMAS

__all__ = ["FileReport"]


#: What a `FileReport` counts of the entries that were read.
COUNTS = (
    *("events_read", "events_without_dijet", "events_not_finite", "events_kept", "events_scored"),
    "sum_of_weights",
)


@dataclass
class FileReport:
    """What became of one file."""

    path: str
    """As the user or the glob named it, without the token of an address."""
    entries: int = 0
    """Entries of the tree, or of those that a fileset names."""
    events_read: int = 0
    """Entries that were read."""
    events_without_dijet: int = 0
    """Events with fewer than two jets: left out."""
    events_not_finite: int = 0
    """Events with a jet whose momentum is not finite: none is ever selected."""
    events_kept: int = 0
    """Events that pass the selection."""
    events_scored: int = 0
    """Events with a score, which are the ones written."""
    sum_of_weights: float = 0.0
    """Of ``genWeight`` of the entries that were read; 0 where the file has none."""
    generated_weights: float | None = None
    """Of all events that were generated for the file, also of those that a skim left out: of its tree ``Runs``."""
    unscored_jets: Counts = field(default_factory=Counts)
    """Jets of kept events that cannot be scored, counted by reason."""
    health: Health = field(default_factory=Health)
    """Of the jets of kept events."""
    schema: str | None = None
    """Name of the layout of the file."""
    weights: str | None = None
    """Whether constituents are multiplied by the PUPPI weight of the file; None where it has none."""
    also_named: list[str] = field(default_factory=list)
    """Other names of the same file that were given: it is read once."""
    retried: list[str] = field(default_factory=list)
    """What passed, in one line each: after each the file was opened anew."""
    failure: str | None = None
    """Why the file failed, in one line; nothing of a failed file is written."""

    def __post_init__(self) -> None:
        self.path = without_tokens(self.path)

    @property
    def single_jets(self) -> bool:
        """Whether an entry of the file is one jet, and no event."""
        return self.schema is not None and SCHEMAS[self.schema].single_jets

    def merge(self, other: FileReport) -> None:
        """Add what another one has of other entries of the same file."""
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.unscored_jets.add(other.unscored_jets)
        self.health.merge(other.health)
        self.retried += other.retried
        if other.failure is None:  # one that failed may not have seen the tree
            self.also_named = other.also_named
            self.entries, self.schema, self.weights = other.entries, other.schema, other.weights
            self.generated_weights = other.generated_weights
        self.failure = self.failure or other.failure

    to_dict = asdict

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> FileReport:
        """From what `to_dict` gave."""
        health = {**values["health"], "unscorable": Counts(values["health"]["unscorable"])}
        unscored = Counts(values["unscored_jets"])
        return cls(**{**values, "unscored_jets": unscored, "health": Health(**health)})
