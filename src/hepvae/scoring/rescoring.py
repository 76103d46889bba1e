"""Another score of the losses in a scored file: no model runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import LayoutError, OptionError
from ..models.card import ModelCard
from ..output.files import whole_file
from ..output.folders import is_folder
from .formats import MASK, ROWS_AT_ONCE, Block, ScoredFile, open_scored, write_scores
from .options import OutputOptions
from .strategy import ScoreStrategy

__all__ = ["losses_of", "model_card", "rescore_file"]


def losses_of(column: Callable[[str], npt.NDArray[Any]], card: ModelCard) -> dict[str, npt.NDArray[Any]]:
    """What a model gave both jets, (events, 2) each, from columns by the names that scored files have."""
    return {name: np.stack([column(f"j{jet}_{name}") for jet in (1, 2)], axis=1) for name in card.losses}


def model_card(scored: ScoredFile) -> ModelCard:
    """The card of the model that gave the losses of a scored file."""
    if "card" not in scored.provenance:
        raise LayoutError(f"{scored.path}: does not say which model gave its losses")
    return ModelCard.from_dict(scored.provenance["card"])


def rescore_file(
    path: str | Path, output: str | Path, strategy: ScoreStrategy, *, overwrite: bool = False
) -> tuple[ScoreStrategy, str]:
    """Write a scored file again with another score.

    Parameters
    ----------
    path : path
        A file of `score_files`.
    output : path
        The same columns but ``score``, in the same order, as TTree or Parquet. The file appears when it is whole.
    strategy : ScoreStrategy
    overwrite : bool
        Replace an output that exists.

    Returns
    -------
    ScoreStrategy
        As stored with the scores.
    str
        What the score of a jet is, for messages.

    Raises
    ------
    FileError, LayoutError
        A file cannot be read or written, or is none of `score_files`.
    OptionError
        There is no such strategy for the model.
    """
    if is_folder(path):
        raise OptionError(f"{path}: is a folder: expected a scored file, as hepvae merge {path} FILE.root writes")
    output = Path(output)
    OutputOptions(overwrite=overwrite).check(output)
    if output.exists() and os.path.exists(path) and os.path.samefile(path, output):
        raise OptionError(f"{output}: is the input, and would be overwritten while it is read")
    with open_scored(path) as scored:
        card = model_card(scored)
        used = strategy.of(card)
        provenance = {**scored.provenance, **used.to_dict()}
        with whole_file(output) as temporary:
            write_scores(temporary, output.suffix, scored.kinds, _blocks(scored, used, card), provenance)
    return used, used.of_jet(card)


def _blocks(scored: ScoredFile, strategy: ScoreStrategy, card: ModelCard) -> Iterator[Block]:
    """All rows with the other score; those of a friend that have none keep it."""
    for rows in scored.blocks(list(scored.kinds), ROWS_AT_ONCE):
        score = strategy.score_of(losses_of(rows.__getitem__, card), card)
        if MASK in rows:
            score = np.where(rows[MASK], score, np.float32(np.nan))
        yield {**rows, "score": score}
