"""``hepvae export``."""

from __future__ import annotations

from pathlib import Path

import click

from ..execution.command import PATH, Command, option
from ..output.text import terminal_text


@click.command("export", cls=Command)
@click.argument("model", type=PATH, metavar="MODEL_DIR")
@option("--output", type=PATH, help="default: model.onnx in the directory, or beside the file")
def export(model: Path, output: Path | None) -> int:
    """Write model.onnx of MODEL_DIR, a model directory or a .keras file."""
    from ..conversion.export import export_onnx

    output = output or (model / "model.onnx" if model.is_dir() else model.with_suffix(".onnx"))
    click.echo(terminal_text(f"{output}: TensorFlow against ONNX Runtime, {export_onnx(model, output)}"))
    return 0
