"""From the losses of two jets to the score of the event: the strategies."""

from __future__ import annotations

import numpy as np

from .errors import OptionError

__all__ = ["LOSSES", "STRATEGIES", "check_strategy", "event_score"]

#: What a VAE gives one jet, in the order of every table and file.
LOSSES = ("loss", "reco_loss", "kl_loss")

#: How the losses of jet 1 and jet 2 become the score of the event.
STRATEGIES = {
    "min": np.minimum,
    "max": np.maximum,
    "sum": np.add,
    "j1": lambda jet1, jet2: jet1,
    "j2": lambda jet1, jet2: jet2,
}


def check_strategy(strategy: str, kl_weight: float | None = None) -> None:
    """Raise `OptionError` where there is no such strategy, or the weight is not finite."""
    if kl_weight is not None and not np.isfinite(kl_weight):
        raise OptionError(f"kl_weight is {kl_weight!r}: expected a finite number")
    if strategy not in STRATEGIES:
        raise OptionError(f"strategy {strategy!r} is unknown: expected one of {', '.join(STRATEGIES)}")


def event_score(reco_loss, kl_loss, *, strategy: str, kl_weight: float):
    """Score of each event: the strategy over the two jets of reco_loss + kl_weight * kl_loss.

    Parameters
    ----------
    reco_loss, kl_loss : arrays, (events, 2)
    strategy : str
        One of `STRATEGIES`; ``min`` asks that both jets be anomalous.
    kl_weight : float

    Returns
    -------
    array, (events,)
        Of the dtype of the losses.
    """
    check_strategy(strategy)
    jet = reco_loss + reco_loss.dtype.type(kl_weight) * kl_loss
    return STRATEGIES[strategy](jet[:, 0], jet[:, 1])
