"""Jets as they are, and as models make them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..errors import SpecError
from ..jets.kinematics import wrapped
from ..jets.observables import CONSTITUENT_PT
from ..jets.spec import InputSpec
from .style import ENERGY_TEV, LABEL, cms_figure, cms_label

__all__ = ["plot_event", "plot_reconstruction", "plot_residuals"]


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

    with cms_figure(figure_path) as figure:
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
        cms_label(upper, label=label, energy=energy)
    return figure


def plot_residuals(
    histograms: Sequence, *, figure_path: str | Path | None = None, label=LABEL, energy=ENERGY_TEV, title=None
):
    """Differences of matched particles, each dataset normalised to one: a panel for each feature.

    Parameters
    ----------
    histograms : hist.Hist objects
        As `hepvae.histograms.residual_histogram` gives them. What lies beyond the axes counts for the
        normalisation.
    figure_path : path, optional
        Where to save the figure.
    title : str, optional
        Heading of the legend, which stands beside the panels.

    Returns
    -------
    matplotlib Figure
    """
    import mplhep

    with cms_figure(figure_path) as figure:
        figure.set_size_inches(10 * len(histograms), 10)
        figure.subplots_adjust(wspace=0.22)
        panels = figure.subplots(1, len(histograms), squeeze=False)[0]
        for axes, histogram in zip(panels, histograms):
            heights = []
            for name in histogram.axes["dataset"]:
                one = histogram[{"dataset": name}]
                one = one / one.values(flow=True).sum()
                mplhep.histplot(one, ax=axes, label=name, yerr=False, w2method="sqrt", flow="none", linewidth=2.5)
                heights.extend(one.values()[one.values() > 0])
            axes.axvline(0, color="gray", linestyle=":", linewidth=1.5)
            axes.set_yscale("log")
            axes.set_ylim(min(heights) / 2, 2 * max(heights))
            axes.set_xlim(histogram.axes["value"].edges[0], histogram.axes["value"].edges[-1])
            axes.set_xlabel(histogram.axes["value"].label)
            axes.set_ylabel("Fraction of particles")
            cms_label(axes, label=label, energy=energy)
        beside = {"loc": "upper left", "bbox_to_anchor": (1.02, 1)}
        panels[-1].legend(title=title, fontsize="small", title_fontsize="small", **beside)
    return figure


def plot_event(
    jets,
    made,
    spec: InputSpec,
    *,
    score: float,
    mjj: float,
    event: Mapping[str, int],
    figure_path: str | Path | None = None,
    label=LABEL,
    energy=ENERGY_TEV,
):
    """Both jets of an event as images: their constituents, and below what a model makes of them.

    Area and colour of a particle rise with the logarithm of its pt; those below `CONSTITUENT_PT` are not drawn.
    Directions are relative to the jet axis, or, of a spec of absolute coordinates, to the hardest constituent.

    Parameters
    ----------
    jets, made : arrays (2, n_particles, n_features)
        The input of a model, and its reconstruction.
    spec : InputSpec
    score : float
    mjj : float
        GeV.
    event : mapping of str to int
        ``run``, ``luminosityBlock`` and ``event``.
    figure_path, label, energy : as for `plot_residuals`

    Returns
    -------
    matplotlib Figure
    """
    from matplotlib.colors import LogNorm

    shapes = np.shape(jets), np.shape(made)
    if set(shapes) != {(2, *spec.shape)} or not {"eta", "phi", "pt"} <= set(spec.features):
        raise SpecError(
            f"input and output have shapes {shapes[0]} and {shapes[1]} for {', '.join(spec.features)}: expected"
            f" (2, {spec.n_particles}, n_features) with eta, phi and pt"
        )
    columns = [spec.features.index(name) for name in ("eta", "phi", "pt")]
    rows = {"input": np.asarray(jets)[..., columns], "reconstruction": np.asarray(made)[..., columns]}
    hardest = max(float(rows["input"][..., 2].max()), 2 * CONSTITUENT_PT)
    norm = LogNorm(CONSTITUENT_PT, hardest)
    with cms_figure(figure_path) as figure:
        figure.set_size_inches(16, 13)
        panels = figure.subplots(2, 2, sharex=True, sharey=True)
        figure.subplots_adjust(hspace=0.05, wspace=0.05)
        for (row, particles), line in zip(rows.items(), panels):
            for j, axes in enumerate(line):
                eta, phi, pt = particles[j].T
                if spec.coordinates == "absolute":
                    first = rows["input"][j, rows["input"][j, :, 2].argmax()]
                    eta, phi = eta - first[0], wrapped(phi - first[1])
                drawn = np.argsort(-pt)[: (pt > CONSTITUENT_PT).sum()]  # soft ones, which are small, on top
                eta, phi, pt = eta[drawn], phi[drawn], pt[drawn]
                area = 15 + 600 * np.minimum(norm(pt), 1.2) ** 2
                points = axes.scatter(
                    *(eta, phi, area, pt),
                    norm=norm,
                    cmap="plasma_r",
                    alpha=0.8,
                    edgecolors="black",
                    linewidths=0.5,
                )
                axes.text(0.04, 0.96, f"Jet {j + 1}, {row}", transform=axes.transAxes, va="top", fontweight="bold")
                total = rf"{len(pt)} particles, $\Sigma p_T$ = {pt.sum():.0f} GeV"
                axes.text(0.04, 0.04, total, transform=axes.transAxes, fontsize="small")
                axes.set(aspect="equal", xlim=(-1, 1), ylim=(-1, 1))
                axes.set(xticks=(-0.5, 0, 0.5), yticks=(-0.5, 0, 0.5))  # those at the ends would meet
        for axes in panels[1]:
            axes.set_xlabel(r"$\Delta\eta$")
        for axes in panels[:, 0]:
            axes.set_ylabel(r"$\Delta\phi$")
        figure.colorbar(points, ax=panels, pad=0.02, label=r"Particle $p_T$ (GeV)", extend="max")
        number = ":".join(str(event[name]) for name in ("run", "luminosityBlock", "event"))
        summary = rf"Event {number},  $m_{{jj}}$ = {mjj:.0f} GeV,  score = {score:.3g}"
        panels[0, 0].text(0, 1.13, summary, transform=panels[0, 0].transAxes)
        cms_label(panels[0, 0], label=label, energy=energy, right="")
        cms_label(panels[0, 1], label="", energy=energy)
    return figure
