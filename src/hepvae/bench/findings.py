"""What a study found, in sentences that are computed from its figures."""

from __future__ import annotations

import numpy as np

from .comparisons import Comparison, select

__all__ = ["findings"]

#: A batch size that is within this of the best rate is large enough.
CLOSE = 0.9


def findings(records, comparisons: list[Comparison]) -> list[str]:
    """Where a runtime gains most, where it stops, and which batch size to use.

    Parameters
    ----------
    records : list of dict
        Cells of one source and pipeline, of the models as they were given.
    comparisons : list of Comparison
        Of runtimes, of the same cells.
    """
    sentences = []
    by_model: dict[str, list[Comparison]] = {}
    for c in comparisons:
        by_model.setdefault(c.cell["model"], []).append(c)
    if by_model:
        sentences.append(_gains(by_model))
        sentences.append(_ends(by_model))
    sentences.append(_advice(records))
    return sentences


def _gains(by_model) -> str:
    parts = []
    for model, found in by_model.items():
        best = max(found, key=lambda c: (c.ratio.low > 1, c.ratio.value))
        where = f"batch size {best.cell['batch_size']}"
        if best.ratio.low > 1:
            parts.append(
                f"{model} at {where} ({best.side} takes {best.ratio.value:.2g} times as long,"
                f" {best.ratio.low:.2g} to {best.ratio.high:.2g})"
            )
        else:
            parts.append(f"{model} nowhere (at best {best.ratio} at {where})")
    return f"{_reference(by_model)} gains most for {_listed(parts)}."


def _ends(by_model) -> str:
    parts, slower, always = [], [], []
    for model, found in by_model.items():
        found = sorted(found, key=lambda c: c.cell["batch_size"])
        sizes = [c.cell["batch_size"] for c in found]
        without = [c.cell["batch_size"] for c in found if c.ratio.low <= 1]
        if not without:
            always.append(model)
        elif without == sizes:
            parts.append(f"{model} at any size")
        elif without == sizes[-len(without) :]:
            parts.append(f"{model} from {without[0]} on")
        else:
            parts.append(f"{model} at {_listed([str(size) for size in without])}")
        slower += [f"{model} at {c.cell['batch_size']} ({c.ratio.value:.2g})" for c in found if c.ratio.high < 1]
    said = []
    if parts:
        said.append(f"no gain is seen for {_listed(parts)}")
    if slower:
        said.append(f"it is slower for {_listed(slower)}")
    if always:
        said.append(f"it gains at every batch size for {_listed(always)}")
    return f"Where the gain of {_reference(by_model)} ends: {'; '.join(said)}."


def _advice(records) -> str:
    parts = []
    for model in dict.fromkeys(r["model"] for r in records):
        rates = {}
        for r in select(records, model=model):
            rates.setdefault((r["batch_size"], r["runtime"]), []).append(r)
        rate = {key: np.median([r["jets_per_s"] for r in found]) for key, found in rates.items()}
        best = max(rate.values())
        size, runtime = min((key for key in rate if rate[key] >= CLOSE * best), key=lambda k: (k[0], -rate[k]))
        memory = np.median([r["rss_peak_bytes"] for r in rates[size, runtime]]) / 1e6
        parts.append(
            f"{model} in batches of {size} on {runtime} ({rate[size, runtime]:,.0f} jets/s, {memory:,.0f} MB)"
        )
    return f"Use here {_listed(parts)}: the smallest batch within {1 - CLOSE:.0%} of the highest rate measured."


def _reference(by_model) -> str:
    return next(iter(by_model.values()))[0].reference


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
