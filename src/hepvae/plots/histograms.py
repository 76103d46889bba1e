"""Histograms with named axes (hist), for plotting and for keeping."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..models.card import ADOPTED
from ..models.losses import LOSSES
from ..options import check_number, check_whole_number
from .style import Floats

if TYPE_CHECKING:
    from hist import Hist

__all__ = [
    "SCORE_BINS",
    "SCORE_LIMITS",
    "SIGNED_LIMITS",
    "entries",
    "jets_histogram",
    "loss_histogram",
    "loss_labels",
    "mjj_score_histogram",
    "observable_histogram",
    "residual_histogram",
    "score_histogram",
    "score_label",
    "search_histogram",
    "variables_histogram",
]

Limits = tuple[float, float]
#: By name: values (events,) or (events, axes), and weights (events,).
Samples = Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]]

#: The axis of scores that are not known yet: ten bins a decade, from far below what losses that are means add up
#: to, to far above what sums do.
SCORE_BINS, SCORE_LIMITS = 90, (1e-3, 1e6)
#: That of scores of either sign, as of the model ``density``; linear.
SIGNED_LIMITS = (-10.0, 20.0)

#: Losses of jets, and how an axis names them.
LOSS_LABELS = {
    **{"loss": "Loss", "reco_loss": "Reconstruction loss", "kl_loss": "KL divergence"},
    "score": "Score of a jet",
}
#: The unit of a loss that is a distance of particles, by the names of `losses.DISTANCES`.
UNITS = {"features": r"GeV$^2$", "momenta": r"GeV$^2$", "weighted": "GeV"}
#: Columns of scored files; those of jets without ``j1_`` or ``j2_``.
LABELS = LOSS_LABELS | {
    "score": "Anomaly score",
    "mjj": r"$m_{jj}$ (GeV)",
    "deta": r"$|\Delta\eta_{jj}|$",
    "pt": r"$p_T$ (GeV)",
    "eta": r"$\eta$",
    "phi": r"$\phi$",
    "mass": "Mass (GeV)",
    "multiplicity": "Number of constituents",
    "pt_dispersion": r"$p_T$ dispersion",
    "girth": "Girth",
    "tau21": r"$\tau_{21}$",
    "tau32": r"$\tau_{32}$",
    "tau43": r"$\tau_{43}$",
    "softdrop_mass": "Soft-drop mass (GeV)",
}

MOST_BINS = 10_000
#: An axis is linear where more than this share of the values is not above zero.
MANY = 0.01
#: Or where one is below zero by more than this share of the largest value.
FAR_BELOW = 0.1


def score_histogram(
    samples: Samples, *, bins: int = 40, limits: Limits | None = None, label: str = LABELS["score"]
) -> Hist[Any]:
    """Weighted histogram of the scores of some samples.

    Parameters
    ----------
    samples : mapping of name to (scores, weights)
        Arrays (events,). NaN, the score of an event that has none, does not enter.
    bins : int
    limits : (float, float), optional
        Ends of the axis, above zero; by default it holds every score.
    label : str
        Of the axis, best with model and strategy.

    Returns
    -------
    hist.Hist
        Axes ``dataset`` (categories) and ``score``, storage Weight. The axis is logarithmic: scores are squared
        distances that span decades. Scores at or below zero are in its underflow; where more than `MANY` of them
        are, and no limits are given, the axis is linear.

    Raises
    ------
    DataError
        There are no scores, scores and weights differ in number, a weight is not finite, or those of a sample do
        not add up to more than zero.
    OptionError
        A number of bins, or limits, that no axis can have.
    """
    return _histogram(samples, ["score"], [label], "scores", bins, limits)


def loss_labels(card: Mapping[str, Any]) -> dict[str, str]:
    """How an axis names the losses of a model: with the unit that they have where they are distances of momenta.

    Parameters
    ----------
    card : mapping
        As `ModelCard.to_dict` gives it, also of an earlier version.
    """
    losses = card.get("losses", LOSSES)
    known = card.get("architecture") != ADOPTED and "reco_loss" in losses
    unit = f" ({UNITS[card.get('distance', 'features')]})" if known else ""
    return {name: LOSS_LABELS.get(name, name) + unit * (name != "kl_loss") for name in losses}


def loss_histogram(
    samples: Samples, loss: str, *, label: str | None = None, bins: int = 40, limits: Limits | None = None
) -> Hist[Any]:
    """Weighted histogram of one loss of the jets of some samples.

    Parameters
    ----------
    samples : mapping of name to (losses, weights)
        Arrays (jets,).
    loss : str
        Its name, as a model gives it.
    label : str, optional
        Of the axis, as of `loss_labels`.
    bins, limits : as for `score_histogram`

    Returns
    -------
    hist.Hist
        Axes ``dataset`` (categories) and one of the name of the loss, as for `score_histogram`.
    """
    return _histogram(samples, [loss], [label or LOSS_LABELS.get(loss, loss)], "losses", bins, limits)


def jets_histogram(
    samples: Samples, loss: str, *, label: str | None = None, bins: int = 40, limits: Limits | None = None
) -> Hist[Any]:
    """Weighted histogram of one loss of jet 1 against that of jet 2.

    Parameters
    ----------
    samples : mapping of name to (losses, weights)
        Arrays (events, 2) and (events,). Events with NaN do not enter.
    loss, label, bins, limits
        As for `loss_histogram`, of both axes.

    Returns
    -------
    hist.Hist
        Axes ``dataset`` (categories), ``jet1`` and ``jet2``, as for `score_histogram`.
    """
    labels = [f"Jet {j}: {label or LOSS_LABELS.get(loss, loss)}" for j in (1, 2)]
    return _histogram(samples, ["jet1", "jet2"], labels, "losses", bins, limits, same=True)


def variables_histogram(
    samples: Samples, variables: Sequence[str], *, bins: int = 40, labels: Mapping[str, str] | None = None
) -> Hist[Any]:
    """Weighted histogram of columns of scored files.

    Parameters
    ----------
    samples : mapping of name to (values, weights)
        Arrays (events, variables) and (events,). Events with NaN do not enter.
    variables : sequence of str
        Names of the columns and axes: scores and losses are on logarithmic axes, as for `score_histogram`.
    bins : int
        Of each axis.
    labels : mapping of str to str, optional
        Of axes, instead of those of hepvae.

    Returns
    -------
    hist.Hist
        Axes ``dataset`` (categories) and one for each variable, storage Weight.
    """
    named = [(labels or {}).get(name) or _column_label(name) for name in variables]
    return _histogram(samples, list(variables), named, "events", bins, None)


def score_label(*of: object) -> str:
    """How an axis names a score: with its model and strategy."""
    return f"{LABELS['score']} ({', '.join(map(str, of))})"


def mjj_score_histogram(
    mjj: npt.ArrayLike,
    score: npt.ArrayLike,
    weight: npt.ArrayLike,
    *,
    bins: tuple[int, int] = (60, 50),
    mjj_limits: Limits = (1200, 4200),
    limits: Limits | None = None,
    label: str | None = None,
) -> Hist[Any]:
    """Weighted histogram of the score against mjj.

    Parameters
    ----------
    mjj, score, weight : arrays (events,)
        mjj in GeV. Events with NaN do not enter.
    bins : (int, int)
        Of mjj and of the score.
    mjj_limits : (float, float)
        Ends of the axis of mjj in GeV.
    limits : (float, float), optional
        Ends of the axis of the score; by default it holds every score.
    label : str, optional
        Of the score, with model and strategy (`score_label`).

    Returns
    -------
    hist.Hist
        Axes ``mjj`` and ``score`` (as for `score_histogram`), storage Weight.

    Raises
    ------
    DataError, OptionError
        As `score_histogram`.
    """
    if np.shape(mjj) != np.shape(score):
        raise DataError(f"{np.size(mjj)} values of mjj and {np.size(score)} scores: expected as many")
    values = np.stack([np.asarray(column, np.float64) for column in (mjj, score)], axis=-1)
    known, weight = _known("all events", values, weight, "scores")
    if not len(known):
        raise DataError("no scores to make a histogram of")
    axis = _loss_axis("score", label or LABELS["score"], known[:, 1], bins[1], limits)
    histogram = _weighted(_regular("mjj", LABELS["mjj"], bins[0], *mjj_limits), axis)
    histogram.fill(known[:, 0], entries(known[:, 1], axis), weight=weight)
    return histogram


def search_histogram(
    datasets: Iterable[str] = (),
    variations: Iterable[str] = (),
    *,
    bins: int = SCORE_BINS,
    limits: Limits = SCORE_LIMITS,
) -> Hist[Any]:
    """An empty histogram of what a search looks at, that takes datasets and systematic variations as they come.

    Parameters
    ----------
    datasets, variations : iterables of str
        There from the begin, also where nothing is filled.
    bins : int
        Of the score.
    limits : (float, float)
        Ends of the axis of the score; one that begins at or below zero, for scores of either sign, is linear.

    Returns
    -------
    hist.Hist
        Axes ``dataset`` and ``variation`` (growing categories), ``score`` (logarithmic), ``mjj`` (GeV, 100 bins up
        to 11 TeV), storage Weight.
    """
    import hist

    score = _regular if limits[0] <= 0 < limits[1] - limits[0] else _logarithmic_axis
    return _weighted(
        hist.axis.StrCategory(list(datasets), growth=True, name="dataset", label="Dataset"),
        hist.axis.StrCategory(list(variations), growth=True, name="variation", label="Variation"),
        score("score", LABELS["score"], bins, *limits),
        _regular("mjj", LABELS["mjj"], 100, 1000, 11000),
    )


def observable_histogram(samples: Mapping[str, npt.ArrayLike], *, label: str, bins: int = 40) -> Hist[Any]:
    """Histogram of one observable of jets in some samples, on an axis that suits the first of them.

    Parameters
    ----------
    samples : mapping of name to array (jets,)
        NaN does not enter.
    label : str
        Of the axis.

    Returns
    -------
    hist.Hist
        Axes ``dataset`` (categories) and ``value``, from zero (where the first sample has negative values: from
        below 99.5 % of it) to beyond 99.5 % of the first sample; storage Weight. The rest is in the flow bins.

    Raises
    ------
    DataError
        The first sample has no values.
    """
    first = _first(samples, "jets")
    check_whole_number("bins", bins, highest=MOST_BINS)
    low, high = (float(np.quantile(first, share)) for share in (0.005, 0.995))
    if np.issubdtype(first.dtype, np.integer) and low >= 0:  # whole numbers: as many of them in each bin
        width = max(1, round(high * 1.15 / bins))
        low, high = -0.5, bins * width - 0.5
    else:
        low, high = (0.0 if first.min() >= 0 else low - 0.15 * abs(low)), high + 0.15 * abs(high)
    return _of_values(samples, bins, low, high if high > low else low + 1, label)


def residual_histogram(samples: Mapping[str, npt.ArrayLike], *, label: str, bins: int = 81) -> Hist[Any]:
    """Histogram of differences, on an axis around zero that holds 99 % of the first sample.

    Parameters
    ----------
    samples : mapping of name to array (particles,)
        NaN does not enter.
    label : str
        Of the axis, as in `hepvae.jets.observables.RESIDUALS`.
    bins : int
        An odd number has a bin around zero.

    Returns
    -------
    hist.Hist
        Axes ``dataset`` (categories) and ``value``; storage Weight. What lies beyond is in the flow bins.

    Raises
    ------
    DataError
        The first sample has no values.
    """
    end = float(np.quantile(np.abs(_first(samples, "particles")), 0.99)) or 1.0  # all are zero: any axis will do
    return _of_values(samples, bins, -end, end, label)


def _histogram(
    samples: Samples,
    names: Sequence[str],
    labels: Sequence[str],
    what: str,
    bins: int,
    limits: Limits | None,
    *,
    same: bool = False,
) -> Hist[Any]:
    """Axes ``dataset`` and some of scores, losses and other columns; ``same``: with the same ends."""
    known = {name: _known(f"sample {name!r}", *sample, what) for name, sample in samples.items()}
    everything = [values.reshape(len(values), len(names)) for values, _ in known.values()]
    together = np.concatenate(everything) if everything else np.zeros((0, len(names)))
    if not len(together):
        raise DataError(f"no {what} to make a histogram of")
    axes = []
    for i, (name, label) in enumerate(zip(names, labels)):
        column = together.ravel() if same else together[:, i]
        spans_decades = same or name == "score" or name.endswith("loss")
        axes.append((_loss_axis if spans_decades else _linear_axis)(name, label, column, bins, limits))
    histogram = _of_datasets(samples, *axes)
    for (name, (_, weight)), values in zip(known.items(), everything):
        if not weight.sum() > 0:
            raise DataError(f"sample {name!r}: its weights add up to {weight.sum()}: expected more than zero")
        columns = (entries(column, axis) for column, axis in zip(values.T, axes))
        histogram.fill(name, *columns, weight=weight)
    return histogram


def _known(whose: str, values: npt.ArrayLike, weight: npt.ArrayLike, what: str) -> tuple[Floats, Floats]:
    """The values (events,) or (events, axes) without NaN, and their weights."""
    values, weight = np.asarray(values, np.float64), np.asarray(weight, np.float64)
    if values.shape[:1] != weight.shape:
        raise DataError(f"{whose}: {len(values)} {what} and {weight.size} weights: expected as many")
    if not np.isfinite(weight).all():
        raise DataError(f"{whose}: {np.count_nonzero(~np.isfinite(weight))} weights are not finite")
    known = ~np.isnan(values)
    known = known if known.ndim == 1 else known.all(axis=1)
    return values[known], weight[known]


def _first(samples: Mapping[str, npt.ArrayLike], what: str) -> npt.NDArray[Any]:
    """The finite values of the first sample."""
    first: npt.NDArray[Any] = np.asarray(next(iter(samples.values()), ()))
    first = first[np.isfinite(first)]
    if not len(first):
        raise DataError(f"no {what} to make a histogram of")
    return first


def _of_values(samples: Mapping[str, npt.ArrayLike], bins: int, low: float, high: float, label: str) -> Hist[Any]:
    histogram = _of_datasets(samples, _regular("value", label, bins, low, high))
    for name, given in samples.items():
        values = np.asarray(given, np.float64)
        histogram.fill(name, values[~np.isnan(values)])
    return histogram


def _column_label(name: str) -> str:
    jet, _, rest = name.partition("_")
    if jet in ("j1", "j2") and rest in LABELS:
        return f"Jet {jet[1]}: {LABELS[rest]}"
    return LABELS.get(name, name)


def _loss_axis(name: str, label: str, values: Floats, bins: int, limits: Limits | None) -> Any:
    """An axis between limits, or one that holds all values: logarithmic, unless many are not above zero, or
    one is far below."""
    finite = values[np.isfinite(values)]
    signed = bool(len(finite)) and finite.min() < -FAR_BELOW * finite.max()
    if limits is None and (signed or not (np.count_nonzero(finite > 0) > (1 - MANY) * len(finite))):
        return _linear_axis(name, label, values, bins, None)
    return _logarithmic_axis(name, label, bins, *(limits or _enclosing(finite[finite > 0])))


def _logarithmic_axis(name: str, label: str, bins: int, low: float, high: float) -> Any:
    import hist

    finite = np.finfo(np.float64)
    low = check_number("lower limit", low, lowest=finite.tiny, highest=finite.max)
    high = check_number("upper limit", high, lowest=low * (1 + finite.eps), highest=finite.max)
    return _regular(name, label, bins, low, high, transform=hist.axis.transform.log)


def _linear_axis(name: str, label: str, values: Floats, bins: int, limits: Limits | None) -> Any:
    finite = values[np.isfinite(values)]
    if limits is None and not len(finite):
        raise DataError(f"no finite {name} to make a histogram of")
    low, high = limits or (float(finite.min()), float(finite.max()))
    beyond = 0.0 if limits else 1e-3 * (high - low) or 0.5  # the upper end is not in the axis
    return _regular(name, label, bins, low - beyond, high + beyond)


def _regular(name: str, label: str, bins: int, low: float, high: float, **transform: Any) -> Any:
    import hist

    check_whole_number("bins", bins, highest=MOST_BINS)
    return hist.axis.Regular(bins, low, high, name=name, label=label, **transform)


def _weighted(*axes: Any) -> Hist[Any]:
    import hist

    return hist.Hist(*axes, storage=hist.storage.Weight())


def _of_datasets(samples: Iterable[str], *axes: Any) -> Hist[Any]:
    import hist

    return _weighted(hist.axis.StrCategory(list(samples), name="dataset", label="Dataset"), *axes)


def entries(values: Floats, axis: Any) -> Floats:
    """Values as an axis takes them: a logarithmic one would have negative values in its overflow."""
    return values if axis.transform is None else np.maximum(values, axis.edges[0] / 2)


def _enclosing(values: Floats) -> Limits:
    """Ends with one digit, a little outside of all values."""
    low, high = values.min(), values.max()
    down, up = (10.0 ** np.floor(np.log10(v)) for v in (low, high))
    return float(np.floor(low / down) * down), float((np.floor(high / up) + 1) * up)
