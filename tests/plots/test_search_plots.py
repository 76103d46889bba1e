"""Plots of what a search looks at: drawn from known numbers, and read back from the figure."""

from __future__ import annotations

import numpy as np
import pytest

from hepvae import DataError, InputSpec, SpecError
from hepvae.jets.observables import RESIDUALS
from hepvae.plots.histograms import (
    jets_histogram,
    loss_histogram,
    mjj_score_histogram,
    residual_histogram,
    score_label,
)
from hepvae.plots.jets import plot_event, plot_residuals
from hepvae.plots.scores import plot_jet_against_jet, plot_losses, plot_score_against_mjj
from hepvae.plots.separation import plot_expected_significance, plot_roc, plot_significance_improvement
from hepvae.search.counting import Counting
from hepvae.search.separation import roc


def words(figure):
    from matplotlib.text import Text

    return " ".join(text.get_text() for text in figure.findobj(Text))


def labelled(figure, path, *expected):
    """The figure was saved, carries these words and the label of the user, and names no experiment."""
    assert path.read_bytes()[:4] == b"\x89PNG"
    text = words(figure)
    for word in ("Private work", "13.6 TeV", *expected):
        assert word in text, word
    assert "CMS" not in text


@pytest.fixture
def style(tmp_path):
    return {"figure_path": tmp_path / "p.png", "label": "Private work", "energy": 13.6, "title": "Heading"}


@pytest.fixture
def curves(rng):
    ones = np.ones(3000)
    background = rng.normal(0, 1, 3000), ones
    return {name: roc(background, (rng.normal(at, 1, 3000), ones)) for name, at in (("min", 1), ("sum", 2))}


def line(figure, name):
    (found,) = [drawn for drawn in figure.axes[0].lines if str(drawn.get_label()).startswith(name)]
    return found.get_xdata(), found.get_ydata()


def test_roc(curves, style):
    figure = plot_roc(curves, **style)
    labelled(figure, style["figure_path"], "Heading", "min (AUC 0.7", "sum (AUC 0.9", "Random", "efficiency")
    x, y = line(figure, "sum")
    cuts = np.stack([curves["sum"].background, curves["sum"].signal], axis=1)
    assert all((cuts == point).all(axis=1).any() for point in zip(x, y))
    # ten of 3000 background events
    assert x[0] == pytest.approx(10 / 3000) and x[-1] == 1 and 100 < len(x) <= 400
    assert figure.axes[0].get_xscale() == "log"
    assert max(tick for tick in figure.axes[0].get_yticks()) == 1


def test_significance_improvement(curves, style):
    figure = plot_significance_improvement(curves, **style)
    labelled(figure, style["figure_path"], "Heading", "Significance improvement", "Random", "min", "sum")
    x, y = line(figure, "Random")
    assert np.allclose(y, np.sqrt(x))
    for name, curve in curves.items():
        x, y = line(figure, name)
        assert y.max() <= curve.best[0] and y.max() == pytest.approx(curve.best[0], rel=0.05)
        dots = [(d.get_xdata()[0], d.get_ydata()[0]) for d in figure.axes[0].lines if d.get_marker() == "o"]
        assert (curve.best[1], curve.best[0]) in dots


def test_curves_that_no_background_passes(style):
    few = np.arange(5.0), np.ones(5)
    with pytest.raises(DataError, match="no cut of min is passed by enough background events"):
        plot_significance_improvement({"min": roc(few, few)}, **style)
    assert not style["figure_path"].exists()


def test_legend_covers_no_curve(curves, style):
    """A dozen entries over a curve that is high on the left: the axes grow until it is below all of the legend."""
    figure = plot_significance_improvement({f"{i}": curves["sum"] for i in range(12)}, **style)
    axes = figure.axes[0]
    box = axes.get_legend().get_window_extent().transformed(axes.transData.inverted())
    assert axes.get_ylim()[1] > 1.5 * curves["sum"].best[0]
    for drawn in axes.lines:
        x, y = drawn.get_data()
        assert (y[(x > box.x0) & (x < box.x1)] < box.y0).all()


def test_more_curves_than_colours_differ_in_style(curves):
    figure = plot_roc({f"{i}": curves["min"] for i in range(12)})
    assert len({(d.get_color(), d.get_linestyle()) for d in figure.axes[0].lines}) == 13


def test_expected_significance(style):
    injected = np.linspace(0, 300, 7)
    countings = {"Inclusive": Counting(1000), "eff10": Counting(1000, 0.6, 0.1, 0.02, 0.1)}
    figure = plot_expected_significance(injected, countings, **style)
    labelled(figure, style["figure_path"], "Heading", "Injected signal events", "eff10", r"3\,\sigma")
    for name, counting in countings.items():
        x, y = line(figure, name)
        assert np.array_equal(x, injected) and np.array_equal(y, counting.significance(injected))
    band = figure.axes[0].collections[1].get_paths()[0].vertices[:, 1]
    assert band.max() == pytest.approx((counting.significance(300) + counting.uncertainty(300)), rel=1e-6)


def test_score_against_mjj(rng, style):
    mjj, score = rng.uniform(1300, 4000, 500), rng.lognormal(0, 1, 500)
    histogram = mjj_score_histogram(mjj, score, np.full(500, 2.0), label=score_label("conv", "min"))
    cuts = {"eff10": ([1200, 4200], [3.0, 4.0]), "eff1": ([1200, 4200], [9.0, 11.0])}
    figure = plot_score_against_mjj(histogram, cuts, **style)
    labelled(
        figure,
        style["figure_path"],
        "Heading",
        "eff10",
        "eff1",
        "Anomaly score (conv, min)",
        "$m_{jj}$ (TeV)",
        "Sum of w",
    )
    assert list(line(figure, "eff10")[1]) == [3.0, 4.0]
    (mesh,) = figure.axes[0].collections
    assert mesh.get_array().sum() == pytest.approx(1000)
    assert mesh.norm.vmin == 2
    with pytest.raises(DataError, match="no events between the ends"):
        plot_score_against_mjj(mjj_score_histogram(mjj, score, np.ones(500), mjj_limits=(8000, 9000)))


def test_losses_have_a_panel_each(rng, style):
    samples = {name: (rng.lognormal(0, 1, 300), rng.uniform(0, 1, 300)) for name in ("QCD", "G to WW, narrow")}
    figure = plot_losses([loss_histogram(samples, name) for name in ("reco_loss", "kl_loss")], **style)
    labelled(figure, style["figure_path"], "Reconstruction loss", "KL divergence", "narrow", "Heading")
    assert len(figure.axes) == 2
    for axes in figure.axes:
        for stairs in axes.findobj(lambda a: type(a).__name__ == "StepPatch"):
            assert np.nansum(stairs.get_data().values) == pytest.approx(1)


def test_contours_hold_their_share(rng, style):
    """Of a sample whose losses are independent and log-normal, circles of known radius."""
    samples = {
        name: (np.exp(rng.normal(0, 1, (200_000, 2))), np.ones(200_000)) for name in ("QCD", "G to WW, narrow")
    }
    figure = plot_jet_against_jet(jets_histogram(samples, "reco_loss", limits=(1e-2, 1e2), bins=60), **style)
    labelled(
        figure, style["figure_path"], "Jet 1: Recon", "Jet 2: Recon", "narrow, 50%", "narrow, 90%", "fraction"
    )
    mesh, *contours = figure.axes[0].collections
    assert mesh.get_array().sum() == pytest.approx(1)
    for contour, share in zip(contours, (0.5, 0.9)):
        radius = np.hypot(*np.log(contour.get_paths()[0].vertices).T)
        assert radius.mean() == pytest.approx(np.sqrt(-2 * np.log(1 - share)), rel=0.05)


def test_contours_are_whole(rng, style):
    """Those of a sample far from the first were cut at the frame, which had the bins of the first."""
    samples = {
        name: (np.exp(rng.normal(at, 0.5, (20_000, 2))), np.ones(20_000)) for name, at in (("QCD", 0), ("X", 2))
    }
    figure = plot_jet_against_jet(jets_histogram(samples, "reco_loss", limits=(1e-3, 1e3), bins=60), **style)
    axes = figure.axes[0]
    for contour in axes.collections[1:]:
        highest = contour.get_paths()[0].vertices.max(axis=0)
        assert highest[0] < axes.get_xlim()[1] and highest[1] < axes.get_ylim()[1]


def test_residuals_have_a_panel_each(rng, style):
    samples = {"conv": rng.normal(0, 1, 1000), "graph": rng.normal(0, 2, 1000)}
    figure = plot_residuals([residual_histogram(samples, label=label) for label in RESIDUALS.values()], **style)
    labelled(figure, style["figure_path"], "conv", "graph", "Heading", *RESIDUALS.values())
    assert len(figure.axes) == 3
    narrow, wide = (
        p.get_data().values.sum() for p in figure.axes[0].findobj(lambda a: hasattr(a, "get_data"))[:2]
    )
    assert narrow == pytest.approx(0.99, abs=0.005) and 0.7 < wide < 0.9  # the rest is beyond the axis


@pytest.fixture
def dijet():
    """Two particles in each jet, and what a model made of them: one more, too soft to be drawn."""
    jets, made = np.zeros((2, 2, 4, 3), np.float32)
    jets[:, :2] = (0.1, 0.2, 100), (-0.3, 0.0, 10)
    made[:, :3] = (0.1, 0.1, 90), (-0.2, 0.0, 500), (0.5, 0.5, 0.2)
    return jets, made


def test_event(dijet, style):
    del style["title"]
    event = {"run": 1, "luminosityBlock": 22, "event": 333}
    figure = plot_event(*dijet, InputSpec(4), score=4.56, mjj=1534.2, event=event, **style)
    labelled(
        figure, style["figure_path"], "1:22:333", "= 1.53 TeV", "4.56", r"$\Delta\eta$", r"Particle $p_T$ (GeV)"
    )
    for j in (1, 2):
        assert f"Jet {j}, input" in words(figure) and f"Jet {j}, reconstruction" in words(figure)
    assert words(figure).count("2 particles, $\\Sigma p_T$ = 110 GeV") == 2
    for axes, expected in zip(figure.axes[:4], [[100, 10], [100, 10], [500, 90], [500, 90]]):
        (points,) = axes.collections
        assert points.get_array().tolist() == expected
        areas = points.get_sizes()
        assert areas[0] > areas[1]
    assert np.allclose(figure.axes[0].collections[0].get_offsets(), [[0.1, 0.2], [-0.3, 0]])


def test_event_in_absolute_coordinates(dijet):
    """Around the hardest constituent of the input, across the seam of phi."""
    jets, made = (array + np.array([1.0, 3.1, 0], np.float32) * (array[..., 2:] > 0) for array in dijet)
    figure = plot_event(
        *(jets, made, InputSpec(4, coordinates="absolute")),
        score=1,
        mjj=1,
        event={"run": 1, "luminosityBlock": 1, "event": 1},
    )
    jet, _, output, _ = (axes.collections[0].get_offsets() for axes in figure.axes[:4])
    assert np.allclose(jet, [[0, 0], [-0.4, -0.2]], atol=1e-6)
    assert np.allclose(output, [[-0.3, -0.2], [0, -0.1]], atol=1e-6)


def test_event_of_another_shape(dijet):
    jets, made = dijet
    with pytest.raises(SpecError, match=r"shapes \(2, 4, 3\) and \(1, 4, 3\).*expected \(2, 4, n_features\)"):
        plot_event(jets, made[:1], InputSpec(4), score=1, mjj=1, event={})
