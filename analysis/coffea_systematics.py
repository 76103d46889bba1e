#!/usr/bin/env python3
"""Scores with systematic variations in coffea: trigger, JES, JER, mass cut, heavier jet first, own weights.

python analysis/coffea_systematics.py GtoWW15na=data/GtoWW15na.root --dask local:2 --output systematics.root
writes score against mjj (GeV) of each dataset and variation. docs/systematics.md says what a scaled jet changes.
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

JES, JER, JER_ERROR, LEAST_MASS, TRIGGER = 0.02, 0.05, 0.02, 20.0, "PFJet500"


def jets(events):
    """Jets of each variation: smeared, scaled, and cut on their mass; none of events without the trigger."""
    passed = events.HLT[TRIGGER] if "HLT" in events.fields else events.event >= 0  # our samples have no triggers
    jets = ak.mask(hepvae.with_constituents(events), passed)
    gauss = ndtri((events.event * 0.61803398875 + ak.local_index(jets, axis=1) * 0.75487766625) % 1)

    def varied(jer=JER, jes=1.0):
        factor = (1 + jer * gauss) * jes
        scaled = ak.with_field(ak.with_field(jets, jets.pt * factor, "pt"), jets.mass * factor, "mass")
        return scaled[scaled.mass > LEAST_MASS]

    energy = {"nominal": varied(), "JESUp": varied(jes=1 + JES), "JESDown": varied(jes=1 - JES)}
    return energy | {"JERUp": varied(JER + JER_ERROR), "JERDown": varied(JER - JER_ERROR)}


def weights(events):
    """Of the generator, and with those of jets beyond 1 TeV a tenth higher."""
    weight = events.genWeight if "genWeight" in events.fields else ak.ones_like(events.event)
    return {"nominal": weight, "tailUp": weight * ak.where(ak.any(events.FatJet.pt > 1000, axis=1), 1.1, 1)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("datasets", nargs="+", metavar="NAME=FILE")
    parser.add_argument("--dask", default="local", metavar="ADDRESS")
    parser.add_argument("--mjj-min", type=float, default=1200, metavar="GEV")
    parser.add_argument("--output", default="systematics.root")
    given = parser.parse_args()
    inferer, fileset = hepvae.load_inferer("conv"), dict(one.split("=") for one in given.datasets)
    scores = DijetScoreProcessor(inferer, jets=jets, weights=weights, order="mass", mjj_min=given.mjj_min)
    with dask_client(given.dask) as client, uproot.recreate(given.output) as file:
        runner = processor.Runner(processor.DaskExecutor(client=client, status=False), schema=NanoAODSchema)
        result = runner({n: {"files": {path: "Events"}} for n, path in fileset.items()}, processor_instance=scores)
        for dataset, steps in result["cutflow"].items():
            for variation, cuts in steps.items():
                file[f"{dataset}/{variation}"] = result["histogram"][{"dataset": dataset, "variation": variation}]
                print(f"{dataset} {variation}:", *(f"{number:g} {step}," for step, number in cuts.items()))
