#!/usr/bin/env python3
"""Scores with systematic variations in coffea: trigger, JES, JER, mass cut, heavier jet first, own weights.

python analysis/coffea_systematics.py GtoWW15na=data/GtoWW15na.root --dask local:2 --output systematics.root

Writes score against mjj (GeV) of each dataset and variation. docs/systematics.md says what a scaled jet changes.
"""

import argparse

import awkward as ak
import uproot
from coffea import processor
from coffea.nanoevents import NanoAODSchema
from scipy.special import ndtri

import hepvae
from hepvae.cluster.dask import dask_client
from hepvae.coffea import DijetScoreProcessor

JES, JER, JER_ERROR, LEAST_MASS, TRIGGER = 0.02, 0.05, 0.02, 20.0, "AK8PFJet230_SoftDropMass40"


def jets(events):
    """Jets of each variation: smeared, scaled, and cut on their mass; none of events without the trigger."""
    jets = hepvae.with_constituents(events)
    if TRIGGER in ak.fields(events.HLT if "HLT" in events.fields else None):
        jets = ak.mask(jets, events.HLT[TRIGGER])
    uniform = (events.event * 0.6180339887498949 + ak.local_index(jets, axis=1) * 0.7548776662466927) % 1
    gauss = ak.transform(lambda layout, **_: ndtri(layout.data) if layout.is_numpy else None, uniform)

    def varied(jer=JER, jes=1.0):
        factor = (1 + jer * gauss) * jes
        scaled = ak.with_field(ak.with_field(jets, jets.pt * factor, "pt"), jets.mass * factor, "mass")
        return scaled[scaled.mass > LEAST_MASS]

    energy = {"nominal": varied(), "JESUp": varied(jes=1 + JES), "JESDown": varied(jes=1 - JES)}
    return energy | {"JERUp": varied(JER + JER_ERROR), "JERDown": varied(JER - JER_ERROR)}


def weights(events):
    """Of the generator, and with the tail of mjj, which grows with the pt of the first jet, one tenth higher."""
    weight = events.genWeight if "genWeight" in events.fields else ak.ones_like(events.event)
    hard = ak.fill_none(ak.max(events.FatJet.pt, axis=1), 0) > 1000
    return {"nominal": weight, "tailUp": weight * ak.where(hard, 1.1, 1.0)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="+", metavar="NAME=FILE")
    parser.add_argument("--dask", default="local", metavar="ADDRESS")
    parser.add_argument("--mjj-min", type=float, default=1200, metavar="GEV")
    parser.add_argument("--output", default="systematics.root")
    options = parser.parse_args()
    scores = DijetScoreProcessor(
        hepvae.load_inferer("conv"), jets=jets, weights=weights, order="mass", mjj_min=options.mjj_min
    )
    fileset = {name: {"files": {path: "Events"}} for name, path in (one.split("=") for one in options.datasets)}
    with dask_client(options.dask) as client, uproot.recreate(options.output) as file:
        executor = processor.DaskExecutor(client=client, status=False)
        result = processor.Runner(executor, schema=NanoAODSchema)(fileset, processor_instance=scores)
        for dataset, steps in result["cutflow"].items():
            for variation, numbers in steps.items():
                file[f"{dataset}/{variation}"] = result["histogram"][{"dataset": dataset, "variation": variation}]
                print(dataset, variation, *(f"{number:g} {step}" for step, number in numbers.items()), sep="  ")
