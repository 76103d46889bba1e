"""A network of others on its way into a model directory: what every step of `adoption` needs, and its checks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import HepvaeError, ModelError, one_line
from ..extras import require
from ..inference.blocks import filled_up
from ..inference.inferer import Inferer
from ..inference.loading import load_inferer
from ..inference.onnx_graph import write_model
from ..models.card import ModelCard
from ..models.contract import CARD_KEY, EXPORT_KEY, LEAST_PARTICLES_KEY, RECO_LOSS_KEY
from ..models.foreign import ForeignCard
from ..models.losses import check_distance
from .adapter import outputs_of
from .network import selected
from .networks import TensorFlowNetwork
from .parity import Parity, as_written, compare_losses, held

__all__ = ["FURTHER", "REGROUPED", "Adoption", "Array", "Losses", "compiled_distances", "write_graph"]

Array = npt.NDArray[np.float32]
Losses = dict[str, npt.NDArray[np.floating]]
#: Jets that are put together otherwise in the second grouping.
REGROUPED = 7
#: Places of padding that are added where the network takes any number of particles.
FURTHER = 16


@dataclass(frozen=True)
class Adoption:
    """What is adopted, and where it is written."""

    card: ForeignCard
    networks: list[Any]
    """The model, or encoder and decoder."""
    padded: Array
    """Jets to check on, float32 (jets, n_particles, n_features)."""
    folder: Path
    record: ModelCard
    """What every file of it carries."""

    @property
    def where(self) -> str:
        """The model, for messages."""
        return str(self.networks[0].where)

    @property
    def onnx_file(self) -> Path:
        return self.folder / "model.onnx"

    @cached_property
    def keys(self) -> list[dict[str, str | int]]:
        """For each network, the keys of [output] in the card, and which of its outputs each is."""
        outputs = self.card.outputs
        latent = {"z_mean": outputs.z_mean, "z_log_var": outputs.z_log_var}
        own = {"reconstruction": outputs.reconstruction, "score": outputs.score, **dict(outputs.losses)}
        parts = [{**own, **latent}] if len(self.networks) == 1 else [latent, own]
        return [{what: key for what, key in part.items() if key is not None} for part in parts]

    def selected(self, values: Mapping[str, Any], keys: Mapping[str, str | int]) -> dict[str, Any]:
        """Outputs of a network by the keys of the card; ModelError where it has no such output."""
        return {what: selected(values, key, self.at(what), f"output.{what}") for what, key in keys.items()}

    def at(self, what: str) -> str:
        """The card, and the line of a key of [output]."""
        return self.card.at(("output", what), ("output", "losses", what), ("output",))

    @property
    def decoder_input(self) -> str:
        """Name of the one input of the decoder."""
        decoder = self.networks[1]
        names = list(decoder.inputs) or ["z"] * isinstance(decoder, TensorFlowNetwork)
        if len(names) != 1:
            raise ModelError(f"the decoder has the inputs {', '.join(names)}: expected one, z")
        return str(names[0])

    @property
    def takes_any_particles(self) -> bool:
        """Whether the network has a mask, and no number of particles of its own."""
        card = self.card
        if card.mask is None:
            return False
        if card.loss is not None and card.outputs.reconstruction is not None and not card.loss.masked:
            return False
        for one in card.inputs:
            shape = self.networks[0].inputs.get(one.tensor or "")
            if one.level != "constituents" or shape is None or one.n_particles != card.spec.n_particles:
                return False
            if shape[one.axes.split(", ").index("particles")] is not None:
                return False
        return True

    def metadata(
        self, parities: Mapping[str, Parity] | None = None, *, least: int | None = None
    ) -> dict[str, str]:
        """Of the ONNX file: the shortest particle axis is that of the card unless given."""
        about = {
            CARD_KEY: self.record.to_json(),
            LEAST_PARTICLES_KEY: str(self.card.spec.n_particles if least is None else least),
        }
        if compiled_distances(self.card) and self.card.loss is not None:
            about[RECO_LOSS_KEY] = self.card.loss.reco
        if parities is not None:
            about[EXPORT_KEY] = json.dumps({name: parity.record() for name, parity in parities.items()}, indent=1)
        return about

    def source_losses(self, run: Callable[[Array], dict[str, Any]]) -> Losses:
        """The losses of the networks as they came: features and losses by NumPy in float64.

        Parameters
        ----------
        run : callable
            From padded jets to what the networks give, by the keys of [output] in the card.
        """
        card, batch_size = self.card, self.record.batch_size
        size, names = batch_size or 256, card.outputs.names
        parts = []
        for start in range(0, len(self.padded), size):
            count = len(self.padded[start : start + size])
            batch = filled_up(self.padded[start : start + size], batch_size or 0)
            raw = {name: np.asarray(value, np.float64) for name, value in run(batch).items()}
            try:
                losses = outputs_of(batch.astype(np.float64), raw, card, np)
            except (ValueError, IndexError) as error:  # of shapes that do not go together
                shapes = ", ".join(f"{name} {value.shape}" for name, value in raw.items())
                alone = len(self.networks) == 1 and card.outputs.z_mean is not None
                raise ModelError(
                    f"{card.at(('output',))}: outputs have the shapes {shapes} for {len(batch)} jets:"
                    f" not those of [output] and [loss]: {one_line(error)}"
                    + "; an encoder needs --decoder (decoder=)"
                    * alone
                ) from error
            for name in names:
                if losses[name].shape != (len(batch),):
                    raise ModelError(
                        f"{self.at(name)}: output {name!r} has shape {raw.get(name, losses[name]).shape} for"
                        f" {len(batch)} jets: expected one number a jet"
                    )
            parts.append({name: losses[name][:count] for name in names})
        return {name: np.concatenate([part[name] for part in parts]) for name in names}

    def check_written(self, source: Losses) -> Parity:
        """How the ONNX file differs from the network as it came.

        Raises
        ------
        ModelError
            That is too much, or the outputs of a jet depend on those beside it, or on how it is scored.
        """
        inferer = as_written(self.onnx_file)
        losses = self.check_grouping(inferer)
        parity = held(source, losses, f"{self.card.name}: what was written and the model as it came differ")
        # As it is scored: blocks, threads, distances by the compiled loop.
        scored = load_inferer(self.onnx_file, runtime="onnxruntime")(self.padded)
        held(losses, scored, f"{self.onnx_file.name}: losses in blocks and as a whole differ")
        return parity

    def check_grouping(self, inferer: Inferer) -> Losses:
        """Losses of the jets; ModelError where those of one depend on the other jets of a batch."""
        padded = self.padded
        losses = inferer(padded)
        order = np.concatenate([np.arange(start, len(padded), REGROUPED) for start in range(REGROUPED)])
        size = max(len(padded) // 3, REGROUPED)
        parts = [inferer(padded[order[i : i + size]]) for i in range(0, len(order), size)]
        again = {name: np.empty(len(padded), np.float32) for name in losses}
        for name, values in again.items():
            values[order] = np.concatenate([part[name] for part in parts])
        parity = compare_losses(losses, again)
        if not parity.holds():
            raise ModelError(
                f"{self.card.name}: outputs of a jet depend on the other jets of its batch ({parity}): batch"
                " normalisation in training mode, or a batch axis used as another; export the model for inference"
            )
        return dict(losses)

    def check_padding(self, short: Losses, long: Losses) -> None:
        """Refuse a network whose losses change with `FURTHER` more places of padding."""
        parity = compare_losses(short, long)
        if not parity.holds():
            raise ModelError(
                f"{self.card.at(('input', 'mask'), ('preprocess',))}: outputs change with {FURTHER} more places of"
                f" padding ({parity}): the mask is not used for all that counts; remove [input.mask], or give the"
                " model a fixed number of particles"
            )


def write_graph(proto: Any, path: Path, metadata: Mapping[str, str]) -> None:
    """Write an adopted graph, if it is one that ONNX allows."""
    try:
        require("onnx", "adopt").checker.check_model(proto)
    except Exception as error:  # of an extension module
        raise ModelError(f"{path.name}: the adopted graph is none that ONNX allows: {one_line(error)}") from error
    write_model(proto, path, dict(metadata))


def compiled_distances(card: ForeignCard) -> bool:
    """Whether the loop of hepvae computes their distance: of physical values, of all that a padded array has."""
    of, loss, spec = card.reconstructed, card.loss, card.spec
    if card.outputs.reconstruction is None or of is None or loss is None:
        return False
    same = [card.column(of, f) for f in of.features] == list(spec.features) and of.n_particles == spec.n_particles
    plain = same and not any(f.moves or f.moves_padding for f in of.features)
    if (
        not plain
        or (loss.kind, loss.reduction) != ("chamfer", "mean")
        or spec.jet_features
        or len(spec.features) > 3
    ):
        return False
    with suppress(HepvaeError):
        check_distance(loss.distance, spec)
        return True
    return False
