"""The bump hunt: spectra of mjj with their fits; p-values and upper limits against the mass of a resonance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .style import Floats, PlotOptions, drawing, legend_above, plain_ticks

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

__all__ = ["FittedSpectrum", "Limits", "Scan", "Spectrum", "plot_limits", "plot_p_values", "plot_spectrum"]

#: Densities are per this many GeV, about the width of the bins.
PER_GEV = 100

_LINES: tuple[Any, ...] = ("solid", "dashed", "dashdot", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)))

#: Colours of the cycle but those that are hardly seen on the bands of limits.
_OTHERS = ("C0", "C2", "C3", "C5")


class Spectrum(Protocol):
    """Events in bins of mjj, as `hepvae.search.Spectrum`: its fields say more."""

    @property
    def edges(self) -> Floats: ...
    @property
    def counts(self) -> Floats: ...
    @property
    def variances(self) -> Floats | None: ...
    @property
    def scale(self) -> Floats: ...


class FittedSpectrum(Protocol):
    """A spectrum and its fitted background, as `hepvae.search.SpectrumFit`: its fields say more."""

    @property
    def spectrum(self) -> Spectrum: ...
    @property
    def expected(self) -> Floats: ...
    @property
    def n_parameters(self) -> int: ...
    @property
    def chi2(self) -> float: ...
    @property
    def ndf(self) -> int: ...
    @property
    def p_value(self) -> float: ...
    def density(self, mjj: Floats) -> Floats: ...


class Scan(Protocol):
    """Tests for a signal at some masses, as `hepvae.search.Scan`: its fields say more."""

    @property
    def name(self) -> str: ...
    @property
    def masses(self) -> Floats: ...
    @property
    def significance(self) -> Floats: ...
    @property
    def p_value(self) -> Floats: ...


class Limits(Protocol):
    """Limits at each mass, as `hepvae.search.limits.Limits` in fb: its fields say more."""

    @property
    def masses(self) -> Floats: ...
    @property
    def observed(self) -> Floats: ...
    @property
    def expected(self) -> Floats: ...


def plot_spectrum(
    fit: FittedSpectrum,
    *,
    signals: Mapping[str, Floats] | None = None,
    points: str = "Data",
    **options: Unpack[PlotOptions],
) -> Figure:
    """Spectrum of mjj with its fit, and below how far it is from the fit.

    Parameters
    ----------
    fit : FittedSpectrum
    signals : mapping of name to array (bins,), optional
        Events in each bin, drawn by themselves; below, in units of the same uncertainty.
    points : str
        What the legend calls the spectrum.
    **options : PlotOptions
    """
    spectrum = fit.spectrum
    edges = spectrum.edges / 1000
    width = np.diff(spectrum.edges) / PER_GEV
    centres = (edges[1:] + edges[:-1]) / 2
    low, high = _errors(spectrum)
    difference = spectrum.counts - fit.expected
    if spectrum.variances is None:  # the error bar that points to the fit
        uncertainty = np.where(difference > 0, low, high)
    else:  # weights of a few events tell little of their variance
        uncertainty = np.sqrt(fit.expected / spectrum.scale)
    pull = difference / uncertainty
    reach = max(3.5, 1.15 * np.abs(pull).max())
    with drawing(options) as canvas:
        from matplotlib.ticker import MultipleLocator

        upper, lower = canvas.with_lower_panel(2.6)
        filled = spectrum.counts > 0
        upper.errorbar(
            centres[filled],
            (spectrum.counts / width)[filled],
            yerr=(np.stack([low, high]) / width)[:, filled],
            xerr=np.diff(edges)[filled] / 2,
            fmt="ko",
            markersize=6,
            linewidth=1.5,
            label=points,
            zorder=3,
        )
        fine = np.linspace(spectrum.edges[0], spectrum.edges[-1], 400)
        text = f"Fit without signal, {fit.n_parameters} parameters"
        text += f"\n$\\chi^2$/ndf = {fit.chi2:.1f}/{fit.ndf}, p = {fit.p_value:.2g}"
        curve = fit.density(fine) * PER_GEV
        upper.plot(fine / 1000, curve, color="C2", linewidth=2.5, label=text)
        lower.stairs(pull, edges, fill=True, color="gray", alpha=0.55)
        for i, (name, events) in enumerate((signals or {}).items()):
            style: dict[str, Any] = {"color": ("C1", "C3", "C4", "C5")[i % 4], "linewidth": 2.5, "baseline": None}
            style["linestyle"] = _LINES[i % len(_LINES)]
            upper.stairs(np.maximum(events, 1e-9) / width, edges, label=name, **style)
            lower.stairs(events / uncertainty, edges, **style)
            reach = max(reach, 1.15 * np.max(events / uncertainty))
        smallest = min((spectrum.counts / width)[filled].min(), 1)
        upper.set_yscale("log")
        upper.set_ylim(0.2 * smallest, 2 * max((spectrum.counts / width).max(), curve.max()))
        upper.set_ylabel(f"Events / {PER_GEV} GeV")
        lower.axhline(0, color="black", linewidth=1)
        if reach < 8:
            lower.yaxis.set_major_locator(MultipleLocator(2))
        lower.set_ylim(-reach, reach)
        lower.set_xlim(edges[0], edges[-1])
        lower.set_ylabel(f"({points} $-$ fit) /\nuncertainty", fontsize="small", loc="center")
        lower.set_xlabel(r"$m_{jj}$ (TeV)")
        handles, texts = upper.get_legend_handles_labels()
        order = [len(handles) - 1, *range(len(handles) - 1)]  # the points first
        legend_above(
            upper, title=canvas.title, handles=[handles[i] for i in order], labels=[texts[i] for i in order]
        )
        canvas.write_label(upper)
        canvas.figure.align_ylabels()
    return canvas.figure


def _errors(spectrum: Spectrum) -> tuple[Floats, Floats]:
    """Error bars below and above: roots of variances, or central 68 % intervals of Poisson.

    Garwood, Biometrika 28 (1936) 437.
    """
    if spectrum.variances is not None:
        deviation = np.sqrt(spectrum.variances)
        return deviation, deviation
    from hist.intervals import poisson_interval

    low, high = np.abs(poisson_interval(spectrum.counts) - spectrum.counts)
    return low, high


def plot_p_values(scans: Iterable[Scan], **options: Unpack[PlotOptions]) -> Figure:
    """Local p-values against the mass of the resonance, with lines at whole numbers of standard deviations.

    Parameters
    ----------
    scans : Scan, several
        That of all slices together, ``combined``, is drawn in black.
    **options : PlotOptions
    """
    from scipy.stats import norm

    with drawing(options) as canvas:
        axes = canvas.figure.subplots()
        scans = list(scans)
        others = 0
        for one in scans:
            style: dict[str, Any] = {"color": f"C{others}", "linewidth": 2.5}
            style["linestyle"] = _LINES[others % len(_LINES)]
            if one.name == "combined":
                style = {"color": "black", "linewidth": 3.5, "marker": "o", "markersize": 7, "zorder": 3}
            else:
                others += 1
            axes.plot(one.masses / 1000, one.p_value, label=one.name, **style)
        masses = np.concatenate([one.masses for one in scans]) / 1000
        strongest = max(one.significance.max() for one in scans)
        bottom = norm.sf(max(strongest, 3) + 0.7)
        axes.set_yscale("log")
        columns = min(3, 1 + len(scans) // 2)
        rows = -(-len(scans) // columns) + (canvas.title or "").count("\n") + (canvas.title is not None)
        room = 0.042 * rows + 0.05  # the legend has a band below the curves to itself
        axes.set_ylim(bottom ** (1 / (1 - room)), 2)
        beyond = 0.02 * np.ptp(masses)  # a peak at the end of the scan is to be seen
        axes.set_xlim(masses.min() - beyond, masses.max() + beyond)
        highest = int(max(strongest, 3) + 0.7)
        for z in range(1, highest + 1, 1 if highest <= 6 else 2):
            axes.axhline(norm.sf(z), color="gray", linewidth=1.2, linestyle="dashed", zorder=0)
            axes.annotate(
                rf"${z}\sigma$",
                (1, norm.sf(z)),
                xycoords=("axes fraction", "data"),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                fontsize="small",
                color="gray",
            )
        axes.set_xlabel("Resonance mass (TeV)")
        axes.set_ylabel("Local p-value")
        axes.legend(
            loc="lower left",
            title=canvas.title,
            fontsize="x-small",
            title_fontsize="x-small",
            ncols=columns,
        )
        canvas.write_label(axes)
    return canvas.figure


def plot_limits(
    limits: Limits,
    *,
    others: Mapping[str, Limits] | None = None,
    observed: bool = True,
    **options: Unpack[PlotOptions],
) -> Figure:
    """Observed and expected limits with their bands of one and two standard deviations.

    Parameters
    ----------
    limits : Limits
    others : mapping of name to Limits, optional
        Whose expected limits are lines beside: without a cut, of other models, of baselines.
    observed : bool
        Draw the observed limits.
    **options : PlotOptions
    """
    with drawing(options) as canvas:
        axes = canvas.figure.subplots()
        tev = limits.masses / 1000
        low2, low1, median, high1, high2 = limits.expected
        # colours of CMS's guidelines for bands that are told apart without red and green
        axes.fill_between(tev, low2, high2, color="#F5BB54", linewidth=0, label="95% expected")
        axes.fill_between(tev, low1, high1, color="#607641", linewidth=0, label="68% expected")
        axes.plot(tev, median, color="black", linestyle="dashed", linewidth=2.5, label="Median expected")
        shown = [low2, high2]
        if observed:
            axes.plot(
                tev, limits.observed, color="black", linewidth=2.5, marker="o", markersize=6, label="Observed"
            )
            shown.append(limits.observed)
        for i, (other, one) in enumerate((others or {}).items()):
            style: dict[str, Any] = {"color": _OTHERS[i % len(_OTHERS)], "linewidth": 3}
            style["linestyle"] = ("dotted", "dashdot", (0, (5, 1)))[i % 3]
            axes.plot(one.masses / 1000, one.expected[2], label=f"Median expected ({other})", **style)
            shown.append(one.expected[2])
        values = np.concatenate(shown)
        lowest, highest = values[values > 0].min() / 1.5, values.max()
        axes.set_yscale("log")
        axes.set_ylim(lowest, 1.5 * highest)
        axes.set_xlim(tev.min(), tev.max())
        plain_ticks(axes.xaxis)
        axes.set_xlabel("Resonance mass (TeV)")
        axes.set_ylabel(r"95% CL upper limit on $\sigma \times B \times A$ (fb)")
        legend_above(axes, title="\n".join(filter(None, [canvas.title, "95% CL upper limits"])))
        canvas.write_label(axes)
    return canvas.figure
