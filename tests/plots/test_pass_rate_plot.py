"""The plot of pass rates carries what a reader needs; what it looks like is for eyes."""

from __future__ import annotations

import numpy as np
import pytest

from hepvae import OptionError
from hepvae.plots.pass_rate import plot_pass_rate
from hepvae.search.pass_rates import pass_rate


@pytest.fixture
def rates(rng):
    mjj, score = rng.uniform(1200, 4200, 5000), rng.uniform(size=5000)
    edges = np.linspace(1200, 4200, 7)
    return {
        name: pass_rate(score > 1 - efficiency, mjj, np.ones(5000), edges)
        for name, efficiency in (("eff1", 0.01), ("eff10", 0.1), ("eff50", 0.5))
    }


def legend(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_several_working_points_before_and_after(tmp_path, rates):
    figure = plot_pass_rate(
        {name: rates[name] for name in ("eff50", "eff10", "eff1")},
        before=rates,
        targets={"eff50": 0.5, "eff10": 0.1, "eff1": 0.01},
        figure_path=tmp_path / "r.png",
        label="Private work",
        energy=13.6,
        title="QCD",
    )
    assert (tmp_path / "r.png").read_bytes()[:4] == b"\x89PNG"
    axes = figure.axes[0]
    assert axes.get_yscale() == "log" and "TeV" in axes.get_xlabel()
    assert [text.split(":")[0] for text in legend(figure)] == [
        "eff50",
        "eff10",
        "eff1",
        "One cut",
        "Mass-decorrelated",
    ]
    flatness = rates["eff10"].chi_square()
    assert legend(figure)[1].count(f"{flatness.value:.0f}/{flatness.ndf}") == 2
    words = " ".join(text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text")))
    assert "Private work" in words and "13.6 TeV" in words and "CMS" not in words
    # points at the rates, over the whole width of their bins, in TeV; the nominal efficiencies dotted
    lines = [line for line in axes.lines if line.get_linestyle() == ":"]
    assert [line.get_ydata()[0] for line in lines] == [0.5, 0.1, 0.01]
    data, _, (horizontal, _) = axes.containers[0]
    assert np.allclose(data.get_ydata(), rates["eff50"].rate)
    ends = np.array([segment[:, 0] for segment in horizontal.get_segments()])
    assert np.allclose(ends[:, 0], rates["eff50"].edges[:-1] / 1000)
    assert np.allclose(ends[:, 1], rates["eff50"].edges[1:] / 1000)


def test_legend_stands_above_the_points(rates):
    for some in (rates, {"eff50": rates["eff50"]}):
        figure = plot_pass_rate(some, before=some, title="QCD")
        figure.canvas.draw()
        axes = figure.axes[0]
        box = axes.get_legend().get_window_extent().transformed(axes.transAxes.inverted())
        highest = max(one.rate.max() for one in some.values())
        top = axes.transAxes.inverted().transform(axes.transData.transform((2.0, highest)))[1]
        assert box.y0 > top and box.x0 > 0 and box.x1 < 1


def test_one_working_point_needs_no_logarithm(rates):
    figure = plot_pass_rate({"eff10": rates["eff10"]})
    assert figure.axes[0].get_yscale() == "linear"
    assert len(legend(figure)) == 1


def test_no_working_point():
    with pytest.raises(OptionError, match="pass rates of no working point"):
        plot_pass_rate({})
