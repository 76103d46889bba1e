"""Conclusions of a search: sentences whose words follow from its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .pass_rates import ChiSquare
from .scans import COMBINED, Scan
from .separation import FiguresOfMerit, Measured
from .slices import INCLUSIVE
from .toys import Exceedance, GlobalPValue

__all__ = [
    "bias_conclusion",
    "companion_conclusion",
    "flatness_conclusion",
    "selection_conclusion",
    "separation_conclusions",
    "slice_conclusion",
    "tev",
    "toys_conclusions",
]

#: Chances below this are called out.
UNLIKELY = 0.01

#: Mean pulls beyond this are a bias.
MOST_BIAS = 0.25

#: An excess below so many standard deviations is none that is worth a sentence of its own.
LEAST_EXCESS = 2.0


def tev(gev: float) -> str:
    """A mass in GeV as reports have it."""
    return f"{gev / 1000:.4g} TeV"


def separation_conclusions(merits: Mapping[tuple[str, str, str], FiguresOfMerit]) -> list[str]:
    """For each signal, which model and strategy improve the significance most, and how the other models compare.

    Parameters
    ----------
    merits : mapping of (model, signal, strategy) to FiguresOfMerit
    """
    sentences = []
    for signal in dict.fromkeys(signal for _, signal, _ in merits):
        best: dict[str, tuple[str, Measured]] = {}
        for (model, of, strategy), merit in merits.items():
            known = of == signal and np.isfinite(merit.best.value)
            if known and (model not in best or merit.best.value > best[model][1].value):
                best[model] = strategy, merit.best
        if not best:
            sentences.append(f"{signal}: too few background events in the mjj window for any cut.")
            continue
        ranked = sorted(best, key=lambda model: -best[model][1].value)
        strategy, largest = best[ranked[0]]
        parts = [f"{signal}: the largest significance improvement is {largest:.2f}, of {ranked[0]} ({strategy})"]
        for other in ranked[1:]:
            improvement = best[other][1]
            apart = largest.value - improvement.value > np.hypot(largest.uncertainty, improvement.uncertainty)
            ratio = f"{largest.value / improvement.value:.1f} times" if apart else "within uncertainties"
            parts.append(f"{ratio} that of {other} ({best[other][0]}: {improvement:.2f})")
        sentences.append(", ".join(parts) + ".")
    return sentences


def flatness_conclusion(name: str, before: ChiSquare, after: ChiSquare) -> str:
    """Whether the share of background that passes a working point depends on mjj."""
    if not after.ndf:
        return f"{name}: the control sample has too few events to say whether its pass rate is flat in mjj."
    flat = "is flat in mjj" if after.p_value >= UNLIKELY else "is not flat in mjj"
    was = f"; one cut at all mjj: chi-square {before}, p = {before.p_value:.2g}" if before.ndf else ""
    said = f"chi-square {after}, p = {after.p_value:.2g}{was}"
    return f"{name}: the pass rate on the control sample {flat} ({said})."


def selection_conclusion(injected: float, significances: Mapping[str, Measured]) -> str:
    """What the selection makes of a number of signal events.

    Parameters
    ----------
    injected : float
        Signal events before any cut.
    significances : mapping of scan to Measured
        Expected: `INCLUSIVE`, by slice, and `COMBINED` where there are several.
    """
    inclusive = significances[INCLUSIVE].value
    slices = {name: z for name, z in significances.items() if name not in (INCLUSIVE, COMBINED)}
    best = max(slices, key=lambda name: slices[name].value)
    start = f"{injected:,.0f} signal events, worth {inclusive:.1f} standard deviations inclusively, "
    if slices[best].value > inclusive:
        significance = f"give {slices[best]:.1f} in {best}"
    else:
        significance = f"give no more in any slice (most in {best}: {slices[best]:.1f})"
    if COMBINED in significances:
        significance += f", and {significances[COMBINED]:.1f} in all slices together"
    return f"{start}{significance}."


def toys_conclusions(excess: Sequence[Exceedance], uniform: float) -> list[str]:
    """Whether background-only toys are what chance gives.

    Parameters
    ----------
    excess : sequence of Exceedance
        For some levels, rising.
    uniform : float
        See `uniformity`.
    """
    sentences = []
    for one in excess[-2:]:
        verdict = "no more than" if one.p_value >= UNLIKELY else "more than"
        sentences.append(
            f"Without signal, {one.observed:.1%} of {one.toys} toys have more than {one.level:g} standard"
            f" deviations somewhere: {verdict} chance allows ({one.expected:.1%} expected, p = {one.p_value:.2g})."
        )
    small = "no smaller" if uniform >= UNLIKELY else "smaller"
    sentence = (
        f"Local p-values without signal are {small} than uniform ones (p = {uniform:.2g}, with all correlations)"
    )
    if uniform < UNLIKELY:
        sentence += ": they overstate an excess; global p-values are counted in these toys, and allow for it"
    return [*sentences, f"{sentence}."]


def bias_conclusion(pulls: Mapping[str, Measured]) -> str:
    """Whether fitted yields of injected signals are biased.

    Parameters
    ----------
    pulls : mapping of scan to Measured
        Mean over toys of fitted less injected yield, in units of the fitted uncertainty.
    """
    worst = max(pulls, key=lambda name: abs(pulls[name].value))
    size, uncertainty = abs(pulls[worst].value), pulls[worst].uncertainty
    bias = f"{size:.2f} ± {uncertainty:.2f} of its uncertainty in {worst}"
    start = "The fitted yield of the injected signal is biased"
    if size - uncertainty >= MOST_BIAS:
        return f"{start} by {bias}: more than a quarter."
    if size + uncertainty < MOST_BIAS:
        return f"{start} by less than a quarter of its uncertainty: at most by {bias}."
    return f"{start} by at most {bias}: the toys are too few to say whether that is more than a quarter."


def slice_conclusion(found: Scan, chance: GlobalPValue, least_fit_p: float) -> str:
    """What the scan of one slice says.

    Parameters
    ----------
    found : Scan
    chance : GlobalPValue
        Of its largest excess.
    least_fit_p : float
        Below this chance of the fit, no excess is one of a signal.
    """
    at = found.most_significant
    largest, mass = found.significance[at], found.masses[at]
    if found.fit_p_value < least_fit_p:
        return f"{found.name}: no p-value of a signal, as p of the fit with one is {found.fit_p_value:.2g}."
    if largest < LEAST_EXCESS:
        return f"{found.name}: no excess of {LEAST_EXCESS:g} standard deviations or more."
    fitted = f"{found.yields[at]:,.0f} ± {found.uncertainties[at]:,.0f} events at {tev(mass)}"
    start = f"{found.name}: the largest excess is {largest:.1f} standard deviations, {fitted}"
    if chance.value * (1 + chance.toys) < 1.5:
        return f"{start}; none of {chance.toys} toys without signal has one as large, p below {chance.value:.2g}."
    rare = "rare" if chance.value < UNLIKELY else "not rare"
    return f"{start}; {chance.value:.1%} of toys without signal have one as large somewhere: {rare} by chance."


def companion_conclusion(
    significance: Measured, model: str, of_model: Measured, effective: float, expected: float
) -> str:
    """What a classifier of windows is worth beside a model, and what it learnt from.

    Parameters
    ----------
    significance, of_model : Measured
        Expected after the cut, of the same injected signal.
    effective, expected : float
        Background events that it was trained with (effective number), and that a search of data has.
    """
    more, less = f"The window classifier gives {significance:.1f}", f"{model} {of_model:.1f}"
    apart = abs(significance.value - of_model.value) > np.hypot(significance.uncertainty, of_model.uncertainty)
    verdict = "more" if significance.value > of_model.value else "less"
    sentence = f"{more} standard deviations in the same slice, {less}: "
    sentence += f"{verdict}" if apart else "the same within uncertainties"
    if effective < expected / 2:
        sentence += (
            f". It was trained with {effective:,.0f} effective events, of {expected:,.0f} that data would have"
        )
        sentence += ": what it would learn from those is not tested"
    return sentence + "."
