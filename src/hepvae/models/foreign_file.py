"""A card as users write it: a TOML file; or a ``preprocess.json`` of weaver-core in the place of its inputs."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import HepvaeError, ModelError, SpecError
from ..jets.features import ALIASES, Level, feature
from ..jets.spec import COORDINATES, MOST_PARTICLES
from ..options import check_choice, check_number, check_whole_number

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib
from .foreign import (
    AXES,
    FOREIGN_DISTANCES,
    MASK,
    RECO,
    REDUCTIONS,
    VALUES,
    Axes,
    ForeignCard,
    InputTensor,
    LossRecipe,
    NetworkFeature,
    Outputs,
    Reco,
    Reduction,
    Values,
)
from .foreign_text import CardTable, CardText

__all__ = ["read_card"]

#: Weaver writes 1e32 where a variable is not clipped.
NO_BOUND = 1e31

#: A card has a few hundred characters.
MOST_CHARACTERS = 1_000_000


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
        return _card(CardTable(card, CardText("card")), Path())
    path = Path(card)
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MOST_CHARACTERS)
        values = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ModelError(f"{path}: cannot be read as the card of a model: {reason}") from error
    return _card(CardTable(values, CardText(str(path), tuple(text.splitlines()))), path.parent)


def _card(table: CardTable, folder: Path) -> ForeignCard:
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


def _inputs(table: CardTable) -> tuple[InputTensor, ...]:
    several, mask = table.table("tensors"), table.table("mask")
    if several is None:
        inputs = [_tensor(table, table.take("tensor"))]
    else:
        inputs = []
        for name in several.values:
            one = CardTable(several.values[name], table.card, (*several.path, name))
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


def _tensor(table: CardTable, name: Any) -> InputTensor:
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


def _feature(table: CardTable, given: Any, level: Level, pad: float) -> NetworkFeature:
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


def _outputs(table: CardTable) -> Outputs:
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
        order = {"loss": 0, "reco_loss": 1, "kl_loss": 2}
        own = tuple(sorted(own, key=lambda pair: order.get(pair[0], 3)))
    return Outputs(
        tensors["reconstruction"], tensors["z_mean"], tensors["z_log_var"], "mean", tensors["score"], own
    )


#: Columns of a scored file, of a jet, and names in graphs: no loss is called so.
TAKEN = ("pt", "eta", "phi", "mass", "particles", "reconstruction", MASK)


def _loss(table: CardTable, outputs: Outputs) -> LossRecipe | None:
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
        raise table.missing("loss", ": expected a table [loss] with reco, as the output is a reconstruction")
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


def _check_loss(card: ForeignCard, table: CardTable) -> None:
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


def _weaver(table: CardTable, path: Path) -> tuple[InputTensor, ...]:
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
