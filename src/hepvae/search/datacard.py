"""The search as binned templates for other tools: a Combine datacard with ROOT shapes, and pyhf JSON.

The background of each slice is the fit without signal; its uncertainty is that of the fit's independent
combinations of parameters, each a shape nuisance of its slice. They have to be all but free in the fit of a tool,
which sees the same data as the fit that they come from: their templates are at `LOOSE` standard deviations.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import OptionError
from ..output.files import make_folder, whole_file
from .fits import SpectrumFit
from .scans import Systematics
from .spectrum import Floats, SignalShape

__all__ = ["LOOSE", "Channel", "channels_of", "pyhf_workspace", "write_datacard"]

#: Standard deviations of the fit that templates of the background's shape are at, and their constraint stands for.
LOOSE = 5.0

#: Templates have at least this many events in each bin: tools take the logarithm.
_LEAST = 1e-6


@dataclass(frozen=True)
class Channel:
    """Templates of one slice."""

    name: str
    """Letters, digits and underscores."""
    edges: Floats
    """(bins + 1,), GeV."""
    data: Floats
    """(bins,), events."""
    background: Floats
    """(bins,), events."""
    signal: Floats
    """(bins,), events for a strength of one."""
    background_shapes: dict[str, tuple[Floats, Floats]]
    """(bins,) up and down by nuisance."""
    signal_shapes: dict[str, tuple[Floats, Floats]]
    """(bins,) up and down by nuisance."""


def channels_of(
    fits: Mapping[str, SpectrumFit],
    shapes: Mapping[str, SignalShape],
    shares: Mapping[str, float],
    mass: float,
    events: float,
    systematics: Systematics,
    index: int,
) -> list[Channel]:
    """Templates of all slices for a resonance of one mass.

    Parameters
    ----------
    fits : mapping of slice to SpectrumFit
        Without signal.
    shapes : mapping of slice to SignalShape
    shares : mapping of slice to float
        Of the signal.
    mass : float
        GeV.
    events : float
        Signal events before the cut for a strength of one.
    systematics : Systematics
    index : int
        Of the mass, among those of the spurious signal.

    Raises
    ------
    OptionError
        No slice has signal.
    """
    channels = []
    for name, fit in fits.items():
        edges, expected, plain = fit.spectrum.edges, fit.expected, _plain(name)
        strength, template = events * shares[name], shapes[name].template(mass, edges)
        if not (strength * template).sum() > 0:
            continue
        background = {
            f"{plain}_shape{k}": (expected + LOOSE * change, expected - LOOSE * change)
            for k, change in enumerate(fit.variations)
        }
        for k, change in enumerate(systematics.pass_rates.get(name, [])):
            background[f"pass_rate{k}"] = expected * np.exp(change), expected * np.exp(-change)
        if name in systematics.spurious:
            faked = systematics.spurious[name][index] * template
            background[f"{plain}_spurious"] = expected + faked, expected - faked
        moved = {}
        for what in ("scale", "resolution"):
            if size := getattr(systematics, what):
                up, down = (shapes[name].template(mass, edges, **{what: 1 + sign * size}) for sign in (1, -1))
                moved[f"jet_energy_{what}"] = strength * up, strength * down
        floored = (
            {of: (_floor(up), _floor(down)) for of, (up, down) in some.items()} for some in (background, moved)
        )
        nominal = fit.spectrum.counts, _floor(expected), _floor(strength * template)
        channels.append(Channel(plain, edges, *nominal, *floored))
    if not channels:
        raise OptionError(f"datacard of a signal of {mass:g} GeV: no slice has any of it")
    return channels


def _floor(events: Floats) -> Floats:
    return np.maximum(events, _LEAST)


def _plain(name: str) -> str:
    """A name of a slice for a datacard: ``eff10_1`` for ``eff10-1``."""
    return "".join(c if c.isalnum() and c.isascii() else "_" for c in name)


def pyhf_workspace(channels: list[Channel], normalisation: float = 0.0) -> dict[str, Any]:
    """A workspace of pyhf (HistFactory JSON, schema 1.0.0); its parameter of interest is the strength ``mu``.

    Parameters
    ----------
    channels : list of Channel
    normalisation : float
        Relative uncertainty of the signal.
    """

    def shapes(of: Mapping[str, tuple[Floats, Floats]]) -> list[dict[str, Any]]:
        return [
            {"name": name, "type": "histosys", "data": {"hi_data": up.tolist(), "lo_data": down.tolist()}}
            for name, (up, down) in of.items()
        ]

    def samples(channel: Channel) -> list[dict[str, Any]]:
        strength: list[dict[str, Any]] = [{"name": "mu", "type": "normfactor", "data": None}]
        if normalisation:
            size = {"hi": 1 + normalisation, "lo": 1 / (1 + normalisation)}
            strength.append({"name": "signal_normalisation", "type": "normsys", "data": size})
        return [
            {
                "name": "signal",
                "data": channel.signal.tolist(),
                "modifiers": strength + shapes(channel.signal_shapes),
            },
            {
                "name": "background",
                "data": channel.background.tolist(),
                "modifiers": shapes(channel.background_shapes),
            },
        ]

    return {
        "version": "1.0.0",
        "channels": [{"name": channel.name, "samples": samples(channel)} for channel in channels],
        "observations": [{"name": channel.name, "data": channel.data.tolist()} for channel in channels],
        "measurements": [{"name": "search", "config": {"poi": "mu", "parameters": []}}],
    }


def write_datacard(folder: str | Path, channels: list[Channel], normalisation: float = 0.0) -> list[Path]:
    """Write ``datacard.txt`` and ``shapes.root`` for Combine, and ``workspace.json`` for pyhf.

    Parameters
    ----------
    folder : path
        Made where it is not there.
    channels : list of Channel
    normalisation : float
        Relative uncertainty of the signal.

    Returns
    -------
    list of path
        Of the three files.
    """
    import uproot

    folder = Path(folder)
    make_folder(folder)
    paths = [folder / name for name in ("datacard.txt", "shapes.root", "workspace.json")]
    card, shapes, workspace = paths
    with whole_file(shapes) as temporary, uproot.recreate(temporary) as file:
        for channel in channels:
            for name, values in _histograms(channel).items():
                file[f"{channel.name}/{name}"] = values, channel.edges
    with whole_file(workspace) as temporary:
        temporary.write_text(
            json.dumps(pyhf_workspace(channels, normalisation), indent=1) + "\n", encoding="utf-8"
        )
    with whole_file(card) as temporary:
        temporary.write_text(_card(channels, normalisation, shapes.name), encoding="utf-8")
    return paths


def _histograms(channel: Channel) -> dict[str, Floats]:
    """By their names in the file of shapes."""
    named = {"data_obs": channel.data, "signal": channel.signal, "background": channel.background}
    for process, of in (("signal", channel.signal_shapes), ("background", channel.background_shapes)):
        for name, (up, down) in of.items():
            named |= {f"{process}_{name}Up": up, f"{process}_{name}Down": down}
    return named


def _card(channels: list[Channel], normalisation: float, shapes: str) -> str:
    """The text of a datacard: of each nuisance a row, of each channel the columns of its two processes."""
    columns = [(channel, process) for channel in channels for process in ("signal", "background")]
    nuisances = dict.fromkeys(
        name for channel in channels for name in (*channel.signal_shapes, *channel.background_shapes)
    )
    rows = [
        ["bin", "", *(channel.name for channel, _ in columns)],
        ["process", "", *(process for _, process in columns)],
        ["process", "", *("0" if process == "signal" else "1" for _, process in columns)],
        ["rate", "", *(f"{getattr(channel, process).sum():.6f}" for channel, process in columns)],
    ]
    if normalisation:
        size = f"{1 + normalisation:.4f}"
        rows.append(["signal_normalisation", "lnN", *(size if p == "signal" else "-" for _, p in columns)])
    for name in nuisances:
        shaped = [name in getattr(channel, f"{process}_shapes") for channel, process in columns]
        rows.append([name, "shape", *("1" if one else "-" for one in shaped)])
    # Combine drops what a shape changes of the normalisation where that is less than a per mille
    free = [
        f"{channel.name}_background rateParam {channel.name} background {_free(channel)}" for channel in channels
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    rule = "-" * 40
    observed = [
        "bin          " + "  ".join(channel.name for channel in channels),
        "observation  " + "  ".join(f"{channel.data.sum():.0f}" for channel in channels),
    ]
    head = [
        f"imax {len(channels)}  number of channels",
        "jmax 1  number of backgrounds",
        "kmax *  number of nuisance parameters",
        rule,
        f"shapes * * {shapes} $CHANNEL/$PROCESS $CHANNEL/$PROCESS_$SYSTEMATIC",
        rule,
    ]
    return "\n".join([*head, *observed, rule, *lines[:4], rule, *lines[4:], *free]) + "\n"


def _free(channel: Channel) -> str:
    """Start and range of the normalisation of the background, in units of what is expected."""
    reach = min(4 * LOOSE / np.sqrt(max(channel.background.sum(), 1.0)), 0.9)
    return f"1 [{1 - reach:.6f},{1 + reach:.6f}]"
