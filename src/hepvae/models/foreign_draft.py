"""The draft of a card: what a model itself tells, and comments at what it cannot know."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Collection, Mapping

from ..jets.features import FEATURES, Level
from .contract import RECONSTRUCTION
from .foreign import AXES, RECO, shown
from .losses import LOSSES

__all__ = ["draft"]

Shapes = Mapping[str, tuple[int | None, ...] | None]

WEIGHTED = "the score of a jet is reco_loss + kl_weight * kl_loss"


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


def _latent(outputs: Collection[str]) -> dict[str, str]:
    """Mean and logarithm of the variance, where outputs are called so."""
    keys = {"z_mean": ("z_mean", "mean", "mu"), "z_log_var": ("z_log_var", "log_var", "logvar")}
    named = {key: name for key, names in keys.items() for name in names if name in outputs}
    return named if len(named) == len(keys) else {}


def _outputs(inputs: Shapes, outputs: Shapes) -> list[str]:
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
        lines += ["[input.mask]", f"# shape {shown(inputs[mask])}; 1 for a particle, 0 for padding"]
        lines.append(f"tensor = {json.dumps(mask)}")
        rank = len(inputs[mask] or ())
        turned = rank == 3 and (inputs[mask] or ())[1] == 1
        lines += [f'axes = "{AXES["mask"][0 if rank == 2 else 1 if turned else 2]}"', ""]
    lines.append("[output]")
    lines += [f"# {tensor} {shown(shape)}" for tensor, shape in outputs.items()]
    return "\n".join(lines + _outputs(inputs, outputs)) + "\n"
