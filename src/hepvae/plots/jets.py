"""Jets of the input, and as models reconstruct them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import SpecError
from ..jets.kinematics import wrapped
from ..jets.observables import CONSTITUENT_PT
from ..jets.spec import InputSpec
from .style import PlotOptions, drawing, legend_above

if TYPE_CHECKING:
    from hist import Hist
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

__all__ = ["plot_event", "plot_reconstruction", "plot_residuals"]


def plot_reconstruction(histogram: Hist[Any], **options: Unpack[PlotOptions]) -> Figure:
    """An observable of jets of the input, and as models reconstruct them, with the ratios.

    Parameters
    ----------
    histogram : hist.Hist
        As `hepvae.plots.histograms.observable_histogram` gives it: the first dataset is the input, the others are
        the reconstructions of models.
    **options : PlotOptions
        A ratio that lies outside of the lower panel is an arrow at its edge.
    """
    with drawing(options) as canvas:
        upper, lower = canvas.with_lower_panel()
        first, *others = histogram.axes["dataset"]
        axis = histogram.axes["value"]
        edges, centres = axis.edges, axis.centers
        truth: Any = histogram[{"dataset": first}]
        expected = truth.values()
        known = expected > 0
        spread = np.divide(np.sqrt(truth.variances()), expected, where=known, out=np.zeros_like(expected))
        upper.stairs(expected, edges, fill=True, color="gray", alpha=0.35, label=first)
        lower.stairs(1 + spread, edges, baseline=1 - spread, fill=True, color="gray", alpha=0.35)
        top = 2.0
        for i, name in enumerate(others):
            one: Any = histogram[{"dataset": name}]
            style: dict[str, Any] = {"color": f"C{i}", "linewidth": 2.5}
            upper.stairs(one.values(), edges, label=name, **style)
            ratio = np.divide(one.values(), expected, where=known, out=np.full_like(expected, np.nan))
            lower.stairs(ratio, edges, baseline=None, **style)
            above = ratio > top
            lower.plot(centres[above], np.full(above.sum(), 0.95 * top), "^", color=style["color"], markersize=8)
        upper.set_yscale("log")
        upper.set_ylim(0.5, 2 * max(histogram.values().max(), 1))
        upper.set_ylabel("Jets")
        lower.set_ylim(0, top)
        lower.set_xlim(edges[0], edges[-1])
        lower.set_ylabel("Output /\ninput", fontsize="small", loc="center")
        lower.axhline(1, color="gray", linewidth=1)
        lower.set_xlabel(axis.label)
        legend_above(upper, title=canvas.title, ncols=2)
        canvas.write_label(upper)
        canvas.figure.align_ylabels()
    return canvas.figure


def plot_residuals(histograms: Sequence[Hist[Any]], **options: Unpack[PlotOptions]) -> Figure:
    """Differences of matched particles, each dataset normalised to one: a panel for each feature.

    Parameters
    ----------
    histograms : hist.Hist objects
        As `hepvae.plots.histograms.residual_histogram` gives them. What lies beyond the axes counts for the
        normalisation, and its share is in the legend of the panel.
    **options : PlotOptions
    """
    with drawing(options) as canvas:
        for axes, histogram in zip(canvas.panels(len(histograms)), histograms):
            edges, centres = histogram.axes["value"].edges, histogram.axes["value"].centers
            heights: list[float] = []
            for i, name in enumerate(histogram.axes["dataset"]):
                one: Any = histogram[{"dataset": name}]
                every = one.values(flow=True).sum()
                values, uncertainty = one.values() / every, np.sqrt(one.variances()) / every
                outside = 1 - values.sum()
                label = name if outside < 1e-9 else f"{name} ({outside:.1%} outside)"
                axes.stairs(values, edges, label=label, linewidth=2.5, color=f"C{i}")
                axes.errorbar(centres, values, uncertainty, fmt="none", color=f"C{i}", linewidth=1.5)
                heights.extend(values[values > 0])
            axes.axvline(0, color="gray", linestyle=":", linewidth=1.5)
            axes.set_yscale("log")
            axes.set_ylim(min(heights) / 2, 2 * max(heights))
            seen = np.flatnonzero(histogram.project("value").values() > 0)
            axes.set_xlim(edges[seen[0]], edges[seen[-1] + 1])
            axes.set_xlabel(histogram.axes["value"].label)
            axes.set_ylabel("Fraction of particles")
            legend_above(axes, title=canvas.title)
            canvas.write_label(axes)
    return canvas.figure


def plot_event(
    jets: npt.ArrayLike,
    reconstruction: npt.ArrayLike,
    spec: InputSpec,
    *,
    score: float,
    mjj: float,
    event: Mapping[str, int],
    **options: Unpack[PlotOptions],
) -> Figure:
    """Both jets of an event as images: their constituents, and below the reconstruction of a model.

    Area and colour of a particle rise with the logarithm of its pt; those below `CONSTITUENT_PT` are not drawn.
    Directions are relative to the jet axis, or, of a spec of absolute coordinates, to the hardest constituent. The
    images are wide enough for the farthest particle of the event.

    Parameters
    ----------
    jets, reconstruction : arrays (2, n_particles, n_features)
        The input of a model, and what it reconstructs.
    spec : InputSpec
    score : float
    mjj : float
        GeV.
    event : mapping of str to int
        ``run``, ``luminosityBlock`` and ``event``.
    **options : PlotOptions

    Raises
    ------
    SpecError
        The arrays are not such jets, or the spec has no eta, phi and pt.
    """
    shapes = np.shape(jets), np.shape(reconstruction)
    if set(shapes) != {(2, *spec.shape)} or not {"eta", "phi", "pt"} <= set(spec.features):
        raise SpecError(
            f"input and output have shapes {shapes[0]} and {shapes[1]} for {', '.join(spec.features)}: expected"
            f" (2, {spec.n_particles}, n_features) with eta, phi and pt"
        )
    columns = [spec.features.index(name) for name in ("eta", "phi", "pt")]
    rows = {"input": np.asarray(jets)[..., columns], "reconstruction": np.asarray(reconstruction)[..., columns]}
    hardest = max(float(rows["input"][..., 2].max()), 2 * CONSTITUENT_PT)
    if spec.coordinates == "absolute":
        axis = np.stack([jet[jet[:, 2].argmax(), :2] for jet in rows["input"]])[:, None]
        for particles in rows.values():
            particles[..., 0] -= axis[..., 0]
            particles[..., 1] = wrapped(particles[..., 1] - axis[..., 1])
    seen = np.concatenate([particles[particles[..., 2] > CONSTITUENT_PT] for particles in rows.values()])
    # The texts at the upper and lower edges have a tenth of the height each, where no particle is.
    reach = max(1.0, 1.3 * float(np.abs(seen[:, :2]).max(initial=0)))
    with drawing(options) as canvas:
        from matplotlib.colors import LogNorm

        figure, norm = canvas.figure, LogNorm(CONSTITUENT_PT, hardest)
        figure.set_size_inches(16, 13)
        panels = figure.subplots(2, 2, sharex=True, sharey=True)
        figure.subplots_adjust(hspace=0.05, wspace=0.05)
        for (row, particles), line in zip(rows.items(), panels):
            for j, axes in enumerate(line):
                eta, phi, pt = particles[j].T
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
                behind = {"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 2}
                text = {"transform": axes.transAxes, "bbox": behind}
                axes.text(0.04, 0.96, f"Jet {j + 1}, {row}", va="top", fontweight="bold", **text)
                total = rf"{len(pt)} particles, $\Sigma p_T$ = {pt.sum():.0f} GeV"
                axes.text(0.04, 0.04, total, fontsize="small", **text)
                axes.set(aspect="equal", xlim=(-reach, reach), ylim=(-reach, reach))
                inner = [round(reach / 2, 1) * k for k in (-1, 0, 1)]  # ticks at the ends would meet
                axes.set(xticks=inner, yticks=inner)
        for axes in panels[1]:
            axes.set_xlabel(r"$\Delta\eta$")
        for axes in panels[:, 0]:
            axes.set_ylabel(r"$\Delta\phi$")
        figure.colorbar(points, ax=panels, pad=0.02, label=r"Particle $p_T$ (GeV)", extend="max")
        number = ":".join(str(event[name]) for name in ("run", "luminosityBlock", "event"))
        summary = rf"Event {number},  $m_{{jj}}$ = {mjj / 1000:.2f} TeV,  score = {score:.3g}"
        panels[0, 0].text(0, 1.13, summary, transform=panels[0, 0].transAxes)
        canvas.write_label(panels[0, 0], right="")
        canvas.write_label(panels[0, 1], label="")
    return figure
