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

    @property
    def total(self) -> FileReport:
        """All files added up. A failed one counts as nothing: what it had given was dropped whole."""
        total = FileReport("", health=Health(self.files[0].health.n_particles) if self.files else Health())
        for file in self.files:
            if file.failure is None:
                total.merge(file)
        return total

    @property
    def events_read(self) -> int:
        return self.total.events_read

    @property
    def events_without_dijet(self) -> int:
        return self.total.events_without_dijet

    @property
    def events_not_finite(self) -> int:
        return self.total.events_not_finite

    @property
    def events_kept(self) -> int:
        return self.total.events_kept

    @property
    def events_scored(self) -> int:
        return self.total.events_scored

    @property
    def unscored_jets(self) -> Counts:
        """Jets of kept events that could not be scored, counted by reason."""
        return self.total.unscored_jets

    @property
    def health(self) -> Health:
        """Of the jets of kept events of all files."""
        return self.total.health

    def __str__(self) -> str:
        total = self.total
        number = len(self.files) - len(self.failed)
        read = f"{total.events_read} read from {number} file{'s' * (number != 1)}"
        if self.all_jets:
            scored = total.health.jets - sum(total.unscored_jets.values())
            lines = [f"{self.output}: {scored} jets scored of {total.health.jets} in all events, {read}"]
        else:
            events = f"{total.events_scored} events scored of {total.events_kept} that pass the selection"
            lines = [f"{self.output}: {events} and {read}"]
        if total.events_without_dijet:
            lines.append(f"{total.events_without_dijet} events have fewer than two jets")
        if total.events_not_finite:
            lines.append(f"{total.events_not_finite} events have a jet whose momentum is not finite")
        lines += [f"{number} jets {reason}" for reason, number in total.unscored_jets.items()]
        if total.health.jets:
            lines.append(str(total.health))
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
