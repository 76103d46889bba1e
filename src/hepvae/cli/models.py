"""Commands on a model: ``hepvae model``, ``adopt``, ``export`` and ``tune``."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import click

from ..execution.command import Command, option, say
from ..execution.option_types import PATH, Choice
from ..inference import load_inferer, named_model, runtime_names
from ..output.files import check_output, whole_file
from . import options


@click.command("model", cls=Command)
@click.argument("name", metavar="MODEL")
@options.runtime_option
@option("--json", "as_json", is_flag=True, help="the whole card as JSON")
def model(name: str, runtime: str | None, as_json: bool) -> int:
    """Show the card of MODEL, a bundled name or a path: what it takes, what it was trained on."""
    inferer = load_inferer(named_model(name, runtime=runtime), runtime=runtime)
    card = inferer.card
    if as_json:
        click.echo(card.to_json())
        return 0
    spec = card.spec
    axis = " to the jet axis" if spec.coordinates == "relative" else ""
    rows = {
        "file": inferer.path,
        "sha256": inferer.sha256,
        "runtime": inferer.runtime,
        "architecture": card.architecture,
        "particles": f"{spec.n_particles}, by falling pt" if spec.features else "",
        "features": f"{', '.join(spec.features)} ({spec.coordinates}{axis})" if spec.features else "",
        "features of jets": ", ".join(spec.jet_features),
        "mean": ", ".join(f"{value:.4g}" for value in card.mean),
        "std": ", ".join(f"{value:.4g}" for value in card.std),
        "loss": f"reco_loss + {card.beta:g} kl_loss, distance of {card.distance}"
        if "kl_loss" in card.losses
        else ", ".join(card.losses),
        **card.hyperparameters,
        **card.provenance,
    }
    for key, value in rows.items():
        if value == "":  # of a model of another kind
            continue
        text, lines = _plain(value), ""
        if key == "card":  # of an adopted model, as its file has it
            text, lines = text.rstrip().replace("\n", f"\n{'':<22}"), "\n"
        say(f"{key.replace('_', ' '):<22}{text}", keep=lines)
    return 0


def _plain(value: object) -> str:
    """As people write it: no braces, and no more digits than count."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key.replace('_', ' ')} {_plain(one)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@click.command("adopt", cls=Command)
@click.argument("model", type=PATH, metavar="MODEL")
@option("--decoder", type=PATH, help="where MODEL is an encoder: what takes its z_mean")
@option("--card", type=PATH, help="TOML file: the inputs, outputs and losses that MODEL does not say itself")
@option("--check", multiple=True, metavar="FILES", help="jets to check on  [default: the bundled samples]")
@option("--custom", type=PATH, help="Python file with names that the code of a Keras file needs; trusts it")
@option("--trust-code", is_flag=True, help="run the code that a Keras file brings along (Lambda, custom layers)")
@option("--output", type=PATH, help="the model directory to write")
@options.overwrite_option
@option("--draft", type=PATH, help="write a card with what MODEL itself tells, instead of adopting it")
def adopt(
    model: Path,
    decoder: Path | None,
    card: Path | None,
    check: tuple[str, ...],
    custom: Path | None,
    trust_code: bool,
    output: Path | None,
    overwrite: bool,
    draft: Path | None,
) -> int:
    """Write the model directory of MODEL, which others trained: Keras (.keras, .h5), SavedModel or .onnx."""
    from ..conversion.adoption import adopt, draft_card

    trust_code = trust_code or custom is not None
    if trust_code:
        say(f"hepvae: code in {model} is run, as you trust it", err=True)
    if draft is not None:
        check_output(draft, overwrite=overwrite)
        text = draft_card(model, custom=custom, trust_code=trust_code)
        with whole_file(draft) as temporary:
            temporary.write_text(text)
        given = f"{model} --decoder {decoder}" if decoder else model
        say(f"{draft}: complete it, then: hepvae adopt {given} --card {draft} --output DIR")
        return 0
    if card is None or output is None:
        missing = "card" if card is None else "output"
        raise click.UsageError(f"--{missing} is missing (--draft writes a first card)")
    parities = adopt(
        model,
        card,
        decoder=decoder,
        output=output,
        jets=list(check) or None,
        custom=custom,
        trust_code=trust_code,
        overwrite=overwrite,
    )
    compared = {
        "source": "ONNX Runtime against the model as it came",
        "tensorflow": "ONNX Runtime against TensorFlow",
        "litert": "LiteRT against TensorFlow",
    }
    for name, parity in parities.items():
        say(f"{output}: {compared[name]}, {parity}")
    return 0


@click.command("export", cls=Command)
@click.argument("model", type=PATH, metavar="MODEL_DIR")
@option(
    "--output",
    type=PATH,
    help="one file, .onnx or .tflite  [default: model.onnx and model.tflite in the directory, or beside the file]",
)
def export(model: Path, output: Path | None) -> int:
    """Write model.onnx and model.tflite of MODEL_DIR, a model directory or a .keras file."""
    from ..conversion.export import export_litert, export_onnx

    beside = model / "model.onnx" if model.is_dir() else model.with_suffix(".onnx")
    both = [beside, beside.with_suffix(".tflite")] if find_spec("ai_edge_litert") else [beside]
    for file in [output] if output else both:
        name, function = ("LiteRT", export_litert) if file.suffix == ".tflite" else ("ONNX Runtime", export_onnx)
        say(f"{file}: TensorFlow against {name}, {function(model, file)}")
    return 0


@click.command("tune", cls=Command)
@options.model_option
@option("--runtime", type=Choice(runtime_names()), help="the only one to measure  [default: all]")
@options.threads_option
def tune(model: str, runtime: str | None, threads: int | None) -> int:
    """Measure how a model is run fastest on this machine, and keep it.

    Of a model directory, all runtimes that it has a file for.
    """
    from ..inference.tune import tune as measure

    tuned = measure(model, runtime=runtime, threads=threads)
    for name, reason in tuned.refused.items():
        say(f"{name}: not measured: {reason}")
    say(f"{'runtime':<14}  {'block size':>10}  {'threads on':<10}  us/jet")
    for setting, seconds in sorted(tuned.seconds.items(), key=lambda both: both[1]):
        chosen, tuning = "  chosen" if setting == tuned.chosen else "", setting.tuning
        say(f"{setting.runtime:<14}  {tuning.block_size:>10}  {tuning.parallel:<10}  {1e6 * seconds:6.1f}{chosen}")
    if tuned.table is not None:
        say(f"{tuned.table}: used for such a model on this machine from now on")
    return 0
