"""Samples of a search: files that it scores, or files that were scored before."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from ..errors import DataError, LayoutError
from ..jets.selection import REGIONS
from ..models.card import ModelCard
from ..output.files import make_folder
from ..reading.declarations import EVENT_COLUMNS, IDENTIFIERS
from ..reading.dijets import iterate_dijets
from ..reading.sources import Source, resolve, stamp
from ..reading.tables import open_table
from ..scoring.collected import picobarns_of, with_parts_named
from ..scoring.files import score_files
from ..scoring.formats import MASK, ScoredFile, open_scored, provenance_of
from ..scoring.options import OBSERVABLES
from ..scoring.rescoring import losses_of, model_card
from ..scoring.strategy import ScoreStrategy, Strategy
from ..version import __version__
from .weights import Floats, effective_events

__all__ = [
    "MASS",
    "SampleFiles",
    "SearchSample",
    "events_of",
    "load_sample",
    "picobarns_per_weight",
    "score_sample",
]

#: The tree with one row for each part of a generation.
RUNS = "Runs"

#: The observable of a jet that all scored files have.
MASS = "mass"


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
    observables: Mapping[str, Floats] = field(default_factory=dict)
    """Of the jets, by name: (events, 2) each, mass in GeV and what of `OBSERVABLES` the files have."""
    selection: Mapping[str, float] = field(default_factory=dict)
    """Cuts on the events, by their names in `Selection`."""
    selected: int | None = None
    """Events of the files in the signal region; None: they were scored before, and have those with a score."""
    read: int | None = None
    """Events in the files; None: likewise."""

    def score(self, strategy: ScoreStrategy | None = None) -> Floats:
        """Scores (events,), float64, by the strategy of the sample or another one."""
        score = (strategy or self.strategy).score_of(self.losses, self.card)
        return np.asarray(score, np.float64)

    def of(self, events: npt.NDArray[np.bool_] | npt.NDArray[np.int_]) -> SearchSample:
        """The same with some of the events, given by a mask or their indices."""
        values: dict[str, Any] = {name: getattr(self, name) for name in ("mjj", "weight", "identifiers")}
        kept: dict[str, Any] = {name: None if v is None else v[events] for name, v in values.items()}
        for name in ("losses", "observables"):
            kept[name] = {column: v[events] for column, v in getattr(self, name).items()}
        return replace(self, **kept)

    def scaled(self, factor: float) -> SearchSample:
        """The same with all weights times a factor."""
        return replace(self, weight=factor * self.weight)

    @property
    def effective_events(self) -> float:
        """As `effective_events` of the weights."""
        return effective_events(self.weight)


@dataclass(frozen=True)
class SampleFiles:
    """What the events of a sample are read from.

    Files that are to be scored; or files of `score_files`, of one model or of several; or friends of an input, of
    one model or of several, with that input.
    """

    name: str
    """Of the sample."""
    inputs: tuple[Source, ...]
    """Those that are no scored files."""
    scored: tuple[tuple[ModelCard, str, str], ...] = ()
    """Of each file: the card of its model, what it calls that, and its path."""

    @classmethod
    def of(cls, name: str, files: Any) -> SampleFiles:
        """What some files, as for `score_files`, or folders of parts, are.

        Raises
        ------
        FileError, LayoutError
            A file cannot be read.
        """
        inputs: list[Source] = []
        scored: list[tuple[ModelCard, str, str]] = []
        for source in resolve(with_parts_named(files)):
            if source.span is not None:
                raise LayoutError(
                    f"{source.name}: its fileset leaves out entries: expected scored files: hepvae score with this"
                    " fileset and --output DIR/"
                )
            provenance = provenance_of(source)
            if not provenance:
                inputs.append(source)
                continue
            with open_scored(source.path) as file:
                card = model_card(file)
            scored.append((card, str(provenance.get("model", card.architecture)), source.path))
        return cls(name, tuple(inputs), tuple(scored))

    @property
    def paths(self) -> list[str]:
        """Of all files."""
        return [source.path for source in self.inputs] + [path for _, _, path in self.scored]

    @property
    def to_read(self) -> dict[str, str | None]:
        """The inputs as for `score_files`."""
        return {source.path: source.tree for source in self.inputs}

    @property
    def models(self) -> dict[str, ModelCard]:
        """Cards of the models that scored it, by what the files call them; numbered where that comes twice."""
        models: dict[str, ModelCard] = {}
        for card, model, _ in self.scored:
            if card in models.values():
                continue
            number = 2
            while (name := model if model not in models else f"{model} ({number})") in models:
                number += 1
            models[name] = card
        return models

    def load(self, model: str, card: ModelCard) -> SearchSample:
        """The sample as a model scored it.

        Raises
        ------
        DataError
            It has no scores of that model, or as for `load_sample`.
        """
        if paths := [path for other, _, path in self.scored if other == card]:
            return load_sample(paths, self.name, inputs=self.inputs)
        raise DataError(f"{self.name}: has scores of {', '.join(self.models)}: expected some of {model}, too")


def load_sample(
    paths: str | Path | Sequence[str | Path], name: str, *, inputs: Sequence[Source] = ()
) -> SearchSample:
    """The events of the signal region of scored files.

    Parameters
    ----------
    paths : path or sequence of path
        Files of `score_files`, of one model and one selection.
    name : str
        Of the sample.
    inputs : sequence of Source
        What the paths are friends of, in their order: these have weights and identifiers.

    Raises
    ------
    FileError, LayoutError
        A file cannot be read, or is none of `score_files`.
    DataError
        There are no events, or negative weights; or the files are of several models or selections, or of the
        sideband.
    """
    parts = []
    for path in [paths] if isinstance(paths, str | Path) else paths:
        with open_scored(path) as scored:
            parts.append(_Part.of(scored))
    first = parts[0]
    for other in parts[1:]:
        for what in ("model", "selection", "columns"):
            if getattr(other, what) != getattr(first, what):
                raise DataError(
                    f"{name}: {other.path}: differs from {first.path} in its {what}: expected the same"
                )
    columns = {column: np.concatenate([part.values[column] for part in parts]) for column in first.values}
    if first.is_friend:
        columns |= _of_inputs(inputs, first.path, len(columns[MASK]))
    regions = {part.region: part.path for part in parts}
    if "sideband" in regions:
        raise DataError(
            f"{name}: {regions['sideband']}: events of the sideband: expected those of the signal region, or all"
        )
    kept = columns[MASK] if first.is_friend else np.ones(len(columns["mjj"]), bool)
    if None in regions:
        kept = kept & np.asarray(REGIONS["signal"](columns["deta"], first.selection["deta_cut"]))
    columns = {column: values[kept] for column, values in columns.items()}
    mjj = columns["mjj"].astype(np.float64)
    weight = columns["genWeight"].astype(np.float64) if "genWeight" in columns else np.ones_like(mjj)
    if len(set(picobarns := picobarns_of([part.path for part in parts]))) > 1:  # of several datasets
        lengths = [len(part.values["mjj"]) for part in parts]
        weight *= np.repeat(np.array(picobarns) / max(picobarns), lengths)[kept]
    if len(mjj) == 0 or weight.min() < 0 or not weight.sum() > 0:
        raise DataError(
            f"{name}: {len(mjj)} scored events, weights add up to {weight.sum():g}: expected some, none below zero"
        )
    identifiers = None
    if all(column in columns for column in IDENTIFIERS):
        identifiers = np.stack([columns[column].astype(np.int64) for column in IDENTIFIERS], axis=1)
    card, strategy = first.model
    observables = {
        one: np.stack([columns[f"j{jet}_{one}"].astype(np.float64) for jet in (1, 2)], axis=1)
        for one in (MASS, *OBSERVABLES)
        if f"j1_{one}" in columns
    }
    losses = losses_of(columns.__getitem__, card)
    return SearchSample(name, mjj, weight, losses, card, strategy, identifiers, observables, first.selection)


@dataclass(frozen=True)
class _Part:
    """What a search needs of a scored file."""

    path: str
    values: dict[str, npt.NDArray[Any]]
    """Its columns, (rows,) each."""
    model: tuple[ModelCard, ScoreStrategy]
    region: str | None
    selection: dict[str, float]

    @classmethod
    def of(cls, scored: ScoredFile) -> _Part:
        card = model_card(scored)
        strategy = ScoreStrategy.from_dict(scored.provenance)
        of_jets = [f"j{jet}_{name}" for jet in (1, 2) for name in (*card.losses, MASS, *OBSERVABLES)]
        wanted = [name for name in ("mjj", "deta", MASK, *EVENT_COLUMNS, *of_jets) if name in scored.kinds]
        selection = dict(scored.provenance.get("selection", {}))
        values = {name: scored.column(name) for name in wanted}
        return cls(scored.path, values, (card, strategy), scored.provenance.get("region"), selection)

    @property
    def columns(self) -> list[str]:
        return list(self.values)

    @property
    def is_friend(self) -> bool:
        return MASK in self.values


def _of_inputs(inputs: Sequence[Source], friend: str, rows: int) -> dict[str, npt.NDArray[Any]]:
    """Weights and identifiers of the entries that a friend has rows for."""
    if not inputs:
        raise LayoutError(
            f"{friend}: is a friend of its input, which has the weights: expected the input beside it"
        )
    parts = []
    for source in inputs:
        with open_table(source) as table:
            names = [name for name in EVENT_COLUMNS if name in table.names]
            columns = table.read(names, 0, table.num_entries)
            parts.append({name: ak.to_numpy(columns[name]) for name in names} | {"": np.empty(table.num_entries)})
    entries = sum(len(part[""]) for part in parts)
    if entries != rows:
        raise DataError(f"{friend}: {rows} rows for {entries} entries of its inputs: expected as many")
    shared = [name for name in parts[0] if name and all(name in part for part in parts)]
    return {name: np.concatenate([part[name] for part in parts]) for name in shared}


def score_sample(
    files: Any,
    inferer: Any,
    path: str | Path,
    name: str,
    *,
    strategy: Strategy | None = None,
    observables: Sequence[str] = (),
) -> SearchSample:
    """Score the signal region of some files, unless that is done, and load the scores.

    Beside the scored file, ``.json`` records its inputs. With the same model, version, observables, and input
    files of the same sizes and times, it is taken as it is; the strategy is applied to its losses.

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
    observables : sequence of str
        As for `score_files`.

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
        "inputs": [[*source.stamp, source.tree] for source in resolve(files)],
        "observables": list(observables),
    }
    known = _recorded(record)
    counts = known.pop("counts", None)
    if not (path.exists() and counts and known == {**origin, "output": stamp(str(path))}):
        record.unlink(missing_ok=True)
        report = score_files(files, inferer, path, region="signal", observables=observables, overwrite=True)
        if report.failed:
            raise DataError(f"{name}: {report.failed[0].failure}")
        counts = [report.events_scored, report.events_kept, report.events_read]
        record.write_text(json.dumps({**origin, "output": stamp(str(path)), "counts": counts}))
    sample = load_sample(path, name)
    return replace(sample, strategy=ScoreStrategy(strategy).of(sample.card), selected=counts[1], read=counts[2])


def _recorded(record: Path) -> dict[str, Any]:
    try:
        known = json.loads(record.read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


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
            cross_sections.append(ak.to_numpy(file[RUNS]["xsec"].array()))
            weights.append(ak.to_numpy(file[RUNS]["genEventSumw"].array()))
    xsec, sums = np.concatenate(cross_sections), np.concatenate(weights)
    if not (sums.sum() > 0 and xsec.mean() > 0):
        raise DataError(f"{RUNS}: cross-sections or weights are not above zero")
    return float(xsec.mean() / sums.sum())
