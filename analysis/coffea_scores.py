#!/usr/bin/env python3
"""Anomaly scores of dijets with coffea, on this machine or on a Dask cluster.

python analysis/coffea_scores.py GtoWW15na=data/GtoWW15na.root QCD='nano/qcd_*.root' --output coffea-output

What stands before = is the dataset. Writes anomaly_score.png, histograms.root (score against mjj of each dataset)
and cutflow.json; they equal what `hepvae score` and `hepvae plot` make of the same files.

Workers as jobs of HTCondor or Slurm are started by analysis/batch_cluster.py; --dask takes the address that it
prints.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uproot
from coffea import processor
from coffea.nanoevents import NanoAODSchema

import hepvae
from hepvae.coffea import NOMINAL, DijetScoreProcessor
from hepvae.inference import named_model
from hepvae.jets.selection import REGIONS
from hepvae.output.files import make_folder, whole_file
from hepvae.plots import plot_scores
from hepvae.reading.sources import resolve
from hepvae.scoring.strategy import STRATEGIES


class QuietSchema(NanoAODSchema):
    """Without warnings about links between collections that no dijet needs, also on workers."""

    warn_missing_crossrefs = False


@contextmanager
def executor(options) -> Iterator:
    """What runs the processor."""
    if options.dask is not None:
        from hepvae.cluster.dask import dask_client

        with dask_client(options.dask) as client:
            yield processor.DaskExecutor(client=client, status=sys.stderr.isatty(), retries=3)
    elif options.workers > 1:
        yield processor.FuturesExecutor(workers=options.workers, status=sys.stderr.isatty())
    else:
        yield processor.IterativeExecutor(status=sys.stderr.isatty())


def run(options) -> dict:
    """The added up result of the processor."""
    scores = DijetScoreProcessor(
        hepvae.load_inferer(named_model(options.model)),
        region=options.region,
        strategy=options.strategy,
        pt_min=options.pt_min,
        mjj_min=options.mjj_min,
    )
    fileset: dict = {}
    for name, _, files in (dataset.rpartition("=") for dataset in options.datasets):
        found = {source.path: options.tree for source in resolve(files)}
        for path in found:
            fileset.setdefault(name or Path(path).stem, {"files": {}})["files"][path] = options.tree
    with executor(options) as chosen:
        runner = processor.Runner(executor=chosen, schema=QuietSchema, chunksize=options.chunksize)
        return runner(fileset, processor_instance=scores)


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="+", metavar="[NAME=]FILES", help="NanoAODv15 or PFNano files")
    parser.add_argument("--model", default="conv", help="a bundled name or a path (default conv)")
    parser.add_argument("--region", choices=REGIONS)
    parser.add_argument("--strategy", choices=STRATEGIES, default="min")
    parser.add_argument("--pt-min", type=float, default=200, metavar="GEV", help="of both jets (default 200)")
    parser.add_argument("--mjj-min", type=float, default=1200, metavar="GEV", help="(default 1200)")
    parser.add_argument("--tree", default="Events")
    parser.add_argument("--chunksize", type=int, default=50_000, help="events of a chunk")
    parser.add_argument("--workers", type=int, default=1, help="processes on this machine")
    parser.add_argument("--dask", metavar="ADDRESS", help="a Dask scheduler's address, or local[:N]")
    parser.add_argument("--output", type=Path, default=Path("coffea-output"))
    parser.add_argument("--label", default="Simulation")
    options = parser.parse_args(arguments)

    try:
        result = run(options)
        make_folder(options.output)
        histogram = result["histogram"][{"variation": NOMINAL}]
        cutflow = {name: variations[NOMINAL] for name, variations in result["cutflow"].items()}
        filled = [name for name in histogram.axes["dataset"] if cutflow[name]["scored"]]
        if not filled:
            raise hepvae.DataError("no event of any dataset passes the selection: nothing to plot")
        with warnings.catch_warnings():
            # Of some datasets hist says that the others are not in an overflow, where nobody would look for them.
            warnings.filterwarnings("ignore", "List indexing selection", UserWarning)
            drawn = histogram[{"dataset": filled, "mjj": sum}]
        plot_scores(drawn, figure_path=options.output / "anomaly_score.png", label=options.label)
        with whole_file(options.output / "histograms.root") as path, uproot.recreate(path) as file:
            for name in histogram.axes["dataset"]:
                file[f"{name}/score_mjj"] = histogram[{"dataset": name}]
        with whole_file(options.output / "cutflow.json") as path:
            Path(path).write_text(json.dumps(cutflow, indent=1) + "\n")
    except hepvae.HepvaeError as error:
        print(f"coffea_scores: {error}", file=sys.stderr)
        return 1
    for name, steps in cutflow.items():
        print(f"{name}: " + ", ".join(f"{number:g} {step}" for step, number in steps.items()))
    print(options.output / "anomaly_score.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
