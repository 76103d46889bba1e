"""What all plots share: CMS style by mplhep, the label above the axes, the file.

The label is the user's: by default a plot says "Simulation" and names no experiment.
"""

from __future__ import annotations

from contextlib import contextmanager

from ..errors import FileError
from ..outputs import whole_file

__all__ = ["ENERGY_TEV", "LABEL", "cms_figure", "cms_label", "plain_ticks"]

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


def plain_ticks(axis):
    """1, 2, 5, 10, ... on a logarithmic axis, instead of powers."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())
