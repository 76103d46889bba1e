"""Figures of a study carry what a reader needs; what they look like is for eyes."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.records import TIMES, records

from hepvae.bench import figures
from hepvae.bench.comparisons import compare, select
from hepvae.bench.intervals import Ratio


def words(figure):
    return " ".join(text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text")))


def lines(axes):
    """By label: lines, and the points of error bars."""
    bars = {container.get_label(): container[0] for container in axes.containers}
    return {**{line.get_label(): line for line in axes.lines}, **bars}


@pytest.fixture(scope="module")
def measured():
    return records(TIMES)


@pytest.fixture(scope="module")
def comparisons(measured):
    return compare(measured, "runtime", "onnxruntime")


def test_timing_has_the_ratios_with_intervals_below(measured, comparisons, tmp_path):
    path = tmp_path / "t.pdf"
    figure = figures.plot_timing(measured, comparisons, figure_path=path, right="A CPU, 2 threads")
    upper, lower = figure.axes
    labels = [f"{model}, {runtime}" for model in ("conv", "graph") for runtime in ("tensorflow", "onnxruntime")]
    assert upper.get_legend_handles_labels()[1] == labels
    assert lines(upper)["conv, tensorflow"].get_ydata() == pytest.approx([1300, 94, 59], rel=0.03)
    drawn = [container for container in lower.containers if container.has_yerr]
    assert [len(container[0].get_xdata()) for container in drawn] == [3, 2]
    assert drawn[0][0].get_ydata() == pytest.approx([5, 1.5, 1], rel=0.03)
    assert "Batch size (jets)" in words(figure) and "A CPU, 2 threads" in words(figure)
    assert "CMS" not in words(figure)
    assert path.read_bytes()[:4] == b"%PDF"


def test_timing_of_one_runtime_has_no_ratios(measured):
    assert len(figures.plot_timing(select(measured, runtime="onnxruntime")).axes) == 1


def test_models_by_colour_and_runtimes_by_line(measured):
    drawn = lines(figures.plot_timing(measured).axes[0])
    same, other = drawn["conv, onnxruntime"], drawn["graph, tensorflow"]
    assert same.get_color() == drawn["conv, tensorflow"].get_color() != other.get_color()
    assert same.get_linestyle() == drawn["graph, onnxruntime"].get_linestyle() != other.get_linestyle()


def test_time_that_is_saved(measured, comparisons):
    (axes,) = figures.plot_saved(measured, comparisons).axes
    drawn = lines(axes)["graph, tensorflow - onnxruntime"]
    assert drawn.get_ydata() == pytest.approx([1000, -0.02e6 / 512], rel=0.1)


def test_a_runtime_looks_the_same_in_all_figures(measured):
    three = measured + [{**record, "runtime": "litert"} for record in select(measured, runtime="onnxruntime")]
    compared = compare(three, "runtime", "onnxruntime")
    times, saved = figures.plot_timing(three, compared), figures.plot_saved(three, compared)
    for runtime in ("tensorflow", "litert"):
        one = lines(times.axes[0])[f"conv, {runtime}"]
        other = lines(saved.axes[0])[f"conv, {runtime} - onnxruntime"]
        assert (one.get_marker(), one.get_linestyle()) == (other.get_marker(), other.get_linestyle())


def test_memory_with_its_fit():
    found = [
        {
            **{"model": "graph", "runtime": runtime, "batch_size": size},
            **{"rss_inference_bytes": 1e6 * (30 + size), "rss_peak_bytes": 1e6 * (500 + size)},
        }
        for runtime in ("tensorflow", "onnxruntime")
        for size in (1, 64)
    ]
    figure = figures.plot_memory(found, {("graph", "tensorflow"): lambda size: 1e6 * (30 + size)}, right="A CPU")
    process, inference = figure.axes
    assert lines(process)["graph, tensorflow"].get_ydata().tolist() == [501, 564]
    assert lines(inference)["graph, tensorflow"].get_ydata().tolist() == [31, 94]
    (fit,) = [line for line in inference.lines if len(line.get_xdata()) > 2]
    assert fit.get_ydata()[[0, -1]] == pytest.approx([31, 94])
    assert "Inference, peak (MB)" in words(figure) and "A CPU" in words(figure)


def test_run_beside_run(measured):
    slower = [{**r, "blocks_s": [1.1 * b for b in r["blocks_s"]]} if r["run"] == 2 else r for r in measured]
    (axes,) = figures.plot_runs(slower).axes
    assert lines(axes)["conv, tensorflow"].get_ydata() == pytest.approx(np.full(3, 1.1), rel=0.03)


def test_sources_beside_each_other(measured):
    far = records({key: 10 * t for key, t in TIMES.items()}, source="xrootd", pipeline="tf.data")
    (axes,) = figures.plot_sources([*select(measured, batch_size=512), *select(far, batch_size=512)]).axes
    assert lines(axes)["graph, tensorflow"].get_ydata() == pytest.approx([6400, 640], rel=0.01)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["local,\nin memory", "xrootd,\ntf.data"]
    assert "Batches of 512 jets" in words(axes.figure)


def test_delays():
    shares = [
        {"model": "conv", "runtime": "onnxruntime", "batch_size": 64, "rtt_ms": rtt, "share": share}
        for rtt, share in ((50.0, Ratio(0.4, 0.3, 0.6)), (0.0, Ratio(0.9)))
    ]
    (axes,) = figures.plot_delays(shares).axes
    (container,) = axes.containers
    assert container[0].get_xydata().tolist() == [[0, 0.9], [50, 0.4]]
    bars = [segment[:, 1].tolist() for segment in container[2][0].get_segments()]
    assert np.allclose(bars, [[0.9, 0.9], [0.3, 0.6]])


def test_trainings(measured):
    other = [{**r, "training": "seed 1"} for r in measured]
    (axes,) = figures.plot_trainings(compare([*measured, *other], "training", "")).axes
    drawn = [container for container in axes.containers if container.has_yerr]
    assert len(drawn) == 4 and all(np.allclose(container[0].get_ydata(), 1) for container in drawn)
