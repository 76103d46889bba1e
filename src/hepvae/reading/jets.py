"""All jets of files with their constituents: `read_jets` and `iterate_jets`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import awkward as ak

from ..jets.spec import InputSpec
from .dijets import iterate_files
from .layouts import JetCollection, SchemaName
from .options import STEP_SIZE, ReadOptions
from .sources import Files

__all__ = ["iterate_jets", "read_jets"]


def read_jets(
    files: Files,
    *,
    collection: str = "FatJet",
    columns: Iterable[str] = (),
    schema: SchemaName = "auto",
    tree: str | None = None,
    entry_start: int | None = None,
    entry_stop: int | None = None,
    candidates: str | None = None,
    links: str | None = None,
    jet_radius: float | None = None,
    spec: InputSpec | None = None,
) -> ak.Array:
    """Read all jets of each entry, with their constituents, into memory.

    Parameters
    ----------
    files, schema, tree, entry_start, entry_stop
        As for `read_dijets`; also files with one jet an entry (JetClass).
    collection : str
        Of NanoAOD: the jets, as ``FatJet``, ``Jet``, ``FatJetPuppi``.
    columns : list of str
        Further branches to carry along, by name or pattern (``"HLT_*"``): those of the jets, as
        ``FatJet_msoftdrop``, on the jets (as ``msoftdrop``), others on the entries.
    candidates, links : str, optional
        Of NanoAOD: other collections than the usual ones, as for `with_constituents`.
    jet_radius : float, optional
        Radius parameter of the jets, as for `with_constituents`.
    spec : InputSpec, optional
        As for `read_dijets`.

    Returns
    -------
    awkward array, (entries,) records
        ``jets``: var ``Momentum4D`` of ``pt``, ``eta``, ``phi``, ``mass`` (GeV, radians), in the order of the
        file, each with ``constituents``: var ``Momentum3D`` of ``pt``, ``eta``, ``phi``; ``run``,
        ``luminosityBlock``, ``event``, ``genWeight`` where the file has them, and the ``columns``. No entry is
        left out.

    Raises
    ------
    FileError, LayoutError, DataError
        As `read_dijets`.

    Examples
    --------
    >>> path = hepvae.sample_path("GtoWW15na")
    >>> entries = hepvae.read_jets(path, columns=["FatJet_pt*"], entry_stop=3)
    >>> str(entries.jets.constituents.pt.type)
    '3 * var * var * float32'
    """
    jets = JetCollection(collection, candidates, links, jet_radius)
    options = ReadOptions(tree, schema, None, carried=columns, jets=jets, all_jets=True).of_spec(spec)
    return ak.concatenate(list(iterate_files(files, options, entry_start, entry_stop)))


def iterate_jets(
    files: Files,
    *,
    step_size: str | int | None = STEP_SIZE,
    collection: str = "FatJet",
    columns: Iterable[str] = (),
    schema: SchemaName = "auto",
    tree: str | None = None,
    entry_start: int | None = None,
    entry_stop: int | None = None,
    candidates: str | None = None,
    links: str | None = None,
    jet_radius: float | None = None,
    spec: InputSpec | None = None,
) -> Iterator[ak.Array]:
    """Read all jets of each entry chunk by chunk, in bounded memory.

    Parameters are those of `read_jets`, and ``step_size`` as for `iterate_dijets`.

    Yields
    ------
    awkward array
        As `read_jets` gives.

    Raises
    ------
    FileError, OptionError
        At the call, before anything is read: nothing matches, or an option is out of range.

    Examples
    --------
    >>> [len(chunk) for chunk in hepvae.iterate_jets(hepvae.sample_path("GtoWW15na"), step_size=1000)]
    [1000, 1000, 61]
    """
    jets = JetCollection(collection, candidates, links, jet_radius)
    options = ReadOptions(tree, schema, step_size, carried=columns, jets=jets, all_jets=True).of_spec(spec)
    return iterate_files(files, options, entry_start, entry_stop)
