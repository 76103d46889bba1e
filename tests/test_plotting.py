"""Plots are drawn, and carry what a reader needs; what they look like is for eyes."""

from __future__ import annotations

import numpy as np
import pytest

import hepvae
from hepvae.histograms import observable_histogram, score_histogram
from hepvae.plotting import plot_history, plot_memory, plot_reconstruction, plot_scores, plot_timing


def words(figure):
    return " ".join(text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text")))


def record(model, runtime, size, run, median):
    return {
        "model": model,
        "runtime": runtime,
        "batch_size": size,
        "run": run,
        "latency_s": {"median": median, "p90": median, "p99": median},
    }


def test_scores_are_normalised_and_labelled(tmp_path, rng):
    samples = {
        name: (rng.lognormal(2, 1, 400), rng.uniform(0, 1, 400)) for name in ("qcdSig", "GtoWW15na", "mine")
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
    ):
        assert word in text
    assert "CMS" not in text
    assert figure.axes[0].get_xscale() == figure.axes[0].get_yscale() == "log"
    for stairs in figure.axes[0].findobj(lambda a: type(a).__name__ == "StepPatch"):
        assert np.nansum(stairs.get_data().values) == pytest.approx(1)


def test_timing_has_the_ratio_below(tmp_path):
    records = [
        record("conv", runtime, size, run, seconds * size)
        for runtime, seconds in (("tensorflow", 3e-4), ("onnxruntime", 1e-4))
        for size in (1, 8, 64)
        for run in (1, 2)
    ]
    figure = plot_timing(records, figure_path=tmp_path / "t.pdf", machine="A CPU, 2 threads")
    upper, lower = figure.axes
    assert upper.get_legend_handles_labels()[1] == ["conv, tensorflow", "conv, onnxruntime"]
    assert np.allclose(lower.lines[0].get_ydata(), 3)
    assert "Batch size (jets)" in words(figure) and "A CPU, 2 threads" in words(figure)
    assert (tmp_path / "t.pdf").read_bytes()[:4] == b"%PDF"


def test_timing_of_one_runtime_has_no_ratio():
    assert len(plot_timing([record("conv", "onnxruntime", 1, 1, 1e-3)]).axes) == 1


def test_history(tmp_path):
    figure = plot_history({"loss": [9, 5, 3], "val_loss": [8, 4, 5]}, figure_path=tmp_path / "h.png")
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


def test_timing_of_models_by_colour_and_runtimes_by_line():
    records = [
        record(model, runtime, size, 1, 1e-3)
        for model in ("conv", "edge")
        for runtime in ("tensorflow", "onnxruntime")
        for size in (1, 8)
    ]
    lines = {line.get_label(): line for line in plot_timing(records).axes[0].lines}
    same, other = lines["conv, onnxruntime"], lines["edge, tensorflow"]
    assert same.get_color() == lines["conv, tensorflow"].get_color() != other.get_color()
    assert same.get_linestyle() == lines["edge, onnxruntime"].get_linestyle() != other.get_linestyle()


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


def test_memory_with_its_fit():
    records = [
        {"model": "graph", "runtime": runtime, "batch_size": size, "rss_inference_bytes": 1e6 * (30 + size)}
        for runtime in ("tensorflow", "onnxruntime")
        for size in (1, 64)
    ]
    figure = plot_memory(records, {("graph", "tensorflow"): lambda size: 1e6 * (30 + size)}, machine="A CPU")
    (axes,) = figure.axes
    points, fit, _ = axes.lines
    assert points.get_ydata().tolist() == [31, 94]
    assert fit.get_ydata()[[0, -1]] == pytest.approx([31, 94])
    assert "Peak memory of inference (MB)" in words(figure) and "A CPU" in words(figure)
