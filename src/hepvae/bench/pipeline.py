"""Around inference: padding, the whole way from a file to a scored file, and the import.

Measured in a process of its own, each beside what does the same without hepvae, in turns.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from timeit import timeit
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import uproot

from ..errors import HepvaeError
from ..jets.padding import FlatJets, flatten_jets, pad_into, pad_particles
from ..jets.quality import examine_jets
from ..jets.selection import Selection, select_dijets
from ..jets.spec import InputSpec
from ..models.bundled import SAMPLES, sample_path
from ..models.losses import LOSSES
from ..reading.dijets import iterate_dijets, read_dijets
from ..scoring.files import score_files
from .contenders import hepvae_inferer
from .processes import Answer, Process
from .scaling import make_file
from .timing import BEFORE

Padded = npt.NDArray[np.float32]

__all__ = ["in_turns", "measure", "pad_with_awkward", "score_with_a_script"]

ROUNDS = 7
#: Of the plain script.
BATCH = 1024


def pad_with_awkward(events: ak.Array, spec: InputSpec, *, sort: bool) -> Padded:
    """What `pad_particles` gives, by functions of awkward; constituents as they come, unless sorted by pt."""
    jets, constituents = events.jets, events.jets.constituents
    if sort:
        constituents = constituents[ak.argsort(constituents.pt, axis=-1, ascending=False, stable=True)]
    phi = (constituents.phi - jets.phi + np.pi) % (2 * np.pi) - np.pi
    columns = (constituents.eta - jets.eta, phi, constituents.pt)
    padded = (ak.fill_none(ak.pad_none(c, spec.n_particles, axis=-1, clip=True), 0) for c in columns)
    return np.stack([ak.to_numpy(c) for c in padded], axis=-1).astype(np.float32)


def score_with_a_script(paths: list[str], function: Callable[[Any], Any], spec: InputSpec, output: Path) -> int:
    """What people write: arrays by uproot, padding by awkward, a ``tf.function`` in batches, written by uproot.

    Gives the number of jets. Selection as hepvae's.
    """
    import tensorflow as tf

    jets = 0
    with uproot.recreate(output) as file:
        for path in paths:
            tree = uproot.open(path)["Events"]
            read = tree.arrays(filter_name=["FatJet_*", "PFCand_*", "FatJetPFCand_*", "event"])
            names = ("pt", "eta", "phi", "mass")
            fat = ak.zip({c: read[f"FatJet_{c}"] for c in names}, depth_limit=2)
            candidates = ak.zip({c: read[f"PFCand_{c}"] for c in names[:3]})[read.FatJetPFCand_pfCandIdx]
            counts = [ak.sum(read.FatJetPFCand_jetIdx == i, axis=1) for i in (0, 1)]
            good = (ak.num(fat) >= 2) & (counts[0] > 0) & (counts[1] > 0)
            fat, candidates = fat[good][:, :2], candidates[good]
            index = read.FatJetPFCand_jetIdx[good]
            constituents = [candidates[index == i][:, np.newaxis] for i in (0, 1)]
            events = ak.zip(
                {"jets": ak.with_field(fat, ak.concatenate(constituents, axis=1), "constituents")}, depth_limit=1
            )
            first, second = fat[:, 0], fat[:, 1]
            mjj2 = (first.mass**2 + second.mass**2) + 2 * (
                np.sqrt(first.mass**2 + (first.pt * np.cosh(first.eta)) ** 2)
                * np.sqrt(second.mass**2 + (second.pt * np.cosh(second.eta)) ** 2)
                - first.pt * second.pt * np.cos(first.phi - second.phi)
                - first.pt * second.pt * np.sinh(first.eta) * np.sinh(second.eta)
            )
            kept = ak.all((fat.pt > Selection.pt_min) & (abs(fat.eta) < Selection.eta_max), axis=1)
            kept = kept & (mjj2 > Selection.mjj_min**2)
            padded = pad_with_awkward(events[kept], spec, sort=True).reshape(-1, *spec.shape)
            outputs = [function(tf.constant(padded[i : i + BATCH])) for i in range(0, len(padded), BATCH)]
            losses = {name: np.concatenate([part[name].numpy() for part in outputs]) for name in LOSSES}
            columns = {"event": ak.to_numpy(read.event[good][kept]), "mjj": np.sqrt(ak.to_numpy(mjj2[kept]))}
            for j in (0, 1):
                columns |= {f"j{j + 1}_{name}": values[j::2] for name, values in losses.items()}
            columns["score"] = np.minimum(columns["j1_loss"], columns["j2_loss"])
            if "Events" in file:
                file["Events"].extend(columns)
            else:
                file["Events"] = columns
            jets += len(padded)
    return jets


def in_turns(sides: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Seconds of each side in each round, after one call that is not timed."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for i in range(rounds + 1):
        for name in list(sides) if i % 2 else list(sides)[::-1]:
            taken = timeit(sides[name], number=1)
            if i:
                seconds[name].append(taken)
    return seconds


def _padding(spec: InputSpec) -> Answer:
    events = ak.concatenate([read_dijets(sample_path(name)) for name in SAMPLES])
    jets = events.jets
    order = ak.argsort(jets.constituents.pt, axis=-1, ascending=False)
    falling = ak.with_field(jets, jets.constituents[order], "constituents")
    falling = ak.to_packed(ak.with_field(events, falling, "jets"))
    padded = pad_particles(events, spec)
    copy = np.empty_like(padded)
    answer: Answer = {"n_jets": 2 * len(events)}
    for name, given, sort in (("falling", falling, False), ("any order", events, True)):
        answer[name] = in_turns(
            {
                "hepvae": partial(pad_particles, given, spec),
                "awkward": partial(pad_with_awkward, given, spec, sort=sort),
                "copy": partial(np.copyto, copy, padded),
            }
        )
    return answer


def _files(folder: Path, threads: int, before: str | None) -> tuple[Answer, dict[str, list[float]]]:
    """Seconds of each side in each round, and of CPU time of those that score files."""
    from ..extras import require
    from ..models.vae import load_vae

    require("tensorflow", "the plain script")
    from ..inference.tensorflow import traced

    spec = InputSpec()
    function = traced(load_vae(folder / "model.keras"), LOSSES)
    inferer = hepvae_inferer(folder, threads)
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        # Of the samples alone, to open a file would take as long as to read its few events.
        paths = [f"{scratch}/{i}.root" for i in range(2)]
        for path in paths:
            make_file(Path(path), uproot.ZSTD(5))
        jets: list[FlatJets] = [flatten_jets(select_dijets(e)) for path in paths for e in iterate_dijets(path)]
        chosen = [examine_jets(flat).chosen for flat in jets]
        padded = [pad_into(flat, good, spec, spec.n_particles) for flat, good in zip(jets, chosen)]
        output = Path(scratch, "scored.root")

        cpu: dict[str, list[float]] = {"hepvae": []}

        def score() -> None:
            start = time.process_time()
            score_files(paths, inferer, output, overwrite=True)
            cpu["hepvae"].append(time.process_time() - start)

        def score_before() -> None:
            answer = other.ask("score", files=paths, output=f"{scratch}/before.root")
            cpu[BEFORE].append(answer["cpu_s"])

        sides: dict[str, Callable[[], object]] = {"hepvae": score}
        if before is not None:
            cell: dict[str, Any] = {"runtime": BEFORE, "pipeline": "numpy", "batch_size": 1}
            other = Process(before=before, path=str(folder), threads=threads, **cell)
            stack.callback(other.end)
            sides[BEFORE], cpu[BEFORE] = score_before, []

        def read() -> None:
            for path in paths:
                for events in iterate_dijets(path):
                    flatten_jets(select_dijets(events))

        seconds = in_turns(
            {
                **sides,
                "script": lambda: score_with_a_script(paths, function, spec, Path(scratch, "script.root")),
                "reading": read,
                "padding": lambda: [pad_into(f, c, spec, spec.n_particles) for f, c in zip(jets, chosen)],
                "inference": lambda: [inferer(block) for block in padded],
            },
            rounds=5,
        )
        ours, theirs = (uproot.open(f"{scratch}/{name}.root")["Events"].arrays() for name in ("scored", "script"))
        if len(ours) != len(theirs) or not np.allclose(ours.score, theirs.score, rtol=1e-3):
            raise HepvaeError("the plain script has other scores than hepvae")
    return {"n_jets": sum(map(len, chosen)), **seconds}, {name: used[1:] for name, used in cpu.items()}


def _imports() -> Answer:
    def process(code: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, "-c", code], check=True)

    # with the names of a script that scores: `import hepvae` alone imports nothing
    ours = "from hepvae import iterate_dijets, load_inferer, score_dijets, score_files"
    return in_turns({"hepvae": process(ours), "uproot": process("import uproot")})


def measure(folder: str, threads: int, before: str | None = None) -> Answer:
    """Seconds of each side in each round, by what is measured."""
    files, cpu = _files(Path(folder), threads, before)
    return {"padding": _padding(InputSpec()), "files": files, "cpu": cpu, "import": _imports()}
