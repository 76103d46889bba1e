"""Scores beside those of a VAE: jet observables as baselines, and a weakly supervised classifier.

The classifier learns to tell the events of a window of mjj from those of its sidebands by observables of their
jets: where both are background, there is nothing to learn, and where the window has a resonance, there is
(classification without labels: E. Metodiev, B. Nachman, J. Thaler, JHEP 10 (2017) 174; J. Collins, K. Howe,
B. Nachman, Phys. Rev. Lett. 121 (2018) 241803). It is trained in folds, so that no event has a score of a
classifier that saw it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..extras import require
from ..options import check_number, check_whole_number
from ..scoring.strategy import ScoreStrategy
from .samples import MASS, SearchSample
from .weights import Floats, finite, same_length

__all__ = [
    "BASELINES",
    "OBSERVABLES",
    "WindowClassifier",
    "baseline",
    "train_in_window",
]

#: Of each jet, all that the classifier sees: none that tells mjj.
OBSERVABLES = (MASS, "softdrop_mass", "tau21", "tau32", "multiplicity", "girth")

#: Scores of jets that a search would cut on without a model: an observable, and a function of it that is high for
#: anomalous jets. The lower jet's is the event's.
BASELINES: dict[str, tuple[str, Callable[[Floats], Floats]]] = {
    "jet mass": (MASS, lambda mass: mass),
    "tau21": ("tau21", lambda ratio: 1 - ratio),
}

#: Events of one kind that a classifier needs to be trained.
LEAST_EVENTS = 50


def baseline(name: str, sample: SearchSample) -> SearchSample:
    """A sample with one of `BASELINES` as its score."""
    observable, score = BASELINES[name]
    card = replace(sample.card, losses=("loss",), strategy="min")
    losses = {"loss": score(sample.observables[observable])}
    return replace(sample, losses=losses, card=card, strategy=ScoreStrategy("min").of(card))


@dataclass(frozen=True)
class WindowClassifier:
    """Trees of a window of mjj, one ensemble for each fold."""

    mass: float
    """Centre of the window, GeV."""
    fold: npt.NDArray[np.int8]
    """(events,), of the events that it was trained with."""
    classifiers: list[Any]
    """(folds,): of scikit-learn, each trained without its fold."""

    def score(self, observables: Mapping[str, Floats], fold: npt.NDArray[np.int8] | None = None) -> Floats:
        """Scores (events,), from 0 to 1: high is like the window.

        Parameters
        ----------
        observables : mapping of name to array (events, 2)
        fold : array (events,), optional
            Of events that it was trained with: `fold`. For all others, the mean of all folds.
        """
        from threadpoolctl import threadpool_limits

        x = _matrix(observables)
        with threadpool_limits(1):
            every = np.stack([one.predict_proba(x)[:, 1] for one in self.classifiers])
        if fold is None:
            return np.asarray(every.mean(axis=0), np.float64)
        return np.asarray(np.take_along_axis(every, fold[None].astype(int), axis=0)[0], np.float64)


def train_in_window(
    observables: Mapping[str, npt.ArrayLike],
    mjj: npt.ArrayLike,
    weight: npt.ArrayLike,
    mass: float,
    *,
    half_width: float = 0.1,
    sideband: float = 0.15,
    folds: int = 5,
    seed: int = 1,
) -> WindowClassifier:
    """Train a classifier of a window of mjj against its sidebands, in folds.

    Parameters
    ----------
    observables : mapping of name to array (events, 2)
        All of `OBSERVABLES`, or others; jets are ordered by the first of them, not in pt.
    mjj, weight : arrays (events,)
        mjj in GeV.
    mass : float
        Centre of the window, GeV.
    half_width, sideband : float
        Of the window and of each sideband, relative to the mass.
    folds, seed : int
        As for `fit_working_points`.

    Raises
    ------
    OptionError
        A number is out of range.
    DataError
        Values are not finite, lengths differ, or the window or its sidebands have fewer than 50 events.
    MissingPackageError
        scikit-learn is not installed.
    """
    check_number("mass", mass, lowest=1, unit="GeV")
    check_number("half width of the window", half_width, lowest=0.01, highest=0.5)
    check_number("sideband", sideband, lowest=0.01, highest=0.5)
    check_whole_number("folds", folds, lowest=2, highest=100)
    require("sklearn", "classifier of a window")
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    mjj, weight = finite("mjj", mjj), finite("weights", weight)
    x = _matrix({name: np.asarray(values, np.float64) for name, values in observables.items()})
    same_length(observables=x, mjj=mjj, weights=weight)
    distance = np.abs(mjj / mass - 1)
    inside, used = distance < half_width, (distance < half_width + sideband) & (weight > 0)
    for what, some in (("the window", inside & used), ("the sidebands", ~inside & used)):
        if some.sum() < LEAST_EVENTS:
            short = f"window of {mass:g} GeV: {some.sum()} events in {what}"
            raise DataError(f"{short}: expected {LEAST_EVENTS} or more")
    # both kinds weigh the same: what is learnt is the shape
    balance = np.where(inside, weight[inside & used].sum(), weight[~inside & used].sum())
    fold = (np.random.default_rng([seed, 3]).permutation(len(mjj)) % folds).astype(np.int8)
    classifiers = []
    for k in range(folds):
        some = used & (fold != k)
        trees = HistGradientBoostingClassifier(
            max_iter=40,
            learning_rate=0.05,
            max_leaf_nodes=8,
            min_samples_leaf=40,
            l2_regularization=1.0,
            early_stopping=False,
            random_state=seed,
        )
        share = weight[some] / balance[some]
        # trees of few events take longer on several threads, which wait for each other after each node
        with threadpool_limits(1):
            classifiers.append(trees.fit(x[some], inside[some], sample_weight=share / share.mean()))
    return WindowClassifier(float(mass), fold, classifiers)


def _matrix(observables: Mapping[str, Floats]) -> Floats:
    """(events, 2 x observables): of the jet with more of the first observable, then of the other."""
    values = np.stack([np.asarray(one, np.float64) for one in observables.values()], axis=-1)
    order = np.argsort(-values[..., 0], axis=1)
    ordered = np.take_along_axis(values, order[..., None], axis=1)
    return ordered.reshape(len(values), -1)
