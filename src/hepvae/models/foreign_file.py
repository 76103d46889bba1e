"""A card as users write it: its draft, and the TOML file, with inputs or a ``preprocess.json`` of weaver-core."""

from __future__ import annotations

import json
import math
import re
import sys
import textwrap
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, get_args

from ..errors import HepvaeError, ModelError, SpecError
from ..jets.features import ALIASES, FEATURES, Level, feature
from ..jets.spec import COORDINATES, MOST_PARTICLES
from ..options import check_choice, check_number, check_whole_number, nearest
from .contract import RECONSTRUCTION
from .losses import LOSSES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib
from .foreign import (
    AXES,
    MASK,
    RECO,
    Axes,
    CardText,
    ForeignCard,
    InputTensor,
    LossRecipe,
    NetworkFeature,
    Outputs,
    Reco,
    Reduction,
    Values,
    shown,
)

__all__ = ["draft", "read_card"]

#: Weaver writes 1e32 where a variable is not clipped.
NO_BOUND = 1e31

#: A card has a few hundred characters.
MOST_CHARACTERS = 1_000_000

Shapes = Mapping[str, tuple[int | None, ...] | None]

WEIGHTED = "the score of a jet is reco_loss + kl_weight * kl_loss"


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

    def required(self, key: str) -> Any:
        value = self.take(key)
        if value is None:
            raise self.missing(key)
        return value

    def missing(self, key: str, expected: str = "") -> ModelError:
        """The error to raise for a key that is not there; it has the most similar one that is left over."""
        message = f"is missing{expected}{nearest(key, self.values)}"
        return self.card.error((*self.path, key), message, of_table=self.path)

    def error(self, key: str, message: str) -> ModelError:
        return self.card.error((*self.path, key), message)

    def checked(self, key: str, check: Any, value: Any) -> Any:
        """The value of a key by one of the checks of `options`."""
        try:
            return check(value)
        except HepvaeError as error:
            raise self.error(key, str(error).removeprefix(f"{key} ")) from error

    def choice(self, key: str, choices: Collection[str], default: str | None = None) -> Any:
        """One of some names; a key without a default is required."""
        value = self.required(key) if default is None else self.take(key, default)
        return self.checked(key, lambda v: check_choice(key, v, choices), value)

    def number(self, key: str, default: float) -> float:
        given = self.take(key)
        return default if given is None else float(self.checked(key, lambda v: check_number(key, v), given))

    def text(self, key: str, value: Any) -> str:
        if not isinstance(value, str) or not value:
            raise self.error(key, f"is {value!r}: expected a name")
        return value

    def end(self) -> None:
        for key in self.values:
            raise self.error(
                key, f"is unknown: expected some of {', '.join(self.known)}{nearest(key, self.known)}"
            )


def _card(table: _Table, folder: Path) -> ForeignCard:
    name = table.text("name", table.required("name"))
    given, preprocess = table.table("input"), table.take("preprocess")
    if preprocess is not None:
        if given is not None:
            raise table.error("preprocess", "takes the place of input: expected one of the two")
        inputs = _weaver(table, folder / table.text("preprocess", preprocess))
    elif given is None:
        raise table.missing("input", ": expected a table [input], or preprocess")
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
    pad = table.number("pad", 0.0)
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
        raise table.missing("output", ": expected a table [output] with reconstruction, score or losses")

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
        own = tuple(sorted(own, key=lambda pair: (*LOSSES, pair[0]).index(pair[0])))
    return Outputs(**tensors, losses=own)


#: Columns of a scored file, of a jet, and names in graphs: no loss is called so.
TAKEN = ("pt", "eta", "phi", "mass", "particles", "reconstruction", MASK)


def _loss(table: _Table, outputs: Outputs) -> LossRecipe | None:
    loss = table.table("loss")
    if outputs.reconstruction is None:
        if loss is not None:
            if loss.values.get("kl_weight") is None or not {"reco_loss", "kl_loss"} <= {*outputs.names}:
                raise table.error("loss", "goes with a reconstruction: the model has its own losses")
            kl_weight = loss.number("kl_weight", 0.0)
            loss.end()
            return LossRecipe("mse", kl_weight=kl_weight)
        return None
    if loss is None:
        raise table.missing("loss", ": expected a table [loss] with reco, as the output is a reconstruction")
    reco: Reco = loss.choice("reco", RECO)
    on: Values = loss.choice("on", get_args(Values), "network")
    distance = loss.choice("distance", ("features", "momenta"), "features")
    reduction: Reduction = loss.choice("reduction", get_args(Reduction), "mean")
    weight = loss.number("kl_weight", 0.0)
    tensor = loss.take("tensor")
    loss.end()
    if weight and (outputs.z_mean is None or outputs.z_log_var is None):
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


def _draft_features(example: str, level: Level, number: int | None) -> list[str]:
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


def _latent(outputs: Collection[str]) -> dict[str, str]:
    """Mean and logarithm of the variance, where outputs are called so."""
    keys = {"z_mean": ("z_mean", "mean", "mu"), "z_log_var": ("z_log_var", "log_var", "logvar")}
    named = {key: name for key, names in keys.items() for name in names if name in outputs}
    return named if len(named) == len(keys) else {}


def _draft_outputs(inputs: Shapes, outputs: Shapes) -> list[str]:
    """The lines of [output] and [loss]: by the names that hepvae knows, else by the shapes."""
    of_jets = [name for name, shape in outputs.items() if shape is not None and shape[1:] in ((), (1,))]
    own = [name for name in LOSSES if name in of_jets]
    if "loss" in own or len(own) > 1:
        losses = ", ".join(f"{name} = {json.dumps(name)}" for name in own)
        lines = [f"losses = {{{losses}}}  # or reconstruction = ..., with [loss]"]
        return lines + ["", "[loss]", f"kl_weight = 0.01  # {WEIGHTED}"] * ({"reco_loss", "kl_loss"} <= {*own})
    if len(of_jets) == len(outputs) > 0:
        return [f"score = {json.dumps(of_jets[0])}  # one number a jet; or losses = {{loss = ...}}"]
    latent = _latent(outputs)
    likely = [name for name in outputs if name not in (*of_jets, *latent.values())] or ["output"]
    likely.sort(key=lambda name: (name != RECONSTRUCTION, outputs.get(name) not in inputs.values()))
    of_decoder = bool(latent) and {*outputs} <= {"z", *latent.values()}
    reconstruction, which = ("0", "of --decoder; ") if of_decoder else (json.dumps(likely[0]), "")
    return [
        f"reconstruction = {reconstruction}  # {which}or score = ..., or losses = {{loss = ...}}",
        *(f"{key} = {json.dumps(name)}" for key, name in latent.items()),
        *([] if latent else ['# z_mean = "..."  # with z_log_var, for kl_loss; with --decoder, what it takes']),
        "",
        "[loss]",
        f'reco = "mse"  # one of {", ".join(RECO)}',
        '# on = "physical"  # of values before the transforms; default: of those that the network has',
        '# reduction = "sum"  # over particles and features; default: mean',
        f"# kl_weight = 0.01  # {WEIGHTED}",
    ]


def draft(name: str, inputs: Shapes, outputs: Shapes) -> str:
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
        lines += [
            f"[input.tensors.{json.dumps(tensor)}]" if several else "[input]",
            f"# shape {shown(shape)}",
        ]
        if not several:
            lines.append(f"tensor = {json.dumps(tensor)}")
        rank = len(shape) if shape is not None else 3
        level = "jet" if rank == 2 else "constituents"
        lines.append(f'level = "{level}"')
        if level == "jet":
            lines += _draft_features('["pt", "mass"]', "jet", shape[1] if shape is not None else None)
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
            lines += _draft_features('["deta", "dphi", "pt"]', "constituents", width)
        lines.append("")
    if mask is not None:
        lines += ["[input.mask]", f"# shape {shown(inputs[mask])}; 1 for a particle, 0 for padding"]
        lines.append(f"tensor = {json.dumps(mask)}")
        rank = len(inputs[mask] or ())
        turned = rank == 3 and (inputs[mask] or ())[1] == 1
        lines += [f'axes = "{AXES["mask"][0 if rank == 2 else 1 if turned else 2]}"', ""]
    lines.append("[output]")
    lines += [f"# {tensor} {shown(shape)}" for tensor, shape in outputs.items()]
    return "\n".join(lines + _draft_outputs(inputs, outputs)) + "\n"
