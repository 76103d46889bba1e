"""For coffea: a processor that scores dijets and fills histograms.

Without it, two lines do: ``inferer = hepvae.load_inferer(...)``, ``hepvae.score_dijets(events, inferer)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np

from .extras import require
from .inference import Inferer
from .jets.quality import examine_jets
from .jets.selection import Cuts, Region, Selection
from .options import check_names
from .plots.histograms import SCORE_BINS, SCORE_LIMITS, search_histogram
from .reading.nanoevents import dijets_of
from .scoring.chunks import flat_pairs, score_pairs
from .scoring.jets import check_inferer
from .scoring.strategy import Convention, ScoreStrategy, Strategy

if TYPE_CHECKING:
    from typing_extensions import Unpack

processor: Any = require("coffea.processor", "hepvae.coffea")

__all__ = ["DijetScoreProcessor"]


class DijetScoreProcessor(processor.ProcessorABC):  # type: ignore[misc]  # coffea has no types
    """Scores of dijets as a histogram, for coffea's runner with any of its executors.

    Parameters
    ----------
    inferer : Inferer
        It travels to the workers with the processor, and opens its model there once.
    strategy, kl_weight, convention
        As for `score_dijets`.
    region, **cuts
        As for `select_dijets`.
    bins, limits : int, (float, float)
        Of the logarithmic axis of the score; what is outside is in its under- and overflow.

    Notes
    -----
    Its result is a dict: ``histogram``, a hist.Hist of ``dataset``, ``score`` and ``mjj`` (GeV), filled with
    ``genWeight`` where there is one, and ``cutflow``, for each dataset the number of events that are left:
    ``events``, ``dijets``, ``selected``, ``scored``, with ``sum of weights`` of all events, and ``jets ...``,
    the jets that could not be scored by reason. `coffea.processor.accumulate` adds such results.
    """

    def __init__(
        self,
        inferer: Inferer,
        *,
        strategy: Strategy = "min",
        kl_weight: float | None = None,
        convention: Convention = "mean",
        region: Region | None = None,
        bins: int = SCORE_BINS,
        limits: tuple[float, float] = SCORE_LIMITS,
        **cuts: Unpack[Cuts],
    ):
        check_names("DijetScoreProcessor", cuts, Cuts.__annotations__)
        self.selection = Selection(region=region, **cuts)
        self.inferer = inferer
        self.strategy = ScoreStrategy(strategy, kl_weight, convention).of(check_inferer(inferer).card)
        self.bins, self.limits = bins, limits

    def process(self, events: ak.Array) -> dict[str, Any]:
        """One chunk of NanoEvents."""
        dataset = events.metadata["dataset"]
        dijets = dijets_of(events, spec=self.inferer.spec)
        selected = self.selection.select(dijets)
        _, score, problems = score_pairs(examine_jets(flat_pairs(selected)), self.inferer, self.strategy)
        weighted = "genWeight" in ak.fields(events)
        good = np.isfinite(score)
        histogram = search_histogram(bins=self.bins, limits=self.limits)
        histogram.fill(
            dataset=dataset,
            score=score[good],
            mjj=ak.to_numpy(selected.mjj)[good],
            weight=ak.to_numpy(selected.genWeight)[good] if weighted else np.ones(good.sum()),
        )
        cutflow = {
            "events": len(events),
            "dijets": len(dijets),
            "selected": len(selected),
            "scored": int(good.sum()),
            "sum of weights": float(ak.sum(events.genWeight)) if weighted else float(len(events)),
            **{f"jets {reason}": number for reason, number in problems.items()},
        }
        return {"histogram": histogram, "cutflow": {dataset: cutflow}}

    def postprocess(self, accumulator: dict[str, Any]) -> dict[str, Any]:
        """What is added up is the result."""
        return accumulator
