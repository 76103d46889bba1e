"""What became of all files that were scored."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..jets.health import Health
from ..jets.reasons import Counts
from ..reading.reports import FileReport

__all__ = ["ScoreReport"]


@dataclass
class ScoreReport:
    """What became of all files."""

    output: str
    """The scored file."""
    files: list[FileReport] = field(default_factory=list)
    """One record for each input file, in order."""
    files_resumed: int = 0
    """Files that were not read again, since an earlier call that did not end had scored them."""
    all_jets: bool = False
    """Whether all jets are scored, and no events."""
    written: bool = False
    """Whether there is an output: none if all files failed, or one of a friend's."""

    @property
    def failed(self) -> list[FileReport]:
        """The files that failed."""
        return [file for file in self.files if file.failure is not None]

    def _sum(self, name: str) -> int:
        # A failed file counts as nothing: what it had given was dropped whole.
        return sum(getattr(file, name) for file in self.files if file.failure is None)

    @property
    def events_read(self) -> int:
        return self._sum("events_read")

    @property
    def events_without_dijet(self) -> int:
        return self._sum("events_without_dijet")

    @property
    def events_not_finite(self) -> int:
        return self._sum("events_not_finite")

    @property
    def events_kept(self) -> int:
        return self._sum("events_kept")

    @property
    def events_scored(self) -> int:
        return self._sum("events_scored")

    @property
    def unscored_jets(self) -> Counts:
        """Jets of kept events that could not be scored, counted by reason."""
        total = Counts()
        for file in self.files:
            if file.failure is None:
                total.add(file.unscored_jets)
        return total

    @property
    def health(self) -> Health:
        """Of the jets of kept events of all files."""
        total = Health(self.files[0].health.n_particles) if self.files else Health()
        for file in self.files:
            if file.failure is None:
                total.merge(file.health)
        return total

    def __str__(self) -> str:
        number = len(self.files) - len(self.failed)
        read = f"{self.events_read} read from {number} file{'s' * (number != 1)}"
        if self.all_jets:
            scored = self.health.jets - sum(self.unscored_jets.values())
            lines = [f"{self.output}: {scored} jets scored of {self.health.jets} in all events, {read}"]
        else:
            events = f"{self.events_scored} events scored of {self.events_kept} that pass the selection"
            lines = [f"{self.output}: {events} and {read}"]
        if self.events_without_dijet:
            lines.append(f"{self.events_without_dijet} events have fewer than two jets")
        if self.events_not_finite:
            lines.append(f"{self.events_not_finite} events have a jet whose momentum is not finite")
        lines += [f"{number} jets {reason}" for reason, number in self.unscored_jets.items()]
        if self.health.jets:
            lines.append(str(self.health))
        weights: dict[str, list[str]] = {}
        for file in self.files:
            if file.also_named:
                lines.append(f"{file.path}: read once, and named too as {', '.join(file.also_named)}")
            if file.weights:
                weights.setdefault(file.weights, []).append(file.path)
        for text, (path, *others) in weights.items():
            lines.append(f"{path}{f' and {len(others)} others' * bool(others)}: {text}")
        lines += [f"tried again: {why}" for file in self.files for why in file.retried]
        lines += [f"failed: {file.failure}" for file in self.failed]
        return "\n".join(lines)
