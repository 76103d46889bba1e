"""``hepvae search``."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..execution.command import Command, option
from ..execution.option_types import PATH, Choice, Listed, Number, Whole
from ..search.fits import CRITERIA
from ..search.options import DEFAULT_MODELS, SearchOptions, SignalFiles


def _signals(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> tuple[SignalFiles, ...]:
    return tuple(map(SignalFiles.parse, texts))


def _listed(name: str, default: tuple[str, ...], text: str) -> Callable[[Any], Any]:
    return option(name, type=Listed(click.STRING), default=",".join(default), metavar="A,B,...", help=text)


_DEFAULT = SearchOptions


@click.command("search", cls=Command)
@option("--data", multiple=True, metavar="FILES", help="what is searched; more than once  [default: toys]")
@option("--background", multiple=True, metavar="FILES", help="simulated QCD; more than once  [default: bundled]")
@option(
    "--signal",
    "signals",
    multiple=True,
    callback=_signals,
    metavar="NAME=MASS=FILES",
    help="a resonance, GeV; more than once, also of one name at several masses  [default: bundled]",
)
@option(
    "--control", multiple=True, metavar="FILES", help="independent QCD  [default: a quarter of the background]"
)
@option(
    "--model",
    "models",
    multiple=True,
    metavar="MODEL",
    help="scores the files that are not; a bundled name or a path, more than once"
    f"  [default: {' and '.join(DEFAULT_MODELS)}]",
)
@option("--search-model", help="whose score is cut on  [default: the last]")
@_listed("--strategies", _DEFAULT.strategies, "the model's own is cut on, else the first")
@_listed("--working-points", _DEFAULT.working_points, "shares of the background to keep: eff10 is 10 %")
@option("--lumi", "luminosity", type=Number(), default=_DEFAULT.luminosity, help="integrated luminosity, fb-1")
@option(
    "--cross-section", type=Number(), help="pb, of the background that is selected  [default: of its tree Runs]"
)
@option("--fit-start", type=Number(), default=_DEFAULT.fit_start, help="lowest mjj of the fits, GeV")
@option("--fit-stop", type=Number(), default=_DEFAULT.fit_stop, help="highest mjj of the fits, GeV")
@option("--scan-start", type=Number(), default=_DEFAULT.scan_start, help="lowest mass that is searched for, GeV")
@option("--toys", type=Whole(), default=_DEFAULT.toys, help="of each kind")
@option("--inject", help="name of the signal that is injected and searched for  [default: the first]")
@option("--inject-mass", type=Number(), default=_DEFAULT.inject_mass, help="its mass, GeV")
@option("--replicas", type=Whole(0), default=_DEFAULT.replicas, help="of the working points' regressions")
@option(
    "--cuts-from",
    type=Choice(("data", "simulation")),
    default=_DEFAULT.cuts_from,
    help="without --data: what the search is to take its working points from",
)
@option("--criterion", type=Choice(CRITERIA), default=_DEFAULT.criterion, help="of the number of parameters")
@option(
    "--normalisation", type=Number(), default=_DEFAULT.normalisation, help="relative uncertainty of the signal"
)
@option("--scale", type=Number(), default=_DEFAULT.scale, help="relative uncertainty of the jet energy scale")
@option(
    "--resolution",
    type=Number(),
    default=_DEFAULT.resolution,
    help="relative uncertainty of the resolution of mjj",
)
@option("--seed", type=Whole(0), default=_DEFAULT.seed, help="of all that is random")
@option("--label", default=_DEFAULT.label, help="above the plots")
@option("--energy", type=Number(), default=_DEFAULT.energy, help="of the collisions, TeV")
@option("--unblind", is_flag=True, help="show the data above the loosest working point")
@option("--baselines/--no-baselines", default=True, help="compare with cuts on jet mass and tau21")
@option(
    "--companion/--no-companion", default=True, help="compare with a classifier that learns from windows in mjj"
)
@option("--datacard", is_flag=True, help="write a datacard of Combine with its shapes, and a workspace of pyhf")
@option("--output", required=True, type=PATH, metavar="DIR", help="folder of the report and of the scored files")
def search(output: Path, **given: Any) -> int:
    """Search dijet events for a resonance, from files to a report with limits.

    FILES are scored files (of several models: all of them; a friend: it and its input), or files that are scored
    with each --model.

    Without --data, toys stand for them. With --data, what the tighter slices of the score hold is hidden until
    --unblind.
    """
    from ..search.pipeline import search as run

    start = time.perf_counter()
    files = ("data", "background", "control")
    given |= {name: list(given[name]) or None for name in files}
    if not given["signals"]:
        del given["signals"]
    for path in run(SearchOptions(output, **given)):
        print(path)
    print(f"{time.perf_counter() - start:.0f} s")
    return 0
