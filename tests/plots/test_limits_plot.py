"""The plot of limits: bands, lines and names are those of the limits, in TeV."""

from __future__ import annotations

import numpy as np
import pytest

from hepvae.plots import plot_limits
from hepvae.search.limits import Limits

MASSES = np.array([2000.0, 3000.0, 4000.0])
MEDIAN = np.array([10.0, 3.0, 1.0])


def limits(factor=1.0):
    expected = factor * MEDIAN * np.array([0.5, 0.7, 1.0, 1.4, 2.0])[:, None]
    return Limits("combined", MASSES, 1.2 * MEDIAN, expected)


@pytest.mark.parametrize("observed", [True, False])
def test_lines_and_bands(observed, tmp_path):
    path = tmp_path / "limits.png"
    others = {"no cut": limits(3.0)}
    figure = plot_limits(limits(), others=others, observed=observed, title="A signal", figure_path=path)
    (axes,) = figure.axes
    drawn = {line.get_label(): line for line in axes.get_lines()}
    assert ("Observed" in drawn) == observed
    median = drawn["Median expected"]
    assert median.get_xdata().tolist() == [2, 3, 4] and median.get_ydata().tolist() == MEDIAN.tolist()
    assert drawn["Median expected (no cut)"].get_ydata() == pytest.approx(3 * MEDIAN)
    inner = axes.collections[1].get_paths()[0].vertices[:, 1]
    assert inner.min() == pytest.approx(0.7) and inner.max() == pytest.approx(14)
    low, high = axes.get_ylim()
    assert low < 0.5 and high > 30
    assert "TeV" in axes.get_xlabel() and "fb" in axes.get_ylabel()
    assert path.stat().st_size > 10_000
