"""The study: parity, then every cell in a fresh process, then the anomaly scores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import awkward as ak
import numpy as np

from ..bundled import SAMPLES, named_model, sample_path
from ..dijets import read_dijets
from ..errors import DataError, HepvaeError, ModelError
from ..inferers import load_inferer
from ..inferers.base import default_threads
from ..parity import Parity, compare
from ..progress import progress_bar
from ..quality import pad_scorable
from ..scoring import score_dijets
from ..selection import select_dijets
from ..sources import distinct_names, resolve
from .environment import environment
from .measure import Cell

__all__ = ["Plan", "Study", "in_fresh_process", "run_study"]


@dataclass(frozen=True)
class Plan:
    """What to compare."""

    models: tuple[str, ...]
    """Bundled names or model directories."""
    runtimes: tuple[str, ...]
    batch_sizes: tuple[int, ...]
    runs: int
    seconds: float
    """Time per cell, after its warm-up."""
    input: str | list[str] | None = None
    """Files to take jets from; None: the bundled samples."""


@dataclass(frozen=True)
class Study:
    """What came out."""

    environment: dict
    records: list[dict]
    """Cells that were measured, as in ``results.json``."""
    failures: list[str]
    """Cells that failed, one line each."""
    parity: dict[str, dict[str, Parity]]
    """For each model, the comparison of each further runtime with the first."""
    scores: dict[str, dict[str, tuple]]
    """For each model and sample: scores and weights of its events in the signal region."""

    def to_json(self) -> str:
        """``results.json``."""
        parity = {m: {r: asdict(p) for r, p in runtimes.items()} for m, runtimes in self.parity.items()}
        content = {
            "environment": self.environment,
            "records": self.records,
            "failures": self.failures,
            "parity": parity,
        }
        return json.dumps(content, indent=1) + "\n"


def read_samples(files) -> dict:
    """Events of each sample: of the bundled ones, or of each file."""
    if files is None:
        return {name: read_dijets(sample_path(name)) for name in SAMPLES}
    paths = [source.path for source in resolve(files)]
    return {name: read_dijets(path) for name, path in zip(distinct_names(paths), paths)}


def padded_jets(samples: dict, spec) -> np.ndarray:
    """All jets of all samples that can be scored, (jets, n_particles, n_features)."""
    jets = np.concatenate([pad_scorable(events, spec) for events in samples.values()])
    if len(jets) == 0:
        raise DataError("the input files have no jets to score")
    return jets


def run_study(plan: Plan) -> Study:
    """Run a study; cells that fail are reported, and do not end it.

    Raises
    ------
    HepvaeError
        The input cannot be read, or a model is missing.
    """
    threads = default_threads()
    files = {(m, r): named_model(m, runtime=r) for m in plan.models for r in plan.runtimes}
    short = dict(zip(plan.models, distinct_names(plan.models)))
    samples = read_samples(plan.input)
    records, failures, parity, scores = [], [], {}, {}
    cells = len(files) * len(plan.batch_sizes) * plan.runs
    with tempfile.TemporaryDirectory(prefix="hepvae-bench-") as folder, progress_bar("bench", cells) as advance:
        jets_files = {}
        for model in plan.models:
            advance(description=f"{model}: parity and scores")
            inferers = [load_inferer(files[model, r], runtime=r, threads=threads) for r in plan.runtimes]
            jets = padded_jets(samples, inferers[0].spec)
            jets_files[model] = Path(folder, f"{len(jets_files)}.npy")
            np.save(jets_files[model], jets)
            parity[short[model]] = {i.runtime: compare(inferers[0], i, jets) for i in inferers[1:]}
            regions = {name: select_dijets(events, region="signal") for name, events in samples.items()}
            scores[short[model]] = {name: _scores(e, inferers[-1]) for name, e in regions.items() if len(e)}
        # The runtimes take turns within each batch size, so that a machine that drifts touches both.
        for run in range(1, plan.runs + 1):
            for model in plan.models:
                for batch_size in plan.batch_sizes:
                    for runtime in plan.runtimes:
                        name = f"{short[model]}, {runtime}, batch {batch_size}, run {run}"
                        advance(description=name)
                        cell = Cell(
                            model=short[model],
                            path=str(files[model, runtime]),
                            runtime=runtime,
                            batch_size=batch_size,
                            run=run,
                            jets=str(jets_files[model]),
                            threads=threads,
                            seconds=plan.seconds,
                        )
                        try:
                            records.append(in_fresh_process(cell))
                        except HepvaeError as error:
                            failures.append(f"{name}: {error}")
                        advance(1)
    return Study({**environment(), "threads": threads}, records, failures, parity, scores)


def _scores(events, inferer):
    scored = score_dijets(events, inferer)
    weight = scored.genWeight if "genWeight" in scored.fields else np.ones(len(scored))
    return ak.to_numpy(scored.score), ak.to_numpy(weight)


def in_fresh_process(cell: Cell) -> dict:
    """The record of `measure`, from a process of its own; ModelError where it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "hepvae.bench.measure"],
        input=json.dumps(asdict(cell)),
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ModelError(f"exit status {done.returncode}: {last}")
    return json.loads(done.stdout.strip().splitlines()[-1])
