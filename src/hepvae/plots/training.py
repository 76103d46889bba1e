"""The loss curve of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..models.losses import DistanceName
from .histograms import UNITS
from .style import PlotOptions, drawing, legend_above, ticks_that_fit

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

__all__ = ["plot_history"]

#: Training losses so many times the largest validation loss are not drawn, but counted.
FAR_OUT = 10


def plot_history(
    history: Mapping[str, Sequence[float]],
    *,
    distance: DistanceName = "features",
    **options: Unpack[PlotOptions],
) -> Figure:
    """Loss curve of a training.

    Parameters
    ----------
    history : mapping of str to sequence of float
        ``loss`` and ``val_loss`` of each epoch, and of a VAE ``kl_loss``, as in ``history.json``.
    distance : str
        Of the loss of a VAE, which gives it its unit.
    **options : PlotOptions
    """
    with drawing(options) as canvas:
        from matplotlib.ticker import MaxNLocator

        axes = canvas.figure.subplots()
        epochs = np.arange(1, len(history["loss"]) + 1)
        of_vae = "kl_loss" in history or "reco_loss" in history
        sampled, mean = (" (latent sampled)", " (latent mean)") if of_vae else ("", "")
        training, validation = np.asarray(history["loss"]), np.asarray(history["val_loss"])
        # One sampled latent value far out can make the mean of an epoch 10^12 times that of others.
        highest = FAR_OUT * max(validation.max(), float(np.median(training)))
        beyond = of_vae & (training > highest)
        said = f", {beyond.sum()} far above" if beyond.any() else ""
        axes.plot(
            epochs, np.where(beyond, np.nan, training), "-o", label=f"Training{sampled}{said}", fillstyle="none"
        )
        axes.plot(epochs, validation, "-s", label=f"Validation{mean}", fillstyle="none")
        best = int(np.argmin(validation))
        axes.axvline(float(epochs[best]), color="gray", linestyle=":", label=f"Best epoch ({epochs[best]})")
        if of_vae:  # other losses may have any sign
            axes.set_yscale("log")
            ticks_that_fit(axes.yaxis)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("Epoch")
        axes.set_ylabel(f"Loss ({UNITS[distance]})" if of_vae else "Loss")
        legend_above(axes, title=canvas.title, fontsize="small", title_fontsize="small")
        canvas.write_label(axes)
    return canvas.figure
