"""The card of a model that others trained: what its tensors are, which of its outputs count, and its losses.

A TOML file, read into frozen dataclasses; a ``preprocess.json`` of weaver-core takes the place of its inputs.
"""

from __future__ import annotations

import json
import math
import re
import sys
import textwrap
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from ..errors import HepvaeError, ModelError, SpecError
from ..jets.features import ALIASES, FEATURES, Level, feature
from ..jets.spec import COORDINATES, MOST_PARTICLES, Coordinates, InputSpec
from ..options import check_choice, check_number, check_whole_number, nearest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "MASK",
    "ForeignCard",
    "InputTensor",
    "LossRecipe",
    "NetworkFeature",
    "Outputs",
    "Values",
    "draft",
    "read_card",
    "resolved",
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
VALUES: tuple[Values, ...] = get_args(Values)
Reduction = Literal["mean", "sum"]
REDUCTIONS: tuple[Reduction, ...] = get_args(Reduction)
FOREIGN_DISTANCES = ("features", "momenta")

#: Weaver writes 1e32 where a variable is not clipped.
NO_BOUND = 1e31
#: A card has a few hundred characters.
MOST_CHARACTERS = 1_000_000


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
    z: Literal["mean"] = "mean"
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


class _Table:
    """A table of a card, from which keys are taken one by one; what is left over is an error."""

    def __init__(self, values: Any, card: CardText, path: tuple[str, ...] = ()) -> None:
        self.card, self.path = card, path
        if not isinstance(values, Mapping):
            raise card.error(path, f"is {values!r}: expected a table")
        self.values = dict(values)
        self.known: list[str] = []

    def take(self, key: str, default: Any = None) -> Any:
        self.known.append(key)
        return self.values.pop(key, default)

    def table(self, key: str) -> _Table | None:
        values = self.take(key)
        return None if values is None else _Table(values, self.card, (*self.path, key))

    def required(self, key: str, why: str = "") -> Any:
        value = self.take(key)
        if value is None:
            raise self.card.error((*self.path, key), f"is missing{why}", of_table=self.path)
        return value

    def error(self, key: str, message: str) -> ModelError:
        return self.card.error((*self.path, key), message)

    def checked(self, key: str, check: Any, value: Any) -> Any:
        """The value of a key by one of the checks of `options`."""
        try:
            return check(value)
        except HepvaeError as error:
            raise self.error(key, str(error).removeprefix(f"{key} ")) from error

    def choice(self, key: str, choices: Collection[str], default: str) -> Any:
        return self.checked(key, lambda v: check_choice(key, v, choices), self.take(key, default))

    def text(self, key: str, value: Any) -> str:
        if not isinstance(value, str) or not value:
            raise self.error(key, f"is {value!r}: expected a name")
        return value

    def end(self) -> None:
        for key in self.values:
            raise self.error(
                key, f"is unknown: expected some of {', '.join(self.known)}{nearest(key, self.known)}"
            )


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


def read_card(card: str | Path | Mapping[str, Any]) -> ForeignCard:
    """The card of a model.

    Parameters
    ----------
    card : path or mapping
        A TOML file, or what it would hold.

    Raises
    ------
    ModelError
        It cannot be read, or a key is missing, unknown or has a value that cannot be; the message has the
        line.
    """
    if isinstance(card, Mapping):
        return _card(_Table(card, CardText("card")), Path())
    path = Path(card)
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MOST_CHARACTERS)
        values = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ModelError(f"{path}: cannot be read as the card of a model: {reason}") from error
    return _card(_Table(values, CardText(str(path), tuple(text.splitlines()))), path.parent)


def _card(table: _Table, folder: Path) -> ForeignCard:
    name = table.text("name", table.required("name"))
    given, preprocess = table.table("input"), table.take("preprocess")
    if preprocess is not None:
        if given is not None:
            raise table.error("preprocess", "takes the place of input: expected one of the two")
        inputs = _weaver(table, folder / table.text("preprocess", preprocess))
    elif given is None:
        raise table.error("input", "is missing: expected a table [input], or preprocess")
    else:
        inputs = _inputs(given)
    outputs = _outputs(table)
    loss = _loss(table, outputs)
    table.end()
    card = ForeignCard(name, inputs, outputs, loss, table.card)
    masks = [one for one in inputs if one.is_mask]
    if len(masks) > 1:
        raise table.error("input", "has several masks: expected one")
    if masks and not any(one.level == "constituents" and not one.is_mask for one in inputs):
        raise table.error("input", "has a mask, and no tensor of level constituents")
    _check_loss(card, table)
    return card


def _inputs(table: _Table) -> tuple[InputTensor, ...]:
    several, mask = table.table("tensors"), table.table("mask")
    if several is None:
        inputs = [_tensor(table, table.take("tensor"))]
    else:
        inputs = []
        for name in several.values:
            one = _Table(several.values[name], table.card, (*several.path, name))
            inputs.append(_tensor(one, name))
            one.end()
        if not inputs:
            raise table.error("tensors", "is empty: expected a table for each tensor")
    table.end()
    if mask is not None:
        name = mask.text("tensor", mask.required("tensor"))
        axes = mask.choice("axes", AXES["mask"], AXES["mask"][0])
        mask.end()
        inputs.append(InputTensor((NetworkFeature(MASK),), name, "constituents", axes))
    return tuple(inputs)


def _tensor(table: _Table, name: Any) -> InputTensor:
    if name is not None:
        table.text("tensor", name)
    level: Level = table.choice("level", ("constituents", "jet"), "constituents")
    axes = table.choice("axes", AXES[level], AXES[level][0])
    coordinates = table.choice("coordinates", COORDINATES, "relative")
    n_particles = table.take("n_particles")
    if n_particles is not None:
        if level == "jet":
            raise table.error("n_particles", "is of level constituents: expected none at level jet")
        n_particles = table.checked(
            "n_particles", lambda v: check_whole_number("n_particles", v, highest=MOST_PARTICLES), n_particles
        )
    pad = table.checked("pad", lambda v: check_number("pad", v), table.take("pad", 0.0))
    features = table.required("features")
    if not isinstance(features, (list, tuple)) or not features:
        raise table.error(
            "features", f"is {features!r}: expected a list of names or [name, subtract, multiply, ...]"
        )
    rows = tuple(_feature(table, one, level, pad) for one in features)
    names = [row.name for row in rows]
    for row in rows:
        if names.count(row.name) > 1:
            raise table.error("features", f"has {row.name!r} more than once")
    return InputTensor(rows, name, level, axes, n_particles, coordinates)


def _feature(table: _Table, given: Any, level: Level, pad: float) -> NetworkFeature:
    parts = [given] if isinstance(given, str) else given
    if not isinstance(parts, (list, tuple)) or not 1 <= len(parts) <= 5 or not isinstance(parts[0], str):
        raise table.error(
            "features", f"has {given!r}: expected a name, or [name, subtract, multiply, lowest, highest]"
        )
    name, *numbers = parts
    for number in numbers:
        table.checked("features", lambda v: check_number(f"a number of {name!r}", v), number)
    try:
        feature(name, level)
    except SpecError as error:
        raise table.error("features", str(error)) from error
    keys = ("subtract", "multiply", "lowest", "highest")
    row = NetworkFeature(name, **{key: float(number) for key, number in zip(keys, numbers)}, pad=pad)
    if not row.lowest <= row.highest:
        raise table.error("features", f"has {given!r}: the lowest value is above the highest")
    if not all(math.isfinite(value) for value in (row.subtract, row.multiply)):
        raise table.error("features", f"has {given!r}: expected finite numbers to subtract and multiply by")
    return row


def _outputs(table: _Table) -> Outputs:
    outputs = table.table("output")
    if outputs is None:
        raise table.error("output", "is missing: expected a table [output] with reconstruction, score or losses")

    def one(key: str, value: Any) -> str | int | None:
        if value is not None and (isinstance(value, bool) or not isinstance(value, (str, int)) or value == ""):
            raise outputs.error(key, f"is {value!r}: expected the name of an output, or its position")
        if isinstance(value, int) and value < 0:
            raise outputs.error(key, f"is {value!r}: expected a position from 0 on")
        return value

    tensors = {key: one(key, outputs.take(key)) for key in ("reconstruction", "z_mean", "z_log_var", "score")}
    outputs.choice("z", ("mean",), "mean")
    losses = outputs.table("losses")
    outputs.end()
    kinds = [key for key in ("reconstruction", "score") if tensors[key] is not None]
    kinds += ["losses"] if losses is not None else []
    if len(kinds) != 1:
        raise table.error(
            "output", f"has {' and '.join(kinds) or 'none'} of reconstruction, score and losses: expected one"
        )
    if (tensors["z_mean"] is None) != (tensors["z_log_var"] is None) and tensors["z_mean"] is None:
        raise outputs.error("z_log_var", "is without z_mean: expected both, for kl_loss")
    if kinds != ["reconstruction"] and tensors["z_mean"] is not None:
        raise outputs.error("z_mean", f"goes with reconstruction, not with {kinds[0]}")
    own: tuple[tuple[str, str | int], ...] = ()
    if losses is not None:
        own = tuple((key, losses.required(key)) for key in list(losses.values))
        for key, value in own:
            if not re.fullmatch(r"[A-Za-z]\w*", key) or key in TAKEN:
                raise losses.error(
                    key, "cannot be the name of a loss: expected loss, reco_loss, kl_loss or one of your own"
                )
            one(key, value)
        names = {key for key, _ in own}
        if not names:
            raise outputs.error("losses", "is empty: expected names and outputs")
        if len(names) > 1 and "loss" not in names and not {"reco_loss", "kl_loss"} <= names:
            raise outputs.error(
                "losses", f"has {', '.join(sorted(names))}: expected loss among them, or reco_loss and kl_loss"
            )
        # in the order of every table and file
        order = {"loss": 0, "reco_loss": 1, "kl_loss": 2}
        own = tuple(sorted(own, key=lambda pair: order.get(pair[0], 3)))
    return Outputs(
        tensors["reconstruction"], tensors["z_mean"], tensors["z_log_var"], "mean", tensors["score"], own
    )


#: Columns of a scored file, of a jet, and names in graphs: no loss is called so.
TAKEN = ("pt", "eta", "phi", "mass", "particles", "reconstruction", MASK)


def _loss(table: _Table, outputs: Outputs) -> LossRecipe | None:
    loss = table.table("loss")
    if outputs.reconstruction is None:
        if loss is not None:
            weight = loss.take("kl_weight")
            own = {name for name, _ in outputs.losses}
            if weight is None or not {"reco_loss", "kl_loss"} <= own:
                raise table.error("loss", "goes with a reconstruction: the model has its own losses")
            loss.end()
            kl_weight = loss.checked("kl_weight", lambda v: check_number("kl_weight", v), weight)
            return LossRecipe("mse", kl_weight=kl_weight)
        return None
    if loss is None:
        raise table.error(
            "loss", "is missing: expected a table [loss] with reco, as the output is a reconstruction"
        )
    reco: Reco = loss.checked("reco", lambda v: check_choice("reco", v, RECO), loss.required("reco"))
    on: Values = loss.choice("on", VALUES, "network")
    distance = loss.choice("distance", FOREIGN_DISTANCES, "features")
    reduction: Reduction = loss.choice("reduction", REDUCTIONS, "mean")
    given = loss.take("kl_weight")
    weight = loss.checked("kl_weight", lambda v: check_number("kl_weight", v), 0.0 if given is None else given)
    tensor = loss.take("tensor")
    loss.end()
    if given is not None and weight and (outputs.z_mean is None or outputs.z_log_var is None):
        raise loss.error("kl_weight", "needs z_mean and z_log_var in [output]")
    if distance != "features" and not reco.endswith("chamfer"):
        raise loss.error("distance", f"is of chamfer: expected none with {reco}")
    return LossRecipe(reco, on, distance, reduction, weight, tensor)


def _check_loss(card: ForeignCard, table: _Table) -> None:
    """What a loss needs of the tensor that is reconstructed."""
    if card.loss is None or card.outputs.reconstruction is None:
        return
    of = card.reconstructed
    if of is None:
        names = ", ".join(str(one.tensor) for one in card.inputs)
        raise table.card.error(("loss", "tensor"), f"is {card.loss.tensor!r}: expected one of {names}")
    if of.level == "jet" and card.loss.reco not in ("mse", "mae"):
        raise table.card.error(("loss", "reco"), f"is {card.loss.reco!r} at level jet: expected mse or mae")
    features = {f.name for f in of.features}
    if card.loss.distance == "momenta":
        known = of.coordinates == "relative" and features in ({"eta", "phi", "pt"}, {"deta", "dphi", "pt"})
        moved = any(f.moves for f in of.features)
        if not known or (moved and card.loss.on == "network"):
            raise table.card.error(
                ("loss", "distance"),
                'is "momenta": expected deta, dphi and pt as features, physical values (on = "physical")',
            )
    if card.loss.on == "physical":
        for f in of.features:
            if f.multiply == 0:
                raise table.card.error(
                    ("loss", "on"), f'is "physical", and {f.name} is multiplied by 0: expected on = "network"'
                )


def _weaver(table: _Table, path: Path) -> tuple[InputTensor, ...]:
    """The inputs of a ``preprocess.json``: axes (jets, features, particles), its usual names are aliases."""

    def error(message: str) -> ModelError:
        return table.error("preprocess", f"{path.name}: {message}")

    try:
        with path.open(encoding="utf-8") as file:
            values = json.loads(file.read(MOST_CHARACTERS))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else str(problem)
        raise table.error("preprocess", f"{path} cannot be read: {reason}") from problem
    try:
        inputs = [_weaver_tensor(name, values[name], error) for name in values["input_names"]]
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        if isinstance(problem, HepvaeError):
            raise
        raise error(f"is no preprocess.json of weaver-core: {type(problem).__name__}: {problem}") from problem
    if not inputs:
        raise error("has no inputs")
    return tuple(inputs)


def _weaver_tensor(name: str, values: Mapping[str, Any], error: Any) -> InputTensor:
    length = int(values["var_length"])
    if not 1 <= length <= MOST_PARTICLES:
        raise error(f"{name} has var_length {length}")
    rows = []
    for variable in values["var_names"]:
        info = values["var_infos"][variable]
        ours = ALIASES.get(variable, variable)
        bounds = (float(info["lower_bound"]), float(info["upper_bound"]))
        row = NetworkFeature(
            ours,
            float(info["median"] or 0),
            float(info["norm_factor"] if info["norm_factor"] is not None else 1),
            bounds[0] if bounds[0] > -NO_BOUND else -math.inf,
            bounds[1] if bounds[1] < NO_BOUND else math.inf,
            float(info.get("pad", 0) or 0),
        )
        if ours == MASK:
            if len(values["var_names"]) > 1 or row.moves or row.pad:
                raise error(f"{name} has the mask beside other variables, or transformed")
        else:
            try:
                feature(ours, "constituents")
            except SpecError as problem:
                raise error(f"{name}: variable {variable!r}: {problem}") from problem
        rows.append(row)
    axes: Axes = "jets, 1, particles" if rows[0].name == MASK else "jets, features, particles"
    return InputTensor(tuple(rows), name, "constituents", axes, length)


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
    have = ", ".join(f"{name} {_shown(shape)}" for name, shape in shapes.items()) or "none"
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


def _shown(shape: tuple[int | None, ...] | None) -> str:
    return "of unknown shape" if shape is None else f"({', '.join('any' if d is None else str(d) for d in shape)})"


def _fitted(one: InputTensor, shape: tuple[int | None, ...] | None, card: ForeignCard) -> InputTensor:
    axes = one.axes.split(", ")
    if shape is not None and len(shape) != len(axes):
        raise ModelError(
            f"{card.at_tensor(one, 'axes')}: tensor {one.tensor!r} has shape {_shown(shape)}:"
            f" expected axes {one.axes!r} of it"
        )
    sizes = dict(zip(axes, shape or ()))
    expected = sizes.get("features")
    if expected is not None and expected != len(one.features):
        names = ", ".join(f.name for f in one.features)
        raise ModelError(
            f"{card.at_tensor(one, 'features')}: tensor {one.tensor!r} has {expected} features {_shown(shape)},"
            f" and the card {len(one.features)}: {names}"
        )
    if one.level == "jet":
        return one
    there = sizes.get("particles")
    if there is not None and one.n_particles not in (None, there):
        raise ModelError(
            f"{card.at_tensor(one, 'n_particles')}: tensor {one.tensor!r} has {there} particles {_shown(shape)},"
            f" and the card n_particles = {one.n_particles}"
        )
    n_particles = one.n_particles or there
    if n_particles is None and not one.is_mask:
        raise ModelError(
            f"{card.at_tensor(one, 'tensor')}: n_particles of tensor {one.tensor!r} is missing:"
            " the model takes any number"
        )
    return replace(one, n_particles=n_particles)


def _features(example: str, level: Level, number: int | None) -> list[str]:
    """The features of a draft, which nobody but the user knows."""
    further = "a column of the candidates" if level == "constituents" else "a branch, a ratio of two (tau2/tau1)"
    return [
        f"# {f'{number} features' if number else 'features'}, in the order of the model; each a name, or",
        "# [name, subtract, multiply, lowest, highest] for (value - subtract) * multiply, clipped. Names:",
        *(f"# {line}" for line in textwrap.wrap(f"{', '.join(FEATURES[level])}, {further}", 100)),
        f"features = {example}",
    ]


def _like_a_mask(name: str, shape: tuple[int | None, ...] | None) -> bool:
    return "mask" in name.lower() and shape is not None and (len(shape) == 2 or 1 in shape[1:])


def _latent(outputs: Collection[str]) -> list[str]:
    """The lines of mean and logarithm of the variance, where outputs are called so."""
    keys = {"z_mean": ("z_mean", "mean", "mu"), "z_log_var": ("z_log_var", "log_var", "logvar")}
    named = {key: next((name for name in names if name in outputs), None) for key, names in keys.items()}
    return [] if None in named.values() else [f"{key} = {json.dumps(name)}" for key, name in named.items()]


def draft(
    name: str,
    inputs: Mapping[str, tuple[int | None, ...] | None],
    outputs: Mapping[str, tuple[int | None, ...] | None],
) -> str:
    """A card with what the model itself tells, and comments at what it cannot know.

    Parameters
    ----------
    inputs, outputs : mappings of str to tuple
        Shapes by name, as for `resolved`.
    """
    lines = [f"name = {json.dumps(name)}", ""]
    mask = next((t for t, shape in inputs.items() if len(inputs) > 1 and _like_a_mask(t, shape)), None)
    several = len(inputs) - (mask is not None) > 1
    for tensor, shape in inputs.items():
        if tensor == mask:
            continue
        lines += [f"[input.tensors.{json.dumps(tensor)}]" if several else "[input]", f"# shape {_shown(shape)}"]
        if not several:
            lines.append(f"tensor = {json.dumps(tensor)}")
        rank = len(shape) if shape is not None else 3
        level = "jet" if rank == 2 else "constituents"
        lines.append(f'level = "{level}"')
        if level == "jet":
            lines += _features('["pt", "mass"]', "jet", shape[1] if shape is not None else None)
        else:
            first, last = shape[1:] if shape is not None and rank == 3 else (None, None)
            # Few features, many particles.
            turned = first is not None and (last is None or first < last)
            axes = AXES["constituents"][:: -1 if turned else 1]
            lines.append(f'axes = "{axes[0]}"  # or "{axes[1]}"')
            length, width = (last, first) if turned else (first, last)
            lines.append(
                f"n_particles = {length or 100}  # as {'the model has it' if length else 'it was trained with'}"
            )
            lines.append('coordinates = "relative"  # or "absolute", of eta and phi')
            lines += _features('["deta", "dphi", "pt"]', "constituents", width)
        lines.append("")
    if mask is not None:
        lines += ["[input.mask]", f"# shape {_shown(inputs[mask])}; 1 for a particle, 0 for padding"]
        lines.append(f"tensor = {json.dumps(mask)}")
        rank = len(inputs[mask] or ())
        turned = rank == 3 and (inputs[mask] or ())[1] == 1
        lines += [f'axes = "{AXES["mask"][0 if rank == 2 else 1 if turned else 2]}"', ""]
    lines.append("[output]")
    lines += [f"# {tensor} {_shown(shape)}" for tensor, shape in outputs.items()]
    name_of_output, sizes = next(iter(outputs.items()), ("output", None))
    if len(outputs) == 1 and sizes is not None and sizes[1:] in ((), (1,)):
        lines.append(f"score = {json.dumps(name_of_output)}  # one number a jet; or losses = {{loss = ...}}")
        return "\n".join(lines) + "\n"
    # Of an encoder by its names: position 0 of the decoder.
    shown = "0" if len(_latent(outputs)) == len(outputs) - (name_of_output == "z") else json.dumps(name_of_output)
    lines += [
        f"reconstruction = {shown}  # or score = ..., or losses = {{loss = ...}}",
        *(_latent(outputs) or ['# z_mean = "..."  # with z_log_var, for kl_loss; with --decoder, what it takes']),
        "",
        "[loss]",
        f'reco = "mse"  # one of {", ".join(RECO)}',
        '# on = "physical"  # of values before the transforms; default: of those that the network has',
        '# reduction = "sum"  # over particles and features; default: mean',
        "# kl_weight = 0.01  # loss = reco_loss + kl_weight * kl_loss",
    ]
    return "\n".join(lines) + "\n"
