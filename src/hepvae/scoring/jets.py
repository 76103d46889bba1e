"""`score_jets`: the losses of single jets, in whatever shape they come."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any, Protocol, TypeVar

import awkward as ak
import numpy as np
import numpy.typing as npt

from ..errors import OptionError, SpecError, UnscoredJetsWarning
from ..jets.padding import NOMINAL_PT, FlatJets
from ..jets.quality import ExaminedJets, examine_jets
from ..jets.reasons import LOSS_NOT_FINITE, Counts
from ..jets.spec import InputSpec
from ..models.card import ModelCard
from ..reading.lazy import is_lazy, map_lazily

__all__ = ["JetScorer", "Losses", "check_inferer", "jet_losses", "score_jets", "warn_unscored"]

Losses = dict[str, npt.NDArray[np.float32]]


class JetScorer(Protocol):
    """What gives jets their losses: an `Inferer`, or a `CachedInferer` around one."""

    card: ModelCard

    @property
    def spec(self) -> InputSpec:
        """What the model takes."""

    def losses_of(self, jets: FlatJets, chosen: npt.NDArray[np.int64]) -> Losses:
        """As of `Inferer`."""


AnyScorer = TypeVar("AnyScorer", bound=JetScorer)


def score_jets(jets: ak.Array, inferer: JetScorer) -> ak.Array:
    """Losses of each jet, in the shape of the jets.

    Parameters
    ----------
    jets : awkward array of records
        With ``constituents`` (var) of ``pt``, ``eta``, ``phi`` (GeV, radians) and the axis ``eta``, ``phi``, as
        `with_constituents` and `read_jets` give them; corrected, cut, sorted as you like. Flat (jets,), jagged
        (events, var), regular (events, 2), with None for jets or events; eager, virtual or lazy (dask-awkward).
    inferer : Inferer
        As `load_inferer` gives it.

    Returns
    -------
    awkward array of records, float32
        ``loss``, ``reco_loss``, ``kl_loss``, or what the model's card names, for each jet in its place: NaN for
        one that cannot be scored, None where the jet is.

    Raises
    ------
    OptionError
        The model is no `Inferer`.
    SpecError
        These are no jets with constituents.

    Warns
    -----
    UnscoredJetsWarning
        Some jets could not be scored; it counts them by reason.

    Examples
    --------
    >>> events = hepvae.read_dijets(hepvae.sample_path("GtoWW15na"), entry_stop=100)
    >>> losses = hepvae.score_jets(events.jets, hepvae.load_inferer("conv"))
    >>> str(losses.type), bool((losses.loss[:, 0] > 0).to_numpy().all())
    ('100 * 2 * {loss: float32, reco_loss: float32, kl_loss: float32}', True)
    """
    spec = check_inferer(inferer).spec
    if is_lazy(jets):
        return map_lazily(partial(score_jets, inferer=inferer), jets, partial(_needed, spec=spec))
    records: list[Any] = []

    def numbered(layout: Any, **_: Any) -> Any:
        """In the place of each jet, its number."""
        if not layout.is_record:
            return None
        records.append(layout)
        return ak.contents.NumpyArray(np.arange(layout.length))

    number = ak.transform(numbered, jets) if isinstance(jets, ak.Array) else None
    if len(records) != 1 or "constituents" not in records[0].fields:
        known = isinstance(jets, (ak.Array, ak.Record))
        given = ", ".join(ak.fields(jets) if known else ()) or type(jets).__name__
        raise SpecError(
            f"no jets with constituents ({given}): expected what with_constituents or read_jets gives, or"
            " events.jets of dijet events"
        )
    flat = ak.Array(records[0])
    # A jet that was cut is still in memory, and one may stand in several places.
    used = np.unique(ak.to_numpy(ak.drop_none(ak.flatten(number, axis=None))))
    examined = examine_jets(_filled(flat if len(used) == len(flat) else flat[used]))
    losses, problems = jet_losses(examined, inferer)
    warn_unscored(problems, len(used))
    columns = {name: np.full(len(flat), np.nan, np.float32) for name in losses}
    for name, values in losses.items():
        columns[name][used] = values

    def placed(layout: Any, **_: Any) -> Any:
        if not layout.is_numpy:
            return None
        contents = [ak.contents.NumpyArray(values[layout.data]) for values in columns.values()]
        return ak.contents.RecordArray(contents, list(columns), layout.length)

    return ak.transform(placed, number)


def jet_losses(jets: ExaminedJets, inferer: JetScorer) -> tuple[Losses, Counts]:
    """Losses (jets,) by name, all NaN for a jet that cannot be scored, and those counted by reason."""
    number = len(jets.reason)
    losses: Losses = {name: np.full(number, np.nan, np.float32) for name in inferer.card.losses}
    if len(jets.chosen):
        for name, values in inferer.losses_of(jets.flat, jets.chosen).items():
            losses[name][jets.chosen] = values
    finite = np.all([np.isfinite(values) for values in losses.values()], axis=0)
    for values in losses.values():
        values[~finite] = np.nan
    return losses, jets.marked(~finite, LOSS_NOT_FINITE).counts


def check_inferer(inferer: AnyScorer) -> AnyScorer:
    """The inferer, or `OptionError` where it is a name, a path or anything else."""
    if isinstance(inferer, str) or hasattr(inferer, "__fspath__"):
        raise OptionError(f"inferer is {str(inferer)!r}: expected hepvae.load_inferer({str(inferer)!r})")
    if not hasattr(inferer, "card"):
        raise OptionError(f"inferer is a {type(inferer).__name__}: expected what hepvae.load_inferer gives")
    return inferer


def warn_unscored(problems: Counts, jets: int) -> None:
    """Warn the caller of the public function that calls this."""
    if problems:
        warnings.warn(
            f"{sum(problems.values())} of {jets} jets not scored, their losses are NaN: {problems}",
            UnscoredJetsWarning,
            stacklevel=3,
        )


def _filled(jets: ak.Array) -> ak.Array:
    """Jets of which some have no axis or no list of constituents (None): such are examined as NaN, or as empty."""
    for name, nothing in (("eta", np.nan), ("phi", np.nan), ("constituents", [])):
        if name in jets.fields and jets[name].layout.is_option:
            jets = ak.with_field(jets, ak.fill_none(jets[name], nothing, axis=0), name)
    return jets


def _needed(jets: ak.Array, spec: InputSpec) -> list[ak.Array]:
    """The columns of jets that a model takes."""
    if not spec.momenta_only or "constituents" not in ak.fields(jets):
        return [jets]
    scaled = ("pt", NOMINAL_PT) if NOMINAL_PT in ak.fields(jets) else ()
    axis = [jets[name] for name in ("eta", "phi", *scaled)]
    return axis + [jets["constituents", name] for name in ("pt", "eta", "phi")]
