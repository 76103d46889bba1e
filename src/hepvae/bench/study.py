"""The study: every cell in a fresh process, timed in turns, then parity and anomaly scores."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from ..conversion.parity import Parity
from ..errors import HepvaeError, ModelError
from ..execution.progress import progress_bar
from ..execution.threads import default_threads
from ..inference import model_file, named_model
from ..inference.transport import digest
from ..jets.spec import InputSpec
from ..models.card import ModelCard
from ..output.files import make_folder
from ..output.journal import Journal
from ..reading.sources import distinct_names, stamp
from .accuracy import Accuracy, SampleScores, parity_of, scores_of
from .cells import Cell, Plan, Record, cell_key, seeds
from .environment import environment
from .inputs import Inputs, read_sample
from .processes import run_module
from .timing import Opened, open_cells, time_in_turns

__all__ = ["Study", "run_study", "unfinished"]

#: Processes that are started together, before the cells they are for are timed one after the other.
STARTED_TOGETHER = 8


@dataclass
class Study:
    """What came out."""

    environment: Record
    settings: Record = field(default_factory=dict)
    """How long was measured, and which files were given."""
    records: list[Record] = field(default_factory=list)
    """Cells that were measured, as in ``results.json``."""
    failures: list[Record] = field(default_factory=list)
    """Cells that were not: what tells them apart, and ``error``."""
    inputs: list[Record] = field(default_factory=list)
    """Reading alone: seconds from files to padded jets, for each source."""
    trainings: list[Record] = field(default_factory=list)
    """Trainings made for the study."""
    parity: dict[str, dict[str, Parity]] = field(default_factory=dict)
    """For each model and training, the comparison of each further runtime with the first."""
    scores: dict[str, dict[str, SampleScores]] = field(default_factory=dict)
    """For each model and sample: scores and weights of its events in the signal region."""
    strategies: dict[str, str] = field(default_factory=dict)
    """How the losses of two jets become a score, for each model."""

    def to_dict(self) -> Record:
        """What was measured, in plain values, as in ``results.json``."""
        parity = {m: {r: asdict(p) for r, p in runtimes.items()} for m, runtimes in self.parity.items()}
        plain = ("environment", "settings", "records", "failures", "inputs", "trainings")
        return {**{name: getattr(self, name) for name in plain}, "parity": parity}


class Subjects:
    """The models of a study.

    Parameters
    ----------
    plan : Plan
    threads : int
        That a runtime may use.
    retrained : path
        Folder of the model directories that the study makes.

    Raises
    ------
    ModelError
        A model has no file for a runtime of the plan.
    """

    def __init__(self, plan: Plan, threads: int, retrained: Path):
        self.threads, self._retrained = threads, retrained
        self.files = {(m, r): model_file(named_model(m, runtime=r), r) for m in plan.models for r in plan.runtimes}
        self.short = dict(zip(plan.models, distinct_names(plan.models)))
        """Name in tables, by what the user wrote."""
        self.cards: dict[str, ModelCard] = {}
        """By what the user wrote, once known."""

    def digests(self) -> dict[str, str]:
        """What the files hold, so that another model of the same name is another study."""
        return {f"{m} {r}": digest(file) for (m, r), file in self.files.items()}

    def folder(self, cell: Cell) -> Path:
        """Where a training of the study has its model directory."""
        return self._retrained / self.short[cell.model].replace("/", "_") / cell.training.replace(" ", "-")

    def file(self, cell: Cell) -> str:
        """The model file of a cell."""
        if cell.training:
            return str(model_file(self.folder(cell), cell.runtime))
        return str(self.files[cell.model, cell.runtime])

    def card(self, cell: Cell) -> ModelCard:
        """What the model of a cell says of itself."""
        if cell.model not in self.cards:
            (one,) = open_cells([(cell, self.file(replace(cell, training="")))], threads=self.threads)
            one.end()
            if one.failure:
                raise ModelError(one.failure)
            self.cards[cell.model] = ModelCard.from_dict(one.information["card"])
        return self.cards[cell.model]


class _Run:
    """A study while it runs."""

    def __init__(self, plan: Plan, subjects: Subjects, journal: Journal, inputs: Inputs):
        self.plan, self.subjects, self.journal, self.inputs = plan, subjects, journal, inputs
        self.accuracy = Accuracy(plan, journal.folder)
        self._refused: dict[str, HepvaeError] = {}

    def read(self, cell: Cell, spec: InputSpec) -> tuple[str, list[str]]:
        """A file of the padded jets that a cell takes, and the files they are from."""
        files = self.inputs.addresses(cell.source, cell.rtt_ms)
        jets = self.journal.folder / f"{hashlib.sha256(repr(spec).encode()).hexdigest()[:16]}.npy"
        name = f"input: {cell.source} {cell.rtt_ms:g} {spec}"
        if name not in self.journal.parts or not jets.exists():
            keys = {"source": cell.source, "rtt_ms": cell.rtt_ms, "n_particles": spec.n_particles}
            request = {"files": files, "spec": spec.to_dict(), "to": str(jets)}
            self.journal.add(name, {**keys, **run_module("reader", request)})
        return str(jets), files

    def train(self, cell: Cell) -> None:
        """The training that a cell is about, unless it was made before."""
        if not cell.training:
            return
        folder, seed = self.subjects.folder(cell), seeds(self.plan.trainings).index(cell.training)
        name = f"training: {cell.model} {cell.training}"
        if name in self.journal.parts and (folder / "model.onnx").is_file():
            return
        if name in self._refused:
            raise self._refused[name]
        request = {"card": self.subjects.card(cell).to_dict(), "output": str(folder), "seed": seed}
        keys = {"model": self.subjects.short[cell.model], "training": cell.training}
        try:
            self.journal.add(name, {**keys, **run_module("retraining", request)})
        except HepvaeError as error:
            self._refused[name] = error
            raise

    def measure(self, units: list[tuple[Cell, ...]], advance: Callable[..., None]) -> None:
        """Open the cells of some units at once, then time unit by unit."""
        failed: dict[Cell, str] = {}
        files: dict[Cell, str] = {}
        for cell in (cell for unit in units for cell in unit):
            try:
                self.inputs.addresses(cell.source, cell.rtt_ms)
                self.train(cell)
                files[cell] = self.subjects.file(cell)
            except HepvaeError as error:
                failed[cell] = str(error)
        advance(description=f"starting {len(files)} processes")
        cores = len(os.sched_getaffinity(0))
        opened = dict(zip(files, open_cells(files.items(), threads=self.subjects.threads, at_once=cores)))
        try:
            for unit in units:
                advance(description=str(unit[0]))
                turns = [opened[cell] for cell in unit if cell in opened]
                records = self._timed(turns)
                failed.update({one.cell: one.failure for one in turns if one.failure})
                failures = [{**cell.keys, "error": failed[cell]} for cell in unit if cell in failed]
                self.journal.add(unit_name(unit), {"records": records, "failures": failures})
                for one in turns:
                    one.end()
                advance(len(unit))
        finally:
            for one in opened.values():
                one.end()

    def _timed(self, turns: list[Opened]) -> list[Record]:
        """Records of cells that were opened."""
        card = next((one.information["card"] for one in turns if not one.failure), None)
        if card is None:
            return []
        self.subjects.cards[turns[0].cell.model] = ModelCard.from_dict(card)
        try:
            jets, files = self.read(turns[0].cell, InputSpec.from_dict(card["spec"]))
        except HepvaeError as error:
            for one in turns:
                one.failure = one.failure or str(error)
            return []
        records = time_in_turns(turns, self.plan.effort, jets=jets, files=files)
        for one in turns:
            self.accuracy.take(one)
        failed = [cell_key(one.cell.keys) for one in turns if one.failure]
        return [record for record in records if cell_key(record) not in failed]


def run_study(plan: Plan, folder: Path) -> Study:
    """Run a study; cells that fail are reported, and do not end it.

    Parameters
    ----------
    plan : Plan
    folder : path
        Of the output. What is measured is kept below it until all is: a study that was interrupted goes on.

    Raises
    ------
    HepvaeError
        The input cannot be read, or a model is missing.
    """
    threads = default_threads()
    subjects = Subjects(plan, threads, Path(folder, "retrained"))
    with Inputs(plan.input) as inputs:
        about = environment()
        samples = {name: read_sample(path) for name, path in zip(inputs.names, inputs.paths)}
        config = {
            "plan": plan.to_dict(),
            "threads": threads,
            "machine": {name: about[name] for name in ("processor", "cores_usable", "packages", "variables")},
            "models": subjects.digests(),
            "files": [stamp(path) for path in inputs.paths],
        }
        make_folder(folder)
        with Journal(unfinished(folder), config) as journal:
            run = _Run(plan, subjects, journal, inputs)
            units = plan.units()
            missing = [unit for unit in units if not _is_done(journal, unit)]
            cells = sum(map(len, units))
            done = cells - sum(map(len, missing))
            if journal.changed:
                print(
                    f"the unfinished study there differs in {', '.join(journal.changed)}: starting over",
                    file=sys.stderr,
                )
            if done:
                print(f"continuing: {done} of {cells} configurations are measured already", file=sys.stderr)
            with progress_bar("bench", cells) as advance:
                advance(done)
                for group in _groups(missing):
                    run.measure(group, advance)
            study = Study({**about, "threads": threads}, plan.settings)
            for unit in units:
                for kept, rows in journal.parts[unit_name(unit)].items():
                    getattr(study, kept).extend({**one, "model": subjects.short[one["model"]]} for one in rows)
            study.inputs = [part for name, part in journal.parts.items() if name.startswith("input: ")]
            study.trainings = [part for name, part in journal.parts.items() if name.startswith("training: ")]
            for model, training in dict.fromkeys((m, t) for m, t, _ in run.accuracy.cells):
                losses = run.accuracy.losses(model, training)
                if not losses:
                    continue
                short = subjects.short[model]
                study.parity[f"{short}, {training}" if training else short] = parity_of(losses)
                if not training:
                    (*_, last), cell = losses, next(c for c in run.accuracy.cells.values() if c.model == model)
                    card = subjects.card(cell)
                    study.scores[short] = scores_of(losses[last], card, samples)
                    study.strategies[short] = card.strategy
    return study


def _groups(units: list[tuple[Cell, ...]]) -> list[list[tuple[Cell, ...]]]:
    """Units whose processes are started together."""
    groups: list[list[tuple[Cell, ...]]] = []
    for unit in units:
        if groups and sum(map(len, groups[-1])) + len(unit) <= STARTED_TOGETHER:
            groups[-1].append(unit)
        else:
            groups.append([unit])
    return groups


def unit_name(unit: tuple[Cell, ...]) -> str:
    """Name of a unit in the journal."""
    cell = unit[0]
    return f"cells: {cell.model} {cell.source} {cell.rtt_ms:g} {cell.pipeline} {cell.batch_size} {cell.run}"


def _is_done(journal: Journal, unit: tuple[Cell, ...]) -> bool:
    """Whether all cells of a unit are measured; those that failed are not, and are tried again."""
    known = {cell_key(record) for record in journal.parts.get(unit_name(unit), {}).get("records", ())}
    return all(cell_key(cell.keys) in known for cell in unit)


def unfinished(output: Path) -> Path:
    """Where the parts of a study are kept until it is whole and its report is written."""
    return Path(output, ".hepvae-bench-unfinished")
