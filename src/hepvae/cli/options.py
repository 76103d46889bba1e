"""Options that several commands have, and the objects that are built from them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ..execution.command import built, option
from ..execution.option_types import PATH, Choice, Number, Whole
from ..inference import runtime_names
from ..jets.selection import REGIONS, Selection
from ..models.bundled import MODELS
from ..reading.layouts import FAT_JETS, SCHEMAS, JetCollection, SchemaName
from ..reading.options import ReadOptions
from ..reading.reports import FileReport
from ..scoring.strategy import CONVENTIONS, STRATEGIES, ScoreStrategy
from ..storage.access import Access

if TYPE_CHECKING:
    from ..scoring.collected import Collected

__all__ = [
    "allow_failed_option",
    "failed_status",
    "files_argument",
    "missing_status",
    "model_option",
    "overwrite_option",
    "read_options",
    "runtime_option",
    "scored_output_option",
    "selection_options",
    "strategy_options",
    "threads_option",
]

logger = logging.getLogger(__name__)

files_argument = click.argument("files", nargs=-1, required=True, type=click.Path(), metavar="FILES...")
model_option = option("--model", required=True, help=f"a bundled name ({', '.join(MODELS)}) or a path")
runtime_option = option(
    "--runtime",
    type=Choice(runtime_names()),
    help="what executes the model  [default: as measured by hepvae tune, else by its files]",
)
threads_option = option(
    "--threads", type=Whole(), help="of the runtime  [default: HEPVAE_NUM_THREADS, else the cores at hand]"
)
overwrite_option = option("--overwrite", is_flag=True, help="replace an output that exists")
scored_output_option = option("--output", required=True, type=PATH, help="the scored file, .root or .parquet")
allow_failed_option = option(
    "--allow-failed", type=Whole(0), default=0, metavar="N", help="exit status 0 with so many failed files"
)

strategy_options = built(
    "strategy",
    ScoreStrategy,
    option("--strategy", type=Choice(STRATEGIES), help="two jets to a score  [default: what the model names]"),
    option(
        "--kl-weight",
        type=Number(),
        metavar="W",
        help="score = reco_loss + W kl_loss  [default: the model's beta]",
    ),
    option(
        "--convention",
        type=Choice(CONVENTIONS),
        default=ScoreStrategy.convention,
        help="of the losses in the score: means, or sums over particles and the latent axis",
    ),
)

selection_options = built(
    "selection",
    Selection,
    option("--region", type=Choice(REGIONS), help="only events of this region of deta"),
    option("--pt-min", type=Number(), default=Selection.pt_min, help="GeV, both jets"),
    option("--eta-max", type=Number(0), default=Selection.eta_max, help="|eta| of both jets"),
    option("--mjj-min", type=Number(), default=Selection.mjj_min, help="GeV"),
    option("--deta-cut", type=Number(0), default=Selection.deta_cut, help="border of the regions in deta"),
)


def _read(tree: str | None, schema: SchemaName, collection: str, timeout: int, attempts: int) -> ReadOptions:
    access = Access(timeout_s=timeout, attempts=attempts)
    return ReadOptions(tree=tree, schema=schema, access=access, jets=JetCollection(collection))


read_options = built(
    "read",
    _read,
    option("--tree", help="name of the tree  [default: Events, or the only one]"),
    option("--schema", type=Choice(["auto", *SCHEMAS]), default="auto", help="file layout; auto: by the branches"),
    option("--collection", default=FAT_JETS.name, help="the jets, of NanoAOD: as FatJet, Jet, FatJetPuppi"),
    option("--timeout", type=Whole(1, 86400), default=Access.timeout_s, help="seconds, of a network request"),
    option(
        "--attempts",
        type=Whole(),
        default=Access.attempts,
        help="at a file that cannot be read for a transient reason",
    ),
)


def missing_status(found: Collected, allowed: int) -> int:
    """Print which inputs have no part; gives the exit status as `failed_status`."""
    status = _status([f"missing: {part.missing}" for part in found.missing], len(found.parts), allowed)
    if found.missing:
        logger.error(
            "%d of %d inputs have no part in %s", len(found.missing), len(found.parts), found.folder.address
        )
    return status


def failed_status(reports: Sequence[FileReport], allowed: int) -> int:
    """Print why files failed; gives the exit status: 1 where more failed than allowed, or all."""
    return _status([report.failure for report in reports if report.failure is not None], len(reports), allowed)


def _status(failures: list[str], number: int, allowed: int) -> int:
    for failure in failures:
        logger.error("%s", failure)
    return int(len(failures) > allowed or len(failures) == number)
