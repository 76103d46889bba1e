"""Plots in CMS style, by mplhep. Each function returns its figure, and saves it where a path is given."""

from __future__ import annotations

from .jets import plot_event, plot_reconstruction, plot_residuals
from .pass_rate import plot_pass_rate
from .scores import plot_jet_against_jet, plot_losses, plot_score_against_mjj, plot_scores
from .separation import plot_expected_significance, plot_roc, plot_significance_improvement
from .spectrum import plot_limits, plot_p_values, plot_spectrum
from .style import Canvas, PlotOptions, drawing, legend_above, plain_ticks
from .training import plot_history

__all__ = [
    "Canvas",
    "PlotOptions",
    "drawing",
    "legend_above",
    "plain_ticks",
    "plot_event",
    "plot_expected_significance",
    "plot_history",
    "plot_jet_against_jet",
    "plot_limits",
    "plot_losses",
    "plot_p_values",
    "plot_pass_rate",
    "plot_reconstruction",
    "plot_residuals",
    "plot_roc",
    "plot_score_against_mjj",
    "plot_scores",
    "plot_significance_improvement",
    "plot_spectrum",
]
