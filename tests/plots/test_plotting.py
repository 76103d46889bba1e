"""Plots are drawn, and carry what a reader needs; what they look like is for eyes."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

import hepvae
from hepvae.plots import plot_history, plot_reconstruction, plot_scores
from hepvae.plots.histograms import observable_histogram, score_histogram, variables_histogram


def words(figure):
    return " ".join(text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text")))


def test_an_axis_that_is_mostly_empty_is_drawn_where_the_scores_are(rng):
    figure = plot_scores(
        score_histogram({"mine": (rng.uniform(2, 50, 400), np.ones(400))}, bins=90, limits=(1e-3, 1e6))
    )
    low, high = figure.axes[0].get_xlim()
    assert 1.5 < low <= 2.6 and 39 < high < 65  # bins have a width of 26 %


@pytest.mark.parametrize(("low", "high"), [(0.17, 2.7), (1.8, 80)])
def test_numbers_of_a_short_axis_do_not_collide(rng, low, high):
    """Scores of a user's model from 0.17 to 2.7, or 1.8 to 80, had 3 x 10^-1 written over 4 x 10^-1."""
    samples = {name: (np.geomspace(low, high, 400), np.ones(400)) for name in ("QCD", "WW")}
    figure = plot_scores(score_histogram(samples))
    figure.canvas.draw()
    texts = [t for t in figure.axes[1].get_xticklabels(which="both") if t.get_text()]
    boxes = sorted((b.x0, b.x1) for b in (t.get_window_extent() for t in texts) if 0 < b.x0 < b.x1)
    assert len(boxes) >= 3 and all(left[1] < right[0] for left, right in pairwise(boxes))


def test_scores_are_normalised_and_labelled(tmp_path, rng):
    samples = {
        name: (rng.lognormal(2, 1, 400), rng.uniform(0, 1, 400))
        for name in ("QCD, signal region", "G to WW, narrow", "mine")
    }
    figure = plot_scores(
        score_histogram(samples), figure_path=tmp_path / "s.png", label="Private work", energy=13.6
    )
    assert (tmp_path / "s.png").read_bytes()[:4] == b"\x89PNG"
    text = words(figure)
    for word in (
        "Private work",
        "13.6 TeV",
        "QCD, signal region",
        "narrow",
        "mine",
        "Anomaly score",
        "Fraction of events",
        "Ratio to\nQCD",
    ):
        assert word in text
    assert "CMS" not in text
    assert figure.axes[0].get_xscale() == figure.axes[0].get_yscale() == "log"
    for stairs in figure.axes[0].findobj(lambda a: type(a).__name__ == "StepPatch"):
        assert np.nansum(stairs.get_data().values) == pytest.approx(1)


def test_experiment_of_the_label_is_bold_and_its_rest_italic():
    figure = plot_history({"loss": [1], "val_loss": [1]}, label="CMS Simulation Preliminary", lumi=138)
    texts = {t.get_text(): t for t in figure.findobj(lambda a: hasattr(a, "get_fontweight"))}
    assert texts["CMS"].get_fontweight() == "bold"
    assert texts["Simulation Preliminary"].get_fontstyle() == "italic"
    assert "138" in words(figure)


def test_notebooks_show_the_figure():
    """They showed `<Figure size 1000x1000 with 1 Axes>`, unless pyplot had been imported."""
    assert plot_history({"loss": [1], "val_loss": [1]})._repr_png_()[:4] == b"\x89PNG"


def test_option_that_no_plot_has():
    with pytest.raises(hepvae.OptionError, match="plots have no option 'lable'; nearest: 'label'"):
        plot_history({"loss": [1], "val_loss": [1]}, lable="x")


def test_backend_that_matplotlib_does_not_know():
    """MPLBACKEND=nonsense ended in a traceback of matplotlib, though nothing here needs a backend."""
    code = "import logging; logging.basicConfig()\n"
    code += "from hepvae.plots import plot_history; plot_history({'loss': [1], 'val_loss': [1]})\n" * 2
    environment = {**os.environ, "MPLBACKEND": "nonsense"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("MPLBACKEND is 'nonsense', which matplotlib does not know: ignored") == 1


def test_data_on_a_stack(rng, tmp_path):
    scores = {name: (rng.lognormal(0, 1, 500), np.ones(500)) for name in ("QCD", "W+jets", "Data", "G to WW")}
    paths = [tmp_path / "s.png", tmp_path / "s.pdf"]
    figure = plot_scores(score_histogram(scores), data="Data", stack=("QCD", "W+jets"), figure_path=paths)
    assert all(path.stat().st_size for path in paths)
    assert "Data /\nbackground" in words(figure) and "Events" in words(figure)
    without = plot_scores(score_histogram({n: scores[n] for n in ("QCD", "G to WW")}), stack=["QCD"])
    assert "S / √B" in words(without)
    outside = plot_scores(score_histogram({"QCD": ([1.0, 5.0, 50.0, 500.0], np.ones(4))}, limits=(2, 100)))
    assert "QCD (50.0% outside)" in words(outside)


def test_a_loss_far_above_the_others_is_counted_and_leaves_the_axis():
    figure = plot_history({"loss": [9, 1e13, 3], "val_loss": [8, 4, 5], "kl_loss": [1, 1, 1]})
    (axes,) = figure.axes
    assert axes.get_ylim()[1] < 1e3 and axes.get_ylabel() == r"Loss (GeV$^2$)"
    assert axes.get_legend().get_texts()[0].get_text() == "Training (latent sampled), 1 far above"
    figure.draw_without_rendering()
    assert [text for text in axes.get_yticklabels() if text.get_text()]


def test_history(tmp_path):
    losses = {"loss": [9, 5, 3], "val_loss": [8, 4, 5]}
    weighted = plot_history({**losses, "kl_loss": [1, 1, 1]}, distance="weighted")
    assert [axes.get_ylabel() for axes in weighted.axes] == ["Loss (GeV)"]
    figure = plot_history(losses, figure_path=tmp_path / "h.png")
    assert "Best epoch (2)" in words(figure)


def test_plot_that_cannot_be_written(tmp_path):
    with pytest.raises(hepvae.FileError, match=r"h\.png: no such folder"):
        plot_history({"loss": [1], "val_loss": [1]}, figure_path=tmp_path / "nowhere" / "h.png")
    with pytest.raises(hepvae.FileError, match=r"h\.gifx: cannot be written"):
        plot_history({"loss": [1], "val_loss": [1]}, figure_path=tmp_path / "h.gifx")


def test_style_of_the_user_is_left_alone():
    import matplotlib

    before = dict(matplotlib.rcParams)
    plot_history({"loss": [1], "val_loss": [1]})
    assert dict(matplotlib.rcParams) == before


def test_reconstruction_has_the_ratio_to_the_input(tmp_path, rng):
    samples = {"Input": rng.exponential(100, 5000), "conv": rng.exponential(100, 5000)}
    samples["twice"] = np.repeat(samples["Input"], 2)
    histogram = observable_histogram(samples, label=r"Jet $p_T$ (GeV)")
    figure = plot_reconstruction(histogram, figure_path=tmp_path / "r.png", title="QCD, sideband")
    _, lower = figure.axes
    for word in ("Input", "conv", "Simulation", "13 TeV", "Jet $p_T$ (GeV)", "QCD, sideband"):
        assert word in words(figure)
    ratio = lower.patches[-1].get_data().values
    assert np.nanmin(ratio) == np.nanmax(ratio) == 2
    assert (tmp_path / "r.png").read_bytes()[:4] == b"\x89PNG"


def test_error_bars_of_few_events_are_intervals_of_poisson():
    """They were symmetric: one event had a bar down to zero, which a logarithmic axis does not show."""
    samples = {"Data": [5.0, 50.0, 50.0, 50.0], "QCD": [5.0, 50.0]}
    columns = {name: (np.array(values)[:, None], np.ones(len(values))) for name, values in samples.items()}
    figure = plot_scores(variables_histogram(columns, ["mjj"], bins=4), data="Data", stack=["QCD"])
    (points,) = (one for one in figure.axes[0].containers if one.get_label() == "Data")
    bars = np.array([segment[:, 1] for segment in points[2][0].get_segments()])
    assert bars == pytest.approx(np.array([[0.1728, 3.2995], [1.3671, 5.9182]]), abs=1e-3)
