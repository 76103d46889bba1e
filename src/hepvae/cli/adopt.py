"""``hepvae adopt``."""

from __future__ import annotations

from pathlib import Path

import click

from ..execution.command import Command, option
from ..execution.option_types import PATH
from ..output.files import check_output, whole_file
from ..output.text import terminal_text
from .options import overwrite_option


@click.command("adopt", cls=Command)
@click.argument("model", type=PATH, metavar="MODEL")
@option("--decoder", type=PATH, help="where MODEL is an encoder: what takes its z_mean")
@option("--card", type=PATH, help="TOML file: the inputs, outputs and losses that MODEL does not say itself")
@option("--check", multiple=True, metavar="FILES", help="jets to check on  [default: the bundled samples]")
@option("--custom", type=PATH, help="Python file with names that the code of a Keras file needs; trusts it")
@option("--trust-code", is_flag=True, help="run the code that a Keras file brings along (Lambda, custom layers)")
@option("--output", type=PATH, help="the model directory to write")
@overwrite_option
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
        click.echo(terminal_text(f"hepvae: code in {model} is run, as you trust it"), err=True)
    if draft is not None:
        check_output(draft, overwrite=overwrite)
        text = draft_card(model, custom=custom, trust_code=trust_code)
        with whole_file(draft) as temporary:
            temporary.write_text(text)
        given = f"{model} --decoder {decoder}" if decoder else model
        click.echo(terminal_text(f"{draft}: complete it, then: hepvae adopt {given} --card {draft} --output DIR"))
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
        click.echo(terminal_text(f"{output}: {compared[name]}, {parity}"))
    return 0
