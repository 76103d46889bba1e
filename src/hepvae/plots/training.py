"""The loss curve of a training."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .style import cms_figure, cms_label, plain_ticks

__all__ = ["plot_history"]


def plot_history(history, *, figure_path: str | Path | None = None, title=None):
    """Loss curve of a training.

    Parameters
    ----------
    history : dict of str to list of float
        ``loss`` and ``val_loss`` of each epoch, as in ``history.json``.
    figure_path : path, optional
        Where to save the figure.

    Returns
    -------
    matplotlib Figure
    """
    with cms_figure(figure_path) as figure:
        axes = figure.subplots()
        epochs = np.arange(1, len(history["loss"]) + 1)
        axes.plot(epochs, history["loss"], "-o", label="Training (latent sampled)", fillstyle="none")
        axes.plot(epochs, history["val_loss"], "-s", label="Validation (latent mean)", fillstyle="none")
        best = int(np.argmin(history["val_loss"]))
        axes.axvline(epochs[best], color="gray", linestyle=":", label=f"Best epoch ({epochs[best]})")
        axes.set_yscale("log")
        plain_ticks(axes.yaxis)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlabel("Epoch")
        axes.set_ylabel(r"Loss (GeV$^2$)")
        axes.legend(title=title, fontsize="small", title_fontsize="small")
        cms_label(axes)
    return figure
