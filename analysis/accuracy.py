#!/usr/bin/env python3
"""How accurate are the models, and what are they worth in a search: tables and plots.

python analysis/accuracy.py --models conv,graph,edge,edge-dense --output build/accuracy

First table: parameters, the validation loss of the training, and the reconstruction loss of the QCD jets by one
definition for all models, the study's, in which padding counts as particles of zeros.

Then one table for QCD jets (--qcd), and one for jets with a mass of 65 to 105 GeV of a signal (--signal), as W
have. How much the latent values say of a jet: their KL divergence, summed, in nats, and how many have more than
0.1. And what is made of it, from the mean of the latent distribution (as in scoring) and from a sample of it (what
so many nats are enough for): pt and mass of the reconstructed jet over those of the input, and the difference of
the multiplicity, as median and half of the central 68 % (width), and the correlation of tau21 before and after.

Last table: area under the ROC curve and largest significance improvement of each signal over QCD in the signal
region, for each strategy, weighted, for events with mjj within the window around the resonance mass. Uncertainties
are from 100 bootstrap replicas.
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
from hepvae.models.bundled import DETECTOR, MODELS, RESONANCES
from hepvae.models.losses import chamfer
from hepvae.output.files import make_folder
from hepvae.plots import plot_reconstruction
from hepvae.plots.histograms import observable_histogram
from hepvae.reading.sources import distinct_names
from hepvae.scoring.strategy import STRATEGIES, ScoreStrategy
from hepvae.search.separation import Measured, roc, with_uncertainty

BACKGROUND = "qcdSig"
RECONSTRUCTING = [name for name in MODELS if name != DETECTOR]
#: GeV; jets of a signal that may be those of a W.
W_MASSES = (65, 105)
#: Nats that a latent value has at least where it says something of a jet.
IN_USE = 0.1
REPLICAS, AT_ONCE = 100, 256


def study_reco_loss(jets, made) -> float:
    """Mean Chamfer distance with padding counted as particles of zeros."""
    parts = range(0, len(jets), 256)
    return float(np.concatenate([chamfer(jets[i : i + 256], made[i : i + 256], np) for i in parts]).mean())


def bootstrapped(statistic, *values) -> Measured:
    """A statistic of arrays (jets,), and its standard deviation over replicas that draw jets with replacement."""
    rng = np.random.default_rng(1)
    draws = (rng.integers(len(values[0]), size=len(values[0])) for _ in range(REPLICAS))
    return Measured(statistic(*values), float(np.std([statistic(*(v[draw] for v in values)) for draw in draws])))


def half_width(values) -> float:
    low, high = np.percentile(values, [16, 84])
    return (high - low) / 2


def with_width(values, digits: int) -> list[str]:
    """Median and half of the central 68 %, with uncertainties."""
    return [f"{bootstrapped(statistic, values):.{digits}f}" for statistic in (np.median, half_width)]


def reconstructed(vae, jets) -> tuple[dict, np.ndarray, np.ndarray]:
    """What a model makes of jets, by what it is made of; nats and latent values in use of each jet."""
    made, nats, used = {"mean": [], "sample": []}, [], []
    for part in (jets[i : i + AT_ONCE] for i in range(0, len(jets), AT_ONCE)):
        latent = vae.encoder(part)
        mean, log_var = (np.asarray(latent[name]).reshape(len(part), -1) for name in ("z_mean", "z_log_var"))
        each = 0.5 * (mean**2 + np.exp(log_var) - 1 - log_var)
        nats.append(each.sum(axis=1))
        used.append((each > IN_USE).sum(axis=1))
        for name, parts in made.items():
            parts.append(np.asarray(vae(part, training=name == "sample")["reconstruction"]))
    return {name: np.concatenate(parts) for name, parts in made.items()}, *map(np.concatenate, (nats, used))


def general_table(models, jets) -> Table:
    table = Table(title=f"Models, and jets of {len(jets):,} QCD jets", box=MARKDOWN)
    for name in ("model", "parameters", "validation loss", "reco loss, padding counted"):
        table.add_column(name, justify="left" if name == "model" else "right")
    for name, vae in models.items():
        made = np.concatenate(
            [np.asarray(vae(jets[i : i + AT_ONCE])["reconstruction"]) for i in range(0, len(jets), AT_ONCE)]
        )
        table.add_row(
            name,
            f"{vae.count_params():,}",
            f"{vae.card.provenance['validation_loss']:.3g}",
            f"{study_reco_loss(jets, made):.3g}",
        )
    return table


def reconstruction_table(models, sample: str, jets, output: Path) -> Table:
    table = Table(title=f"Reconstruction of {len(jets):,} {sample} jets", box=MARKDOWN)
    for name in ("model", "from"):
        table.add_column(name)
    for name in ("nats", "values in use", "pt ratio", "width", "mass ratio", "width"):
        table.add_column(name, justify="right")
    for name in ("multiplicity difference", "width", "tau21 correlation"):
        table.add_column(name, justify="right")
    shown = {observable: {} for observable in OBSERVABLES}
    for name, vae in models.items():
        made, nats, used = reconstructed(vae, jets)
        before = jet_observables(jets, vae.card.spec)
        massive = before["mass"] > 0
        for source, particles in made.items():
            after = jet_observables(particles, vae.card.spec)
            table.add_row(
                name,
                source,
                f"{bootstrapped(np.mean, nats):.1f}",
                f"{bootstrapped(np.mean, used):.1f}",
                *with_width(after["pt"] / before["pt"], 3),
                *with_width(after["mass"][massive] / before["mass"][massive], 3),
                *with_width(after["multiplicity"] - before["multiplicity"], 1),
                f"{bootstrapped(correlation, before['tau21'], after['tau21']):.3f}",
            )
            if source == "mean":
                for observable, samples in shown.items():
                    samples.setdefault("Input", before[observable])
                    samples[name] = after[observable]
    for observable, samples in shown.items():
        histogram = observable_histogram(samples, label=OBSERVABLES[observable])
        path = output / f"reconstruction_{sample}_{observable}.png"
        plot_reconstruction(histogram, figure_path=path, title=f"{sample} jets")
    return table


def correlation(first, second) -> float:
    return float(np.corrcoef(first, second)[0, 1])


def read_jets(files, events: int) -> np.ndarray:
    """Padded jets of dijet events."""
    return pad_scorable(hepvae.read_dijets(files, entry_stop=events), hepvae.InputSpec())


def of_w_mass(jets) -> np.ndarray:
    mass = jet_observables(jets, hepvae.InputSpec())["mass"]
    return jets[(mass > W_MASSES[0]) & (mass < W_MASSES[1])]


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
                    score = ScoreStrategy(strategy).score_of({"reco_loss": reco, "kl_loss": kl}, inferer.card)
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
        "--models",
        default=",".join(RECONSTRUCTING),
        help="bundled names or model directories (default %(default)s)",
    )
    parser.add_argument(
        "--window", type=float, default=0.2, help="share of the resonance mass (default %(default)s)"
    )
    parser.add_argument("--qcd", default=hepvae.sample_path("qcdSide"), help="files (default %(default)s)")
    parser.add_argument("--signal", default=hepvae.sample_path("GtoWW15na"), help="files (default %(default)s)")
    parser.add_argument("--events", type=int, default=2000, help="of each, at most (default %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("build/accuracy"), help="folder of the plots")
    options = parser.parse_args(arguments)
    require("tensorflow", parser.prog)
    import keras

    from hepvae.models.vae import load_vae

    keras.utils.set_random_seed(1)  # of the samples of latent distributions

    make_folder(options.output)
    named = options.models.split(",")
    inferers = {
        name: hepvae.load_inferer(named_model(path), runtime="onnxruntime")
        for name, path in zip(distinct_names(named), named)
    }
    models = {name: load_vae(inferer.path.with_name("model.keras")) for name, inferer in inferers.items()}
    qcd, signal = (read_jets(files, options.events) for files in (options.qcd, options.signal))
    console = Console() if sys.stdout.isatty() else Console(width=180)
    console.print(general_table(models, qcd))
    for sample, jets in {"QCD": qcd, "W": of_w_mass(signal)}.items():
        console.print()
        console.print(reconstruction_table(models, sample, jets, options.output))
    console.print()
    console.print(separation_table(inferers, options.window))
    for path in sorted(options.output.glob("reconstruction_*.png")):
        console.print(str(path), highlight=False)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except hepvae.HepvaeError as error:
        sys.exit(f"accuracy: {error}")
