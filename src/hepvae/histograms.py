"""Histograms with named axes (hist), for plotting and for keeping."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .errors import DataError, OptionError

__all__ = ["observable_histogram", "score_histogram", "search_histogram"]


def score_histogram(samples: Mapping[str, tuple], *, bins: int = 40, limits: tuple[float, float] | None = None):
    """Weighted histogram of the scores of some samples.

    Parameters
    ----------
    samples : mapping of name to (scores, weights)
        Arrays (events,); scores that are not positive and finite do not enter.
    bins : int
    limits : (float, float), optional
        Ends of the axis; by default it holds every score.

    Returns
    -------
    hist.Hist
        Axes ``dataset`` (categories) and ``score`` (logarithmic: scores are squared distances that
        span decades), storage Weight.
    """
    import hist

    if bins < 1:
        raise OptionError(f"bins is {bins}: expected a positive whole number")
    usable = {}
    for name, (score, weight) in samples.items():
        score, weight = np.asarray(score, np.float64), np.asarray(weight, np.float64)
        good = np.isfinite(score) & (score > 0)
        usable[name] = score[good], weight[good]
    everything = np.concatenate([score for score, _ in usable.values()] or [[]])
    if len(everything) == 0:
        raise DataError("no scores to make a histogram of")
    low, high = limits or _enclosing(everything)
    histogram = hist.Hist(
        hist.axis.StrCategory(list(usable), name="dataset", label="Dataset"),
        _score_axis(bins, low, high),
        storage=hist.storage.Weight(),
    )
    for name, (score, weight) in usable.items():
        if not weight.sum() > 0:
            raise DataError(f"sample {name!r}: its weights add up to {weight.sum()}: expected more than zero")
        histogram.fill(dataset=name, score=score, weight=weight)
    return histogram


def search_histogram(*, bins: int = 40, limits: tuple[float, float]):
    """An empty histogram of what a search looks at, that takes datasets as they come.

    Parameters
    ----------
    bins : int
        Of the score.
    limits : (float, float)
        Ends of the axis of the score.

    Returns
    -------
    hist.Hist
        Axes ``dataset`` (growing categories), ``score`` (logarithmic), ``mjj`` (GeV, 100 bins up to 11 TeV),
        storage Weight.
    """
    import hist

    if bins < 1 or not 0 < limits[0] < limits[1]:
        raise OptionError(
            f"{bins} bins from {limits[0]} to {limits[1]}: expected some bins, and rising limits above zero"
        )
    return hist.Hist(
        hist.axis.StrCategory([], growth=True, name="dataset", label="Dataset"),
        _score_axis(bins, *limits),
        hist.axis.Regular(100, 1000, 11000, name="mjj", label=r"$m_{jj}$ [GeV]"),
        storage=hist.storage.Weight(),
    )


def _score_axis(bins: int, low: float, high: float):
    import hist

    return hist.axis.Regular(
        bins, low, high, transform=hist.axis.transform.log, name="score", label="Anomaly score"
    )


def observable_histogram(samples: Mapping[str, np.ndarray], *, label: str, bins: int = 40):
    """Histogram of one observable of jets in some samples, on an axis that suits the first of them.

    Parameters
    ----------
    samples : mapping of name to array (jets,)
    label : str
        Of the axis.

    Returns
    -------
    hist.Hist
        Axes ``dataset`` (categories) and ``value``, from zero to beyond 99.5 % of the first sample;
        storage Weight.
    """
    import hist

    if bins < 1:
        raise OptionError(f"bins is {bins}: expected a positive whole number")
    first = np.asarray(next(iter(samples.values()), ()))
    if len(first) == 0:
        raise DataError("no jets to make a histogram of")
    if np.issubdtype(first.dtype, np.integer):  # whole numbers: as many of them in each bin
        width = max(1, round(np.quantile(first, 0.995) * 1.15 / bins))
        low, high = -0.5, bins * width - 0.5
    else:
        low, high = 0.0, float(np.quantile(first, 0.995) * 1.15)
    histogram = hist.Hist(
        hist.axis.StrCategory(list(samples), name="dataset", label="Dataset"),
        hist.axis.Regular(bins, low, high, name="value", label=label),
        storage=hist.storage.Weight(),
    )
    for name, values in samples.items():
        histogram.fill(dataset=name, value=np.asarray(values, np.float64))
    return histogram


def _enclosing(values: np.ndarray) -> tuple[float, float]:
    """Ends with one digit, a little outside of all values."""
    low, high = values.min(), values.max()
    down, up = (10.0 ** np.floor(np.log10(v)) for v in (low, high))
    return float(np.floor(low / down) * down), float((np.floor(high / up) + 1) * up)
