"""Histograms with named axes (hist), for plotting and for keeping."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..errors import DataError, OptionError

__all__ = [
    "SCORE_BINS",
    "SCORE_LIMITS",
    "jets_histogram",
    "loss_histogram",
    "mjj_score_histogram",
    "observable_histogram",
    "residual_histogram",
    "score_histogram",
    "search_histogram",
]

#: The axis of scores that are not there yet: ten bins a decade, from far below what losses that are means add up
#: to, to far above what sums do.
SCORE_BINS, SCORE_LIMITS = 90, (1e-3, 1e6)

#: Losses of jets, and how an axis names them.
LOSS_LABELS = {
    "loss": r"Loss (GeV$^2$)",
    "reco_loss": r"Reconstruction loss (GeV$^2$)",
    "kl_loss": "KL divergence",
}


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
    samples = _weighted(samples, "scores")
    everything = np.concatenate([score for score, _ in samples.values()])
    return _filled(samples, [_logarithmic_axis("score", "Anomaly score", everything, bins, limits)])


def loss_histogram(
    samples: Mapping[str, tuple], loss: str, *, bins: int = 40, limits: tuple[float, float] | None = None
):
    """Weighted histogram of one loss of the jets of some samples.

    Parameters
    ----------
    samples : mapping of name to (losses, weights)
        Arrays (jets,); losses that are not positive and finite do not enter.
    loss : str
        One of `hepvae.scores.LOSSES`.
    bins, limits : as for `score_histogram`

    Returns
    -------
    hist.Hist
        Axes ``dataset`` (categories) and one of the name of the loss (logarithmic), storage Weight.
    """
    samples = _weighted(samples, "losses")
    everything = np.concatenate([values for values, _ in samples.values()])
    return _filled(samples, [_logarithmic_axis(loss, _loss_label(loss), everything, bins, limits)])


def jets_histogram(
    samples: Mapping[str, tuple], loss: str, *, bins: int = 40, limits: tuple[float, float] | None = None
):
    """Weighted histogram of one loss of jet 1 against that of jet 2.

    Parameters
    ----------
    samples : mapping of name to (losses, weights)
        Arrays (events, 2) and (events,); events whose losses are not both positive and finite do not enter.
    loss : str
        One of `hepvae.scores.LOSSES`.
    bins, limits : as for `score_histogram`, of both axes

    Returns
    -------
    hist.Hist
        Axes ``dataset`` (categories), ``jet1`` and ``jet2`` (logarithmic), storage Weight.
    """
    label = _loss_label(loss)
    samples = _weighted(samples, "losses")
    everything = np.concatenate([values for values, _ in samples.values()])
    axes = [_logarithmic_axis(f"jet{j}", f"Jet {j}: {label}", everything, bins, limits) for j in (1, 2)]
    return _filled(samples, axes)


def mjj_score_histogram(
    mjj,
    score,
    weight,
    *,
    bins: tuple[int, int] = (60, 50),
    mjj_limits: tuple[float, float] = (1200, 4200),
    limits: tuple[float, float] | None = None,
):
    """Weighted histogram of the score against mjj.

    Parameters
    ----------
    mjj, score, weight : arrays (events,)
        mjj in GeV. Scores that are not positive and finite do not enter.
    bins : (int, int)
        Of mjj and of the score.
    mjj_limits : (float, float)
        Ends of the axis of mjj in GeV.
    limits : (float, float), optional
        Ends of the axis of the score; by default it holds every score.

    Returns
    -------
    hist.Hist
        Axes ``mjj`` and ``score`` (logarithmic), storage Weight.
    """
    import hist

    mjj, score, weight = (np.asarray(values, np.float64) for values in (mjj, score, weight))
    good = np.isfinite(score) & (score > 0)
    axis = _logarithmic_axis("score", "Anomaly score", score[good], bins[1], limits)
    histogram = hist.Hist(_mjj_axis(bins[0], *mjj_limits), axis, storage=hist.storage.Weight())
    histogram.fill(mjj=mjj[good], score=score[good], weight=weight[good])
    return histogram


def _weighted(samples: Mapping[str, tuple], what: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Those of the values (events,) or (events, 2), and their weights, that a logarithmic axis can take."""
    usable = {}
    for name, (values, weight) in samples.items():
        values, weight = np.asarray(values, np.float64), np.asarray(weight, np.float64)
        good = np.isfinite(values) & (values > 0)
        good = good if good.ndim == 1 else good.all(axis=1)
        usable[name] = values[good], weight[good]
    if not any(len(values) for values, _ in usable.values()):
        raise DataError(f"no {what} to make a histogram of")
    return usable


def _filled(samples: dict[str, tuple[np.ndarray, np.ndarray]], axes):
    import hist

    histogram = hist.Hist(
        hist.axis.StrCategory(list(samples), name="dataset", label="Dataset"),
        *axes,
        storage=hist.storage.Weight(),
    )
    for name, (values, weight) in samples.items():
        if not weight.sum() > 0:
            raise DataError(f"sample {name!r}: its weights add up to {weight.sum()}: expected more than zero")
        histogram.fill(name, *(values.T if values.ndim == 2 else [values]), weight=weight)
    return histogram


def _loss_label(loss: str) -> str:
    if loss not in LOSS_LABELS:
        raise OptionError(f"loss {loss!r} is unknown: expected one of {', '.join(LOSS_LABELS)}")
    return LOSS_LABELS[loss]


def search_histogram(*, bins: int = SCORE_BINS, limits: tuple[float, float] = SCORE_LIMITS):
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
        _logarithmic_axis("score", "Anomaly score", None, bins, limits),
        _mjj_axis(100, 1000, 11000),
        storage=hist.storage.Weight(),
    )


def _logarithmic_axis(name: str, label: str, values, bins: int, limits: tuple[float, float] | None):
    """An axis between limits, or one that holds all values where there are none."""
    import hist

    if bins < 1:
        raise OptionError(f"bins is {bins}: expected a positive whole number")
    if limits is None:
        limits = _enclosing(values)
    return hist.axis.Regular(bins, *limits, transform=hist.axis.transform.log, name=name, label=label)


def _mjj_axis(bins: int, low: float, high: float):
    import hist

    return hist.axis.Regular(bins, low, high, name="mjj", label=r"$m_{jj}$ (GeV)")


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


def residual_histogram(samples: Mapping[str, np.ndarray], *, label: str, bins: int = 81):
    """Histogram of differences, on an axis around zero that holds 99 % of the first sample.

    Parameters
    ----------
    samples : mapping of name to array (particles,)
    label : str
        Of the axis, as in `hepvae.reconstruction.RESIDUALS`.
    bins : int
        An odd number has a bin around zero.

    Returns
    -------
    hist.Hist
        Axes ``dataset`` (categories) and ``value``; storage Weight. What lies beyond is in the flow bins.
    """
    import hist

    if bins < 1:
        raise OptionError(f"bins is {bins}: expected a positive whole number")
    first = np.asarray(next(iter(samples.values()), ()))
    if len(first) == 0:
        raise DataError("no particles to make a histogram of")
    end = float(np.quantile(np.abs(first), 0.99)) or 1.0  # all of them zero: any axis will do
    histogram = hist.Hist(
        hist.axis.StrCategory(list(samples), name="dataset", label="Dataset"),
        hist.axis.Regular(bins, -end, end, name="value", label=label),
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
