"""The samples of a search by model: those of scored files, and others that it scores."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..errors import DataError, LayoutError
from ..inference import Inferer, load_inferer, named_model
from ..models.card import ModelCard
from ..output.files import make_folder
from ..reading.sources import distinct_names
from ..scoring.collected import picobarns_of
from ..scoring.options import OBSERVABLES
from ..scoring.strategy import ScoreStrategy
from .options import BACKGROUND, DATA, DEFAULT_MODELS, SearchOptions
from .report import file_name
from .samples import MASS, SampleFiles, SearchSample, picobarns_per_weight, score_sample

__all__ = ["Inputs", "open_inputs"]


@dataclass(frozen=True)
class Inputs:
    """What a search begins with."""

    model: str
    """Name of that whose score is cut on."""
    scored: dict[str, dict[str, SearchSample]]
    """Samples by model and name; weights of the background are expected events, those of data ones."""
    inferers: dict[str, Inferer]
    """By model; none where all files were scored before and no model was named."""
    files: dict[str, SampleFiles]
    """By sample."""

    @property
    def samples(self) -> dict[str, SearchSample]:
        """By name, with the scores that are cut on."""
        return self.scored[self.model]


def open_inputs(options: SearchOptions) -> Inputs:
    """Read the samples, and score those that are not.

    Raises
    ------
    HepvaeError
        A file cannot be read or scored, samples lack scores of a model, were selected by other cuts, or share
        events.
    """
    files = {name: SampleFiles.of(name, of) for name, of in options.files.items()}
    named = options.models
    if not named and not all(one.scored for one in files.values()):
        named = DEFAULT_MODELS
    inferers = {name: load_inferer(named_model(path)) for name, path in zip(distinct_names(named), named)}
    _check_files_apart(options, files)
    cards = {name: inferer.card for name, inferer in inferers.items()} or _shared(list(files.values()))
    model = options.model_of(list(cards))
    make_folder(options.output)
    scored: dict[str, dict[str, SearchSample]] = {}
    for one, card in cards.items():
        folder, strategy = options.output / "scored" / file_name(one), options.strategy_of(card)
        observables = OBSERVABLES if one == model and options.observables else ()
        scored[one] = {}
        for name, of in files.items():
            if of.scored:
                sample = of.load(one, card)
                scored[one][name] = replace(sample, strategy=ScoreStrategy(strategy).of(card))
            else:
                path = folder / f"{file_name(name)}.root"
                scored[one][name] = score_sample(
                    *(of.to_read, inferers[one], path, name), strategy=strategy, observables=observables
                )
        _check_selections(scored[one])
        _check_events_apart(options, scored[one])
    per_weight = _expected_per_weight(options, files[BACKGROUND], scored[model])
    for samples in scored.values():
        if DATA in samples:  # events are counted
            samples[DATA] = replace(samples[DATA], weight=np.ones_like(samples[DATA].weight))
        samples[BACKGROUND] = samples[BACKGROUND].scaled(per_weight)
    return Inputs(model, scored, inferers, files)


def _shared(files: Sequence[SampleFiles]) -> dict[str, ModelCard]:
    """The models that scored all samples, as the first calls them."""
    shared = {
        name: card for name, card in files[0].models.items() if all(card in f.models.values() for f in files)
    }
    if not shared:
        known = "; ".join(f"{one.name}: {', '.join(one.models)}" for one in files)
        again = ""
        if set.intersection(*(set(one.models) for one in files)):
            again = ": those of one name differ, as a model does that was trained again"
        raise DataError(
            f"no model has scored all samples ({known}){again}: expected files that one model has scored"
        )
    return shared


def _check_selections(samples: dict[str, SearchSample]) -> None:
    """Samples that were selected otherwise are not what the background stands for."""
    first = samples[BACKGROUND]
    for name, sample in samples.items():
        if sample.selection != first.selection:
            ours, others = (
                ", ".join(f"{cut} {value:g}" for cut, value in of.selection.items()) for of in (sample, first)
            )
            raise DataError(f"{name}: selected by {ours}; {BACKGROUND} by {others}: expected the same cuts")


def _check_files_apart(options: SearchOptions, files: dict[str, SampleFiles]) -> None:
    """A file that is background and signal tells nothing apart."""
    background = {os.path.realpath(path): path for path in files[BACKGROUND].paths}
    for name in options.masses:
        for path in files[name].paths:
            if (same := background.get(os.path.realpath(path))) is not None:
                raise DataError(f"{name}: {path} is the file {same} of {BACKGROUND}: expected files of the signal")


def _check_events_apart(options: SearchOptions, samples: dict[str, SearchSample]) -> None:
    """Events of a file and of its copy: mjj and both jets' masses are not equal by chance."""

    def events(name: str) -> npt.NDArray[np.float64]:
        sample = samples[name]
        return np.column_stack([sample.mjj, sample.observables[MASS]])

    if any(MASS not in samples[name].observables for name in (BACKGROUND, *options.masses)):
        return
    background = set(map(bytes, events(BACKGROUND)))
    for name in options.masses:
        same = sum(bytes(event) in background for event in events(name))
        if same:
            raise DataError(
                f"{name}: {same} of its {len(samples[name].mjj)} events are events of {BACKGROUND}, too:"
                " expected other events"
            )


def _expected_per_weight(options: SearchOptions, files: SampleFiles, samples: dict[str, SearchSample]) -> float:
    """Events that a weight of one of the background stands for."""
    weight = float(samples[BACKGROUND].weight.sum())
    if options.cross_section is not None:
        return 1000 * options.luminosity * options.cross_section / weight
    known = picobarns_of([path for card, _, path in files.scored if card == files.scored[0][0]])
    if known:  # as weights of several datasets are loaded
        return 1000 * options.luminosity * max(known)
    if files.inputs:
        try:
            return 1000 * options.luminosity * picobarns_per_weight(files.to_read)
        except LayoutError:
            if DATA not in samples:
                raise
    if DATA in samples:  # as many as there are: nothing but the figures of the simulation depends on it
        return len(samples[DATA].mjj) / weight
    raise DataError(
        f"{BACKGROUND}: scored files do not say the cross-section of their events: expected a cross-section (pb)"
    )
