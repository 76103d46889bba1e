"""The card of a model that others trained: what its tensors are, which of its outputs count, and its losses."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from ..errors import ModelError
from ..jets.features import Level
from ..jets.spec import Coordinates, InputSpec
from ..options import nearest

__all__ = [
    *("AXES", "MASK", "RECO", "Axes", "CardText", "ForeignCard", "InputTensor", "LossRecipe"),
    *("NetworkFeature", "Outputs", "Reco", "Reduction", "Values", "resolved", "shown"),
]

#: What a mask is called among the features of a tensor: 1 for a particle, 0 for padding.
MASK = "mask"

Axes = Literal[
    "jets, particles, features",
    "jets, features, particles",
    "jets, features",
    "jets, particles",
    "jets, 1, particles",
    "jets, particles, 1",
]

#: Of tensors by their level, and of masks; the first is the default.
AXES: dict[str, tuple[Axes, ...]] = {
    "constituents": ("jets, particles, features", "jets, features, particles"),
    "jet": ("jets, features",),
    "mask": ("jets, particles", "jets, 1, particles", "jets, particles, 1"),
}

Reco = Literal["mse", "mae", "chamfer", "masked mse", "masked mae", "masked chamfer"]

RECO: tuple[Reco, ...] = get_args(Reco)

Values = Literal["network", "physical"]

Reduction = Literal["mean", "sum"]


@dataclass(frozen=True)
class NetworkFeature:
    """A feature as the network has it: (value - subtract) * multiply, clipped."""

    name: str
    subtract: float = 0.0
    multiply: float = 1.0
    lowest: float = -math.inf
    highest: float = math.inf
    pad: float = 0.0
    """Where there is no particle: put in after the transform."""

    @property
    def moves(self) -> bool:
        """Whether values change."""
        return (self.subtract, self.multiply) != (0.0, 1.0) or self.clips

    @property
    def clips(self) -> bool:
        return math.isfinite(self.lowest) or math.isfinite(self.highest)

    @property
    def moves_padding(self) -> bool:
        """Whether the zeros of a padded array do not become what the network has for padding."""
        zero = (0.0 - self.subtract) * self.multiply
        return zero != self.pad or not self.lowest <= zero <= self.highest


@dataclass(frozen=True)
class InputTensor:
    """One input of a network."""

    features: tuple[NetworkFeature, ...]
    """In the order of its axis; `MASK` alone for a mask."""
    tensor: str | None = None
    """Its name; None: the only one there is."""
    level: Level = "constituents"
    axes: Axes = "jets, particles, features"
    n_particles: int | None = None
    """None: as the shape in the model says; of level jet 1."""
    coordinates: Coordinates = "relative"

    @property
    def is_mask(self) -> bool:
        """Whether it is the mask of padding."""
        return self.features[0].name == MASK


@dataclass(frozen=True)
class Outputs:
    """Outputs of a network that are used, by name or by position."""

    reconstruction: str | int | None = None
    z_mean: str | int | None = None
    z_log_var: str | int | None = None
    score: str | int | None = None
    losses: tuple[tuple[str, str | int], ...] = ()
    """The network's own: our names, and its outputs."""

    @property
    def names(self) -> tuple[str, ...]:
        """What a jet is given, in the order of files."""
        if self.reconstruction is None:
            return tuple(name for name, _ in self.losses) or ("score",)
        return ("loss", "reco_loss", *(("kl_loss",) if self.z_mean is not None else ()))


@dataclass(frozen=True)
class LossRecipe:
    """Which loss a reconstruction has."""

    reco: Reco
    on: Values = "network"
    distance: str = "features"
    reduction: Reduction = "mean"
    kl_weight: float = 0.0
    tensor: str | None = None
    """The input that is reconstructed; None: the first that is no mask."""

    @property
    def masked(self) -> bool:
        """Whether padding is left out."""
        return self.reco.startswith("masked")

    @property
    def kind(self) -> str:
        """``mse``, ``mae`` or ``chamfer``."""
        return self.reco.removeprefix("masked ")


@dataclass(frozen=True)
class CardText:
    """The text of a card, to find the lines of keys in it."""

    where: str
    lines: tuple[str, ...] = ()

    def error(self, path: tuple[str, ...], message: str, of_table: tuple[str, ...] | None = None) -> ModelError:
        number = self._line(path) or (self._line(of_table) if of_table is not None else 0)
        return ModelError(f"{self._with_line(number)}: {'.'.join(path) or 'card'} {message}")

    def at(self, *paths: tuple[str, ...]) -> str:
        """Where it is, and the line of the first of some keys or tables that it has."""
        return self._with_line(next(filter(None, map(self._line, paths)), 0))

    def _with_line(self, number: int) -> str:
        return f"{self.where}, line {number}" if number else self.where

    def _line(self, path: tuple[str, ...]) -> int:
        """Number of the line where a key, or a table, is; 0 where it is not found."""
        table: tuple[str, ...] = ()
        for number, line in enumerate(self.lines, start=1):
            if header := re.match(r"\s*\[+([^\]]+)\]", line):
                table = tuple(part.strip().strip("\"'") for part in header[1].split("."))
                if table == path:
                    return number
            elif key := re.match(r"\s*([\w.\-\"' ]+?)\s*=", line):
                parts = tuple(part.strip().strip("\"'") for part in key[1].split("."))
                if path[: len(table) + len(parts)] == (*table, *parts):
                    return number
        return 0


@dataclass(frozen=True)
class ForeignCard:
    """Everything that a model which others trained does not say itself."""

    name: str
    inputs: tuple[InputTensor, ...]
    outputs: Outputs
    loss: LossRecipe | None = None
    text: CardText = field(default_factory=lambda: CardText("card"))
    """For messages."""

    @property
    def where(self) -> str:
        return self.text.where

    def at(self, *paths: tuple[str, ...]) -> str:
        """The card, and the line of the first of some keys that it has."""
        return self.text.at(*paths)

    def at_tensor(self, one: InputTensor, key: str) -> str:
        """The card, and the line of a key of one of its inputs."""
        if one.is_mask:
            return self.at(("input", "mask", key), ("input", "mask"), ("preprocess",))
        table = ("input", "tensors", one.tensor or "")
        return self.at((*table, key), table, ("input", key), ("input",), ("preprocess",))

    @property
    def mask(self) -> InputTensor | None:
        """The input that is the mask, if the network has one."""
        return next((one for one in self.inputs if one.is_mask), None)

    @property
    def reconstructed(self) -> InputTensor | None:
        """The input that is reconstructed."""
        if self.loss is None:
            return None
        named = (one for one in self.inputs if not one.is_mask and self.loss.tensor in (None, one.tensor))
        return next(named, None)

    @property
    def needs_mask(self) -> bool:
        """Whether anything depends on which places have a particle."""
        moved = any(f.moves_padding for one in self.inputs if one.level == "constituents" for f in one.features)
        return moved or self.mask is not None or (self.loss is not None and self.loss.masked)

    @property
    def spec(self) -> InputSpec:
        """The padded array from which all tensors are computed: physical values, the union of their features."""
        constituents = [one for one in self.inputs if one.level == "constituents"]
        mixed = len({one.coordinates for one in constituents if not one.is_mask}) > 1
        names = [self.column(one, f) for one in constituents for f in one.features if f.name != MASK]
        names += ["pt"] if constituents and self.needs_mask else []
        of_jet = tuple(dict.fromkeys(f.name for one in self.inputs if one.level == "jet" for f in one.features))
        relative = any(one.coordinates == "relative" for one in constituents) and not mixed
        return InputSpec(
            max((one.n_particles or 1 for one in constituents), default=1),
            tuple(dict.fromkeys(names)),
            "relative" if relative or not constituents else "absolute",
            of_jet,
        )

    def column(self, tensor: InputTensor, of: NetworkFeature) -> str:
        """The name that a feature of a tensor has in the `spec`."""
        kinds = {one.coordinates for one in self.inputs if one.level == "constituents" and not one.is_mask}
        if len(kinds) > 1 and tensor.coordinates == "relative" and of.name in ("eta", "phi"):
            return f"d{of.name}"
        return of.name


def resolved(card: ForeignCard, shapes: Mapping[str, tuple[int | None, ...] | None]) -> ForeignCard:
    """The card with what the model itself says: names of its inputs, numbers of particles.

    Parameters
    ----------
    shapes : mapping of str to tuple
        Of the inputs by name, None for an axis of any size; None instead of a shape that is not known.

    Raises
    ------
    ModelError
        A tensor is not there, or has another shape; the message says what the model has.
    """
    have = ", ".join(f"{name} {shown(shape)}" for name, shape in shapes.items()) or "none"
    inputs = []
    for one in card.inputs:
        name = one.tensor
        if name is None:
            if len(shapes) != 1:
                raise ModelError(
                    f"{card.at(('input',))}: input.tensor is missing: the model has the inputs {have}"
                )
            name = next(iter(shapes))
        if name not in shapes:
            raise ModelError(
                f"{card.at_tensor(one, 'tensor')}: input tensor {name!r} is not in the model,"
                f" which has {have}{nearest(name, shapes)}"
            )
        inputs.append(_fitted(replace(one, tensor=name), shapes[name], card))
    unused = [name for name in shapes if name not in {one.tensor for one in inputs}]
    if unused:
        raise ModelError(
            f"{card.at(('input',), ('preprocess',))}: the model needs {unused[0]!r} too:"
            f" expected a tensor of that name; it has {have}"
        )
    longest = max((one.n_particles or 0 for one in inputs if not one.is_mask), default=0)
    inputs = [replace(one, n_particles=one.n_particles or longest) if one.is_mask else one for one in inputs]
    return replace(card, inputs=tuple(inputs))


def shown(shape: tuple[int | None, ...] | None) -> str:
    return "of unknown shape" if shape is None else f"({', '.join('any' if d is None else str(d) for d in shape)})"


def _fitted(one: InputTensor, shape: tuple[int | None, ...] | None, card: ForeignCard) -> InputTensor:
    axes = one.axes.split(", ")
    if shape is not None and len(shape) != len(axes):
        raise ModelError(
            f"{card.at_tensor(one, 'axes')}: tensor {one.tensor!r} has shape {shown(shape)}:"
            f" expected axes {one.axes!r} of it"
        )
    sizes = dict(zip(axes, shape or ()))
    expected = sizes.get("features")
    if expected is not None and expected != len(one.features):
        names = ", ".join(f.name for f in one.features)
        turned = next(
            (a for a in AXES["constituents"] if sizes.get("particles") == len(one.features) and a != one.axes), ""
        )
        raise ModelError(
            f"{card.at_tensor(one, 'features')}: tensor {one.tensor!r} has {expected} features {shown(shape)},"
            f" and the card {len(one.features)}: {names}" + f'; with axes = "{turned}" they fit' * bool(turned)
        )
    if one.level == "jet":
        return one
    there = sizes.get("particles")
    if there is not None and one.n_particles not in (None, there):
        raise ModelError(
            f"{card.at_tensor(one, 'n_particles')}: tensor {one.tensor!r} has {there} particles {shown(shape)},"
            f" and the card n_particles = {one.n_particles}"
        )
    n_particles = one.n_particles or there
    if n_particles is None and not one.is_mask:
        raise ModelError(
            f"{card.at_tensor(one, 'tensor')}: n_particles of tensor {one.tensor!r} is missing:"
            " the model takes any number"
        )
    return replace(one, n_particles=n_particles)
