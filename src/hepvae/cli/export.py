"""``hepvae export``."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import click

from ..execution.command import Command, option
from ..execution.option_types import PATH
from ..output.text import terminal_text


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
        click.echo(terminal_text(f"{file}: TensorFlow against {name}, {function(model, file)}"))
    return 0
