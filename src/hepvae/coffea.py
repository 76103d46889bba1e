"""For coffea: a processor that scores dijets and fills histograms.

Without it, two lines do: ``inferer = hepvae.load_inferer(...)``, ``hepvae.score_dijets(events, inferer)``.
"""

from __future__ import annotations

import awkward as ak
import numpy as np

from .extras import require
from .jets.quality import examine_jets
from .jets.selection import Selection
from .plots.histograms import SCORE_BINS, SCORE_LIMITS, search_histogram
from .reading.nanoevents import dijets_of
from .scoring.chunks import flat_pairs, score_jets
from .scoring.strategy import ScoreStrategy

processor = require("coffea.processor", "hepvae.coffea")

__all__ = ["DijetScoreProcessor"]


class DijetScoreProcessor(processor.ProcessorABC):
    """Scores of dijets as a histogram, for coffea's runner with any of its executors.

    Parameters
    ----------
    inferer : Inferer
        It travels to the workers with the processor, and opens its model there once.
    strategy, kl_weight, convention
        As for `score_dijets`.
    region, **selection
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
        inferer,
        *,
        strategy="min",
        kl_weight=None,
        convention="mean",
        region=None,
        bins=SCORE_BINS,
        limits=SCORE_LIMITS,
        **selection,
    ):
        self.selection = Selection(region=region, **selection)
        self.inferer = inferer
        self.strategy = ScoreStrategy(strategy, kl_weight, convention).of(inferer.card)
        self.bins, self.limits = bins, limits

    def process(self, events):
        """One chunk of NanoEvents."""
        dataset = events.metadata["dataset"]
        dijets = dijets_of(events)
        selected = self.selection.select(dijets)
        flat = flat_pairs(selected)
        _, score, problems = score_jets(examine_jets(flat), self.inferer, self.strategy)
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

    def postprocess(self, accumulator):
        """What is added up is the result."""
        return accumulator
