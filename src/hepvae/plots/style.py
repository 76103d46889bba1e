"""What all plots share: CMS style by mplhep, the label above the axes, the legend, the files."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import numpy.typing as npt

from ..errors import FileError, OptionError
from ..options import nearest
from ..output.files import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

__all__ = [
    "ENERGY_TEV",
    "LABEL",
    "Canvas",
    "Floats",
    "PlotOptions",
    "drawing",
    "legend_above",
    "plain_ticks",
    "ticks_that_fit",
]

Floats = npt.NDArray[np.float64]

LOG = logging.getLogger(__name__)

LABEL, ENERGY_TEV = "Simulation", 13
#: First words of a label that are an experiment's name, in bold.
EXPERIMENTS = ("ALICE", "ATLAS", "CMS", "LHCb")


class PlotOptions(TypedDict, total=False):
    """What every plot takes as keywords.

    Each plot returns its matplotlib Figure. A label that begins with an experiment's name has it in bold and the
    rest in italic; by default it is "Simulation", of no experiment.
    """

    figure_path: str | Path | Sequence[str | Path] | None
    """Where to save the figure, in the format of the suffix (.png, .pdf, ...); several paths: in each."""
    label: str
    """Above the axes on the left."""
    energy: float | str
    """Centre-of-mass energy in TeV, above the axes on the right."""
    lumi: float | None
    """Integrated luminosity in fb^-1, before the energy."""
    right: str | None
    """Text above the axes on the right, instead of luminosity and energy."""
    title: str | None
    """Heading of the legend."""


@dataclass(frozen=True)
class Canvas:
    """A figure that is being drawn, with the options of the plot."""

    figure: Figure
    label: str = LABEL
    energy: float | str = ENERGY_TEV
    lumi: float | None = None
    right: str | None = None
    title: str | None = None

    def panels(self, number: int) -> list[Axes]:
        """Axes beside each other, each as large as those of a plot with one."""
        self.figure.set_size_inches(10 * number, 10)
        self.figure.subplots_adjust(wspace=0.22)
        return list(self.figure.subplots(1, number, squeeze=False)[0])

    def with_lower_panel(self, height: float = 2.5) -> tuple[Axes, Axes]:
        """Axes, so many times as high as others below that share their x axis."""
        upper, lower = self.figure.subplots(2, 1, sharex=True, height_ratios=(height, 1))
        self.figure.subplots_adjust(hspace=0.06)
        return upper, lower

    def write_label(self, axes: Axes, *, label: str | None = None, right: str | None = None) -> None:
        """Label, luminosity and energy above some axes, or other texts."""
        import mplhep

        text = self.label if label is None else label
        first, _, rest = text.partition(" ")
        experiment, text = (first, rest) if first in EXPERIMENTS else ("", text)
        mplhep.label.exp_label(
            exp=experiment,
            text=text,
            data=True,  # else mplhep adds "Simulation" to whatever the label is
            lumi=self.lumi,
            lumi_format="{0:g}",
            com=self.energy if isinstance(self.energy, str) else f"{self.energy:g}",
            rlabel=self.right if right is None else right,
            loc=0,
            ax=axes,
        )


@contextmanager
def drawing(options: PlotOptions) -> Iterator[Canvas]:
    """A figure in CMS style, drawn without a display, saved where the options say so when the block ends well.

    Raises
    ------
    OptionError
        There is no such option.
    FileError
        The figure cannot be written.
    """
    for name in options:
        if name not in PlotOptions.__annotations__:
            raise OptionError(f"plots have no option {name!r}{nearest(name, PlotOptions.__annotations__)}")
    _import_matplotlib()
    import matplotlib.style
    import mplhep
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    given: dict[str, Any] = dict(options)
    paths = given.pop("figure_path", None) or ()
    with matplotlib.style.context(mplhep.style.CMS):
        figure = _figure_class()(figsize=(10, 10))
        FigureCanvasAgg(figure)
        yield Canvas(figure, **given)
        for path in [paths] if isinstance(paths, str | Path) else paths:
            with whole_file(path) as temporary:
                try:
                    figure.savefig(temporary, bbox_inches="tight", dpi=100)
                except ValueError as error:  # of a suffix that matplotlib does not know
                    raise FileError(f"{path}: cannot be written: {error}") from error


@cache
def _figure_class() -> type[Figure]:
    """A figure that notebooks show as a picture, also before pyplot is imported."""
    import matplotlib.style
    import mplhep
    from matplotlib.figure import Figure

    class ShownFigure(Figure):
        def _repr_png_(self) -> bytes:
            content = io.BytesIO()
            with matplotlib.style.context(mplhep.style.CMS):
                self.savefig(content, format="png", bbox_inches="tight", dpi=60)
            return content.getvalue()

    return ShownFigure


def _import_matplotlib() -> None:
    """Import matplotlib, also where the environment names a backend that it does not have: none is used here.

    matplotlib refuses to be imported then, and cannot be imported again in the same process.
    """
    backend = os.environ.get("MPLBACKEND")
    if backend is None or "matplotlib" in sys.modules:
        return
    del os.environ["MPLBACKEND"]
    try:
        import matplotlib

        matplotlib.rcParams["backend"] = backend
    except ValueError:
        LOG.warning("MPLBACKEND is %r, which matplotlib does not know: ignored", backend)
    finally:
        os.environ["MPLBACKEND"] = backend


#: Sizes of a legend, of which the first is taken that needs little room above what is drawn.
_SIZES = ("small", "x-small", "xx-small")
#: More room is too much, of the height that is drawn in: one power of ten above six of them.
_LITTLE_ROOM = 0.16


def legend_above(axes: Axes, *, points: Floats | None = None, **legend: Any) -> None:
    """A legend in the upper part of axes, which are made higher where it would cover lines, areas or points.

    It is on the right or on the left, in one or two columns, and smaller where that leaves less of the axes empty.

    Parameters
    ----------
    axes : matplotlib Axes
    points : array (points, 2), optional
        What else must not be covered, as x and y of the data.
    **legend
        As for ``Axes.legend``; places, columns and sizes that are given are kept.
    """
    places = [legend.pop("loc")] if "loc" in legend else ["upper right", "upper left"]
    columns = [legend.pop("ncols")] if "ncols" in legend else [1, 2]
    entries = legend.get("handles") or axes.get_legend_handles_labels()[0]
    sizes = _SIZES[: 3 if len(entries) > 4 else 2]  # few are read from afar
    sizes = (legend.pop("fontsize"),) if "fontsize" in legend else sizes
    corners = _drawn_corners(axes, points)
    best: tuple[float, dict[str, Any]] = (np.inf, {})
    for size, number, place in product(sizes, columns, places):
        look = {"loc": place, "ncols": number, "fontsize": size, "title_fontsize": size, **legend}
        stretch = _stretch(axes, corners, look)
        if stretch < best[0] - 0.02:
            best = stretch, look
        if best[0] <= 1 + _LITTLE_ROOM:
            break
    stretch, look = best
    axes.legend(**look)
    if stretch > 1:
        scale = axes.yaxis.get_transform()
        low, high = scale.transform(np.array(axes.get_ylim()))
        axes.set_ylim(top=float(scale.inverted().transform(low + (high - low) * stretch)))


def _stretch(axes: Axes, corners: Floats, look: dict[str, Any]) -> float:
    """How many times as high axes have to be for a legend to cover none of some points, in parts of the axes."""
    drawn = axes.legend(**look)
    renderer = axes.figure.canvas.get_renderer()  # type: ignore[attr-defined]  # of the Agg canvas
    place = drawn.get_window_extent(renderer).transformed(axes.transAxes.inverted())
    x, y = corners.T
    highest = y[(x > place.x0 - 0.02) & (x < place.x1 + 0.02)].max(initial=0)
    too_wide = 10.0 if place.width > 1 else 0.0
    return float(max(highest / max(place.y0 - 0.03, 0.3), 1) + too_wide)


def _drawn_corners(axes: Axes, points: Floats | None) -> Floats:
    """Points along all that is drawn, (points, 2) in parts of the axes."""
    from matplotlib.collections import QuadMesh
    from matplotlib.path import Path as Line

    drawn_lines: list[Any] = [*axes.lines, *axes.patches]
    paths = [(artist.get_transform(), artist.get_path()) for artist in drawn_lines]
    for collection in axes.collections:
        if not isinstance(collection, QuadMesh):  # which has empty bins too
            paths += [(collection.get_transform(), path) for path in collection.get_paths()]
    if points is not None:
        paths.append((axes.transData, Line(points)))
    corners = [np.empty((0, 2))]
    for transform, path in paths:
        # between its vertices too
        with np.errstate(all="ignore"):  # nothing is at minus infinity of a logarithmic axis
            along = transform.transform_path(path).interpolated(20).vertices
            corners.append(axes.transAxes.inverted().transform(along))
    every = np.concatenate(corners)
    return every[np.isfinite(every).all(axis=1)]


def plain_ticks(axis: Axis) -> None:
    """1, 2, 5, 10, ... on a logarithmic axis, instead of powers."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def ticks_that_fit(axis: Axis) -> None:
    """`plain_ticks` on a logarithmic axis of fewer than two powers of ten, where numbers as 3 x 10^-1 collide."""
    low, high = axis.get_view_interval()
    if axis.get_scale() != "log":
        return
    powers = np.floor(np.log10(high)) - np.ceil(np.log10(low)) + 1
    if powers < 2 or high < 30 * low:
        plain_ticks(axis)
