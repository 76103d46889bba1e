#!/usr/bin/env python3
"""Generate dijet samples with Pythia 8, in NanoAODv15 names.

    python analysis/make_samples.py qcdSide GtoWW15na --events 2000 --output data

Each process becomes one ROOT file ``<output>/<process>.root`` with a TTree ``Events`` (jets,
constituents, ``genWeight``), a TTree ``Runs`` (one entry per generated chunk: number of events
generated, sum of their weights, cross-section in pb, seed) and the generator settings as the string
``provenance``. The weight in pb of an event is ``genWeight * mean(xsec) / sum(genEventSumw)``.

The work is cut into chunks, each with a seed of its own derived from (``--seed``, process, chunk).
Chunks run on all cores and are kept in ``<output>/.parts`` until the file is whole: a run that was
stopped goes on where it was when started again.

Needs ``pip install hepvae[generate]``.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import hashlib
import json
import multiprocessing
import os
import shutil
import sys
import zlib
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import awkward as ak
import numpy as np
import uproot

import hepvae

COMMON = (
    "Beams:eCM = 13000.",
    "Print:quiet = on",
    "Random:setSeed = on",
)

# The cuts at parton level lie where the efficiency of the jet-level selection has fallen to nothing
# (mHat 1050-1100 GeV: 1 event in 1000 of the weight). The bias makes the spectrum in pTHat about
# flat, so that the mjj tail is populated; genWeight carries (200 GeV / pTHat)^4.5 to undo it.
QCD = (
    "HardQCD:all = on",
    "PhaseSpace:pTHatMin = 170.",
    "PhaseSpace:mHatMin = 1050.",
    "PhaseSpace:bias2Selection = on",
    "PhaseSpace:bias2SelectionPow = 4.5",
    "PhaseSpace:bias2SelectionRef = 200.",
)

HADRONIC_W = ("24:onMode = off", "24:onIfAny = 1 2 3 4 5")
HADRONIC_Z = ("23:onMode = off", "23:onIfAny = 1 2 3 4 5")


def graviton(mass: float, coupling: float) -> tuple[str, ...]:
    """Randall-Sundrum graviton to WW to quarks; the width grows as the square of the coupling."""
    return (
        "ExtraDimensionsG*:all = on",
        f"ExtraDimensionsG*:kappaMG = {coupling}",
        f"5100039:m0 = {mass}",
        "5100039:onMode = off",
        "5100039:onIfMatch = 24 -24",
        f"PhaseSpace:mHatMin = {0.5 * mass}",
        *HADRONIC_W,
    )


def heavy_higgs(mass: float) -> tuple[str, ...]:
    """Pseudoscalar A to HZ to ZZZ to quarks, with mH = 400 GeV and a width of A of 0.5 %."""
    return (
        "Higgs:useBSM = on",
        "HiggsBSM:gg2A3 = on",
        f"36:m0 = {mass}",
        f"36:mWidth = {0.005 * mass}",
        "36:doForceWidth = on",
        "36:addChannel = 1 0.1 100 23 35",
        "36:onMode = off",
        "36:onIfMatch = 23 35",
        "35:m0 = 400.",
        "35:onMode = off",
        "35:onIfMatch = 23 23",
        *HADRONIC_Z,
    )


NARROW, BROAD = 0.2, 1.75  # kappaMG: total widths of 0.2 % and 15 % of the mass


@dataclass(frozen=True)
class Process:
    """What to generate, and which region of deta an event must lie in to be kept."""

    settings: tuple[str, ...]
    region: str | None = None


PROCESSES = {
    "qcdSide": Process(QCD, region="sideband"),
    "qcdSig": Process(QCD, region="signal"),
    **{
        f"GtoWW{label}{width}": Process(graviton(mass, coupling))
        for label, mass in (("15", 1500.0), ("25", 2500.0), ("35", 3500.0), ("45", 4500.0))
        for width, coupling in (("na", NARROW), ("br", BROAD))
    },
    **{
        f"AtoHZ{label}": Process(heavy_higgs(mass))
        for label, mass in (("15", 1500.0), ("25", 2500.0), ("35", 3500.0), ("45", 4500.0))
    },
}

BATCH = 50  # events that Pythia hands over at a time
JET_RADIUS, JET_PT_MIN = 0.8, 170.0
PARTICLE_PT_MIN, PARTICLE_ETA_MAX = 0.3, 5.0  # what a detector like CMS sees
CONSTITUENT_ETA_MAX = 2.5  # as in NanoAODv15: jets beyond it are kept without constituents
NEUTRINOS = (12, 14, 16)
BASKET = 1000  # events per basket of the final file


def round_mantissa(values, bits: int):
    """float32 values rounded to ``bits`` of mantissa, as NanoAOD stores them (cmssw#46012)."""
    mantissa, exponent = np.frexp(np.asarray(values, np.float32))
    rounded = np.round(mantissa * 2.0 ** (bits + 1)) / 2.0 ** (bits + 1)
    return np.ldexp(rounded, exponent).astype(np.float32)


def rounded_p4(p4, mass):
    """Record of pt, eta, phi, mass (GeV) at NanoAOD precision, for ragged four-vectors."""
    counts = ak.num(p4)
    columns = {
        "pt": round_mantissa(ak.flatten(p4.pt), 10),
        "eta": round_mantissa(ak.flatten(p4.eta), 12),
        "phi": round_mantissa(ak.flatten(p4.phi), 12),
        "mass": round_mantissa(np.maximum(ak.flatten(mass), 0), 10),
    }
    return {name: ak.unflatten(column, counts) for name, column in columns.items()}


def dijets(events, region):
    """Cluster generated events; give those with a selected dijet, in NanoAODv15 names."""
    import fastjet
    import vector

    vector.register_awkward()
    particles = events.prt
    pdg_id = abs(particles.id)
    visible = particles.status > 0
    for neutrino in NEUTRINOS:
        visible = visible & (pdg_id != neutrino)
    particles = particles[visible]
    particles = particles[(particles.p.pt > PARTICLE_PT_MIN) & (abs(particles.p.eta) < PARTICLE_ETA_MAX)]
    p4 = ak.zip(
        {"px": particles.p.px, "py": particles.p.py, "pz": particles.p.pz, "E": particles.p.e},
        with_name="Momentum4D",
    )

    anti_kt = fastjet.JetDefinition(fastjet.antikt_algorithm, JET_RADIUS)
    clusters = fastjet.ClusterSequence(p4, anti_kt)
    jets = clusters.inclusive_jets(min_pt=JET_PT_MIN)
    members = clusters.constituent_index(min_pt=JET_PT_MIN)
    falling = ak.argsort(jets.pt, ascending=False)
    jets, members = jets[falling], members[falling]

    jet_columns = rounded_p4(jets, jets.mass)
    two = ak.num(jets) >= 2
    table = ak.zip(jet_columns, with_name="Momentum4D")[two]
    kept = hepvae.select_dijets(hepvae.dijet_events(table, index=np.flatnonzero(two)), region=region).index
    kept = ak.to_numpy(kept)
    if len(kept) == 0:
        return None

    jets, members, p4, particles = jets[kept], members[kept], p4[kept], particles[kept]
    central = abs(jets.eta) <= CONSTITUENT_ETA_MAX
    members = ak.where(central, members, members[..., :0])
    jet_index = ak.flatten(ak.broadcast_arrays(ak.local_index(members, axis=1), members)[0], axis=2)
    particle = ak.flatten(members, axis=2)

    # PFCand holds the members of all jets by falling pt; position[k] is where particle k went.
    by_pt = ak.argsort(p4[particle].pt, ascending=False)
    position = ak.argsort(by_pt)
    stored = particle[by_pt]
    return {
        "FatJet": ak.zip(
            {**{k: v[kept] for k, v in jet_columns.items()}, "msoftdrop": soft_drop_mass(p4, members)}
        ),
        "PFCand": ak.zip(
            {
                **rounded_p4(p4[stored], particles[stored].m),
                "pdgId": ak.values_astype(particles[stored].id, np.int32),
            }
        ),
        "FatJetPFCand": ak.zip(
            {
                "jetIdx": ak.values_astype(jet_index, np.int32),
                "pfCandIdx": ak.values_astype(position, np.int32),
            }
        ),
        "genWeight": ak.to_numpy(events.info.weights[kept, 0]).astype(np.float32),
    }


def soft_drop_mass(p4, members):
    """Soft-drop mass (beta = 0, zcut = 0.1, R = 0.8) of each jet, 0 where it has no constituents."""
    import fastjet

    flat = ak.flatten(members, axis=1)
    event = np.repeat(np.arange(len(members)), ak.to_numpy(ak.num(members)))
    usable = ak.to_numpy(ak.num(flat)) >= 2
    mass = np.zeros(len(flat), np.float32)
    jets = ak.to_packed(p4[event[usable]][flat[usable]])
    cambridge = fastjet.JetDefinition(fastjet.cambridge_algorithm, 10.0)
    groomed = fastjet.ClusterSequence(jets, cambridge).exclusive_jets_softdrop_grooming(
        njets=1, beta=0.0, symmetry_cut=0.1, R0=JET_RADIUS
    )
    mass[usable] = np.nan_to_num(ak.to_numpy(groomed.msoftdrop))
    return ak.unflatten(round_mantissa(np.maximum(mass, 0), 10), ak.num(members))


def chunk_seed(base: int, process: str, chunk: int) -> int:
    """Seed of one chunk: 1 to 900,000,000, which is what Pythia takes."""
    sequence = np.random.SeedSequence([base, zlib.crc32(process.encode()), chunk])
    return 1 + int(sequence.generate_state(1)[0]) % 900_000_000


def tree_types(table):
    return {name: ak.type(ak.Array(column)).content for name, column in table.items()}


def generate_chunk(name: str, base_seed: int, chunk: int, events: int, path: Path) -> int:
    """Generate one chunk of at least ``events`` selected events to ``path``; give their number."""
    import pythia8mc

    process = PROCESSES[name]
    seed = chunk_seed(base_seed, name, chunk)
    pythia = pythia8mc.Pythia("", False)
    for setting in (*COMMON, *process.settings, f"Random:seed = {seed}"):
        if not pythia.readString(setting):
            raise SystemExit(f"Pythia does not know the setting {setting!r}")
    if not pythia.init():
        raise SystemExit(f"Pythia could not start on process {name}")

    tables, accepted, generated = [], 0, 0
    while accepted < events:
        batch = pythia.nextBatch(BATCH)
        generated += len(batch)
        table = dijets(batch, process.region)
        if table is not None:
            tables.append(table)
            accepted += len(table["genWeight"])

    table = {key: ak.concatenate([t[key] for t in tables]) for key in tables[0]}
    info = pythia.infoPython()
    table["run"] = np.ones(accepted, np.uint32)
    table["luminosityBlock"] = np.full(accepted, chunk + 1, np.uint32)
    table["event"] = chunk * 1_000_000 + np.arange(1, accepted + 1, dtype=np.uint64)
    runs = {
        "run": np.ones(1, np.uint32),
        "luminosityBlock": np.full(1, chunk + 1, np.uint32),
        "genEventCount": np.array([generated], np.int64),
        "genEventSumw": np.array([info.weightSum()]),
        "xsec": np.array([info.sigmaGen() * 1e9]),  # mb to pb
        "seed": np.array([seed], np.int64),
    }
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    write_sample(temporary, [table], [runs], provenance=None)
    os.replace(temporary, path)
    return accepted


def write_sample(path: Path, tables, runs, provenance) -> None:
    """Write events and runs as TTrees (``file[name] = dict`` would write an RNTuple)."""
    # ZLIB has a checksum of each basket: damage is seen when it is read. ZSTD, as written here, has none.
    with uproot.recreate(path, compression=uproot.ZLIB(9)) as file:
        for name, parts in (("Events", tables), ("Runs", runs)):
            tree = None
            for part in parts:
                if tree is None:
                    tree = file.mktree(name, tree_types(part), title=name)
                tree.extend(part)
        if provenance is not None:
            file["provenance"] = json.dumps(provenance, indent=1)


GROUPS = ("FatJet", "PFCand", "FatJetPFCand")


def read_part(path: Path, tree: str):
    with uproot.open(path) as file:
        columns = file[tree].arrays()
    if tree == "Runs":
        return {name: ak.to_numpy(columns[name]) for name in columns.fields}
    table = {
        group: ak.zip(
            {f.removeprefix(f"{group}_"): columns[f] for f in columns.fields if f.startswith(f"{group}_")}
        )
        for group in GROUPS
    }
    for name in ("run", "luminosityBlock", "event", "genWeight"):
        table[name] = columns[name]
    return table


def merged(parts, tree):
    """The tables of all parts in order, joined so that a basket has about BASKET events."""
    waiting, size = [], 0
    for part in parts:
        waiting.append(read_part(part, tree))
        size += len(waiting[-1]["run"])
        if size >= BASKET:
            yield {k: ak.concatenate([t[k] for t in waiting]) for k in waiting[0]}
            waiting, size = [], 0
    if waiting:
        yield {k: ak.concatenate([t[k] for t in waiting]) for k in waiting[0]}


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("processes", nargs="+", choices=PROCESSES, metavar="PROCESS", help=", ".join(PROCESSES))
    parser.add_argument("--events", type=int, default=2000, help="selected events per process (default 2000)")
    parser.add_argument("--output", type=Path, default=Path("."), help="folder of the files (default: here)")
    parser.add_argument("--seed", type=int, default=1, help="base of all seeds (default 1: the bundled samples)")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="default: all cores")
    parser.add_argument("--chunk", type=int, default=500, help="events per chunk (default 500)")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    options = parse(argv)
    options.output.mkdir(parents=True, exist_ok=True)
    plans = {}
    for name in options.processes:
        provenance = {
            "process": name,
            "settings": [*COMMON, *PROCESSES[name].settings],
            "region": PROCESSES[name].region,
            "seed": options.seed,
            "events_per_chunk": options.chunk,
            "jets": (
                f"anti-kT R={JET_RADIUS} of visible particles with pt > {PARTICLE_PT_MIN} GeV "
                f"and |eta| < {PARTICLE_ETA_MAX}"
            ),
            "versions": {p: version(p) for p in ("pythia8mc", "fastjet", "uproot")},
        }
        # Chunks made with other settings must never be mixed in: the folder's name holds a digest.
        digest = hashlib.sha256(json.dumps(provenance).encode()).hexdigest()[:12]
        folder = options.output / ".parts" / f"{name}-{digest}"
        folder.mkdir(parents=True, exist_ok=True)
        chunks = -(-options.events // options.chunk)
        sizes = [min(options.chunk, options.events - i * options.chunk) for i in range(chunks)]
        parts = [folder / f"{i:05d}-{size}.root" for i, size in enumerate(sizes)]
        plans[name] = (provenance, sizes, parts)

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    pool = concurrent.futures.ProcessPoolExecutor(options.jobs, mp_context=multiprocessing.get_context("spawn"))
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress, pool:
        tasks = {
            name: progress.add_task(
                name, total=sum(sizes), completed=sum(s for s, p in zip(sizes, parts) if p.exists())
            )
            for name, (_, sizes, parts) in plans.items()
        }
        running = {
            pool.submit(generate_chunk, name, options.seed, i, size, part): (name, size)
            for name, (_, sizes, parts) in plans.items()
            for i, (size, part) in enumerate(zip(sizes, parts))
            if not part.exists()
        }
        try:
            for done in concurrent.futures.as_completed(running):
                done.result()
                name, size = running[done]
                progress.update(tasks[name], advance=size)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise

    for name, (provenance, _, parts) in plans.items():
        path = options.output / f"{name}.root"
        temporary = path.with_name(f".{path.name}.tmp")
        write_sample(temporary, merged(parts, "Events"), merged(parts, "Runs"), provenance)
        os.replace(temporary, path)
        shutil.rmtree(parts[0].parent)
        with uproot.open(path) as file:
            print(f"{path}: {file['Events'].num_entries} events, {path.stat().st_size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
