"""The search for a resonance in spectra of mjj: significance of a signal at each mass, by slice and together."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ..errors import DataError, OptionError
from .fits import (
    ORDERS,
    BackgroundFits,
    Criterion,
    Slice,
    SpectrumFit,
    chi2_of_groups,
    expected_events,
    fit_backgrounds,
    fit_spectrum,
    merged_bins,
    minimum,
)
from .spectrum import Floats, SignalShape, Spectrum

__all__ = [
    "COMBINED",
    "FitOptions",
    "Scan",
    "SignalTest",
    "Systematics",
    "ToyScan",
    "as_toys",
    "in_slices",
    "scan",
    "scan_toys",
    "signal_tests",
    "upper_tail",
]

#: Name of the scan of all slices together.
COMBINED = "combined"

#: Share of fits of toys that may end where no step improves them, before they converge.
MOST_LEFT = 0.01

#: Fits that are done together; more only need more memory.
_BATCH = 2000

logger = logging.getLogger(__name__)

Value = TypeVar("Value")
#: One, for all slices or by slice.
Signal = SignalShape | Mapping[str, SignalShape]
Orders = int | Sequence[int] | Mapping[str, int | Sequence[int]]
#: (masses,), GeV.
Masses = Sequence[float] | Floats
#: Of a signal that are in a slice: at all masses, or (masses,).
Shares = Mapping[str, float] | Mapping[str, Floats]


def upper_tail(significance: npt.ArrayLike) -> Floats:
    """Chance of a standard normal number above `significance`."""
    from scipy.special import ndtr

    return np.asarray(ndtr(-np.asarray(significance, np.float64)), np.float64)


@dataclass(frozen=True)
class Systematics:
    """Nuisance parameters of a search, each with a Gaussian constraint."""

    pass_rates: Mapping[str, Floats] = field(default_factory=dict)
    """(nuisances, bins) by slice: changes of ln(background) for one standard deviation of the cuts; the nuisance
    parameters are shared by all slices."""
    spurious: Mapping[str, Floats] = field(default_factory=dict)
    """(masses,) by slice: signal events that the choice of the function may fake, each slice for itself."""
    scale: float = 0.0
    """Relative uncertainty of the jet energy scale, which moves the signal; for limits."""
    resolution: float = 0.0
    """Relative uncertainty of the resolution of mjj, which widens the signal; for limits."""
    normalisation: float = 0.0
    """Relative uncertainty of the expected signal: luminosity, efficiencies; for limits."""

    @property
    def of_background(self) -> Systematics:
        """Those that a spectrum without signal has, too: what is profiled in a test for a signal.

        One that only changes the signal would find the mass that fits best around that which is tested. The
        likelihood ratio has no chi-square distribution then (Davies, Biometrika 64 (1977) 247): significances of
        toys without signal would be too large. A signal that is moved is found at a mass beside.
        """
        return replace(self, scale=0.0, resolution=0.0)


@dataclass(frozen=True)
class FitOptions:
    """How data and toys are fitted."""

    n_parameters: Orders = ORDERS
    """Of the background, by slice and of `INCLUSIVE`, or of all; of several, the criterion chooses on the spectrum
    that is fitted, in each slice."""
    criterion: Criterion = "conservative"
    """As for `fit_spectrum`."""
    systematics: Systematics | None = None
    """Nuisance parameters; spurious signal also of `INCLUSIVE`."""


@dataclass(frozen=True)
class _Tested:
    """Tests for a signal at each mass, of one set of data, or of toys: an axis of toys before that of masses."""

    name: str
    """Of the slice, or `COMBINED`."""
    masses: Floats
    """(masses,), GeV, of the resonance."""
    yields: Floats
    """(masses,), fitted number of signal events: of the slice, or of all slices; negative for deficits."""
    uncertainties: Floats
    """(masses,), of the yields, with nuisance parameters."""
    significance: Floats
    """(masses,), standard deviations: square root of twice the ln of the likelihood ratio to no signal, with the
    sign of the yield."""


@dataclass(frozen=True)
class Scan(_Tested):
    """Test for a signal at each mass."""

    fits: dict[str, SpectrumFit]
    """Backgrounds without signal of the slices that took part."""
    fit_p_value: float
    """Chance of a chi-square as large as that of the fit with a signal at the most significant mass."""

    @property
    def p_value(self) -> Floats:
        """(masses,), local, of q0 (Cowan et al., arXiv:1007.1727, eq. 52): 0.5 where the yield is not positive."""
        return upper_tail(np.maximum(self.significance, 0))

    @property
    def most_significant(self) -> int:
        """Index of the mass with the smallest p-value."""
        return int(np.argmax(self.significance))


@dataclass(frozen=True)
class ToyScan(_Tested):
    """Tests for a signal at each mass in each toy: yields, uncertainties and significance are (toys, masses)."""

    n_parameters: dict[str, npt.NDArray[np.int_]]
    """(toys,) for each slice that took part: of its background."""
    fit_p_values: Floats
    """(toys,), as `Scan.fit_p_value`."""

    @property
    def p_value(self) -> Floats:
        """(toys, masses), local, uniform from 0 to 1 without signal: deficits have more than 0.5."""
        return upper_tail(self.significance)

    def pulls(self, injected: float = 0.0) -> Floats:
        """(toys, masses), fitted less injected yield, in units of the fitted uncertainty."""
        return (self.yields - injected) / self.uncertainties


def scan(
    spectra: Mapping[str, Spectrum],
    signal: Signal,
    masses: Masses,
    *,
    shares: Shares | None = None,
    n_parameters: Orders = ORDERS,
    criterion: Criterion = "f-test",
    systematics: Systematics | None = None,
) -> dict[str, Scan]:
    """Test each mass for a signal, with the parameters of the backgrounds profiled.

    Significances are asymptotic: with fewer than about ten events of background under the peak, toys tell more
    (`toys`).

    Parameters
    ----------
    spectra : mapping of slice to Spectrum
        No event is in two slices.
    signal : SignalShape, or one for each slice
    masses : sequence of float
        GeV.
    shares : mapping of slice to float or array (masses,), optional
        Share of the signal that is in each slice; with it, and more than one slice, slices are combined too:
        one yield, backgrounds of their own.
    n_parameters : int or sequence of int, or mapping of slice to either
        As for `fit_spectrum`; chosen without signal, slice by slice.
    criterion : str
        As for `fit_spectrum`.
    systematics : Systematics, optional
        Those of the background are profiled.

    Returns
    -------
    dict of str to Scan
        Of each slice, and last `COMBINED`.

    Raises
    ------
    OptionError
        Shares are missing or no shares, or a mass has no signal in the range of the fit.
    DataError
        A fit does not converge.
    """
    orders: dict[str, int | Sequence[int]] = in_slices(n_parameters, spectra, "numbers of parameters")
    fits = {
        name: fit_spectrum(spectrum, n_parameters=orders[name], criterion=criterion)
        for name, spectrum in spectra.items()
    }
    toys = scan_toys(
        signal=signal,
        masses=masses,
        shares=shares,
        n_parameters={name: fit.n_parameters for name, fit in fits.items()},
        systematics=systematics,
        **as_toys(spectra),
    )
    return {
        group: Scan(
            *(group, one.masses, one.yields[0], one.uncertainties[0], one.significance[0]),
            {name: fits[name] for name in one.n_parameters},
            float(one.fit_p_values[0]),
        )
        for group, one in toys.items()
    }


def as_toys(spectra: Mapping[str, Spectrum]) -> dict[str, Any]:
    """What `scan_toys` takes of toys, for one set of spectra: counts, edges and scales by slice."""
    return {
        "counts": {name: spectrum.counts[None] for name, spectrum in spectra.items()},
        "edges": {name: spectrum.edges for name, spectrum in spectra.items()},
        "scales": {name: spectrum.scale for name, spectrum in spectra.items()},
    }


def scan_toys(
    counts: Mapping[str, npt.NDArray[np.int_] | Floats],
    edges: Mapping[str, Floats],
    signal: Signal,
    masses: Masses,
    *,
    shares: Shares | None = None,
    n_parameters: Orders = ORDERS,
    criterion: Criterion = "f-test",
    systematics: Systematics | None = None,
    scales: Mapping[str, Floats] | None = None,
) -> dict[str, ToyScan]:
    """`scan` of many toys at once.

    Parameters
    ----------
    counts : mapping of slice to array (toys, bins)
    edges : mapping of slice to array (bins + 1,)
        GeV.
    signal, masses, shares, n_parameters, criterion, systematics
        As for `scan`; the number of parameters is chosen for each toy, in bins that are merged for all alike.
    scales : mapping of slice to array (bins,), optional
        As of a `Spectrum`.

    Raises
    ------
    OptionError, DataError
        As `scan`.
    """
    tests = signal_tests(
        *(counts, edges, signal, masses, shares),
        options=FitOptions(n_parameters, criterion, systematics and systematics.of_background),
        scales=scales,
    )
    scans = {}
    for group, test in tests.items():
        fitted = test.fitted()
        orders = {name: fit.slice.n_parameters for name, fit in test.fits.items()}
        strongest = np.argmax(fitted[2], axis=1)
        scans[group] = ToyScan(group, test.masses, *fitted, orders, test.goodness_of_fit(strongest))
    return scans


@dataclass(frozen=True)
class Nuisances:
    """What nuisance parameters do to the spectrum of one slice, at each mass."""

    effects: Floats | None = None
    """(nuisances, bins), of ln(background)."""
    signal_effects: Floats | None = None
    """(masses, nuisances, bins), of the signal for a yield of one."""
    additions: Floats | None = None
    """(masses, nuisances, bins), events."""


def nuisances_of(
    templates: Mapping[str, Floats],
    edges: Mapping[str, Floats],
    shapes: Mapping[str, SignalShape],
    masses: Floats,
    systematics: Systematics | None,
) -> dict[str, Nuisances]:
    """The nuisance parameters of a test, in one order for all its slices.

    Those of pass rates, of the spurious signal of each slice, of energy scale and resolution.
    """
    if systematics is None:
        return {}
    rates = {name: systematics.pass_rates[name] for name in templates if name in systematics.pass_rates}
    first = max((len(rate) for rate in rates.values()), default=0)
    faked = [name for name in templates if name in systematics.spurious]
    shifts = {what: size for what in ("scale", "resolution") if (size := getattr(systematics, what))}
    total = first + len(faked) + len(shifts)
    nuisances = {}
    for name, template in templates.items():
        own, bins = shapes[name].templates(masses, edges[name]), template.shape[1]
        effects = np.zeros((total, bins))
        if name in rates:
            effects[: len(rates[name])] = rates[name]
        additions, signal_effects = np.zeros((2, len(masses), total, bins))
        if name in faked:
            additions[:, first + faked.index(name)] = np.asarray(systematics.spurious[name])[:, None] * own
        share = template.sum(axis=1) / np.maximum(own.sum(axis=1), 1e-300)
        for at, (what, size) in enumerate(shifts.items(), start=first + len(faked)):
            moved = shapes[name].templates(masses, edges[name], **{what: 1 + size})
            signal_effects[:, at] = share[:, None] * moved - template
        nuisances[name] = Nuisances(
            effects if rates else None, signal_effects if shifts else None, additions if faked else None
        )
    return nuisances


@dataclass(frozen=True)
class SignalTest:
    """A signal at each mass, in toys (one for data) of one slice or of all slices together."""

    name: str
    """Of the slice, or `COMBINED`."""
    masses: Floats
    """(masses,), GeV."""
    fits: dict[str, BackgroundFits]
    """Of the toys of each slice, without signal."""
    templates: dict[str, Floats]
    """(masses, bins) by slice, for a yield of one."""
    nuisances: dict[str, Nuisances] = field(default_factory=dict)
    """By slice; one that is missing has none."""

    def sliced(
        self, toy: npt.NDArray[np.int_], mass: npt.NDArray[np.int_], *, signal: bool = True
    ) -> tuple[list[Slice], list[Floats]]:
        """Slices with a signal, one for each pair of a toy and the index of a mass, and where their fits begin."""
        slices = []
        for name, template in self.templates.items():
            own, one = self.nuisances.get(name, Nuisances()), self.fits[name].slice.of(toy)
            slices.append(
                Slice(
                    *(one.function, one.counts, one.scale, one.n_parameters, template[mass] if signal else None),
                    own.effects,
                    own.signal_effects[mass] if signal and own.signal_effects is not None else None,
                    None if own.additions is None else own.additions[mass],
                )
            )
        return slices, [fits.coefficients[toy] for fits in self.fits.values()]

    def fitted(self) -> tuple[Floats, Floats, Floats]:
        """Yields, their uncertainties and significances, (toys, masses); each mass of each toy is a fit.

        Raises
        ------
        DataError
            A fit does not converge; of toys, more than `MOST_LEFT` of them.
        """
        toys = len(next(iter(self.fits.values())).coefficients)
        toy, mass = (index.ravel() for index in np.indices((toys, len(self.masses))))
        values = np.empty((3, len(toy)))
        for some in np.array_split(np.arange(len(toy)), -(-len(toy) // _BATCH)):
            slices, start = self.sliced(toy[some], mass[some])
            best = minimum(slices, start)
            without = np.sum([fits.nll[toy[some]] for fits in self.fits.values()], axis=0)
            converged = best.converged
            if slices[0].nuisances:
                null = minimum(*self.sliced(toy[some], mass[some], signal=False))
                without, converged = null.nll, converged & null.converged
            if (left := int(np.sum(~converged))) and toys > 1 and left <= MOST_LEFT * len(some):
                # no step improved them any more: where they are is all but their minimum
                logger.warning("%s: %d of %d fits of toys end before they converge", self.name, left, len(some))
            elif left:
                at = some[np.argmin(converged)]
                where = f"{self.masses[mass[at]]:g} GeV" + (f" to toy {toy[at]}" if toys > 1 else "")
                raise DataError(f"{self.name}: fit of a signal of {where} does not converge")
            q = 2 * np.maximum(without - best.nll, 0)
            values[:, some] = best.yields, best.uncertainties, np.copysign(np.sqrt(q), best.yields)
        yields, uncertainties, significance = values.reshape(3, toys, len(self.masses))
        return yields, uncertainties, significance

    def goodness_of_fit(self, mass: npt.NDArray[np.int_]) -> Floats:
        """Chances (toys,) of chi-squares as large as those of fits with a signal at some masses, indices (toys,).

        A signal that is there spoils a fit without it, and is no reason to doubt the function. Constraints of
        nuisance parameters count as measurements.
        """
        from scipy.special import chdtrc

        toys = len(mass)
        slices, start = self.sliced(np.arange(toys), mass)
        best = minimum(slices, start)
        chi2, ndf = np.sum(best.nuisances**2, axis=1), np.full(toys, -1)
        for one, theta in zip(slices, best.coefficients):
            expected = expected_events(one, theta, best.yields, best.nuisances)
            starts = merged_bins(expected.mean(axis=0) * one.scale)
            chi2 = chi2 + chi2_of_groups(one.counts, expected, one.scale, starts)
            ndf = ndf + len(starts) - one.n_parameters
        return np.where(ndf > 0, chdtrc(np.maximum(ndf, 1), chi2), np.nan)


def signal_tests(
    counts: Mapping[str, npt.NDArray[np.int_] | Floats],
    edges: Mapping[str, Floats],
    signal: Signal,
    masses: Masses,
    shares: Shares | None,
    *,
    options: FitOptions,
    scales: Mapping[str, Floats] | None = None,
) -> dict[str, SignalTest]:
    """What is tested for a signal: each slice, and all together; parameters and errors are of `scan_toys`."""
    masses = np.asarray(masses, np.float64)
    edges = {name: edges[name] for name in counts}
    tests = signal_in_slices(signal, masses, edges, shares)
    shapes = in_slices(signal, counts, "signal shape")
    orders: dict[str, int | Sequence[int]] = in_slices(options.n_parameters, counts, "numbers of parameters")
    fits = {
        name: fit_backgrounds(
            *(name, np.asarray(of_slice, np.float64), edges[name]),
            scale=None if scales is None else scales[name],
            n_parameters=orders[name],
            criterion=options.criterion,
        )
        for name, of_slice in counts.items()
    }
    return {
        group: SignalTest(
            *(group, masses, {name: fits[name] for name in templates}, templates),
            nuisances_of(templates, edges, shapes, masses, options.systematics),
        )
        for group, templates in tests.items()
    }


def in_slices(
    value: Value | Mapping[str, Value], names: Sequence[str] | Mapping[str, object], what: str
) -> dict[str, Value]:
    """A value for each slice: from a mapping, or the same for all."""
    if not isinstance(value, Mapping):
        return dict.fromkeys(names, value)
    if missing := [name for name in names if name not in value]:
        raise OptionError(f"bump hunt: no {what} for {', '.join(missing)}")
    return dict(value)


def signal_in_slices(
    signal: Signal, masses: Masses, edges: Mapping[str, Floats], shares: Shares | None
) -> dict[str, dict[str, Floats]]:
    """What is tested: of each slice, and combined, templates (masses, bins) of the slices, for a yield of one."""
    if not len(edges):
        raise OptionError("bump hunt: no slices")
    shapes = in_slices(signal, edges, "signal shape")
    templates = {name: shapes[name].templates(masses, edges[name]) for name in edges}
    tests = {name: {name: template} for name, template in templates.items()}
    if shares is not None:
        known = {name: np.asarray(shares.get(name, -1.0), np.float64) for name in edges}
        total = np.sum([np.broadcast_to(share, len(masses)) for share in known.values()], axis=0)
        wrong = any(((share < 0) | (share > 1)).any() for share in known.values())
        if wrong or not ((total > 0) & (total <= 1 + 1e-9)).all():
            raise OptionError(
                f"shares of the signal {dict(shares)}: expected one from 0 to 1 for each of {', '.join(edges)}, "
                "that add up to no more than 1"
            )
        if len(edges) > 1:
            tests[COMBINED] = {name: known[name][..., None] * template for name, template in templates.items()}
    for group, of_slices in tests.items():
        inside = np.sum([template.sum(axis=1) for template in of_slices.values()], axis=0)
        if (inside <= 0).any():
            mass = np.asarray(masses)[np.argmin(inside)]
            raise OptionError(f"{group}: a signal of {mass:g} GeV has no events in the range of the fit")
    return tests
