"""``hepvae plot``."""

from __future__ import annotations

import json
import logging
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ..errors import OptionError
from ..execution.command import Command, option, say
from ..execution.option_types import Number, Whole, as_number
from ..options import check_choice, check_number
from ..output.files import check_output, whole_file
from .options import overwrite_option

logger = logging.getLogger(__name__)

#: No figure shows more.
MOST_BINS = 10_000


@click.command("plot", cls=Command)
@click.argument("scored", nargs=-1, required=True, metavar="[NAME=]SCORED...")
@option(
    "--output",
    multiple=True,
    default=("anomaly_score.png",),
    metavar="FILE",
    help="the figure, in the format of its suffix; more than once: in each; without a suffix: .png and .pdf"
    "  [default: anomaly_score.png]",
)
@option("--variable", default="score", metavar="X[,Y]", help="column of the scored files, or two columns")
@option("--data", metavar="NAME", help="the sample that is drawn as points")
@option("--stack", multiple=True, metavar="NAME", help="a background, filled, on top of others; more than once")
@option("--scale", multiple=True, metavar="NAME=FACTOR", help="of the weights of a sample; more than once")
@option("--bins", type=Whole(1, MOST_BINS), default=40, help="of each axis")
@option("--label", default="Simulation", help='above the axes; "CMS Preliminary" has CMS in bold')
@option("--lumi", type=Number(0, unit="fb-1"), help="integrated luminosity, fb-1, above the axes")
@option("--energy", type=Number(0, unit="TeV"), default=13.0, help="of the collisions, TeV")
@option("--title", help="heading of the legend")
@option("--save", is_flag=True, help="also the histograms, one for each sample, beside the figure as .root")
@overwrite_option
def plot(
    scored: tuple[str, ...],
    output: tuple[str, ...],
    variable: str,
    data: str | None,
    stack: tuple[str, ...],
    scale: tuple[str, ...],
    bins: int,
    label: str,
    lumi: float | None,
    energy: float,
    title: str | None,
    save: bool,
    overwrite: bool,
) -> int:
    """Draw scores, or other columns, of SCORED, files or folders of hepvae score; each is a sample.

    Weights of a folder whose fileset has the cross-section are scaled to it, and to --lumi.
    Samples are normalised to one, unless there is data or a stack. Those whose names begin with QCD are filled.
    """
    from ..plots import plot_jet_against_jet, plot_scores
    from ..plots.histograms import loss_labels, score_label, variables_histogram
    from ..plots.style import PlotOptions
    from ..scoring.collected import PER_WEIGHT, read_sample

    samples = _named(scored)
    variables = [name.strip() for name in variable.split(",")]
    if len(variables) > 2:
        raise OptionError(f"--variable is {variable!r}: expected one column, or two with a comma between them")
    for name, given in (("--data", (data,) if data else ()), ("--stack", stack)):
        for one in given:
            check_choice(name, one, samples)
    factors = _factors(scale, samples)
    figures = [
        path.with_suffix(suffix)
        for path in map(Path, output)
        for suffix in ([path.suffix] if path.suffix else [".png", ".pdf"])
    ]
    saved = [figures[0].with_suffix(".root")] if save else []
    for path in (*figures, *saved):
        check_output(path, overwrite=overwrite)
    columns, kinds, labels = {}, dict[str, tuple[str, str]](), dict[str, str]()
    for name, path in samples.items():
        values, weight, provenance = read_sample(path, variables, luminosity=lumi)
        columns[name] = values, weight * factors.get(name, 1.0)
        if lumi and (data or stack) and PER_WEIGHT not in provenance and name not in (data, *factors):
            logger.warning(
                "%s: no cross-section of its events is known, and they are not scaled to %g fb-1: --scale %s does",
                *(name, lumi, shlex.quote(f"{name}=FACTOR")),
            )
        label_of_score = score_label(_model_of(provenance), provenance.get("strategy"))
        kind = [provenance.get(key) for key in ("card", "kl_weight", "convention")]
        kinds[name] = label_of_score, json.dumps(kind, sort_keys=True)
        for loss, of_loss in loss_labels(provenance.get("card") or {}).items():
            labels |= {f"j{jet}_{loss}": f"Jet {jet}: {of_loss}" for jet in (1, 2)}
    if len({label for label, _ in kinds.values()}) == 1:
        labels["score"] = label_of_score
    if "score" in variables and len(set(kinds.values())) > 1:
        logger.warning(
            "scores of other models, trainings or strategies do not compare: %s",
            "; ".join(f"{name}: {label}" for name, (label, _) in kinds.items()),
        )
    histogram = variables_histogram(columns, variables, bins=bins, labels=labels)
    options: PlotOptions = {
        "figure_path": figures,
        "label": label,
        "energy": f"{energy:g}",
        "lumi": lumi,
        "title": title,
    }
    if len(variables) == 2:
        if data or stack:
            raise OptionError("--data and --stack: expected one column of --variable")
        plot_jet_against_jet(histogram, **options)
    else:
        plot_scores(histogram, data=data, stack=stack, **options)
    for path in saved:
        import uproot

        with whole_file(path) as temporary, uproot.recreate(temporary) as file:
            for name in samples:
                file["".join(c if c.isalnum() else "_" for c in name)] = histogram[{"dataset": name}]
    for path in (*figures, *saved):
        say(str(path))
    return 0


def _model_of(provenance: Mapping[str, Any]) -> str | None:
    """The name of an adopted model, else of its file or folder; older scored files tell the architecture."""
    card = provenance.get("card") or {}
    of_files = str(provenance.get("model", "model.onnx"))
    architecture = card.get("architecture") if of_files.startswith("model.") else of_files
    return (card.get("hyperparameters") or {}).get("name") or architecture


def _named(scored: tuple[str, ...]) -> dict[str, Path]:
    """Files by the names of their samples: those that the user gives, else of the files."""
    from ..reading.sources import distinct_names

    given = [("", one) if Path(one).exists() or "=" not in one else tuple(one.split("=", 1)) for one in scored]
    files: dict[str, str] = {}
    for (_, path), one in zip(given, scored):
        same = files.setdefault(os.path.realpath(path), one)
        if same != one:
            raise OptionError(f"{same} and {one} are the same file: expected another one, or one name of it")
    samples: dict[str, Path] = {}
    for (name, path), plain in zip(given, distinct_names([path for _, path in given])):
        if (name or plain) in samples:
            raise OptionError(f"{name or plain!r}: expected a name for each sample once")
        samples[name or plain] = Path(path)
    return samples


def _factors(scale: tuple[str, ...], samples: dict[str, Path]) -> dict[str, float]:
    factors = {}
    for one in scale:
        name, _, text = one.rpartition("=")
        factor = check_number("--scale", as_number(text, float), lowest=0)
        factors[check_choice("--scale", name, samples)] = factor
    return factors
