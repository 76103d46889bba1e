#!/usr/bin/env python3
"""How accurate are the models, and what are they worth in a search: tables and plots.

python analysis/accuracy.py --models conv,graph,edge,edge-dense --output build/accuracy

First table, on the jets of the sideband sample: the validation loss of the training; the reconstruction
loss by one definition for all models, the study's, in which padding counts as particles of zeros; and pt,
mass and multiplicity of the reconstructed jets over those of the input, as median and half of the central
68 % (multiplicity: difference). Second table: area under the ROC curve and largest significance
improvement of each signal over QCD in the signal region, for each strategy, weighted, for events with mjj
within the window around the resonance mass; uncertainties from 100 bootstrap replicas.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import awkward as ak
import numpy as np
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

import hepvae
from hepvae.extras import require
from hepvae.inference import named_model
from hepvae.jets.observables import OBSERVABLES, jet_observables
from hepvae.jets.quality import pad_scorable
from hepvae.models.bundled import MODELS, RESONANCES
from hepvae.models.losses import chamfer
from hepvae.output.files import make_folder
from hepvae.plots import plot_reconstruction
from hepvae.plots.histograms import observable_histogram
from hepvae.scoring.strategy import STRATEGIES, ScoreStrategy
from hepvae.search.separation import roc, with_uncertainty

BACKGROUND, SIDEBAND = "qcdSig", "qcdSide"


def study_reco_loss(jets, made) -> float:
    """Mean Chamfer distance with padding counted as particles of zeros."""
    parts = range(0, len(jets), 256)
    return float(np.concatenate([chamfer(jets[i : i + 256], made[i : i + 256], np) for i in parts]).mean())


def spread(values, digits: int) -> str:
    low, middle, high = np.percentile(values, [16, 50, 84])
    return f"{middle:.{digits}f} ± {(high - low) / 2:.{digits}f}"


def reconstruction_table(inferers, output: Path) -> Table:
    from hepvae.models.vae import load_vae

    table = Table(title=f"Reconstruction of {SIDEBAND}", box=MARKDOWN)
    for name in ("model", "parameters", "validation loss", "reco loss, padding counted"):
        table.add_column(name, justify="left" if name == "model" else "right")
    for name in ("pt ratio", "mass ratio", "multiplicity difference"):
        table.add_column(name, justify="right")
    events = hepvae.read_dijets(hepvae.sample_path(SIDEBAND))
    shown = {observable: {} for observable in OBSERVABLES}
    for name, inferer in inferers.items():
        jets = pad_scorable(events, inferer.spec)
        made = inferer.reconstruct(jets)
        before, after = (jet_observables(padded, inferer.spec) for padded in (jets, made))
        massive = before["mass"] > 0
        table.add_row(
            name,
            f"{load_vae(inferer.path.with_name('model.keras')).count_params():,}",
            f"{inferer.card.provenance['validation_loss']:.3g}",
            f"{study_reco_loss(jets, made):.3g}",
            spread(after["pt"] / before["pt"], 3),
            spread(after["mass"][massive] / before["mass"][massive], 3),
            spread(after["multiplicity"] - before["multiplicity"], 1),
        )
        for observable, samples in shown.items():
            samples.setdefault("Input", before[observable])
            samples[name] = after[observable]
    for observable, samples in shown.items():
        path = output / f"reconstruction_{observable}.png"
        histogram = observable_histogram(samples, label=OBSERVABLES[observable])
        plot_reconstruction(histogram, figure_path=path, title="QCD, sideband")
    return table


def scored_samples(inferer) -> dict:
    """Losses (events, 2), mjj and weights of the background and the signals in the signal region."""
    samples = {}
    for name in (BACKGROUND, *RESONANCES):
        events = hepvae.select_dijets(hepvae.read_dijets(hepvae.sample_path(name)), region="signal")
        scored = hepvae.score_dijets(events, inferer)
        good = np.isfinite(ak.to_numpy(scored.score))
        losses = [
            np.stack([ak.to_numpy(scored[f"j{j}_{loss}"]) for j in (1, 2)], 1)[good]
            for loss in ("reco_loss", "kl_loss")
        ]
        samples[name] = (
            losses,
            ak.to_numpy(scored.mjj)[good],
            ak.to_numpy(scored.genWeight).astype(np.float64)[good],
        )
    return samples


def separation_table(inferers, window: float) -> Table:
    table = Table(title=f"Signal over {BACKGROUND}, mjj within {window:.0%} of the resonance mass", box=MARKDOWN)
    for name in ("model", "signal", "strategy", "AUC", "largest SI", "at background"):
        table.add_column(name, justify="left" if name in ("model", "signal", "strategy") else "right")
    for name, inferer in inferers.items():
        samples = scored_samples(inferer)
        for signal, mass in RESONANCES.items():
            for strategy in STRATEGIES:
                sides = []
                for sample in (BACKGROUND, signal):
                    (reco, kl), mjj, weight = samples[sample]
                    score = ScoreStrategy(strategy).score(reco, kl, inferer.card)
                    near = np.abs(mjj / mass - 1) < window
                    sides.append((score[near], weight[near]))
                auc = with_uncertainty(lambda curve: curve.auc, *sides)
                best = with_uncertainty(lambda curve: curve.best[0], *sides)
                table.add_row(
                    name,
                    signal,
                    strategy,
                    "{:.3f} ± {:.3f}".format(*auc),
                    "{:.2f} ± {:.2f}".format(*best),
                    f"{roc(*sides).best[1]:.1%}",
                )
    return table


def main(arguments=None) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--models", default=",".join(MODELS), help="bundled names or model directories (default %(default)s)"
    )
    parser.add_argument(
        "--window", type=float, default=0.2, help="share of the resonance mass (default %(default)s)"
    )
    parser.add_argument("--output", type=Path, default=Path("build/accuracy"), help="folder of the plots")
    options = parser.parse_args(arguments)
    require("tensorflow", parser.prog)
    make_folder(options.output)
    inferers = {
        Path(name).name: hepvae.load_inferer(named_model(name), runtime="onnxruntime")
        for name in options.models.split(",")
    }
    console = Console() if sys.stdout.isatty() else Console(width=140)
    console.print(reconstruction_table(inferers, options.output))
    console.print()
    console.print(separation_table(inferers, options.window))
    for observable in OBSERVABLES:
        console.print(str(options.output / f"reconstruction_{observable}.png"), highlight=False)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except hepvae.HepvaeError as error:
        sys.exit(f"accuracy: {error}")
