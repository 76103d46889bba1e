"""Plots in CMS style, by mplhep. Each function returns its figure, and saves it where a path is given."""

from __future__ import annotations

from .jets import plot_reconstruction
from .scores import plot_scores
from .style import cms_figure, cms_label, plain_ticks
from .training import plot_history

__all__ = ["cms_figure", "cms_label", "plain_ticks", "plot_history", "plot_reconstruction", "plot_scores"]
