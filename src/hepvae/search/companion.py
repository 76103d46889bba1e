"""Scores beside those of a VAE: jet observables as baselines, and a weakly supervised classifier in a search.

The classifier learns to tell the events of a window of mjj from those of its sidebands by observables of their
jets: where both are background, there is nothing to learn, and where the window has a resonance, there is
(classification without labels: E. Metodiev, B. Nachman, J. Thaler, JHEP 10 (2017) 174; J. Collins, K. Howe,
B. Nachman, Phys. Rev. Lett. 121 (2018) 241803). It is trained in folds, so that no event has a score of a
classifier that saw it.

What it learns depends on the events that it is given, and on how much signal is among them: its shares of signal
and background are those of a training with that much signal, among events like those that are searched.
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
from .limits import Limits
from .samples import MASS, SearchSample
from .scans import COMBINED, FitOptions, Masses, Scan, scan
from .separation import Measured
from .slices import Expectation, SlicedSignal, limits_in_slices, significances, slice_signal
from .spectrum import Spectrum, signal_shape
from .weights import Floats, finite, same_length
from .working_points import fit_working_points, working_point_efficiency

__all__ = [
    "BASELINES",
    "COMPANION",
    "OBSERVABLES",
    "WindowClassifier",
    "WindowSearch",
    "baseline",
    "train_in_window",
    "windows",
]

#: Of each jet, all that the classifier sees: none that tells mjj.
OBSERVABLES = (MASS, "softdrop_mass", "tau21", "tau32", "multiplicity", "girth")

#: Scores of jets that a search would cut on without a model: an observable, and a function of it that is high for
#: anomalous jets. The lower jet's is the event's.
BASELINES: dict[str, tuple[str, Callable[[Floats], Floats]]] = {
    "jet mass": (MASS, lambda mass: mass),
    "tau21": ("tau21", lambda ratio: 1 - ratio),
}

#: Name of the classifier in tables and plots.
COMPANION = "window classifier"

#: Trainings for one limit, at most.
_TRAININGS = 3

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


def windows(masses: Floats, mass: float, apart: float) -> Floats:
    """Of some masses (masses,), rising, those to train classifiers at: `mass`, others `apart` (relative) from it.

    Windows reach 10 % to each side: of those that are 0.1 apart, half of each is also in the next.
    """
    chosen = [mass]
    for one in masses[masses > mass].tolist():
        if one >= chosen[-1] * (1 + apart):
            chosen.append(one)
    for one in masses[masses < mass][::-1].tolist():
        if one <= chosen[0] / (1 + apart):
            chosen.insert(0, one)
    return np.array(chosen)


@dataclass(frozen=True)
class WindowSearch:
    """A search with the classifier of a window in the place of a model.

    A signal between two samples is that of the nearest in mass: its mjj are scaled, the observables of its jets
    stay as they are.
    """

    background: SearchSample
    """With all of `OBSERVABLES`; weights are expected events."""
    signals: Mapping[float, SearchSample]
    """By mass, GeV; likewise."""
    expectation: Expectation
    """Of the background, in the slices of a model."""
    working_point: str
    """That is cut at."""
    options: FitOptions
    """Of limits and scans."""
    folds: int = 5
    """Of the training."""
    seed: int = 1

    def trained(
        self, mass: float, injected: float, replica: int | None = None
    ) -> tuple[Expectation, SlicedSignal]:
        """Background and signal in the slices of a classifier that was trained with a number of signal events.

        Parameters
        ----------
        mass : float
            Of window and signal, GeV.
        injected : float
            Signal events.
        replica : int, optional
            Number of a bootstrap replica of all events; by default they are taken as they are.

        Raises
        ------
        DataError
            The window or its sidebands have too few events, or too few pass the working point.
        """
        background, (signal, mjj) = self.background, self._at(mass)
        counts = [np.ones(len(one.mjj)) for one in (background, signal)]
        if replica is not None:
            rng = np.random.default_rng([self.seed, 4, replica])
            counts = [rng.poisson(one).astype(np.float64) for one in counts]
        weights = background.weight * counts[0], signal.weight * counts[1]
        both = np.append(background.mjj, mjj)
        weight = np.append(weights[0], injected * weights[1] / signal.weight.sum())
        index, names = self._slices(
            {
                name: np.concatenate([one.observables[name] for one in (background, signal)])
                for name in OBSERVABLES
            },
            *(both, weight, mass),
        )
        of_background, of_signal = np.split(index, [len(background.mjj)])
        edges = self.expectation.edges
        inside = weights[0] * ((background.mjj >= edges[0]) & (background.mjj < edges[-1]))
        shares = {name: float(inside[of_background == i].sum() / inside.sum()) for i, name in enumerate(names)}
        expectation = replace(self.expectation, shares=shares, flatness={})
        return expectation, slice_signal({mass: (mjj, weights[1], of_signal)}, names, mass)

    def _at(self, mass: float) -> tuple[SearchSample, Floats]:
        """The signal of the nearest mass, and its mjj as if it had this one."""
        nearest = min(self.signals, key=lambda one: abs(one - mass))
        return self.signals[nearest], self.signals[nearest].mjj * mass / nearest

    def _slices(
        self, observables: Mapping[str, Floats], mjj: Floats, weight: Floats, mass: float
    ) -> tuple[npt.NDArray[np.int8], tuple[str, ...]]:
        """Which slice of the score each event is in, and names of the slices; no event is seen by what cuts it."""
        classifier = train_in_window(observables, mjj, weight, mass, folds=self.folds, seed=self.seed)
        score = classifier.score(observables, classifier.fold)
        efficiency = working_point_efficiency(self.working_point)
        points = fit_working_points(score, mjj, weight, (efficiency,), seed=self.seed)
        return points.slices(score, mjj, points.fold), points.slice_names

    def significance(self, mass: float, injected: float, replicas: int) -> Measured:
        """Expected significance of injected events after the cut: mean and spread of replicas of the training."""
        values = []
        for replica in range(replicas):
            expected = significances(injected, *self.trained(mass, injected, replica))
            values.append(expected[self.working_point])
        return Measured(float(np.mean(values)), float(np.std(values, ddof=1)))

    def limits(self, masses: Masses, start: Floats) -> Limits:
        """Expected limits on all selected signal events at some masses; there are no observed ones.

        A limit is the smallest number of events that a classifier trained with them excludes, of up to
        `_TRAININGS` numbers from `start` (masses,) on; where none does, what that of the first number excludes.
        """
        bands = []
        for mass, number in zip(masses, start.tolist()):
            best: list[Floats] = []
            for _ in range(_TRAININGS):
                expectation, signal = self.trained(mass, number)
                limits = limits_in_slices(expectation.events, [mass], expectation, signal, self.options)
                band = limits[COMBINED].expected[:, 0]
                if band[2] > number:
                    best = best or [band]
                    break
                best.append(band * (number / band[2]))
                number = float(np.sqrt(number * band[2]))
            bands.append(best[-1])
        at = np.asarray(masses, np.float64)
        return Limits(COMPANION, at, np.full(len(at), np.nan), np.stack(bands, axis=1))

    def scan(self, data: SearchSample, masses: Floats) -> Scan:
        """Test data for a signal in the middle of each window (masses,), with the classifiers that they train."""
        tests = []
        for mass in masses.tolist():
            index, _ = self._slices(data.observables, data.mjj, data.weight, mass)
            spectrum = Spectrum.of_events(data.mjj[index == 1], edges=self.expectation.edges)
            signal, mjj = self._at(mass)
            test = scan(
                *({COMPANION: spectrum}, signal_shape({mass: (mjj, signal.weight)}), [mass]),
                criterion=self.options.criterion,
                systematics=self.options.systematics,
            )
            tests.append(test[COMPANION])
        best = max(tests, key=lambda one: float(one.significance[0]))
        yields, uncertainties, significance = (
            np.array([float(getattr(one, of)[0]) for one in tests])
            for of in ("yields", "uncertainties", "significance")
        )
        return Scan(COMPANION, masses, yields, uncertainties, significance, best.fits, best.fit_p_value)
