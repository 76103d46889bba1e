"""Scores beside those of a VAE: jet observables as baselines, and a weakly supervised classifier.

The classifier learns to tell the events of a window of mjj from those of its sidebands by observables of their
jets: where both are background, there is nothing to learn, and where the window has a resonance, there is
(classification without labels: E. Metodiev, B. Nachman, J. Thaler, JHEP 10 (2017) 174; J. Collins, K. Howe,
B. Nachman, Phys. Rev. Lett. 121 (2018) 241803). It is trained in folds, so that no event has a score of a
classifier that saw it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..extras import require
from ..jets.padding import pad_particles
from ..jets.selection import select_dijets
from ..jets.spec import InputSpec
from ..options import check_number, check_whole_number
from ..reading.dijets import iterate_dijets
from ..reading.layouts import IDENTIFIERS
from ..scoring.strategy import ScoreStrategy
from .samples import SearchSample
from .weights import Floats, finite, same_length

__all__ = [
    "BASELINES",
    "OBSERVABLES",
    "WindowClassifier",
    "baseline",
    "dijet_observables",
    "scored_by",
    "train_in_window",
]

#: Of each jet, all that the classifier sees: none that tells mjj.
OBSERVABLES = ("mass", "softdrop_mass", "tau21", "tau32", "multiplicity", "girth")

#: Scores of jets that a search would cut on without a model; high is anomalous, the lower jet's is the event's.
BASELINES: dict[str, Callable[[Mapping[str, Floats]], Floats]] = {
    "jet mass": lambda of: of["mass"],
    "tau21": lambda of: 1 - of["tau21"],
}

#: Events of one kind that a classifier needs to be trained.
LEAST_EVENTS = 50


def dijet_observables(files: Any, sample: SearchSample, names: Sequence[str] = OBSERVABLES) -> dict[str, Floats]:
    """Observables (events, 2) of the jets of a sample, by name, in the order of its events.

    Parameters
    ----------
    files : as for `score_files`
        That the sample was scored from.
    sample : SearchSample
    names : sequence of str
        Features of jets.

    Raises
    ------
    DataError
        The files have no event numbers, and another number of events than the sample; or an event is in none.
    """
    spec = InputSpec(n_particles=1, features=(), jet_features=tuple(names))
    values, numbers = [], []
    for events in iterate_dijets(files):
        some = select_dijets(events, region="signal")
        if not len(some):
            continue
        values.append(pad_particles(some, spec)[:, :, 0].astype(np.float64))
        if sample.identifiers is not None:
            numbers.append(np.stack([np.asarray(some[name], np.int64) for name in IDENTIFIERS], axis=1))
    every = np.concatenate(values) if values else np.empty((0, 2, len(names)))
    if sample.identifiers is not None:
        places = {tuple(row): i for i, row in enumerate(np.concatenate(numbers).tolist())} if numbers else {}
        rows = [places.get(tuple(row)) for row in sample.identifiers.tolist()]
        if None in rows:
            raise DataError(f"{sample.name}: event {sample.identifiers[rows.index(None)]} is in none of the files")
        every = every[np.array(rows, int)]
    elif len(every) != len(sample.mjj):
        raise DataError(
            f"{sample.name}: {len(every)} events in its files, {len(sample.mjj)} scored: expected as many"
        )
    return {name: every[..., i] for i, name in enumerate(names)}


def scored_by(sample: SearchSample, score: Floats) -> SearchSample:
    """A sample with another score, (events, 2) of jets (the lower counts) or (events,)."""
    of_jets = np.repeat(score[:, None], 2, axis=1) if score.ndim == 1 else score
    plain = ScoreStrategy("min", 0.0)
    return replace(sample, losses={"reco_loss": of_jets, "kl_loss": np.zeros_like(of_jets)}, strategy=plain)


def baseline(name: str, sample: SearchSample, observables: Mapping[str, Floats]) -> SearchSample:
    """A sample with one of `BASELINES` as its score."""
    return scored_by(sample, BASELINES[name](observables))


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
        x = _matrix(observables)
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
        classifiers.append(trees.fit(x[some], inside[some], sample_weight=share / share.mean()))
    return WindowClassifier(float(mass), fold, classifiers)


def _matrix(observables: Mapping[str, Floats]) -> Floats:
    """(events, 2 x observables): of the jet with more of the first observable, then of the other."""
    values = np.stack([np.asarray(one, np.float64) for one in observables.values()], axis=-1)
    order = np.argsort(-values[..., 0], axis=1)
    ordered = np.take_along_axis(values, order[..., None], axis=1)
    return ordered.reshape(len(values), -1)
