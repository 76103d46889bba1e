"""What a search prints and writes: its tables, conclusions and plots, step by step, and the report of them all.

A ``name`` is that of the signal, ``injected`` how many of its events there are before any cut.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from .. import plots as plotting
from ..jets.observables import OBSERVABLES, RESIDUALS, jet_observables, nearest_residuals
from ..jets.padding import pad_particles
from ..jets.quality import pad_scorable
from ..models.bundled import RESONANCES, SAMPLES
from ..output.files import whole_file
from ..output.html_page import html_page
from ..output.tables import Table, figure
from ..output.text import markdown_text
from ..plots import histograms
from ..reading.declarations import IDENTIFIERS
from . import conclusions
from .companion import OBSERVABLES as OBSERVABLES_OF_WINDOWS
from .counting import Counting
from .limits import Limits
from .samples import SearchSample
from .scans import COMBINED, Scan, Systematics, ToyScan
from .separation import FiguresOfMerit, Measured, Roc, in_window
from .slices import INCLUSIVE, Expectation, SlicedSignal
from .spectrum import MOST_PARAMETERS
from .spurious import MOST_SPURIOUS, SpuriousSignal
from .toys import exceedances, global_p_value, uniformity
from .working_points import LEAST_IN_SEARCH, Cuts

__all__ = [
    "REPORTS",
    "Report",
    "file_name",
    "legend_name",
    "show_companion",
    "show_curves",
    "show_cut_flow",
    "show_cuts",
    "show_data",
    "show_events",
    "show_expected",
    "show_limits",
    "show_reconstruction",
    "show_samples",
    "show_scores",
    "show_separation",
    "show_systematics",
    "show_toys_with_signal",
    "show_toys_without_signal",
    "signal_name",
]

#: Fits with signal that describe their spectrum worse give no p-value of a signal.
LEAST_FIT_P = 0.01


#: Share of the events of a signal within 20 % of its mass: samples that are 15 % wide have 83 %.
LEAST_NEAR = 0.5

#: What tells that a search came to its end.
REPORTS = ("results.json", "report.md", "report.html")


@dataclass
class Report:
    """What is printed on the way, and written at the end."""

    folder: Path
    """Of the plots and the report."""
    console: Any
    """Where tables and conclusions are printed, a rich Console."""
    drawing: dict[str, Any]
    """Options of every plot: ``label``, ``energy``."""
    luminosity: float
    """fb^-1."""
    parts: list[str] = field(default_factory=list)
    """Of the Markdown."""
    conclusions: list[str] = field(default_factory=list)
    """One line each."""
    figures: list[str] = field(default_factory=list)
    """Names of the plots."""
    results: dict[str, Any] = field(default_factory=dict)
    """For ``results.json``."""

    @property
    def right(self) -> str:
        """Above the right end of plots of expected events."""
        return f"{self.luminosity:g} fb$^{{-1}}$ ({self.drawing['energy']:g} TeV)"

    def section(self, title: str, text: str = "") -> None:
        """Begin a part of the report."""
        self.parts += [f"## {markdown_text(title)}", markdown_text(text)]
        self.console.print(f"\n{title}", style="bold", highlight=False)

    def table(self, title: str, header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> None:
        """Print a table, and keep it."""
        table = Table(header, rows, left)
        self.parts += [f"{markdown_text(title)}:", table.to_markdown()]
        self.console.print(table.to_rich(title))

    def conclude(self, *sentences: str) -> None:
        """Print conclusions; in the report they stand here and at the top."""
        self.conclusions += sentences
        self.parts.append("\n".join(f"- {markdown_text(sentence)}" for sentence in sentences))
        for sentence in sentences:
            self.console.print(sentence, highlight=False, markup=False)

    def plot(self, draw: Callable[..., Any], *what: Any, name: str, **options: Any) -> None:
        """Draw a PNG file of some name with a function of `hepvae.plots`."""
        if not self.figures:  # those of an earlier search begin to be replaced, and its report would show them
            for name_of_report in REPORTS:
                (self.folder / name_of_report).unlink(missing_ok=True)
        path = self.folder / f"{file_name(name)}.png"
        draw(*what, figure_path=path, **{**self.drawing, **options})
        self.figures.append(path.name)
        image = f"![{markdown_text(name)}]({path.name})"
        if self.parts and self.parts[-1].startswith("!["):  # figures in a row stand side by side
            self.parts[-1] += f" {image}"
        else:
            self.parts.append(image)

    def write(self, title: str, summary: str) -> list[Path]:
        """Write results.json, report.md and report.html."""
        sentences = "\n".join(f"- {markdown_text(sentence)}" for sentence in self.conclusions)
        top = [f"# {title}", markdown_text(summary), sentences]
        markdown = "\n\n".join(part for part in top + self.parts if part) + "\n"
        results = json.dumps({**self.results, "conclusions": self.conclusions}, indent=1) + "\n"
        texts = (results, markdown, html_page(markdown, self.folder, title, self.figures))
        for name, text in zip(REPORTS, texts):
            with whole_file(self.folder / name) as temporary:
                temporary.write_text(text, encoding="utf-8")
        return [self.folder / name for name in REPORTS]


def file_name(name: str) -> str:
    """A name of a sample as (part of) the name of a file.

    Letters without accents, digits and ``. - _`` stay; a name with anything else has ``_`` for it, and a checksum
    of the name, so that no two names share a file.
    """
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".") or "_"
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def legend_name(sample: str) -> str:
    """What plots call a sample; a dollar sign of a user's name begins no formula."""
    return SAMPLES.get(sample, sample.replace("$", r"\$"))


def signal_name(sample: str, mass: float | None = None) -> str:
    """What plots call a resonance: of some mass (GeV), or of any, whatever that of its sample is."""
    tev = "" if mass is None else f", {mass / 1000:g} TeV"
    name, own = legend_name(sample), f", {RESONANCES.get(sample, 0) / 1000:g} TeV"
    return name.replace(own, tev) if own in name else f"{name}{tev}"


def _percent(value: float) -> str:
    return f"{value:.1%}" if value < 0.1 else f"{value:.0%}"


def _significance(z: Measured) -> str:
    """With its uncertainty, where it has one: how much is injected follows from that without a cut."""
    return f"{z:.2f}" if z.uncertainty else f"{z.value:.2f}"


def _known(value: float) -> float | None:
    """For JSON, which has no NaN."""
    return float(value) if np.isfinite(value) else None


def _plain(measured: Measured) -> dict[str, float | None]:
    return {"value": _known(measured.value), "uncertainty": _known(measured.uncertainty)}


def show_samples(
    report: Report,
    samples: Mapping[str, SearchSample],
    background: str,
    start: float,
    masses: Mapping[str, float],
) -> None:
    """How many events there are, and are expected; weights of the background are expected events.

    Of signals, whose masses (GeV) are given by sample, also whether most of their events are near their mass: all
    that follows, from windows to limits, believes the mass.
    """
    rows = []
    for name, sample in samples.items():
        numbers = {
            "events": len(sample.mjj),
            "effective_events": sample.effective_events,
            "effective_from_start": sample.of(sample.mjj > start).effective_events,
            "expected": float(sample.weight.sum()) if name == background else None,
        }
        report.results.setdefault("samples", {})[name] = numbers
        rows.append([name, *("" if value is None else figure(value) for value in numbers.values())])
    expected = f"expected in {report.luminosity:g} fb-1"
    header = ("sample", "events", "effective events", f"effective from {conclusions.tev(start)} on", expected)
    report.section("Samples", "Events of the signal region that pass the selection.")
    report.table("Samples", header, rows)
    for name, mass in masses.items():
        mjj, weight = samples[name].mjj, samples[name].weight
        near = float(weight[in_window(mjj, mass)].sum() / weight.sum())
        if near < LEAST_NEAR:
            report.conclude(
                f"{name}: only {near:.1%} of its events are within 20 % of its mass of {conclusions.tev(mass)},"
                f" their mjj is {conclusions.tev(float(np.median(mjj)))} in the median: expected another sample."
            )


def show_separation(
    report: Report, merits: Mapping[tuple[str, str, str], FiguresOfMerit], betas: Mapping[str, float]
) -> None:
    """Figures of merit by (model, signal, strategy), and the weight of the KL loss of each model."""
    report.section(
        "Figures of merit",
        "In the mjj window of each signal, 20 % around its mass; uncertainties from 100 bootstrap replicas. SI is"
        " the significance improvement, signal efficiency over the root of background efficiency, at its maximum"
        " and at some background efficiencies; none is given where fewer than 10 effective background events"
        " pass. The score of a jet is reco_loss + w kl_loss, with the w that its model was trained with: "
        + ", ".join(f"{model} {beta:g}" for model, beta in betas.items())
        + ".",
    )
    at = list(next(iter(merits.values())).improvement)
    rows, kept = [], report.results.setdefault("separation", [])
    for key, merit in merits.items():
        improvement = [merit.improvement[efficiency] for efficiency in at]
        best = f"{merit.best:.2f}", _percent(merit.best_at.value)
        rows.append([*key, f"{merit.auc:.3f}", *best, *(f"{value:.2f}" for value in improvement)])
        kept.append(
            {
                **dict(zip(("model", "signal", "strategy"), key)),
                **{name: _plain(getattr(merit, name)) for name in ("auc", "best", "best_at")},
                "improvement": {f"{efficiency:g}": _plain(value) for efficiency, value in zip(at, improvement)},
                "background_events": merit.background_events,
                "signal_events": merit.signal_events,
            }
        )
    header = ("model", "signal", "strategy", "AUC", "max SI", "at", *(f"SI at {e:.1%}" for e in at))
    report.table("Signal over background", header, rows, left=3)
    report.conclude(*conclusions.separation_conclusions(merits))


def show_curves(report: Report, curves: Mapping[str, Roc], name: str, title: str) -> None:
    """ROC and significance improvement of some models or signals."""
    report.plot(plotting.plot_roc, curves, name=f"roc_{name}", title=title)
    report.plot(plotting.plot_significance_improvement, curves, name=f"improvement_{name}", title=title)


def show_cuts(
    report: Report,
    cuts: Cuts,
    background: SearchSample,
    model: str,
    *,
    independent: bool,
    title: str = "QCD",
    instead: SearchSample | None = None,
) -> None:
    """Working points: what passes, how flat, which are left out; slices add up.

    Figures are of the background, which ``title`` names. Where it is data that are blinded, simulation is drawn
    ``instead``, and neither pass rates by mjj nor how flat they are are given: in each a signal would be seen.
    """
    points = cuts.points
    whose = "Independent events" if independent else "A random quarter of the background, held out,"
    passing = ", ".join(f"{name} ({cuts.passing[name]:.0f})" for name in cuts.dropped)
    dropped = f"Left out, as fewer than {LEAST_IN_SEARCH} effective background events would pass: {passing}."
    larger = " They are more than were fitted, so that they show the fluctuations of those, too."
    report.section(
        "Mass-decorrelated working points",
        "A working point keeps the same share of the background at every mjj. A slice of the score holds the"
        " events between two of them: eff10 those that pass the cut of 10 %, eff50-10 those that pass that of 50 %"
        f" only, and rest all others. Quantile regression on {cuts.fitted_events:,} events. {whose} are the"
        f" control sample ({len(cuts.control.mjj):,} events)"
        + (
            ": the chi-square is that of its pass rate against a constant, before (one cut at every mjj) and"
            " after." + (larger if len(cuts.control.mjj) > cuts.fitted_events else "")
            if instead is None
            else ". How flat the pass rate of data is in mjj is told with --unblind."
        ),
    )
    header = ["working point", "effective events", "control that passes, %"]
    if instead is None:
        header += ["chi2/ndf before", "after", "p after"]
    rows, sentences = [], []
    for name in points.names:
        share = Measured(*(100 * float(v[0]) for v in (cuts.share[name].rate, cuts.share[name].uncertainty)))
        row, result = [name, figure(cuts.passing[name]), f"{share:.1f}"], {"control_percent": _plain(share)}
        if instead is None:
            flatness = cuts.before[name].chi_square(), cuts.after[name].chi_square(None, cuts.training(name))
            row += [*map(str, flatness), f"{flatness[1].p_value:.2g}" if flatness[1].ndf else "-"]
            sentences.append(conclusions.flatness_conclusion(name, *flatness))
            for when, one in zip(("before", "after"), flatness):
                result[when] = {"chi2": one.value, "ndf": one.ndf}
        rows.append(row)
        report.results.setdefault("working_points", {})[name] = result
    report.table("Working points", header, rows)
    counts = np.bincount(cuts.slices, minlength=len(points.slice_names)).tolist()
    names = dict(zip(points.slice_names, counts))
    equal = "=" if sum(counts) == len(background.mjj) else "and not"
    added = " + ".join(f"{number:,} ({name})" for name, number in names.items())
    report.results["slices"] = {**names, "all": len(background.mjj)}
    report.conclude(
        *([dropped] if cuts.dropped else []),
        f"The slices have all background events: {added} {equal} {len(background.mjj):,}.",
        *sentences,
    )
    if instead is None:
        report.plot(
            plotting.plot_pass_rate,
            cuts.after,
            before=cuts.before,
            targets=dict(zip(points.names, points.efficiencies)),
            name="pass_rate",
            title=f"{title}, control sample",
        )
    label = histograms.score_label(model, background.strategy.strategy)
    drawn = background if instead is None else instead
    histogram = histograms.mjj_score_histogram(drawn.mjj, drawn.score(), drawn.weight, label=label)
    lines = {name: (points.mjj, cut) for name, cut in zip(points.names, points.cuts.mean(axis=0))}
    report.plot(plotting.plot_score_against_mjj, histogram, lines, name="score_against_mjj", title=title)


def show_expected(
    report: Report,
    name: str,
    expectation: Expectation,
    signal: SlicedSignal,
    injected: float,
    significances: Mapping[str, Measured],
    needed: Mapping[str, float],
    counting: Mapping[str, Counting],
) -> None:
    """What injected events of a signal are expected to be worth in each slice.

    Parameters
    ----------
    significances : mapping of scan to Measured
        Of the injected events, by fits.
    needed : mapping of scan to float
        Events for the inclusive significance.
    counting : mapping of slice to Counting
    """
    level, fit = significances[INCLUSIVE].value, expectation.fit
    report.section(
        f"{name} at {conclusions.tev(signal.mass)} in slices of the score",
        f"The smooth expectation is a fit of {fit.n_parameters} parameters to all simulated background (p ="
        f" {fit.p_value:.2g}); in a slice, that times its share. What is expected is fitted with"
        f" {expectation.n_parameters} parameters, which an F-test of the expectation finds or a small spurious"
        " signal needs. Injected are the"
        f" {injected:,.0f} events that"
        f" give {level:.1f} standard deviations inclusively. Significances are those of fits of mjj with the"
        " background profiled, or by counting in the mjj window (20 % around the mass), with the background"
        " known but without the shape of the signal. Their uncertainties are those of the shares, by the numbers"
        " of simulated events.",
    )
    if signal.mass not in signal.masses:
        known = ", ".join(map(conclusions.tev, signal.masses))
        between = "interpolated" if signal.masses[0] < signal.mass < signal.masses[-1] else "scaled in mjj"
        report.conclude(
            f"{name} at {conclusions.tev(signal.mass)} is {between}, with the shares of its samples of {known}."
        )
    counted = {
        n: Measured(float(one.significance(injected)), float(one.uncertainty(injected)))
        for n, one in counting.items()
    }
    rows = []
    for slice_name, z in significances.items():
        part = expectation.shares.get(slice_name, 1.0), signal.shares.get(slice_name, 1.0)
        flat = expectation.flatness.get(slice_name)
        rows.append(
            [
                *(slice_name, _percent(part[0]), figure(part[0] * fit.expected.sum())),
                f"{flat}, {flat.p_value:.2f}" if flat and flat.ndf else "",
                *(_percent(part[1]), figure(part[1] * injected), _significance(z), figure(needed[slice_name])),
                f"{counted[slice_name]:.2f}" if slice_name in counted else "",
            ]
        )
    header = ("slice", "share of background", "background", "chi2/ndf, p of its simulation", "share of signal")
    more = ("signal", "significance", f"events for {level:.1f}", "significance by counting")
    title = f"Expected significance of {injected:,.0f} events of {name} at {conclusions.tev(signal.mass)}"
    report.table(title, (*header, *more), rows)
    report.conclude(conclusions.selection_conclusion(injected, significances))
    report.results["expected"] = {
        "signal": name,
        "mass": signal.mass,
        "injected": injected,
        "n_parameters": expectation.n_parameters,
        "background": float(fit.expected.sum()),
        "background_shares": expectation.shares,
        "signal_shares": signal.shares,
        "significance": {of: z.value for of, z in significances.items()},
        "significance_uncertainty": {of: z.uncertainty for of, z in significances.items()},
        "events_needed": {slice_name: _known(number) for slice_name, number in needed.items()},
        "by_counting": {slice_name: one.value for slice_name, one in counted.items()},
    }
    report.plot(
        *(plotting.plot_expected_significance, np.linspace(0, 1.5 * injected, 200), counting),
        name="expected_significance",
        title=f"{signal_name(name, signal.mass)}\ncounting in the $m_{{jj}}$ window",
    )
    template = signal.inclusive.template(signal.mass, expectation.edges)
    report.plot(
        *(plotting.plot_spectrum, fit),
        signals={f"Injected {signal_name(name, signal.mass)}": injected * template},
        points="Simulation",
        name="spectrum_simulation",
        right=report.right,
        title="QCD, weighted",
    )


def show_toys_without_signal(report: Report, scans: Mapping[str, ToyScan], *, seed: int = 1) -> None:
    """Whether background-only toys give uniform p-values; seed is that of `exceedances`."""
    first = next(iter(scans.values()))
    masses, toys = first.masses, len(first.significance)
    report.section(
        "Toys without signal",
        f"{toys} toys, scanned at {len(masses)} masses from {conclusions.tev(masses[0])} to"
        f" {conclusions.tev(masses[-1])}. Each toy has"
        " cuts of its own, from the replicas of the regression. p: the"
        " chance of local p-values as small, if they are uniform, with the correlations of the masses. Then the"
        " share of toys whose largest local significance, over the masses, is above 1, 2 and 3, and in brackets"
        " what is expected.",
    )
    slices = [one for name, one in scans.items() if name not in (INCLUSIVE, COMBINED)]
    excess = {name: exceedances([one], seed=seed) for name, one in scans.items()}
    excess["all slices"] = exceedances(slices, seed=seed)
    uniform = {name: uniformity([one], seed=seed) for name, one in scans.items()}
    uniform["all slices"] = uniformity(slices, seed=seed)
    rows = [
        [name, f"{uniform[name]:.2g}", *(f"{one.observed:.1%} ({one.expected:.1%})" for one in of)]
        for name, of in excess.items()
    ]
    report.table("Largest local significance", ("scan", "p", "above 1", "above 2", "above 3"), rows)
    report.conclude(*conclusions.toys_conclusions(excess["all slices"], uniform["all slices"]))
    report.results["toys_without_signal"] = {
        "toys": toys,
        "masses": masses.tolist(),
        "uniformity_p_value": uniform,
        "largest_above": {name: [vars(one) for one in of] for name, of in excess.items()},
    }


def show_toys_with_signal(
    report: Report,
    name: str,
    scans: Mapping[str, ToyScan],
    signal: SlicedSignal,
    injected: float,
    significances: Mapping[str, float],
) -> None:
    """Significances of toys at the mass of the injected signal, and whether its yield comes out right."""
    toys = len(next(iter(scans.values())).significance)
    report.section(
        f"Toys with {name} at {conclusions.tev(signal.mass)}",
        f"{toys} toys with {injected:,.0f} events expected, tested at {conclusions.tev(signal.mass)}. Pull: fitted"
        " less injected yield over the fitted uncertainty.",
    )
    rows, pulls, kept = [], {}, report.results.setdefault("toys_with_signal", {})
    for scan, one in scans.items():
        low, middle, high = np.percentile(one.significance[:, 0], [16, 50, 84])
        own = one.pulls(injected * signal.shares.get(scan, 1.0))[:, 0]
        pulls[scan] = Measured(float(own.mean()), float(own.std() / np.sqrt(toys)))
        texts = f"{significances[scan]:.2f}", f"{middle:.2f}", f"{low:.1f} to {high:.1f}"
        rows.append([scan, *texts, f"{pulls[scan]:.2f}"])
        kept[scan] = {"median_significance": float(middle), "mean_pull": _plain(pulls[scan])}
    header = ("scan", "expected significance", "median of toys", "central 68 %", "mean pull")
    report.table("Significance of the injected signal", header, rows)
    report.conclude(conclusions.bias_conclusion(pulls))


def show_data(
    report: Report,
    name: str,
    scans: Mapping[str, Scan],
    without: Mapping[str, ToyScan],
    expectation: Expectation,
    signal: SlicedSignal,
    injected: float,
    source: str,
) -> None:
    """Scans of one set of data (or what stands for them), against scans of toys without signal."""
    report.section(
        "Scan of the data",
        "Global p-values are from the toys without signal. Those of the fits are of their chi-squares:"
        " without signal as in the spectra, and with one at the mass. Where that with a signal describes its"
        " spectrum badly"
        f" (p below {LEAST_FIT_P:g}) no p-value is given: the function, not a signal, may be what deviates.",
    )
    rows, sentences, kept = [], [], report.results.setdefault("scan", {})
    for scan, one in scans.items():
        at, chance = one.most_significant, global_p_value(one, without[scan])
        fitted = f"{one.yields[at]:,.0f} ± {one.uncertainties[at]:,.0f}"
        local = f"{one.significance[at]:.2f}", f"{one.p_value[at]:.2g}"
        whole = f"{chance.value:.3f} ± {chance.uncertainty:.3f}"
        if one.fit_p_value < LEAST_FIT_P:
            local, whole = ("-", "-"), "-"
        sentences.append(conclusions.slice_conclusion(one, chance, LEAST_FIT_P))
        orders, without_signal = (
            ", ".join(f"{getattr(fit, of):.2g}" for fit in one.fits.values()) for of in ("n_parameters", "p_value")
        )
        fits = orders, without_signal, f"{one.fit_p_value:.2g}"
        rows.append([scan, f"{one.masses[at] / 1000:.4g}", fitted, *local, whole, *fits])
        kept[scan] = {v: getattr(one, v).tolist() for v in ("masses", "significance", "yields", "uncertainties")}
        kept[scan] |= {"global_p_value": chance.value, "fit_p_value": _known(one.fit_p_value)}
    header = ("scan", "mass, TeV", "yield", "local significance", "local p", "global p")
    of_fits = ("parameters", "p of the fit without signal", "with it")
    report.table("Largest excess", (*header, *of_fits), rows)
    report.conclude(*sentences)
    injection = signal_name(name, signal.mass)
    title = f"{source} with {injected:,.0f} events\nof {injection}" if injected else source
    report.plot(plotting.plot_p_values, scans.values(), name="p_values", right=report.right, title=title)
    edges, templates = expectation.edges, signal.templates(expectation.edges)
    spectra = {INCLUSIVE: signal.inclusive.template(signal.mass, edges)} | templates
    for scan, template in spectra.items():
        if scan not in scans:
            continue
        fit = scans[scan].fits[scan]
        signals = {f"Injected {injection}": injected * template}
        shown = {"signals": signals if injected else None, "points": source, "title": scan, "right": report.right}
        report.plot(plotting.plot_spectrum, fit, name=f"spectrum_{scan}", **shown)


def show_systematics(
    report: Report,
    systematics: Systematics,
    spurious: Mapping[str, SpuriousSignal],
    statistical: Mapping[str, Scan],
    at: int,
) -> None:
    """What nuisance parameters there are, and how large they are beside the statistical uncertainty of the yield.

    Parameters
    ----------
    spurious : mapping of slice to SpuriousSignal
    statistical : mapping of scan to Scan
        Without nuisance parameters.
    at : int
        Index of the mass of the table.
    """
    report.section(
        "Systematic uncertainties",
        "Each is a nuisance parameter with a Gaussian constraint. Pass rate: of the cuts, from bootstrap replicas"
        " of the regression, mean over the bins. Spurious signal: the largest yield that smooth spectra of other"
        " families of functions fake, at the mass of the signal, over the statistical uncertainty of the yield."
        " The background has the parameters that the spectrum asks for, and more where the spurious signal is not"
        f" below {MOST_SPURIOUS:.0%} at all masses with them, up to {MOST_PARAMETERS}; toys have as many.",
    )
    rows, numbers = [], {}
    for name, faked in spurious.items():
        rate = systematics.pass_rates.get(name)
        band = "" if rate is None else _percent(float(np.sqrt(np.sum(rate**2, axis=0)).mean()))
        events = float(faked.events[at])
        over = f"{events / statistical[name].uncertainties[at]:.2f}", f"{faked.over_statistical:.2f}"
        rows.append([name, band, figure(events), *over, str(faked.n_parameters)])
        numbers[name] = faked.n_parameters
    header = ("slice", "pass rate", "spurious signal, events", "over statistical", "at any mass")
    report.table("Background", (*header, "parameters"), rows)
    report.table(
        "Signal, in limits",
        ("source", "size"),
        [
            ["luminosity and efficiencies", _percent(systematics.normalisation)],
            ["jet energy scale", _percent(systematics.scale)],
            ["jet energy resolution", _percent(systematics.resolution)],
        ],
    )
    report.results["systematics"] = {
        "spurious_signal": {name: faked.events.tolist() for name, faked in spurious.items()},
        "n_parameters": numbers,
        **{name: getattr(systematics, name) for name in ("normalisation", "scale", "resolution")},
    }


def show_limits(
    report: Report,
    name: str,
    limits: Mapping[str, Limits],
    baselines: Mapping[str, Limits],
    *,
    observed: bool,
    fit_p_value: float,
) -> None:
    """Upper limits on cross-section times branching ratio times acceptance, before and after the cut.

    Parameters
    ----------
    limits : mapping of scan to Limits
        In fb.
    baselines : mapping of name to Limits
        In fb, of which the expected ones are shown.
    observed : bool
        Show the observed ones.
    fit_p_value : float
        How well what the observed ones are from is described with a signal.
    """
    report.section(
        "Upper limits",
        "95 % CLs (asymptotic) on cross-section times branching ratio times acceptance of the selection, before"
        " any cut on the score, against the mass. Shapes and shares of the signal are interpolated between the"
        " masses of its samples; beyond them, those of the nearest are scaled. Those of the baselines have the"
        " uncertainties of the signal, and none of the background but its fit.",
    )
    best = COMBINED if COMBINED in limits else next(name for name in limits if name != INCLUSIVE)
    inclusive, after = limits[INCLUSIVE], limits[best]

    def at(one: Limits, mass: float) -> str:
        here = np.flatnonzero(np.isclose(one.masses, mass))
        return figure(float(one.expected[2, here[0]])) if len(here) else ""

    rows = [
        [f"{mass / 1000:.4g}", *(figure(float(v)) for v in (inclusive.expected[2, i], *after.expected[1:4, i]))]
        + [at(one, mass) for one in baselines.values()]
        + [figure(float(after.observed[i])) if observed else ""]
        for i, mass in enumerate(after.masses)
    ]
    header = ("mass, TeV", "expected without cut, fb", "-1 sigma", "expected", "+1 sigma", *baselines, "observed")
    report.table(f"Limits on {name}, {best} slices", header, rows)
    gain = inclusive.expected[2] / after.expected[2]
    report.conclude(
        f"{name}: the slices improve the expected limit by a factor of {gain.min():.2f} to {gain.max():.2f} over"
        " the spectrum without a cut."
    )
    if observed and fit_p_value < LEAST_FIT_P:
        report.conclude(
            f"{name}: observed limits cannot be relied on, as no function describes the data"
            f" (p = {fit_p_value:.2g} with a signal)."
        )
    report.results["limits_fb"] = {
        scan: {"masses": one.masses.tolist(), "expected": one.expected.tolist()}
        | ({"observed": one.observed.tolist()} if observed else {})
        for scan, one in limits.items()
        if np.isfinite(one.expected).all()
    }
    report.plot(
        *(plotting.plot_limits, after),
        others={"no cut": inclusive, **baselines},
        observed=observed,
        name="limits",
        title=signal_name(name),
        right=report.right,
    )


def show_cut_flow(
    report: Report,
    samples: Mapping[str, SearchSample],
    in_slices: Mapping[str, Mapping[str, int]],
    starts: Mapping[str, int],
    start: float,
) -> None:
    """Events of each sample that are left after each step.

    Parameters
    ----------
    in_slices : mapping of sample to mapping of slice to int
        Events from `start` (GeV) on; samples whose slices are hidden have none.
    starts : mapping of sample to int
        Events from `start` on.
    """
    names = list(dict.fromkeys(name for of in in_slices.values() for name in of))
    rows, kept = [], report.results.setdefault("cut_flow", {})
    for name, sample in samples.items():
        steps = {
            "read": sample.read,
            "selected": sample.selected,
            "scored": len(sample.mjj),
            "in_fit": starts[name],
            **{of: in_slices.get(name, {}).get(of) for of in names},
        }
        kept[name] = steps
        rows.append([name, *("" if number is None else f"{number:,}" for number in steps.values())])
    header = ("sample", "read", "signal region", "with a score", f"mjj above {conclusions.tev(start)}", *names)
    report.section(
        "Cut flow",
        "Events, not weighted. Files that were scored before do not say how many were read; slices of data that"
        " are blinded are empty. What is expected of them is in the tables of expected significances.",
    )
    report.table("Events after each cut", header, rows)


def show_companion(
    report: Report,
    name: str,
    mass: float,
    working_point: str,
    rows: Sequence[tuple[float, Measured, Measured, Measured]],
    model: str,
    effective: tuple[float, float],
    found: Scan | None,
) -> None:
    """What a classifier of windows in mjj is worth beside a model.

    Parameters
    ----------
    mass : float
        GeV, of signal and window.
    working_point : str
        Of both.
    rows : sequence of (float, Measured, Measured, Measured)
        Signal events, and their expected significance without a cut, of the model, of the classifier.
    effective : (float, float)
        Background events that the classifier was trained with (effective number), and that are expected.
    found : Scan or None
        Of data, where they are shown.
    """
    report.section(
        f"A classifier of windows in mjj, for {name} at {conclusions.tev(mass)}",
        "Boosted trees learn, without labels, to tell the events of a window of 10 % around the mass from its"
        f" sidebands by {', '.join(OBSERVABLES_OF_WINDOWS)} of both jets (classification without labels). Each"
        " event is scored by trees that did not see it, and cut at the working point of the model's score. They"
        " learn from the signal that is there: the training is repeated for each number of events, in bootstrap"
        " replicas whose spread is given.",
    )
    texts = [[f"{number:,.0f}", *map(_significance, of)] for number, *of in rows]
    header = ("signal events", "no cut", f"{model}, {working_point}", f"window classifier, {working_point}")
    report.table("Expected significance", header, texts, left=0)
    _, _, of_model, own = rows[-1]
    report.conclude(conclusions.companion_conclusion(own, model, of_model, *effective))
    report.results["companion"] = [
        {"injected": number, "no_cut": _plain(z), "model": _plain(one), "companion": _plain(other)}
        for number, z, one, other in rows
    ]
    if found is not None:
        at = found.most_significant
        report.conclude(
            f"window classifier: the largest excess of {len(found.masses)} windows is"
            f" {found.significance[at]:.1f} standard deviations, at {conclusions.tev(found.masses[at])}."
            " It is local, of the events that pass the cut alone: a global one, or one combined with the slices of"
            " the model, would need toys that repeat each training."
        )
        report.plot(plotting.plot_p_values, [found], name="p_values_windows", right=report.right, title="Data")


def show_scores(report: Report, samples: Mapping[str, SearchSample], model: str) -> None:
    """Scores of each sample, and the losses in them."""
    report.section("Scores and losses", f"Of {model}, each sample normalised to one.")
    first = next(iter(samples.values()))
    strategy, labels = first.strategy, histograms.loss_labels(first.card.to_dict())
    title = f"{model}: {strategy.strategy}" + f", KL weight {strategy.kl_weight:g}" * ("kl_loss" in labels)
    histogram = histograms.score_histogram(
        {legend_name(name): (sample.score(), sample.weight) for name, sample in samples.items()},
        label=histograms.score_label(model, strategy.strategy),
    )
    report.plot(plotting.plot_scores, histogram, name="anomaly_score", title=title)
    losses = [name for name in labels if name in ("reco_loss", "kl_loss")] or list(labels)
    of_losses = [
        histograms.loss_histogram(
            {legend_name(n): (s.losses[loss].ravel(), np.repeat(s.weight, 2)) for n, s in samples.items()},
            loss,
            label=labels[loss],
        )
        for loss in losses
    ]
    report.plot(plotting.plot_losses, of_losses, name="losses", title=model)
    for loss in losses:
        values = {legend_name(n): (s.losses[loss], s.weight) for n, s in samples.items()}
        histogram = histograms.jets_histogram(values, loss, label=labels[loss])
        report.plot(plotting.plot_jet_against_jet, histogram, name=f"jets_{loss}", title=model)


def show_reconstruction(report: Report, events: ak.Array, inferers: Mapping[str, Any]) -> None:
    """Jets of some background events, and what each model makes of them."""
    shown: dict[str, dict[str, Any]] = {name: {} for name in OBSERVABLES}
    residuals: dict[str, dict[str, Any]] = {name: {} for name in RESIDUALS}
    for model, inferer in inferers.items():
        jets = pad_scorable(events, inferer.spec)
        reconstructed = inferer.reconstruct(jets)
        before, after = (jet_observables(padded, inferer.spec) for padded in (jets, reconstructed))
        for name, of_models in shown.items():
            of_models.setdefault("Input", before[name])
            of_models[model] = after[name]
        for name, values in nearest_residuals(jets, reconstructed, inferer.spec)["input"].items():
            residuals[name][model] = values
    text = "Each particle of the input is compared to the nearest one that a model makes."
    report.section("Reconstruction", f"Jets of {len(events):,} background events. {text}")
    of_features = [
        histograms.residual_histogram(of_models, label=RESIDUALS[name]) for name, of_models in residuals.items()
    ]
    report.plot(plotting.plot_residuals, of_features, name="residuals", title="QCD, matched particles")
    for name, of_models in shown.items():
        histogram = histograms.observable_histogram(of_models, label=OBSERVABLES[name])
        report.plot(plotting.plot_reconstruction, histogram, name=f"reconstruction_{name}", title="QCD")


def show_events(
    report: Report, sample: SearchSample, identifiers: Sequence[Sequence[int]], events: ak.Array, inferer: Any
) -> None:
    """Displays of some events (as `read_dijets` gives them), which are those of a sample."""
    rows = zip(events, sample.score(), sample.mjj, identifiers)
    for i, (event, score, mjj, numbers) in enumerate(rows, start=1):
        jets = pad_particles(event.jets.constituents, inferer.spec)
        known = {"score": score, "mjj": mjj, "event": dict(zip(IDENTIFIERS, numbers))}
        reconstructed = inferer.reconstruct(jets)
        report.plot(
            plotting.plot_event, jets, reconstructed, inferer.spec, name=f"event_{sample.name}_{i}", **known
        )
