"""What all plots share: CMS style by mplhep, the label above the axes, the file.

The label is the user's: by default a plot says "Simulation" and names no experiment.
"""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np

from ..errors import FileError
from ..output.files import whole_file

__all__ = ["ENERGY_TEV", "LABEL", "cms_figure", "cms_label", "legend_above", "plain_ticks"]

LABEL, ENERGY_TEV = "Simulation", 13


@contextmanager
def cms_figure(figure_path):
    """A figure in CMS style, drawn without a display, saved and closed at the end."""
    import matplotlib
    import mplhep
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.style.context(mplhep.style.CMS):
        figure = Figure(figsize=(10, 10))
        FigureCanvasAgg(figure)
        yield figure
        if figure_path is not None:
            with whole_file(figure_path) as temporary:
                try:
                    figure.savefig(temporary, bbox_inches="tight", dpi=100)
                except ValueError as error:  # of a suffix that matplotlib does not know
                    raise FileError(f"{figure_path}: cannot be written: {error}") from error


def cms_label(axes, *, label=LABEL, energy=ENERGY_TEV, right=None):
    """What stands above the axes: by default no experiment, "Simulation" and the energy."""
    import mplhep

    mplhep.label.exp_label(exp="", text=label, data=True, com=energy, rlabel=right, loc=0, ax=axes)


def legend_above(axes, *, points=None, **legend) -> None:
    """A legend in the upper part of axes, which are made higher where it would cover lines, areas or points.

    Parameters
    ----------
    axes : matplotlib Axes
    points : array (points, 2), optional
        What else must not be covered, as x and y of the data.
    **legend
        As for ``Axes.legend``.
    """
    from matplotlib.collections import QuadMesh
    from matplotlib.path import Path

    entries = legend.get("handles") or axes.get_legend_handles_labels()[0]
    size = "small" if len(entries) <= 8 else "xx-small"  # more would fill the axes
    drawn = axes.legend(**{"loc": "upper right", "fontsize": size, "title_fontsize": size, **legend})
    place = drawn.get_window_extent(axes.figure.canvas.get_renderer()).transformed(axes.transAxes.inverted())
    paths = [(artist.get_transform(), artist.get_path()) for artist in (*axes.lines, *axes.patches)]
    for collection in axes.collections:
        if not isinstance(collection, QuadMesh):  # which has empty bins too
            paths += [(collection.get_transform(), path) for path in collection.get_paths()]
    if points is not None:
        paths.append((axes.transData, Path(points)))
    highest = 0.0
    for transform, path in paths:
        # between its vertices too
        x, y = axes.transAxes.inverted().transform(transform.transform_path(path).interpolated(20).vertices).T
        under = np.isfinite(y) & (x > place.x0 - 0.02) & (x < place.x1 + 0.02)
        highest = max(highest, y[under].max(initial=0))
    room = max(place.y0 - 0.03, 0.3)
    if highest > room:
        scale = axes.yaxis.get_transform()
        low, high = scale.transform(axes.get_ylim())
        axes.set_ylim(top=scale.inverted().transform(low + (high - low) * highest / room))


def plain_ticks(axis):
    """1, 2, 5, 10, ... on a logarithmic axis, instead of powers."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())
