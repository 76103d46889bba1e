"""The study: every cell in a fresh process, timed in turns, then parity and anomaly scores."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from ..bundled import named_model
from ..card import ModelCard
from ..errors import HepvaeError, ModelError
from ..inferers import model_file
from ..inferers.base import default_threads
from ..outputs import make_folder
from ..parity import Parity, compare_losses
from ..progress import progress_bar
from ..scores import event_score
from ..sources import distinct_names
from ..spec import InputSpec
from .cells import Cell
from .environment import environment
from .inputs import Inputs, read_sample
from .journal import Journal
from .plan import Plan, seeds
from .processes import run_module
from .timing import Opened, open_cells, time_in_turns

__all__ = ["Study", "run_study"]

#: Processes that are started together, before the cells they are for are timed one after the other.
STARTED_TOGETHER = 8
#: Runtimes are compared, and scores made, in batches of the smallest size of the study from here on.
ACCURACY_BATCH = 64
#: Jets on which the runtimes are compared for a training of this study; the models given have all.
JETS_OF_A_TRAINING = 2048


@dataclass
class Study:
    """What came out."""

    environment: dict
    records: list[dict] = field(default_factory=list)
    """Cells that were measured, as in ``results.json``."""
    failures: list[dict] = field(default_factory=list)
    """Cells that were not: what tells them apart, and ``error``."""
    inputs: list[dict] = field(default_factory=list)
    """Reading alone: seconds from files to padded jets, for each source."""
    trainings: list[dict] = field(default_factory=list)
    """Trainings made for the study."""
    parity: dict[str, dict[str, Parity]] = field(default_factory=dict)
    """For each model and training, the comparison of each further runtime with the first."""
    scores: dict[str, dict[str, tuple]] = field(default_factory=dict)
    """For each model and sample: scores and weights of its events in the signal region."""

    def to_json(self) -> str:
        """``results.json``."""
        parity = {m: {r: asdict(p) for r, p in runtimes.items()} for m, runtimes in self.parity.items()}
        content = {
            "environment": self.environment,
            "records": self.records,
            "failures": self.failures,
            "inputs": self.inputs,
            "trainings": self.trainings,
            "parity": parity,
        }
        return json.dumps(content, indent=1) + "\n"


class _Models:
    """The model files of a study, under the names that its tables use."""

    def __init__(self, plan: Plan, threads: int, folder: Path):
        self.threads, self._folder = threads, folder
        self.files = {(m, r): model_file(named_model(m, runtime=r), r) for m in plan.models for r in plan.runtimes}
        self.short = dict(zip(plan.models, distinct_names(plan.models)))
        self.cards: dict[str, ModelCard] = {}

    def digests(self) -> dict[str, str]:
        """What the files hold, so that another model of the same name is another study."""
        return {f"{m} {r}": hashlib.sha256(file.read_bytes()).hexdigest() for (m, r), file in self.files.items()}

    def folder(self, cell: Cell) -> Path:
        """Where a training of the study has its model directory."""
        return self._folder / self.short[cell.model].replace("/", "_") / cell.training.replace(" ", "-")

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

    def __init__(self, plan: Plan, models: _Models, journal: Journal, inputs: Inputs):
        self.plan, self.models, self.journal, self.inputs = plan, models, journal, inputs

    def read(self, cell: Cell, spec: InputSpec) -> tuple[str, list[str]]:
        """A file of the padded jets that a cell takes, and the files they are from."""
        files = self.inputs.addresses(cell.source, cell.rtt_ms)
        jets = self.journal.folder / f"jets-{hashlib.sha256(repr(spec).encode()).hexdigest()[:16]}.npy"
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
        folder, seed = self.models.folder(cell), seeds(self.plan.trainings).index(cell.training)
        name = f"training: {cell.model} {cell.training}"
        if name in self.journal.parts and (folder / "model.onnx").is_file():
            return
        request = {"card": self.models.card(cell).to_dict(), "output": str(folder), "seed": seed}
        keys = {"model": self.models.short[cell.model], "training": cell.training}
        self.journal.add(name, {**keys, **run_module("retraining", request)})

    def measure(self, units: list[tuple[Cell, ...]], advance) -> None:
        """Open the cells of some units at once, then time unit by unit."""
        failed: dict[Cell, str] = {}
        files: dict[Cell, str] = {}
        for cell in (cell for unit in units for cell in unit):
            try:
                self.inputs.addresses(cell.source, cell.rtt_ms)
                self.train(cell)
                files[cell] = self.models.file(cell)
            except HepvaeError as error:
                failed[cell] = str(error)
        advance(description=f"starting {len(files)} processes")
        cores = len(os.sched_getaffinity(0))
        opened = dict(zip(files, open_cells(files.items(), threads=self.models.threads, at_once=cores)))
        try:
            for unit in units:
                advance(description=str(unit[0]))
                turns = [opened[cell] for cell in unit if cell in opened]
                records = self._timed(turns)
                failed.update({one.cell: one.failure for one in turns if one.failure})
                self.journal.add(
                    unit_name(unit),
                    {"records": records, "failures": [_failure(c, failed[c]) for c in unit if c in failed]},
                )
                for one in turns:
                    one.end()
                advance(len(unit))
        finally:
            for one in opened.values():
                one.end()

    def _timed(self, turns: list[Opened]) -> list[dict]:
        """Records of cells that were opened."""
        card = next((one.information["card"] for one in turns if not one.failure), None)
        if card is None:
            return []
        self.models.cards[turns[0].cell.model] = ModelCard.from_dict(card)
        try:
            jets, files = self.read(turns[0].cell, InputSpec.from_dict(card["spec"]))
        except HepvaeError as error:
            for one in turns:
                one.failure = one.failure or str(error)
            return []
        records = time_in_turns(turns, self.plan.effort, jets=jets, files=files)
        for one in turns:
            to = self.losses_file(one.cell)
            if one.cell.batch_size == self.accuracy_batch(one.cell) and not to.exists():
                one.ask("losses", to=str(to), jets=JETS_OF_A_TRAINING if one.cell.training else None)
        return records

    def losses_file(self, cell: Cell) -> Path:
        """Where the losses of all jets by a model on a runtime are kept."""
        name = f"{self.models.short[cell.model]} {cell.training} {cell.runtime}".replace("/", "_")
        return self.journal.folder / f"losses {name}.npz"

    def accuracy_batch(self, cell: Cell) -> int:
        """The batch size at which the losses of all jets are taken."""
        sizes = {other.batch_size for unit in self.plan.units() for other in unit if _alike(cell, other)}
        return min((size for size in sizes if size >= ACCURACY_BATCH), default=max(sizes))


def _alike(first: Cell, second: Cell) -> bool:
    return (first.model, first.training, first.runtime) == (second.model, second.training, second.runtime)


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
    models = _Models(plan, threads, Path(folder, "retrained"))
    with (
        tempfile.TemporaryDirectory(prefix="hepvae-bench-") as scratch,
        Inputs(plan.input, Path(scratch)) as inputs,
    ):
        about = environment()
        samples = {name: read_sample(path) for name, path in zip(inputs.names, inputs.paths)}
        question = {
            "plan": plan.to_dict(),
            "threads": threads,
            "packages": about["packages"],
            "models": models.digests(),
            "files": [_stamp(path) for path in inputs.paths],
        }
        make_folder(folder)
        journal = Journal(folder, question)
        run = _Run(plan, models, journal, inputs)
        units = plan.units()
        missing = [unit for unit in units if not journal.done(unit_name(unit), unit)]
        cells = sum(map(len, units))
        done = cells - sum(map(len, missing))
        if done:
            print(f"going on after {done} of {cells} cells that are measured already", file=sys.stderr)
        with progress_bar("bench", cells) as advance:
            advance(done)
            for group in _groups(missing):
                run.measure(group, advance)
        study = Study({**about, "threads": threads})
        for unit in units:
            for kept, found in journal.parts[unit_name(unit)].items():
                getattr(study, kept).extend({**one, "model": models.short[one["model"]]} for one in found)
        study.inputs = [part for name, part in journal.parts.items() if name.startswith("input: ")]
        study.trainings = [part for name, part in journal.parts.items() if name.startswith("training: ")]
        _compare(study, run, samples)
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


def _compare(study: Study, run: _Run, samples) -> None:
    """Parity and scores, from the losses of all jets."""
    runtimes = run.plan.runtimes
    cells = {(c.model, c.training, c.runtime): c for unit in run.plan.units() for c in unit}
    for model, training in dict.fromkeys((model, training) for model, training, _ in cells):
        losses = {
            runtime: dict(np.load(file))
            for runtime in runtimes
            if (cell := cells.get((model, training, runtime))) and (file := run.losses_file(cell)).exists()
        }
        if not losses:
            continue
        short = run.models.short[model]
        name = f"{short}, {training}" if training else short
        first, *others = losses
        study.parity[name] = {other: compare_losses(losses[first], losses[other]) for other in others}
        if not training:
            cell = next(c for c in cells.values() if c.model == model)
            study.scores[short] = _scores(losses[[first, *others][-1]], run.models.card(cell).beta, samples)


def _scores(losses, beta: float, samples) -> dict[str, tuple]:
    """Scores and weights of the events of each sample in the signal region."""
    found, start = {}, 0
    reco_loss, kl_loss = (losses[name].reshape(-1, 2) for name in ("reco_loss", "kl_loss"))
    scores = event_score(reco_loss, kl_loss, strategy="min", kl_weight=beta)
    for name, sample in samples.items():
        chosen = start // 2 + sample.event
        start += sample.n_jets
        if len(chosen):
            found[name] = scores[chosen], sample.weight
    return found


def unit_name(unit: tuple[Cell, ...]) -> str:
    """Name of a unit in the journal."""
    cell = unit[0]
    return f"cells: {cell.model} {cell.source} {cell.rtt_ms:g} {cell.pipeline} {cell.batch_size} {cell.run}"


def _failure(cell: Cell, error: str) -> dict:
    return {**cell.keys, "error": error}


def _stamp(path: str) -> list:
    """What tells a file from an earlier one of its name."""
    if "://" in path:
        return [path]
    status = os.stat(path)
    return [path, status.st_size, status.st_mtime_ns]
