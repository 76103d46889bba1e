"""From files to padded jets, chunk by chunk: the one stream that training, tf.data and the bench read."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import LayoutError, UnscoredJetsWarning
from ..extras import require
from ..jets.padding import pad_into
from ..jets.quality import examine_jets
from ..jets.reasons import Counts
from ..jets.selection import Selection
from ..jets.spec import InputSpec
from ..options import check_whole_number
from .dijets import iterate_source
from .layouts import SchemaName
from .options import ReadOptions
from .reports import FileReport
from .sources import Files, Source, resolve

__all__ = ["padded_jets", "to_tf_dataset"]


def padded_jets(
    source: Source, report: FileReport, spec: InputSpec, options: ReadOptions, selection: Selection
) -> Iterator[npt.NDArray[np.float32]]:
    """Padded jets of the selected events of one file, counted in ``report``.

    Parameters
    ----------
    selection : Selection
        Of a file with one jet an entry, the cuts on a jet decide.

    Yields
    ------
    numpy array, float32 (jets, n_particles, n_features)
        Both jets of an event next to each other. An event with a jet that cannot be scored is left out,
        and that jet counted.

    Raises
    ------
    LayoutError
        A region is given for a file with one jet an entry.
    """
    options = replace(options.of_spec(spec), single_jets=True)
    for events in iterate_source(source, report, options):
        together = 2 if "jets" in events.fields else 1
        if together == 2:
            events = selection.select(events)
            report.events_kept += len(events)
        else:
            if selection.region is not None:
                raise LayoutError(
                    f"{source.path}: has one jet an entry, no deta: expected no region, not {selection.region!r}"
                )
            events = selection.select_jets(events)
        jets = examine_jets(events)
        report.unscored_jets.add(jets.counts)
        good = np.repeat(jets.good.reshape(-1, together).all(axis=1), together)
        yield pad_into(jets.flat, np.flatnonzero(good), spec, spec.n_particles)


def to_tf_dataset(
    files: Files,
    spec: InputSpec,
    batch_size: int,
    *,
    tree: str | None = None,
    schema: SchemaName = "auto",
    step_size: str | int | None = "10 MB",
    **selection: Any,
) -> Any:
    """Stream padded jets from ROOT files into TensorFlow.

    The next chunks are read, decompressed and padded while TensorFlow works on this one.

    Parameters
    ----------
    files, tree, schema
        As for `read_dijets`.
    spec : InputSpec
        What the model takes.
    batch_size : int
        Jets in an element; the last one may have fewer.
    step_size : str, int or None
        How much is read at once, as for `iterate_dijets`.
    **selection
        ``region`` and cuts, as for `select_dijets`, which decides on the events.

    Returns
    -------
    tf.data.Dataset
        Of float32 tensors (batch_size, n_particles, n_features), in the order of the files, both jets of an
        event next to each other. It can be given to an inferer batch by batch, or to ``fit`` of a `VAE`.

    Warns
    -----
    UnscoredJetsWarning
        At the end of a pass: events with jets that cannot be scored were left out.

    Raises
    ------
    FileError, OptionError
        Nothing matches, or a value is out of range. What goes wrong in a file that is being streamed
        comes as TensorFlow's own error, with our line in it.

    Examples
    --------
    >>> inferer = hepvae.load_inferer("conv")
    >>> dataset = hepvae.to_tf_dataset(hepvae.sample_path("GtoWW15na"), inferer.spec, 256, region="sideband")
    >>> [batch.shape[0] for batch in dataset]
    [256, 256, 256, 256, 256, 256, 256, 68]
    """
    batch_size = check_whole_number("batch_size", batch_size)
    chosen, options = Selection(**selection), ReadOptions(tree, schema, step_size)
    sources = resolve(files, tree)
    tf = require("tensorflow", "to_tf_dataset")

    def chunks() -> Iterator[npt.NDArray[np.float32]]:
        unscored = Counts()
        for source in sources:
            report = FileReport(source.path)
            for jets in padded_jets(source, report, spec, options, chosen):
                if len(jets):
                    yield jets
            unscored.add(report.unscored_jets)
        if unscored:
            message = f"events left out for jets that cannot be scored: {unscored}"
            warnings.warn(message, UnscoredJetsWarning, stacklevel=2)

    signature = tf.TensorSpec((None, *spec.shape), tf.float32)
    dataset = tf.data.Dataset.from_generator(chunks, output_signature=signature)
    # Chunks are cut into batches by TensorFlow itself: a generator of small batches would hold them up.
    return dataset.prefetch(1).rebatch(batch_size).prefetch(tf.data.AUTOTUNE)
