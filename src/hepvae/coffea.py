"""For coffea: a processor that scores dijets and fills histograms, with systematic variations.

Without it, two lines do: ``inferer = hepvae.load_inferer(...)``, ``hepvae.score_dijets(events, inferer)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, get_args

import awkward as ak
import numpy as np
import numpy.typing as npt

from .errors import OptionError
from .extras import require
from .inference import Inferer
from .jets.quality import examine_jets
from .jets.selection import Cuts, Order, Region, Selection, dijets
from .options import check_choice, check_names
from .plots.histograms import SCORE_BINS, SCORE_LIMITS, SIGNED_LIMITS, entries, search_histogram
from .reading.nanoevents import dijets_of
from .scoring.cached import CachedInferer
from .scoring.chunks import flat_pairs, score_pairs
from .scoring.jets import check_inferer
from .scoring.strategy import Convention, ScoreStrategy, Strategy

if TYPE_CHECKING:
    from typing_extensions import Unpack

processor: Any = require("coffea.processor", "hepvae.coffea")

__all__ = ["NOMINAL", "DijetScoreProcessor"]

#: Name of what is not varied.
NOMINAL = "nominal"

#: From NanoEvents to jets, or to weights; or to a mapping from the names of variations to those.
Jets = Callable[[ak.Array], "ak.Array | Mapping[str, ak.Array]"]
Weights = Callable[[ak.Array], "npt.ArrayLike | Mapping[str, npt.ArrayLike]"]
Weight = npt.NDArray[np.float64]


class DijetScoreProcessor(processor.ProcessorABC):  # type: ignore[misc]  # coffea has no types
    """Scores of dijets as a histogram, for coffea's runner with any of its executors.

    Parameters
    ----------
    inferer : Inferer
        It travels to the workers with the processor, and opens its model there once.
    strategy, kl_weight, convention
        As for `score_dijets`.
    jets : callable, optional
        From NanoEvents to jets (events, var) with constituents, as `with_constituents` gives them, with your
        corrections and cuts; None for an event that is cut, as by a trigger. For systematic variations, to a
        mapping of such jets by name, one of them ``nominal``. By default, the file's ``FatJet``.
    weights : callable, optional
        From NanoEvents to weights (events,), or to a mapping of them by name, one of them ``nominal``. By default
        ``genWeight``, or ones where there is none.
    order : {"pt", "mass", "given"}
        Which of two jets is jet 1, as for `dijets`.
    region, **cuts
        As for `select_dijets`; of each variation.
    bins, limits : int, (float, float)
        Of the axis of the score; what is outside is in its under- and overflow. It is logarithmic, or linear where
        it begins at or below zero: by default from -10 to 20 for models that give no ``reco_loss``, as
        ``density``, whose scores have either sign.

    Notes
    -----
    Its result is a dict: ``histogram``, a hist.Hist of ``dataset``, ``variation``, ``score`` and ``mjj`` (GeV),
    and ``cutflow``, for each dataset and variation the number of events that are left: ``events``, ``dijets``
    (with two jets or more), ``selected``, ``scored``, with ``sum of weights`` of all events, and ``jets ...``,
    the jets that could not be scored by reason. `coffea.processor.accumulate` adds such results.

    A variation of jets is filled with nominal weights, and one of weights with nominal jets. A jet whose
    constituents and axis are those of a variation before is not scored again (see `CachedInferer`).
    """

    def __init__(
        self,
        inferer: Inferer,
        *,
        strategy: Strategy | None = None,
        kl_weight: float | None = None,
        convention: Convention = "mean",
        jets: Jets | None = None,
        weights: Weights | None = None,
        order: Order = "pt",
        region: Region | None = None,
        bins: int = SCORE_BINS,
        limits: tuple[float, float] | None = None,
        **cuts: Unpack[Cuts],
    ):
        check_names("DijetScoreProcessor", cuts, Cuts.__annotations__)
        for name, hook in (("jets", jets), ("weights", weights)):
            if hook is not None and not callable(hook):
                raise OptionError(f"{name} is a {type(hook).__name__}: expected a function of NanoEvents")
        check_choice("order", order, get_args(Order))
        self.selection = Selection(region=region, **cuts)
        self.inferer = inferer
        self.strategy = ScoreStrategy(strategy, kl_weight, convention).of(check_inferer(inferer).card)
        self.jets, self.weights, self.order = jets, weights, order
        above_zero = "reco_loss" in inferer.card.losses
        self.bins, self.limits = bins, limits or (SCORE_LIMITS if above_zero else SIGNED_LIMITS)

    def process(self, events: ak.Array) -> dict[str, Any]:
        """One chunk of NanoEvents."""
        dataset = events.metadata["dataset"]
        jets = {NOMINAL: None} if self.jets is None else _named("jets", self.jets(events), len(events))
        weights = {name: np.asarray(weight, np.float64) for name, weight in self._weights(events).items()}
        both = (jets.keys() & weights.keys()) - {NOMINAL}
        if both:
            raise OptionError(f"jets and weights have a variation {min(both)!r} each: expected different names")
        names = [*weights, *(name for name in jets if name != NOMINAL)]
        histogram = search_histogram([dataset], names, bins=self.bins, limits=self.limits)
        cutflow: dict[str, dict[str, float]] = {}
        inferer = CachedInferer(self.inferer) if len(jets) > 1 else self.inferer
        for variation, varied in jets.items():
            pairs = dijets_of(events) if varied is None else dijets(varied, order=self.order)
            selected = self.selection.select(pairs)
            _, score, problems = score_pairs(examine_jets(flat_pairs(selected)), inferer, self.strategy)
            good = np.isfinite(score)
            score, mjj = entries(score[good], histogram.axes["score"]), ak.to_numpy(selected.mjj)[good]
            entry = ak.to_numpy(selected.entry)[good]
            of_weights = weights if variation == NOMINAL else {variation: weights[NOMINAL]}
            for name, weight in of_weights.items():
                fill = {"dataset": dataset, "variation": name, "score": score, "mjj": mjj}
                histogram.fill(**fill, weight=weight[entry])
                cutflow[name] = {
                    "events": len(events),
                    "dijets": len(pairs),
                    "selected": len(selected),
                    "scored": len(score),
                    "sum of weights": float(weight.sum()),
                    **{f"jets {reason}": number for reason, number in problems.items()},
                }
        return {"histogram": histogram, "cutflow": {dataset: cutflow}}

    def _weights(self, events: ak.Array) -> Mapping[str, Any]:
        """Weights of events by the names of variations."""
        if self.weights is not None:
            return _named("weights", self.weights(events), len(events))
        weighted = "genWeight" in ak.fields(events)
        return {NOMINAL: ak.to_numpy(events.genWeight) if weighted else np.ones(len(events))}

    def postprocess(self, accumulator: dict[str, Any]) -> dict[str, Any]:
        """What is added up is the result."""
        return accumulator


def _named(hook: str, given: Any, events: int) -> Mapping[str, Any]:
    """What a hook gives, by the names of variations.

    Raises
    ------
    OptionError
        There is no nominal one, or one has another number of events.
    """
    named: Mapping[str, Any] = given if isinstance(given, Mapping) else {NOMINAL: given}
    if NOMINAL not in named:
        raise OptionError(f"{hook} give variations {', '.join(map(str, named))}: expected {NOMINAL!r} among them")
    for name, values in named.items():
        if len(values) != events:
            raise OptionError(
                f"{hook} give {len(values)} for the variation {name!r}: expected one for each of {events} events,"
                " jets None where an event is cut"
            )
    return named
