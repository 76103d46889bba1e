"""Plots of the bump hunt carry what a reader needs, at the right height."""

from __future__ import annotations

import numpy as np
import pytest

from hepvae.plots.spectrum import PER_GEV, plot_p_values, plot_spectrum
from hepvae.search.fits import fit_spectrum
from hepvae.search.scans import COMBINED, Scan
from hepvae.search.spectrum import BackgroundFunction, Spectrum, dijet_edges

norm = pytest.importorskip("scipy.stats").norm
EDGES = dijet_edges()


def words(figure):
    return " ".join(text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text")))


@pytest.fixture
def spectrum(rng):
    shape = BackgroundFunction.of_parameters(EDGES, (0, 8, 5, 0, 0))
    return Spectrum(EDGES, rng.poisson(1e4 * shape / shape.sum()))


def test_spectrum_with_its_fit(spectrum, tmp_path):
    fit = fit_spectrum(spectrum)
    signal = np.where(np.arange(37) == 10, 50.0, 0.0)
    figure = plot_spectrum(
        fit,
        signals={"G to WW, 2.2 TeV": signal},
        figure_path=tmp_path / "fit.png",
        right="138 fb$^{-1}$ (13 TeV)",
        title="eff1",
    )
    assert (tmp_path / "fit.png").read_bytes()[:4] == b"\x89PNG"
    text = words(figure)
    for word in (
        f"Fit without signal, {fit.n_parameters} parameters",
        f"{fit.chi2:.1f}/{fit.ndf}",
        f"p = {fit.p_value:.2g}",
        "G to WW, 2.2 TeV",
        "Data",
        "Simulation",
        "138 fb",
        f"Events / {PER_GEV} GeV",
        "$m_{jj}$ (TeV)",
        "eff1",
    ):
        assert word in text, word
    assert "CMS" not in text
    upper, lower = figure.axes
    assert upper.get_yscale() == "log"
    pulls = lower.patches[0].get_data().values
    assert pulls[:5] == pytest.approx(((spectrum.counts - fit.expected) / np.sqrt(fit.expected))[:5], abs=0.15)
    points = upper.containers[0].lines[0].get_ydata()
    assert points[0] == pytest.approx(spectrum.counts[0] / 70 * PER_GEV)  # 1460 to 1530 GeV
    assert len(points) == np.count_nonzero(spectrum.counts)


def test_error_bars_are_poisson(spectrum):
    """One event: from 0.17 to 3.30 (Garwood)."""
    counts = spectrum.counts.copy()
    counts[-1] = 1
    fit = fit_spectrum(Spectrum(EDGES, counts))
    upper, _ = plot_spectrum(fit).axes
    low, high = upper.containers[0].lines[2][1].get_segments()[-1][:, 1]
    width = (EDGES[-1] - EDGES[-2]) / PER_GEV
    assert (low * width, high * width) == (pytest.approx(0.173, abs=0.002), pytest.approx(3.300, abs=0.002))


def test_weighted_spectrum(spectrum):
    weighted = Spectrum(EDGES, spectrum.counts * 0.1, spectrum.counts * 0.01)
    figure = plot_spectrum(fit_spectrum(weighted), points="QCD")
    assert "(QCD $-$ fit)" in words(figure)
    low, high = figure.axes[0].containers[0].lines[2][1].get_segments()[0][:, 1]
    assert (high - low) / 2 * 0.7 == pytest.approx(np.sqrt(spectrum.counts[0]) * 0.1)


def test_p_values(tmp_path):
    masses = np.array([1800.0, 2000, 2200])
    scans = [
        Scan(name, masses, np.ones(3), np.ones(3), significance, {}, 0.5)
        for name, significance in (("eff1", np.array([0.5, 3.9, -1])), (COMBINED, np.array([-0.2, 4.5, 1])))
    ]
    figure = plot_p_values(scans, figure_path=tmp_path / "p.png", title="Narrow")
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"
    text = words(figure)
    for word in ("eff1", COMBINED, "Narrow", "Local p-value", "Resonance mass (TeV)", "Simulation"):
        assert word in text
    for z in range(1, 6):
        assert rf"${z}\sigma$" in text
    (axes,) = figure.axes
    heights = [
        line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == "--" and len(line.get_xdata()) == 2
    ]
    assert heights == pytest.approx(norm.sf(range(1, 6)))
    combined = next(line for line in axes.lines if line.get_label() == COMBINED)
    assert combined.get_ydata() == pytest.approx([0.5, norm.sf(4.5), norm.sf(1)])
    assert combined.get_color() == "black"
    assert combined.get_xdata() == pytest.approx([1.8, 2.0, 2.2])
    assert axes.get_ylim()[0] < norm.sf(4.5)
