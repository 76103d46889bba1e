"""Scored samples of a search: the losses of all events, so that any strategy is a sum away; and their weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from ..errors import DataError, LayoutError
from ..models.card import ModelCard
from ..output.files import make_folder
from ..reading.dijets import iterate_dijets
from ..reading.layouts import IDENTIFIERS
from ..reading.sources import resolve, stamp
from ..scoring.files import score_files
from ..scoring.formats import open_scored
from ..scoring.rescoring import losses_of, model_card
from ..scoring.strategy import ScoreStrategy, Strategy
from ..version import __version__
from .weights import Floats, effective_events

__all__ = ["SearchSample", "events_of", "load_sample", "picobarns_per_weight", "score_sample"]

#: The tree with one row for each part of a generation.
RUNS = "Runs"


@dataclass(frozen=True)
class SearchSample:
    """The events of a sample, with the losses that a model gave them."""

    name: str
    """Of the sample."""
    mjj: Floats
    """(events,), GeV."""
    weight: Floats
    """(events,), in any unit; ones where the files have none."""
    losses: Mapping[str, Floats]
    """What the model gives a jet, by name: (events, 2) each, of jet 1 and jet 2."""
    card: ModelCard
    """Of the model."""
    strategy: ScoreStrategy
    """What its score is."""
    identifiers: npt.NDArray[np.int64] | None = None
    """(events, 3), see `IDENTIFIERS`; None where the files have none."""

    def score(self, strategy: ScoreStrategy | None = None) -> Floats:
        """Scores (events,), float64, by the strategy of the sample or another one."""
        score = (strategy or self.strategy).score_of(self.losses, self.card)
        return np.asarray(score, np.float64)

    def of(self, events: npt.NDArray[np.bool_] | npt.NDArray[np.int_]) -> SearchSample:
        """The same with some of the events, given by a mask or their indices."""
        values: dict[str, Any] = {name: getattr(self, name) for name in ("mjj", "weight", "identifiers")}
        kept: dict[str, Any] = {name: None if v is None else v[events] for name, v in values.items()}
        return replace(self, losses={name: v[events] for name, v in self.losses.items()}, **kept)

    def scaled(self, factor: float) -> SearchSample:
        """The same with all weights times a factor."""
        return replace(self, weight=factor * self.weight)

    @property
    def effective_events(self) -> float:
        """As `effective_events` of the weights."""
        return effective_events(self.weight)


def load_sample(path: str | Path, name: str) -> SearchSample:
    """A scored file of `score_files`.

    Raises
    ------
    FileError, LayoutError
        The file cannot be read, or is none of `score_files`.
    DataError
        It has no events, or negative weights.
    """
    with open_scored(path) as scored:
        mjj = scored.column("mjj").astype(np.float64)
        weight = scored.column("genWeight") if "genWeight" in scored.kinds else np.ones_like(mjj)
        known = all(column in scored.kinds for column in IDENTIFIERS)
        identifiers = np.stack([scored.column(c).astype(np.int64) for c in IDENTIFIERS], axis=1) if known else None
        card, strategy = model_card(scored), ScoreStrategy.from_dict(scored.provenance)
        losses = losses_of(scored.column, card)
    if len(mjj) == 0 or weight.min() < 0 or not weight.sum() > 0:
        raise DataError(
            f"{name}: {len(mjj)} scored events, weights add up to {weight.sum():g}: expected some, none below zero"
        )
    return SearchSample(name, mjj, weight.astype(np.float64), losses, card, strategy, identifiers)


def score_sample(
    files: Any, inferer: Any, path: str | Path, name: str, *, strategy: Strategy = "min"
) -> SearchSample:
    """Score the signal region of some files, unless that is done, and load the scores.

    Beside the scored file, ``.json`` records its inputs. With the same model, version, and input files of
    the same sizes and times, it is taken as it is; the strategy is applied to its losses.

    Parameters
    ----------
    files : as for `score_files`
    inferer : Inferer
    path : path
        The scored file; its folder is made where it is not there.
    name : str
        Of the sample.
    strategy : str
        As for `ScoreStrategy`, with the weight of the KL loss that the model was trained with.

    Raises
    ------
    DataError
        One of the files cannot be scored, or as for `load_sample`.
    """
    path = Path(path)
    make_folder(path.parent)
    record = path.with_suffix(".json")
    origin = {
        "version": __version__,
        "sha256": inferer.sha256,
        "runtime": inferer.runtime,
        "inputs": [[*stamp(source.path), source.tree] for source in resolve(files)],
    }
    if not (path.exists() and _recorded(record) == {**origin, "output": stamp(str(path))}):
        record.unlink(missing_ok=True)
        report = score_files(files, inferer, path, region="signal", overwrite=True)
        if report.failed:
            raise DataError(f"{name}: {report.failed[0].failure}")
        record.write_text(json.dumps({**origin, "output": stamp(str(path))}))
    sample = load_sample(path, name)
    return replace(sample, strategy=ScoreStrategy(strategy).of(sample.card))


def _recorded(record: Path) -> Any:
    try:
        return json.loads(record.read_text())
    except (OSError, ValueError):
        return None


def events_of(files: Any, identifiers: npt.ArrayLike) -> ak.Array:
    """The events (as `read_dijets` gives them) that some identifiers name, in their order.

    Parameters
    ----------
    files : as for `score_files`
        That the events are in.
    identifiers : int array (events, 3)
        See `IDENTIFIERS`.

    Raises
    ------
    DataError
        An event is in none of the files.
    """
    wanted = [tuple(row) for row in np.asarray(identifiers).tolist()]
    matched: dict[tuple[int, ...], ak.Array] = {}
    for events in iterate_dijets(files):
        columns = [ak.to_numpy(events[name]).astype(np.int64).tolist() for name in IDENTIFIERS]
        places = {row: i for i, row in enumerate(zip(*columns))}
        matched |= {row: events[[places[row]]] for row in wanted if row in places and row not in matched}
        if len(matched) == len(set(wanted)):
            return ak.concatenate([matched[row] for row in wanted])
    missing = next(row for row in wanted if row not in matched)
    raise DataError(f"event {':'.join(map(str, missing))} is in none of the files")


def picobarns_per_weight(files: Any) -> float:
    """Cross-section (pb) that a weight of one stands for: mean of ``xsec`` over sum of ``genEventSumw``.

    Both are columns of the tree ``Runs``, with one row for each part of the generation; files of one process are
    parts of one sample.

    Raises
    ------
    FileError
        A file cannot be read.
    LayoutError
        A file has no such tree or columns: the cross-section has to be given.
    DataError
        The weights do not add up to more than zero.
    """
    import uproot

    cross_sections, weights = [], []
    for source in resolve(files):
        with uproot.open(source.path) as file:
            columns = file[RUNS].keys() if RUNS in file else []
            if not {"xsec", "genEventSumw"} <= set(columns):
                raise LayoutError(
                    f"{source.path}: no tree {RUNS} with xsec and genEventSumw: the cross-section has to be given"
                )
            cross_sections.append(file[RUNS]["xsec"].array(library="np"))
            weights.append(file[RUNS]["genEventSumw"].array(library="np"))
    xsec, sums = np.concatenate(cross_sections), np.concatenate(weights)
    if not (sums.sum() > 0 and xsec.mean() > 0):
        raise DataError(f"{RUNS}: cross-sections or weights are not above zero")
    return float(xsec.mean() / sums.sum())
