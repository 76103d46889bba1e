"""`score_dijets`: the scores of events in memory."""

from __future__ import annotations

from functools import partial

import awkward as ak

from ..jets.padding import fields_of
from ..jets.quality import examine_jets
from ..reading.lazy import is_lazy, map_lazily
from ..reading.nanoevents import aligned, dijets_of, is_nanoevents, needed
from .chunks import flat_pairs, score_pairs
from .jets import JetScorer, check_inferer, warn_unscored
from .strategy import Convention, ScoreStrategy, Strategy

__all__ = ["score_dijets"]


def score_dijets(
    events: ak.Array,
    inferer: JetScorer,
    *,
    strategy: Strategy | None = None,
    kl_weight: float | None = None,
    convention: Convention = "mean",
) -> ak.Array:
    """Score dijet events in memory.

    Parameters
    ----------
    events : awkward array
        As `read_dijets` gives them, and `dijets` of any jets; or NanoEvents of coffea, eager, virtual or lazy
        (dask-awkward), with the collections of NanoAODv15 or PFNano, of which only the columns that are needed
        are read.
    inferer : Inferer
        As `load_inferer` gives it.
    strategy : {"min", "max", "sum", "j1", "j2"} or callable
        How the two jets' ``reco_loss + kl_weight * kl_loss`` become the score of the event; a function of two
        arrays (events,), those of jets 1 and 2, gives one of scores.
    kl_weight : float, optional
        By default the beta that the model was trained with.
    convention : {"mean", "sum"}
        The losses are means over particles and over the latent axis; of a model without masks (``conv``) the
        score can use sums, as the study does.

    Returns
    -------
    awkward array
        The events, in their order, with ``j1_loss``, ``j1_reco_loss``, ``j1_kl_loss`` (or what the card of the
        model names), the same for ``j2``, and ``score``, all float32. Of NanoEvents their dijets, one for each
        event in its place, and None for an event with fewer than two jets.

    Raises
    ------
    OptionError
        A name is unknown, a number is none, or the model is no `Inferer`.
    SpecError
        These are no dijet events.

    Warns
    -----
    UnscoredJetsWarning
        Jets have no constituents, values that are not finite or a negative pt: their losses are NaN.

    Examples
    --------
    >>> events = hepvae.read_dijets(hepvae.sample_path("GtoWW15na"), entry_stop=100)
    >>> scored = hepvae.score_dijets(events, hepvae.load_inferer("conv"), strategy="max")
    >>> len(scored), scored.fields[-4:]
    (100, ['j2_loss', 'j2_reco_loss', 'j2_kl_loss', 'score'])
    """
    used = ScoreStrategy(strategy, kl_weight, convention).of(check_inferer(inferer).card)
    if is_lazy(events):
        columns = partial(needed, spec=inferer.spec)
        return map_lazily(partial(score_dijets, inferer=inferer, **vars(used)), events, columns)
    fields_of(events, "dijet events")
    if is_nanoevents(events):
        return aligned(_with_scores(dijets_of(events, spec=inferer.spec), inferer, used), len(events))
    return _with_scores(events, inferer, used)


def _with_scores(events: ak.Array, inferer: JetScorer, strategy: ScoreStrategy) -> ak.Array:
    losses, score, problems = score_pairs(examine_jets(flat_pairs(events)), inferer, strategy)
    for jet in (0, 1):
        for name in losses:
            events = ak.with_field(events, losses[name][:, jet], f"j{jet + 1}_{name}")
    warn_unscored(problems, 2 * len(events))
    return ak.with_field(events, score, "score")
