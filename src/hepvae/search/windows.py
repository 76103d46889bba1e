"""The companion in a search: what a classifier of windows in mjj makes of a signal, trained anew each time.

What it learns depends on the events that it is given, and on how much signal is among them: its shares of signal
and background are those of a training with that much signal, among events like those that are searched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from .companion import OBSERVABLES, train_in_window
from .limits import Limits
from .samples import SearchSample
from .scans import COMBINED, Masses, Scan, scan
from .separation import Measured
from .slices import Expectation, FitOptions, SlicedSignal, limits_in_slices, significances, slice_signal
from .spectrum import Floats, Spectrum, signal_shape
from .working_points import fit_working_points, working_point_efficiency

__all__ = ["COMPANION", "WindowSearch", "windows"]

#: Name of the classifier in tables and plots.
COMPANION = "window classifier"

#: Trainings for one limit, at most.
_TRAININGS = 3


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
