"""The search for anomalous dijets: what a score is worth, decorrelated cuts on it, and the bump hunt in mjj."""

from __future__ import annotations

from .counting import Counting, asimov_significance
from .fits import SpectrumFit, fit_spectrum
from .pass_rates import PassRate, pass_rate
from .samples import SearchSample, load_sample, score_sample
from .scans import COMBINED, Scan, Systematics, ToyScan, scan, scan_toys
from .separation import FiguresOfMerit, Roc, figures_of_merit, in_window, roc
from .slices import INCLUSIVE, expect_background, slice_signal
from .spectrum import BackgroundFunction, SignalShape, Spectrum, dijet_edges, signal_shape
from .toys import expected_significance, global_p_value, throw_toys, yield_of_significance
from .working_points import WorkingPoints, constant_cut, fit_working_points

__all__ = [
    "COMBINED",
    "INCLUSIVE",
    "BackgroundFunction",
    "Counting",
    "FiguresOfMerit",
    "PassRate",
    "Roc",
    "Scan",
    "SearchSample",
    "SignalShape",
    "Spectrum",
    "SpectrumFit",
    "Systematics",
    "ToyScan",
    "WorkingPoints",
    "asimov_significance",
    "constant_cut",
    "dijet_edges",
    "expect_background",
    "expected_significance",
    "figures_of_merit",
    "fit_spectrum",
    "fit_working_points",
    "global_p_value",
    "in_window",
    "load_sample",
    "pass_rate",
    "roc",
    "scan",
    "scan_toys",
    "score_sample",
    "signal_shape",
    "slice_signal",
    "throw_toys",
    "yield_of_significance",
]
