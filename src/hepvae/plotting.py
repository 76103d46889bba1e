"""Plots in CMS style, by mplhep. Each function returns its figure, and saves it where a path is given.

The label is the user's: by default a plot says "Simulation" and names no experiment.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import numpy as np

from .bundled import SAMPLES
from .errors import FileError
from .outputs import whole_file

__all__ = ["plot_history", "plot_memory", "plot_reconstruction", "plot_scores", "plot_timing"]

LABEL, ENERGY_TEV = "Simulation", 13


@contextmanager
def _figure(figure_path):
    """A figure in CMS style, drawn without a display, saved and closed at the end."""
    import matplotlib
    import mplhep
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.style.context(mplhep.style.CMS):
        figure = Figure(figsize=(10, 10))
        FigureCanvasAgg(figure)
        yield figure
        if figure_path is not None:
            with whole_file(figure_path) as temporary:
                try:
                    figure.savefig(temporary, bbox_inches="tight", dpi=100)
                except ValueError as error:  # of a suffix that matplotlib does not know
                    raise FileError(f"{figure_path}: cannot be written: {error}") from error


def _label(axes, *, label=LABEL, energy=ENERGY_TEV, right=None):
    import mplhep

    mplhep.label.exp_label(exp="", text=label, data=True, com=energy, rlabel=right, loc=0, ax=axes)


def plot_scores(histogram, *, figure_path: str | Path | None = None, label=LABEL, energy=ENERGY_TEV, title=None):
    """Anomaly scores of each sample, normalised to one.

    Parameters
    ----------
    histogram : hist.Hist
        As `hepvae.histograms.score_histogram` gives it. QCD samples are drawn filled.
    figure_path : path, optional
        Where to save the figure.
    label : str
        Text above the axes.
    energy : float or str
        Centre-of-mass energy in TeV.
    title : str, optional
        Heading of the legend.

    Returns
    -------
    matplotlib Figure
    """
    import mplhep

    with _figure(figure_path) as figure:
        axes = figure.subplots()
        smallest = 1.0
        names = list(histogram.axes["dataset"])
        for name in names:
            one = histogram[{"dataset": name}]
            total = one.values(flow=True).sum()
            one = one / total
            filled = name.startswith("qcd")
            style = {"histtype": "fill", "alpha": 0.3} if filled else {"histtype": "step", "linewidth": 2.5}
            (artist, *_) = mplhep.histplot(
                one, ax=axes, label=SAMPLES.get(name, name), yerr=False, flow="none", **style
            )
            patch = artist.stairs
            color = patch.get_facecolor()[:3] if filled else patch.get_edgecolor()
            mplhep.histplot(
                one,
                ax=axes,
                histtype="errorbar",
                yerr=np.sqrt(one.variances()),
                color=color,
                markersize=0,
                linewidth=1.5,
                capsize=0,
                flow="none",
            )
            smallest = min([smallest, *one.values()[one.values() > 0]])
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(histogram.axes["score"].edges[0], histogram.axes["score"].edges[-1])
        axes.set_ylim(10.0 ** np.floor(np.log10(smallest)), 30)
        axes.set_xlabel(histogram.axes["score"].label)
        axes.set_ylabel("Fraction of events")
        axes.legend(loc="upper right", title=title, fontsize="small", title_fontsize="small")
        _label(axes, label=label, energy=energy)
    return figure


def _plain_ticks(axis):
    """1, 2, 5, 10, ... on a logarithmic axis, instead of powers."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


MARKERS = ("o", "s", "^", "D", "v", "P")
LINES = ("-", "--", ":", "-.")


def plot_timing(records, *, figure_path: str | Path | None = None, reference: str = "onnxruntime", machine=""):
    """Time per jet against batch size for each model and runtime, and the ratio to one runtime.

    Parameters
    ----------
    records : list of dict
        As in ``results.json``: the runs of a cell are drawn as points, their median as a line.
    figure_path : path, optional
        Where to save the figure.
    reference : str
        The lower panel shows the time of each other runtime over that of this one.
    machine : str
        Named above the axes.

    Returns
    -------
    matplotlib Figure
    """
    models = list(dict.fromkeys(r["model"] for r in records))
    runtimes = list(dict.fromkeys(r["runtime"] for r in records))
    sizes = sorted({r["batch_size"] for r in records})
    compared = [r for r in runtimes if r != reference] if reference in runtimes else []

    def per_jet(model, runtime, size):
        return [
            1e6 * r["latency_s"]["median"] / size
            for r in records
            if (r["model"], r["runtime"], r["batch_size"]) == (model, runtime, size)
        ]

    with _figure(figure_path) as figure:
        if compared:
            upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2.5, 1))
            figure.subplots_adjust(hspace=0.06)
        else:
            upper, lower = figure.subplots(), None
        for i, model in enumerate(models):
            medians = {}
            for j, runtime in enumerate(runtimes):
                style = {"color": f"C{i}", "linestyle": LINES[j % len(LINES)]}
                runs = [per_jet(model, runtime, size) for size in sizes]
                medians[runtime] = np.array([np.median(r) if r else np.nan for r in runs])
                upper.plot(sizes, medians[runtime], **style, label=f"{model}, {runtime}")
                for size, values in zip(sizes, runs):
                    upper.plot(
                        [size] * len(values),
                        values,
                        MARKERS[j % len(MARKERS)],
                        color=f"C{i}",
                        markersize=9,
                        fillstyle="none",
                    )
            for runtime in compared:
                style = {"color": f"C{i}", "linestyle": LINES[runtimes.index(runtime) % len(LINES)]}
                marker = MARKERS[runtimes.index(runtime) % len(MARKERS)]
                lower.plot(sizes, medians[runtime] / medians[reference], marker=marker, **style)
        upper.set_xscale("log", base=2)
        upper.set_yscale("log")
        upper.set_ylabel(r"Time per jet ($\mu$s)")
        upper.legend(fontsize="small" if len(models) == 1 else "x-small", ncols=1 if len(models) == 1 else 2)
        if len(models) > 1:  # room for the legend
            low, high = upper.get_ylim()
            upper.set_ylim(low, high * 6)
        bottom = lower or upper
        if lower:
            lower.set_yscale("log")
            lower.axhline(1, color="gray", linewidth=1)
            lower.set_ylabel(f"{compared[0] if len(compared) == 1 else 'other'} /\n{reference}", fontsize="small")
            _plain_ticks(lower.yaxis)
            lower.tick_params(axis="y", which="both", labelsize="x-small")
            low, high = lower.get_ylim()
            lower.set_ylim(min(low, 0.8), high * 1.2)
        bottom.set_xticks(sizes, [str(size) for size in sizes])
        bottom.set_xticks([], minor=True)
        bottom.set_xlabel("Batch size (jets)")
        _label(upper, label="CPU inference", right=machine)
    return figure


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
    with _figure(figure_path) as figure:
        axes = figure.subplots()
        epochs = np.arange(1, len(history["loss"]) + 1)
        axes.plot(epochs, history["loss"], "-o", label="Training (latent sampled)", fillstyle="none")
        axes.plot(epochs, history["val_loss"], "-s", label="Validation (latent mean)", fillstyle="none")
        best = int(np.argmin(history["val_loss"]))
        axes.axvline(epochs[best], color="gray", linestyle=":", label=f"Best epoch ({epochs[best]})")
        axes.set_yscale("log")
        _plain_ticks(axes.yaxis)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlabel("Epoch")
        axes.set_ylabel(r"Loss (GeV$^2$)")
        axes.legend(title=title, fontsize="small", title_fontsize="small")
        _label(axes)
    return figure


def plot_reconstruction(
    histogram, *, figure_path: str | Path | None = None, label=LABEL, energy=ENERGY_TEV, title=None
):
    """An observable of jets as they are, and as models reconstruct them, with the ratios.

    Parameters
    ----------
    histogram : hist.Hist
        As `hepvae.histograms.observable_histogram` gives it: the first dataset is the input, the others
        are what models make of it.
    figure_path : path, optional
        Where to save the figure.
    title : str, optional
        Heading of the legend.

    Returns
    -------
    matplotlib Figure
    """
    import mplhep

    with _figure(figure_path) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2.5, 1))
        figure.subplots_adjust(hspace=0.06)
        first, *others = histogram.axes["dataset"]
        truth = histogram[{"dataset": first}]
        axis = histogram.axes["value"]
        # without w2method, mplhep works out Poisson intervals, for which it wants SciPy, and drops them
        plain = {"yerr": False, "w2method": "sqrt", "flow": "none"}
        mplhep.histplot(truth, ax=upper, label=first, histtype="fill", color="gray", alpha=0.35, **plain)
        expected = truth.values()
        known = expected > 0
        spread = np.divide(np.sqrt(truth.variances()), expected, where=known, out=np.zeros_like(expected))
        lower.stairs(1 + spread, axis.edges, baseline=1 - spread, fill=True, color="gray", alpha=0.35)
        for i, name in enumerate(others):
            one, style = histogram[{"dataset": name}], {"color": f"C{i}", "linewidth": 2.5}
            mplhep.histplot(one, ax=upper, label=name, histtype="step", **plain, **style)
            ratio = np.divide(one.values(), expected, where=known, out=np.full_like(expected, np.nan))
            lower.stairs(ratio, axis.edges, baseline=None, **style)
        upper.set_yscale("log")
        upper.set_ylim(0.5, 100 * max(histogram.values().max(), 1))
        upper.set_xlabel("")  # histplot wrote it: it belongs below the ratios
        upper.set_ylabel("Jets")
        upper.legend(loc="upper right", title=title, fontsize="small", title_fontsize="small", ncols=2)
        lower.set_ylim(0, 2)
        lower.set_xlim(axis.edges[0], axis.edges[-1])
        lower.set_ylabel("Output /\ninput", fontsize="small")
        lower.axhline(1, color="gray", linewidth=1)
        lower.set_xlabel(axis.label)
        _label(upper, label=label, energy=energy)
    return figure


def plot_memory(records, fits, *, figure_path: str | Path | None = None, machine=""):
    """Memory of inference against batch size for each model and runtime, with what was fitted to it.

    Parameters
    ----------
    records : list of dict
        As in ``results.json``.
    fits : mapping of (model, runtime) to function
        Bytes for an array of batch sizes.
    figure_path : path, optional
        Where to save the figure.
    machine : str
        Named above the axes.

    Returns
    -------
    matplotlib Figure
    """
    sizes = np.array(sorted({r["batch_size"] for r in records}))
    models = list(dict.fromkeys(r["model"] for r in records))
    runtimes = list(dict.fromkeys(r["runtime"] for r in records))
    with _figure(figure_path) as figure:
        axes = figure.subplots()
        for i, model in enumerate(models):
            for j, runtime in enumerate(runtimes):
                found = [r for r in records if (r["model"], r["runtime"]) == (model, runtime)]
                axes.plot(
                    [r["batch_size"] for r in found],
                    [r["rss_inference_bytes"] / 1e6 for r in found],
                    MARKERS[i % len(MARKERS)],
                    color=f"C{i}",
                    fillstyle="full" if j == 0 else "none",
                    markersize=9,
                    label=f"{model}, {runtime}",
                )
                if (model, runtime) in fits:
                    smooth = np.geomspace(sizes[0], sizes[-1], 100)
                    axes.plot(smooth, fits[model, runtime](smooth) / 1e6, LINES[j % len(LINES)], color=f"C{i}")
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("Batch size (jets)")
        axes.set_ylabel("Peak memory of inference (MB)")
        axes.legend(fontsize="small")
        _label(axes, label="CPU inference", right=machine)
    return figure
